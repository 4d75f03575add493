/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/qdisc.h"

#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/netlink.h"

/* Asks for a list of `type`, whose messages begin with a head of `head_bytes`. */
static GArray *list_read(const struct netns *netns, guint16 type, gsize head_bytes, mnl_cb_t each, gsize element_bytes,
			 const char *what, GError **error)
{
	int fd = netns_socket(netns, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, error);
	char buffer[MNL_NLMSG_HDRLEN + 64];
	struct nlmsghdr *request;
	GArray *list;
	gboolean right;

	if (fd < 0)
		return NULL;
	memset(buffer, 0, sizeof(buffer));
	request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = type;
	mnl_nlmsg_put_extra_header(request, head_bytes);
	list = g_array_new(FALSE, TRUE, (guint)element_bytes);
	right = netlink_dump(fd, request, each, list, what, error);
	close(fd);
	if (!right)
		g_clear_pointer(&list, g_array_unref);
	return list;
}

/* A name of the kernel's, at most IFNAMSIZ with its end. */
static void name_take(char name[IFNAMSIZ], const struct nlattr *attribute)
{
	gsize length = MIN(mnl_attr_get_payload_len(attribute), IFNAMSIZ - 1);

	memcpy(name, mnl_attr_get_payload(attribute), length);
	name[length] = '\0';
}

static void statistics_take(struct qdisc *qdisc, const struct nlattr *statistics)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, statistics)
	{
		struct gnet_stats_basic basic = { 0 };
		struct gnet_stats_queue queue = { 0 };
		guint length = mnl_attr_get_payload_len(attribute);

		switch (mnl_attr_get_type(attribute)) {
		case TCA_STATS_BASIC: /* its end is padding the kernel may leave out */
			memcpy(&basic, mnl_attr_get_payload(attribute), MIN(length, sizeof(basic)));
			qdisc->packets = MAX(qdisc->packets, basic.packets);
			break;
		case TCA_STATS_PKT64:
			if (length == sizeof(guint64))
				qdisc->packets = mnl_attr_get_u64(attribute);
			break;
		case TCA_STATS_QUEUE:
			memcpy(&queue, mnl_attr_get_payload(attribute), MIN(length, sizeof(queue)));
			qdisc->drops = queue.drops;
			break;
		default:
			break;
		}
	}
}

/* mnl_cb_t */
static int qdisc_take(const struct nlmsghdr *message, void *user)
{
	const struct tcmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	GArray *list = user;
	struct qdisc qdisc = { .ifindex = (guint32)head->tcm_ifindex };

	if (message->nlmsg_type != RTM_NEWQDISC || list->len >= QDISCS_MAX ||
	    (head->tcm_parent != TC_H_ROOT && head->tcm_parent != TC_H_INGRESS))
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*head))
	{
		if (mnl_attr_get_type(attribute) == TCA_KIND)
			name_take(qdisc.kind, attribute);
		else if (mnl_attr_get_type(attribute) == TCA_STATS2)
			statistics_take(&qdisc, attribute);
	}
	if (strcmp(qdisc.kind, "noqueue") != 0)
		g_array_append_val(list, qdisc);
	return MNL_CB_OK;
}

GArray *qdisc_list(const struct netns *netns, GError **error)
{
	return list_read(netns, RTM_GETQDISC, sizeof(struct tcmsg), qdisc_take, sizeof(struct qdisc),
			 "cannot list queueing disciplines", error);
}

/* mnl_cb_t */
static int link_take(const struct nlmsghdr *message, void *user)
{
	const struct ifinfomsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	gboolean is_elsewhere = FALSE;
	GArray *list = user;
	struct qdisc_link link = { .ifindex = (guint32)head->ifi_index };

	if (message->nlmsg_type != RTM_NEWLINK || list->len >= QDISCS_MAX)
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*head))
	{
		guint16 type = mnl_attr_get_type(attribute);

		if (type == IFLA_IFNAME)
			name_take(link.name, attribute);
		else if (type == IFLA_LINK && mnl_attr_get_payload_len(attribute) == sizeof(guint32))
			link.peer = mnl_attr_get_u32(attribute);
		else if (type == IFLA_LINK_NETNSID)
			is_elsewhere = TRUE;
	}
	if (!is_elsewhere)
		link.peer = 0;
	g_array_append_val(list, link);
	return MNL_CB_OK;
}

GArray *qdisc_links(const struct netns *netns, GError **error)
{
	return list_read(netns, RTM_GETLINK, sizeof(struct ifinfomsg), link_take, sizeof(struct qdisc_link),
			 "cannot list interfaces", error);
}
