/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/sockdiag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/netlink.h"

struct sockdiag_walk {
	sockdiag_fn each;
	void *user;
};

static void end_take(struct sockdiag_end *end, guint8 family, const guint32 *words, guint16 port)
{
	static const guint8 mapped[12] = { [10] = 0xff, [11] = 0xff };

	end->family = family;
	end->port = ntohs(port);
	memcpy(end->bytes, words, family == AF_INET ? 4 : 16);
	if (family == AF_INET6 && memcmp(end->bytes, mapped, sizeof(mapped)) == 0) {
		memmove(end->bytes, end->bytes + sizeof(mapped), 4);
		memset(end->bytes + 4, 0, 12);
		end->family = AF_INET;
	}
}

/* A kernel older or newer than our header sends less or more. */
static void tcp_take(struct sockdiag_socket *socket, const struct nlattr *attribute)
{
	struct tcp_info info = { 0 };
	gsize length = mnl_attr_get_payload_len(attribute);

	memcpy(&info, mnl_attr_get_payload(attribute), MIN(length, sizeof(info)));
	if (length < offsetof(struct tcp_info, tcpi_bytes_acked) + 24)
		return;
	socket->has_tcp = TRUE;
	/* The SYN of who connected counts as an acknowledged byte; that is all who says nothing has sent. */
	socket->sent_bytes = info.tcpi_bytes_acked ? info.tcpi_bytes_acked - 1 : 0;
	socket->received_bytes = info.tcpi_bytes_received;
	socket->retransmits = info.tcpi_total_retrans;
	socket->rtt_us = info.tcpi_rtt;
	socket->sent_segments = info.tcpi_segs_out;
	socket->received_segments = info.tcpi_segs_in;
}

/* mnl_cb_t */
static int socket_take(const struct nlmsghdr *message, void *user)
{
	const struct inet_diag_msg *head = mnl_nlmsg_get_payload(message);
	struct sockdiag_walk *walk = user;
	struct sockdiag_socket socket = { .state = head->idiag_state,
					  .uid = head->idiag_uid,
					  .inode = head->idiag_inode,
					  .receive_queue = head->idiag_rqueue,
					  .send_queue = head->idiag_wqueue };
	const struct nlattr *attribute;

	if (head->idiag_family != AF_INET && head->idiag_family != AF_INET6)
		return MNL_CB_OK;
	end_take(&socket.local, head->idiag_family, head->id.idiag_src, head->id.idiag_sport);
	end_take(&socket.remote, head->idiag_family, head->id.idiag_dst, head->id.idiag_dport);
	mnl_attr_for_each(attribute, message, sizeof(*head))
	{
		const void *payload = mnl_attr_get_payload(attribute);
		gsize length = mnl_attr_get_payload_len(attribute);

		if (mnl_attr_get_type(attribute) == INET_DIAG_SKMEMINFO &&
		    length >= (SK_MEMINFO_DROPS + 1) * sizeof(guint32))
			socket.drops = ((const guint32 *)payload)[SK_MEMINFO_DROPS];
		else if (mnl_attr_get_type(attribute) == INET_DIAG_CGROUP_ID && length >= sizeof(guint64))
			memcpy(&socket.cgroup, payload, sizeof(socket.cgroup));
		else if (mnl_attr_get_type(attribute) == INET_DIAG_INFO)
			tcp_take(&socket, attribute);
	}
	walk->each(walk->user, &socket);
	return MNL_CB_OK;
}

gboolean sockdiag_each(const struct netns *netns, guint8 protocol, guint32 states, gboolean tcp, sockdiag_fn each,
		       void *user, GError **error)
{
	static const guint8 families[] = { AF_INET, AF_INET6 };
	int fd = netns_socket(netns, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG, error);
	struct sockdiag_walk walk = { each, user };
	gboolean right = fd >= 0;

	for (guint i = 0; right && i < G_N_ELEMENTS(families); i++) {
		char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct inet_diag_req_v2))];
		struct inet_diag_req_v2 *wanted;
		struct nlmsghdr *request;

		memset(buffer, 0, sizeof(buffer));
		request = mnl_nlmsg_put_header(buffer);
		request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
		wanted = mnl_nlmsg_put_extra_header(request, sizeof(*wanted));
		wanted->sdiag_family = families[i];
		wanted->sdiag_protocol = protocol;
		wanted->idiag_states = states;
		wanted->idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1) | (tcp ? 1 << (INET_DIAG_INFO - 1) : 0);
		right = netlink_dump(fd, request, socket_take, &walk, "cannot list the sockets of a network namespace",
				     error);
	}
	if (fd >= 0)
		close(fd);
	return right;
}

/* sockdiag_fn */
static void socket_pass(void *user, const struct sockdiag_socket *socket)
{
	(void)user;
	(void)socket;
}

gboolean sockdiag_works(guint8 protocol, GError **error)
{
	const struct netns own = { .inode = netns_own(), .pid = (guint32)getpid() };

	return sockdiag_each(&own, protocol, SOCKDIAG_STATE(SOCKDIAG_LISTEN), FALSE, socket_pass, NULL, error);
}
