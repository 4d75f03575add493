/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/queues.h"

#include <arpa/inet.h>
#include <string.h>

#include "kernel/conntrack.h"
#include "kernel/netns.h"
#include "kernel/procfs.h"
#include "kernel/sockdiag.h"

#define NO_ROW G_MAXUINT32

struct queues {
	struct registry *registry;
	struct gauges *gauges;
	gboolean detail;
	struct ledger *ledger;
	GArray *namespaces; /* of struct netns */
	GHashTable *owners; /* inode of a namespace → const struct container: of its first process */
	GHashTable *rows; /* const struct container → row + 1 */
	const struct netns *netns; /* being read */
	guint listeners, refused;
};

/* ---- rows ---- */

static enum gauge_resource resource_of(const struct container *container)
{
	if (container->runtime == RUNTIME_HOST)
		return GAUGE_RESOURCE_HOST;
	if (container_is_container(container))
		return GAUGE_RESOURCE_CONTAINER;
	return container->runtime == RUNTIME_SYSTEMD ? GAUGE_RESOURCE_UNIT : GAUGE_RESOURCE_CGROUP;
}

/* Index of a container's row; NO_ROW when it has none and none is to be made. */
static guint32 row_of(struct queues *queues, const struct container *container)
{
	guint32 known = GPOINTER_TO_UINT(g_hash_table_lookup(queues->rows, container)), index = NO_ROW;
	struct gauge_row *row;

	if (known)
		return known - 1;
	row = gauges_find(queues->gauges, resource_of(container), container->cgroup_key, 0);
	if (!row && queues->detail)
		row = gauges_add(queues->gauges, resource_of(container), container->cgroup_key, 0, container->name);
	if (!row)
		return NO_ROW;
	index = (guint32)(row - gauges_row(queues->gauges, 0));
	g_hash_table_insert(queues->rows, (gpointer)container, GUINT_TO_POINTER(index + 1));
	return index;
}

static void count_add(struct gauge_row *row, enum gauge gauge, guint64 more)
{
	guint64 value;

	gauge_get(row, gauge, &value);
	gauge_set(row, gauge, value + more);
}

/* ---- accept queues ---- */

static char *end_text(const struct sockdiag_end *end)
{
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(end->family, end->bytes, address, sizeof(address));
	return g_strdup_printf(end->family == AF_INET6 ? "[%s]:%u" : "%s:%u", address, end->port);
}

static void listener_row(struct queues *queues, guint32 owner, const struct sockdiag_socket *socket)
{
	g_autofree char *name = end_text(&socket->local);
	struct gauge_row *row;

	if (queues->listeners++ >= QUEUES_LISTENERS_MAX)
		return;
	row = gauges_add(queues->gauges, GAUGE_RESOURCE_LISTENER, socket->inode, 0, name);
	if (!row)
		return;
	row->parent = owner;
	gauge_set(row, GAUGE_LISTEN_QUEUE, socket->receive_queue);
	gauge_set(row, GAUGE_LISTEN_LIMIT, socket->send_queue);
	gauge_set(row, GAUGE_LISTEN_DROPS, socket->drops);
}

/* sockdiag_fn */
static void listener_take(void *user, const struct sockdiag_socket *socket)
{
	struct queues *queues = user;
	const struct container *owner = socket->cgroup ? registry_by_cgroup(queues->registry, socket->cgroup) : NULL;
	guint64 queue, limit;
	struct gauge_row *row;
	guint32 index;

	/* On a v1 host sockets are the root's. */
	if (!owner || owner->runtime == RUNTIME_HOST)
		owner = g_hash_table_lookup(queues->owners, GUINT_TO_POINTER(queues->netns->inode));
	index = owner ? row_of(queues, owner) : NO_ROW;
	if (index == NO_ROW)
		return;
	row = gauges_row(queues->gauges, index);
	gauge_get(row, GAUGE_LISTEN_QUEUE, &queue);
	gauge_get(row, GAUGE_LISTEN_LIMIT, &limit);
	if (!limit || (double)socket->receive_queue * (double)limit > (double)queue * (double)socket->send_queue) {
		gauge_set(row, GAUGE_LISTEN_QUEUE, socket->receive_queue);
		gauge_set(row, GAUGE_LISTEN_LIMIT, socket->send_queue);
	}
	count_add(row, GAUGE_LISTEN_DROPS, socket->drops);
	if (queues->detail)
		listener_row(queues, index, socket);
}

/* ---- tracked connections ---- */

static void set_known(struct gauge_row *row, enum gauge gauge, guint64 value)
{
	if (value != CONNTRACK_UNKNOWN)
		gauge_set(row, gauge, value);
}

static void row_set_conntrack(struct gauge_row *row, const struct conntrack *conntrack)
{
	set_known(row, GAUGE_CONNTRACK, conntrack->entries);
	set_known(row, GAUGE_CONNTRACK_LIMIT, conntrack->limit);
	set_known(row, GAUGE_CONNTRACK_DROPS, conntrack->drops);
	set_known(row, GAUGE_CONNTRACK_EARLY_DROPS, conntrack->early_drops);
	set_known(row, GAUGE_CONNTRACK_INSERT_FAILED, conntrack->insert_failed);
}

/* The address of a container → it; what two of them have is nobody's. */
struct fillers {
	struct queues *queues;
	GHashTable *owners; /* GBytes → const struct container */
	GHashTable *counts; /* const struct container → entries */
};

