/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/netlink.h"

#include <errno.h>
#include <sys/socket.h>

#define NETLINK_BUFFER_BYTES (32 << 10) /* what one recv() of a dump fills at most */
#define NETLINK_SEQUENCE 1

G_DEFINE_QUARK(netlink - error - quark, netlink_error)

static gboolean netlink_fail(const char *what, GError **error)
{
	int reason = errno;

	g_set_error(error, NETLINK_ERROR, reason, "%s: %s", what, g_strerror(reason));
	return FALSE;
}

gboolean netlink_dump(int fd, struct nlmsghdr *request, mnl_cb_t each, void *user, const char *what, GError **error)
{
	g_autofree char *buffer = g_malloc(NETLINK_BUFFER_BYTES);
	gboolean stopped = FALSE;

	request->nlmsg_seq = NETLINK_SEQUENCE;
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return netlink_fail(what, error);
	for (;;) {
		ssize_t bytes = recv(fd, buffer, NETLINK_BUFFER_BYTES, 0);
		int result;

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0)
			return netlink_fail(what, error);
		result = mnl_cb_run(buffer, (size_t)bytes, NETLINK_SEQUENCE, 0, each, user);
		if (result < 0)
			return netlink_fail(what, error);
		stopped = result == MNL_CB_STOP;
		if (stopped)
			return TRUE;
	}
}
