/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/pairs.h"

#include <bpf/bpf.h>

#include "probe/mapread.h"

const struct probe_label pairs_labels[] = { { "resource", PROBE_LABEL_TEXT }, { 0 } };
const struct edges_column pairs_counters[] = { { "wait", UNIT_NANOSECONDS }, { "waits", UNIT_COUNT }, { 0 } };

struct pairs {
	struct table *table;
	struct probe_listener listener;
	const char *resource;
	const struct pairs_end *ends;
	int fd; /* of blame_pairs */
	guint cpus;
	GHashTable *told; /* blame_key as a pointer → struct blame_sum, handed out already */
	struct ledger *ledger; /* while collecting */
};

static gpointer pairs_pointer(const struct blame_key *key)
{
	return GUINT_TO_POINTER((guint)key->waiter << 16 | key->culprit);
}

/* Who a row (or one of the numbers that are none) is; FALSE when nobody knows any more. */
static gboolean pairs_end_of(const struct pairs *pairs, guint16 row, struct probe_end *end)
{
	struct table_owner owner;

	for (const struct pairs_end *other = pairs->ends; other->text; other++) {
		if (other->number == row) {
			*end = (struct probe_end){ .kind = other->kind, .text = other->text };
			return TRUE;
		}
	}
	if (!table_owner_at(pairs->table, row, &owner))
		return FALSE;
	*end = (struct probe_end){ .kind = EDGE_END_CONTAINER, .cgroup_key = owner.key.cgroup_key };
	return TRUE;
}

void pairs_tell(struct pairs *pairs, const char *reason, const struct probe_end *source, const struct probe_end *target,
		guint64 ns, guint64 waits)
{
	const struct probe_value values[] = { { .text = pairs->resource }, { .text = reason } };
	const guint64 counters[] = { ns, waits };
	struct probe_pair pair = { .source = *source, .target = *target, .values = values, .counters = counters };

	if (pairs->listener.pair)
		pairs->listener.pair(pairs->listener.user, &pair);
}

/* mapread_fn */
static void pairs_take(void *user, const void *key, const void *value)
{
	struct pairs *pairs = user;
	const struct blame_key *ends = key;
	const struct blame_sum *sums = value;
	struct blame_sum all = { 0 }, fresh, *told = g_hash_table_lookup(pairs->told, pairs_pointer(key));
	struct probe_end source, target;

	for (guint cpu = 0; cpu < pairs->cpus; cpu++) {
		all.ns += sums[cpu].ns;
		all.waits += sums[cpu].waits;
	}
	if (!told) {
		told = g_new0(struct blame_sum, 1);
		g_hash_table_insert(pairs->told, pairs_pointer(key), told);
	}
	fresh = (struct blame_sum){ all.ns - told->ns, all.waits - told->waits };
	if (!fresh.ns && !fresh.waits)
		return;
	*told = all;
	pairs->ledger->seen.weight += fresh.ns;
	pairs->ledger->seen.events += fresh.waits;
	table_touch(pairs->table, ends->culprit);
	if (pairs_end_of(pairs, ends->waiter, &source) && pairs_end_of(pairs, ends->culprit, &target))
		pairs_tell(pairs, NULL, &source, &target, fresh.ns, fresh.waits);
	else
		ledger_add(pairs->ledger, LEDGER_LOST_UNATTRIBUTED, fresh.waits, fresh.ns);
}

/* A row's number will be somebody else's: what is kept of the old one goes. */
static void pairs_row_freed(void *user, guint32 row)
{
	struct pairs *pairs = user;
	GHashTableIter each;
	gpointer pointer;

	g_hash_table_iter_init(&each, pairs->told);
	while (g_hash_table_iter_next(&each, &pointer, NULL)) {
		struct blame_key key = { .waiter = GPOINTER_TO_UINT(pointer) >> 16,
					 .culprit = GPOINTER_TO_UINT(pointer) & 0xffff };

		if (key.waiter != row && key.culprit != row)
			continue;
		bpf_map_delete_elem(pairs->fd, &key);
		g_hash_table_iter_remove(&each);
	}
}

struct pairs *pairs_open(struct bpf_object *object, struct table *table, const struct probe_listener *listener,
			 const char *resource, const struct pairs_end *ends)
{
	struct pairs *pairs = g_new0(struct pairs, 1);

	pairs->table = table;
	pairs->listener = *listener;
	pairs->resource = resource;
	pairs->ends = ends;
	pairs->fd = bpf_object__find_map_fd_by_name(object, "blame_pairs");
	pairs->cpus = (guint)libbpf_num_possible_cpus();
	pairs->told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	table_on_free(table, pairs_row_freed, pairs);
	return pairs;
}

void pairs_close(struct pairs *pairs)
{
	if (!pairs)
		return;
	g_hash_table_unref(pairs->told);
	g_free(pairs);
}

gboolean pairs_collect(struct pairs *pairs, struct ledger *ledger, GError **error)
{
	struct ledger waits = { 0 };
	gboolean right;

	table_drain(pairs->table);
	pairs->ledger = ledger;
	right = (pairs->fd < 0 || mapread_each(pairs->fd, sizeof(struct blame_key),
					       pairs->cpus * sizeof(struct blame_sum), pairs_take, pairs, error)) &&
		table_collect(pairs->table, &waits, error);
	ledger->expected_weight += waits.seen.weight;
	waits.seen = (struct ledger_line){ 0 };
	for (guint item = 0; item < LEDGER_LOST_END; item++) {
		waits.seen.events += waits.items[item].events;
		waits.seen.weight += waits.items[item].weight;
	}
	ledger_merge(ledger, &waits);
	ledger_clear(&waits);
	return right;
}
