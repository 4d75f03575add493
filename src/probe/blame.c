/* SPDX-License-Identifier: Apache-2.0 */
/* blame cpu: who ran while others waited. The kernel half is runq.bpf.c; here its pairs of row numbers get their
 * cgroups back. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "probe/mapread.h"
#include "probe/runq_run.h"
#include "probe/table.h"
#include "runq.skel.h"

struct blame_run {
	struct runq_run *run;
	GHashTable *told; /* blame_key as a pointer → struct blame_sum, handed out already */
	struct ledger *ledger; /* while collecting */
	guint cpus;
};

static gpointer blame_pointer(const struct blame_key *key)
{
	return GUINT_TO_POINTER((guint)key->waiter << 16 | key->culprit);
}

/* Who a row (or one of the numbers that are none) is; FALSE when nobody knows any more. */
static gboolean blame_end(const struct blame_run *blame, guint16 row, struct probe_end *end)
{
	static const struct {
		guint16 number;
		enum edge_end_kind kind;
		const char *text;
	} others[] = {
		{ BLAME_QUOTA, EDGE_END_QUOTA, "its own CPU quota" },
		{ BLAME_IDLE, EDGE_END_UNKNOWN, "nobody: the CPU was waking up or idle" },
		{ BLAME_OLDER, EDGE_END_UNKNOWN, "longer ago than is remembered" },
		{ BLAME_ELSEWHERE, EDGE_END_UNKNOWN, "on another CPU, before it was moved" },
		{ TABLE_NO_ROW, EDGE_END_UNKNOWN, "no room to say who" },
	};
	struct table_owner owner;

	for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
		if (others[i].number == row) {
			*end = (struct probe_end){ .kind = others[i].kind, .text = others[i].text };
			return TRUE;
		}
	}
	if (!table_owner_at(blame->run->table, row, &owner))
		return FALSE;
	*end = (struct probe_end){ .kind = EDGE_END_CONTAINER, .cgroup_key = owner.key.cgroup_key };
	return TRUE;
}

static void blame_tell(struct blame_run *blame, const struct blame_key *key, const guint64 *counters)
{
	static const struct probe_value cpu = { .text = "cpu" };
	const struct probe_listener *listener = &blame->run->listener;
	struct probe_pair pair = { .values = &cpu, .counters = counters };

	if (!blame_end(blame, key->waiter, &pair.source) || !blame_end(blame, key->culprit, &pair.target)) {
		ledger_add(blame->ledger, LEDGER_LOST_UNATTRIBUTED, counters[1], counters[0]);
		return;
	}
	table_touch(blame->run->table, key->culprit);
	if (listener->pair)
		listener->pair(listener->user, &pair);
}

/* mapread_fn */
static void blame_take(void *user, const void *key, const void *value)
{
	struct blame_run *blame = user;
	const struct blame_sum *sums = value;
	struct blame_sum all = { 0 }, *told = g_hash_table_lookup(blame->told, blame_pointer(key));
	guint64 counters[2];

	for (guint cpu = 0; cpu < blame->cpus; cpu++) {
		all.ns += sums[cpu].ns;
		all.waits += sums[cpu].waits;
	}
	if (!told) {
		told = g_new0(struct blame_sum, 1);
		g_hash_table_insert(blame->told, blame_pointer(key), told);
	}
	counters[0] = all.ns - told->ns;
	counters[1] = all.waits - told->waits;
	if (!counters[0] && !counters[1])
		return;
	*told = all;
	blame->ledger->seen.weight += counters[0];
	blame->ledger->seen.events += counters[1];
	blame_tell(blame, key, counters);
}

/* A row's number will be somebody else's: what is kept of the old one goes. */
static void blame_row_freed(void *user, guint32 row)
{
	struct blame_run *blame = user;
	int fd = bpf_map__fd(blame->run->kernel->maps.blame_pairs);
	GHashTableIter each;
	gpointer pointer;

	g_hash_table_iter_init(&each, blame->told);
	while (g_hash_table_iter_next(&each, &pointer, NULL)) {
		struct blame_key key = { .waiter = GPOINTER_TO_UINT(pointer) >> 16,
					 .culprit = GPOINTER_TO_UINT(pointer) & 0xffff };

		if (key.waiter != row && key.culprit != row)
			continue;
		bpf_map_delete_elem(fd, &key);
		g_hash_table_iter_remove(&each);
	}
}

static struct probe_run *blame_open(const struct probe_request *request, const struct probe_listener *listener,
				    GError **error)
{
	struct blame_run *blame = g_new0(struct blame_run, 1);

	blame->run = runq_run_open(request, listener, TRUE, error);
	if (!blame->run) {
		g_free(blame);
		return NULL;
	}
	blame->told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	blame->cpus = libbpf_num_possible_cpus();
	table_on_free(blame->run->table, blame_row_freed, blame);
	return (struct probe_run *)blame;
}

static int blame_fd(struct probe_run *run)
{
	return table_fd(((struct blame_run *)run)->run->table);
}

static gboolean blame_drain(struct probe_run *run, GError **error)
{
	(void)error;
	table_drain(((struct blame_run *)run)->run->table);
	return TRUE;
}

/* The histograms of the same waits say what the pairs must add up to. */
static gboolean blame_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct blame_run *blame = (struct blame_run *)opaque;
	struct ledger waits = { 0 };
	gboolean right;

	table_drain(blame->run->table);
	blame->ledger = ledger;
	right = mapread_each(bpf_map__fd(blame->run->kernel->maps.blame_pairs), sizeof(struct blame_key),
			     blame->cpus * sizeof(struct blame_sum), blame_take, blame, error) &&
		table_collect(blame->run->table, &waits, error);
	ledger->expected_weight += waits.seen.weight;
	waits.seen = (struct ledger_line){ 0 };
	for (guint item = 0; item < LEDGER_LOST_END; item++) {
		waits.seen.events += waits.items[item].events;
		waits.seen.weight += waits.items[item].weight;
	}
	ledger_merge(ledger, &waits);
	ledger_clear(&waits);
	runq_run_account(blame->run, ledger);
	return right;
}

static gboolean blame_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	runq_run_stop(((struct blame_run *)opaque)->run);
	return blame_collect(opaque, ledger, error);
}

static void blame_close(struct probe_run *run)
{
	struct blame_run *blame = (struct blame_run *)run;

	if (!blame)
		return;
	runq_run_close(blame->run);
	g_hash_table_unref(blame->told);
	g_free(blame);
}

static const struct probe_label blame_labels[] = { { "resource", PROBE_LABEL_TEXT }, { 0 } };
static const struct edges_column blame_counters[] = { { "wait", UNIT_NANOSECONDS }, { "waits", UNIT_COUNT }, { 0 } };

const struct probe probe_blame = {
	.name = "blame cpu",
	.shows = "run queue: who ran while others waited for that CPU",
	.shape = SHAPE_EDGES,
	.unit = UNIT_NANOSECONDS,
	.rungs = runq_rungs,
	.labels = blame_labels,
	.counters = blame_counters,
	.open = blame_open,
	.fd = blame_fd,
	.drain = blame_drain,
	.collect = blame_collect,
	.finish = blame_finish,
	.close = blame_close,
};