static GBytes *address_bytes(const struct netns_address *address)
{
	return g_bytes_new(address, sizeof(*address));
}

static void fillers_learn(struct fillers *fillers, guint32 host)
{
	struct queues *queues = fillers->queues;

	for (guint i = 0; i < queues->namespaces->len; i++) {
		const struct netns *netns = &g_array_index(queues->namespaces, struct netns, i);
		const struct container *owner = g_hash_table_lookup(queues->owners, GUINT_TO_POINTER(netns->inode));
		g_autoptr(GArray) addresses = owner ? netns_addresses(netns, NULL) : NULL;

		if (netns->inode == host)
			owner = registry_host(queues->registry);
		for (guint j = 0; addresses && j < addresses->len; j++) {
			GBytes *key = address_bytes(&g_array_index(addresses, struct netns_address, j));
			gboolean taken = g_hash_table_contains(fillers->owners, key);

			g_hash_table_replace(fillers->owners, key, taken ? NULL : (gpointer)owner);
		}
	}
}

/* conntrack_fn */
static void filler_take(void *user, const struct netns_address *source)
{
	struct fillers *fillers = user;
	g_autoptr(GBytes) key = address_bytes(source);
	gpointer owner = g_hash_table_lookup(fillers->owners, key);
	guint count = owner ? GPOINTER_TO_UINT(g_hash_table_lookup(fillers->counts, owner)) : 0;

	if (owner)
		g_hash_table_insert(fillers->counts, owner, GUINT_TO_POINTER(count + 1));
}

static void fillers_add(struct queues *queues, const struct netns *host)
{
	struct fillers fillers = {
		.queues = queues,
		.owners = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL),
		.counts = g_hash_table_new(NULL, NULL),
	};
	g_autoptr(GError) error = NULL;
	gpointer owner, count;
	GHashTableIter each;

	fillers_learn(&fillers, host->inode);
	if (!conntrack_each(host, filler_take, &fillers, &error) && queues->ledger)
		ledger_note(queues->ledger, g_strdup(error->message));
	g_hash_table_iter_init(&each, fillers.counts);
	while (g_hash_table_iter_next(&each, &owner, &count)) {
		guint32 row = row_of(queues, owner);

		if (row != NO_ROW)
			gauge_set(gauges_row(queues->gauges, row), GAUGE_CONNTRACK_OWN, GPOINTER_TO_UINT(count));
	}
	g_hash_table_unref(fillers.owners);
	g_hash_table_unref(fillers.counts);
}

static void conntrack_add(struct queues *queues, const struct netns *netns, gboolean is_host)
{
	const struct container *owner = is_host ? registry_host(queues->registry)
						: g_hash_table_lookup(queues->owners, GUINT_TO_POINTER(netns->inode));
	struct conntrack conntrack;
	guint32 row;

	if (!owner || !conntrack_read("/", netns->pid, &conntrack) || (!is_host && conntrack.entries == 0))
		return;
	row = row_of(queues, owner);
	if (row == NO_ROW)
		return;
	row_set_conntrack(gauges_row(queues->gauges, row), &conntrack);
	if (is_host && conntrack.entries && (queues->detail || conntrack.entries > conntrack.limit / 2))
		fillers_add(queues, netns);
}

/* ---- all of them ---- */

static const struct container *namespace_owner(struct registry *registry, guint32 pid)
{
	const struct container *owner = registry_by_pid(registry, pid, 0);

	return owner && owner->runtime == RUNTIME_CGROUP ? registry_host(registry) : owner;
}

static void netns_read(struct queues *queues, const struct netns *netns, guint32 host)
{
	g_autoptr(GError) error = NULL;

	queues->netns = netns;
	if (!sockdiag_each(netns, IPPROTO_TCP, SOCKDIAG_STATE(SOCKDIAG_LISTEN), FALSE, listener_take, queues, &error) &&
	    queues->refused++ == 0 && queues->ledger)
		ledger_note(queues->ledger, g_strdup(error->message));
	conntrack_add(queues, netns, netns->inode == host);
}

void queues_add(struct registry *registry, struct gauges *gauges, gboolean detail, struct ledger *ledger)
{
	struct queues queues = {
		.registry = registry,
		.gauges = gauges,
		.detail = detail,
		.ledger = ledger,
		.namespaces = netns_list(),
		.owners = g_hash_table_new(NULL, NULL),
		.rows = g_hash_table_new(NULL, NULL),
	};
	guint32 host = (guint32)procfs_host_namespace("/", NAMESPACE_NET);

	if (detail)
		row_of(&queues, registry_host(registry)); /* the first, as everywhere */
	for (guint i = 0; i < queues.namespaces->len; i++) {
		const struct netns *netns = &g_array_index(queues.namespaces, struct netns, i);

		g_hash_table_insert(queues.owners, GUINT_TO_POINTER(netns->inode),
				    (gpointer)namespace_owner(registry, netns->pid));
	}
	for (guint i = 0; i < queues.namespaces->len; i++)
		netns_read(&queues, &g_array_index(queues.namespaces, struct netns, i), host);
	if (ledger && queues.listeners > QUEUES_LISTENERS_MAX)
		ledger_note(ledger, g_strdup_printf("listening sockets that are not shown: %u",
						    queues.listeners - QUEUES_LISTENERS_MAX));
	g_array_unref(queues.namespaces);
	g_hash_table_unref(queues.owners);
	g_hash_table_unref(queues.rows);
}
