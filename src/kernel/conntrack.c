/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/conntrack.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "kernel/netlink.h"

#define CONNTRACK_BYTES_MAX (256u << 10)

static const struct {
	const char *name;
	gsize offset;
	gboolean once; /* the same in each CPU's line */
} columns[] = {
	{ "entries", G_STRUCT_OFFSET(struct conntrack, entries), TRUE },
	{ "drop", G_STRUCT_OFFSET(struct conntrack, drops), FALSE },
	{ "early_drop", G_STRUCT_OFFSET(struct conntrack, early_drops), FALSE },
	{ "insert_failed", G_STRUCT_OFFSET(struct conntrack, insert_failed), FALSE },
};

static void column_take(struct conntrack *conntrack, const char *name, guint64 value)
{
	for (guint i = 0; i < G_N_ELEMENTS(columns); i++) {
		guint64 *to = (guint64 *)((char *)conntrack + columns[i].offset);

		if (strcmp(columns[i].name, name) == 0)
			*to = columns[i].once || *to == CONNTRACK_UNKNOWN ? value : *to + value;
	}
}

/* Words apart by blanks of any number. */
static GPtrArray *words_of(char *line)
{
	GPtrArray *words = g_ptr_array_new();
	char *rest = NULL;

	for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		g_ptr_array_add(words, word);
	return words;
}

gboolean conntrack_parse(const char *text, struct conntrack *conntrack)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_autoptr(GPtrArray) names = NULL;

	memset(conntrack, 0xff, sizeof(*conntrack)); /* CONNTRACK_UNKNOWN */
	if (!lines[0])
		return FALSE;
	names = words_of(lines[0]);
	for (guint i = 1; lines[i]; i++) {
		g_autoptr(GPtrArray) values = words_of(lines[i]);

		for (guint j = 0; j < MIN(values->len, names->len); j++)
			column_take(conntrack, names->pdata[j], g_ascii_strtoull(values->pdata[j], NULL, 16));
	}
	return conntrack->entries != CONNTRACK_UNKNOWN;
}

gboolean conntrack_read(const char *root, guint32 pid, struct conntrack *conntrack)
{
	const char *base = strcmp(root, "/") == 0 ? "" : root;
	g_autofree char *path = g_strdup_printf("%s/proc/%u/net/stat/nf_conntrack", base, pid);
	g_autofree char *limit_path = g_strdup_printf("%s/proc/sys/net/netfilter/nf_conntrack_max", base);
	g_autofree char *text = file_read(path, CONNTRACK_BYTES_MAX, NULL, NULL);
	g_autofree char *limit = file_read(limit_path, CONNTRACK_BYTES_MAX, NULL, NULL);

	if (!text || !conntrack_parse(text, conntrack))
		return FALSE;
	if (limit)
		conntrack->limit = g_ascii_strtoull(limit, NULL, 10);
	return TRUE;
}

/* ---- entries ---- */

struct conntrack_walk {
	conntrack_fn each;
	void *user;
	guint left;
};

/* The attribute `type` inside another; NULL: there is none. */
static const struct nlattr *nested_find(const struct nlattr *outer, guint16 type)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, outer) if (mnl_attr_get_type(attribute) == type) return attribute;
	return NULL;
}

/* mnl_cb_t */
static int entry_take(const struct nlmsghdr *message, void *user)
{
	struct conntrack_walk *walk = user;
	const struct nlattr *attribute, *tuple = NULL, *ip, *source;
	struct netns_address address = { .family = AF_INET };

	if (walk->left == 0)
		return MNL_CB_STOP;
	mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attribute) ==
									   CTA_TUPLE_ORIG) tuple = attribute;
	ip = tuple ? nested_find(tuple, CTA_TUPLE_IP) : NULL;
	if (!ip)
		return MNL_CB_OK;
	source = nested_find(ip, CTA_IP_V4_SRC);
	if (!source) {
		source = nested_find(ip, CTA_IP_V6_SRC);
		address.family = AF_INET6;
	}
	if (!source || mnl_attr_get_payload_len(source) > sizeof(address.bytes))
		return MNL_CB_OK;
	memcpy(address.bytes, mnl_attr_get_payload(source), mnl_attr_get_payload_len(source));
	walk->left--;
	walk->each(walk->user, &address);
	return MNL_CB_OK;
}

gboolean conntrack_each(const struct netns *netns, conntrack_fn each, void *user, GError **error)
{
	int fd = netns_socket(netns, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER, error);
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct nfgenmsg))];
	struct conntrack_walk walk = { each, user, CONNTRACK_DUMP_MAX };
	struct nlmsghdr *request;
	gboolean right;

	if (fd < 0)
		return FALSE;
	memset(buffer, 0, sizeof(buffer));
	request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	mnl_nlmsg_put_extra_header(request, sizeof(struct nfgenmsg));
	right = netlink_dump(fd, request, entry_take, &walk, "cannot list tracked connections", error);
	close(fd);
	return right;
}
