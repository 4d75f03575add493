/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/drops_polled.h"

#include <netinet/in.h>

#include "kernel/netns.h"
#include "kernel/netstat.h"

struct drops_polled {
	GHashTable *told; /* inode number of a network namespace → struct netstat */
};

static const struct {
	const char *reason;
	guint8 protocol;
	gboolean inwards;
	gsize offset; /* in struct netstat */
} counters[] = {
	{ "no_socket", IPPROTO_UDP, TRUE, G_STRUCT_OFFSET(struct netstat, udp_no_port) },
	{ "socket_rcvbuff", IPPROTO_UDP, TRUE, G_STRUCT_OFFSET(struct netstat, udp_overflows) },
	{ "udp_csum", IPPROTO_UDP, TRUE, G_STRUCT_OFFSET(struct netstat, udp_damaged) },
	{ "tcp_csum", IPPROTO_TCP, TRUE, G_STRUCT_OFFSET(struct netstat, tcp_damaged) },
	{ "socket_backlog", IPPROTO_TCP, TRUE, G_STRUCT_OFFSET(struct netstat, tcp_backlog_drops) },
	{ "socket_rcvbuff", IPPROTO_TCP, TRUE, G_STRUCT_OFFSET(struct netstat, tcp_queue_drops) },
	{ "tcp_zerowindow", IPPROTO_TCP, TRUE, G_STRUCT_OFFSET(struct netstat, tcp_zero_window_drops) },
	{ "tcp_listen_overflow", IPPROTO_TCP, TRUE, G_STRUCT_OFFSET(struct netstat, tcp_listen_overflows) },
	{ "discarded on the way in", 0, TRUE, G_STRUCT_OFFSET(struct netstat, ip_in_discards) },
	{ "discarded on the way out", 0, FALSE, G_STRUCT_OFFSET(struct netstat, ip_out_discards) },
	{ "ip_innoroutes", 0, TRUE, G_STRUCT_OFFSET(struct netstat, ip_in_no_routes) },
	{ "ip_outnoroutes", 0, FALSE, G_STRUCT_OFFSET(struct netstat, ip_out_no_routes) },
	{ "ip_inaddrerrors", 0, TRUE, G_STRUCT_OFFSET(struct netstat, ip_address_errors) },
	{ "damaged header", 0, TRUE, G_STRUCT_OFFSET(struct netstat, ip_header_errors) },
	{ "ip_rpfilter", 0, TRUE, G_STRUCT_OFFSET(struct netstat, ip_reverse_path) },
};

static void polled_compare(guint32 netns, const struct netstat *before, const struct netstat *now, drops_polled_fn tell,
			   void *user)
{
	for (guint i = 0; i < G_N_ELEMENTS(counters); i++) {
		guint64 was = *(const guint64 *)((const char *)before + counters[i].offset);
		guint64 is = *(const guint64 *)((const char *)now + counters[i].offset);

		if (was != NETSTAT_UNKNOWN && is != NETSTAT_UNKNOWN && is > was)
			tell(user, netns, counters[i].reason, counters[i].protocol, counters[i].inwards, is - was);
	}
}

/* `tell` NULL: nothing is told yet. */
static void polled_look(struct drops_polled *polled, drops_polled_fn tell, void *user)
{
	static const struct netstat nothing; /* a namespace is born with counters of 0 */
	g_autoptr(GArray) all = netns_list();
	GHashTable *now = g_hash_table_new_full(NULL, NULL, NULL, g_free);

	for (guint i = 0; i < all->len; i++) {
		const struct netns *netns = &g_array_index(all, struct netns, i);
		const struct netstat *before = g_hash_table_lookup(polled->told, GUINT_TO_POINTER(netns->inode));
		struct netstat counts;

		if (!netstat_read("/", netns->pid, &counts))
			continue;
		if (tell)
			polled_compare(netns->inode, before ? before : &nothing, &counts, tell, user);
		g_hash_table_insert(now, GUINT_TO_POINTER(netns->inode), g_memdup2(&counts, sizeof(counts)));
	}
	g_hash_table_unref(polled->told);
	polled->told = now;
}

void drops_polled_read(struct drops_polled *polled, drops_polled_fn tell, void *user)
{
	polled_look(polled, tell, user);
}

struct drops_polled *drops_polled_new(void)
{
	struct drops_polled *polled = g_new0(struct drops_polled, 1);

	polled->told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	polled_look(polled, NULL, NULL);
	return polled;
}

void drops_polled_free(struct drops_polled *polled)
{
	if (!polled)
		return;
	g_hash_table_unref(polled->told);
	g_free(polled);
}
