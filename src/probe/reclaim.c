/* SPDX-License-Identifier: Apache-2.0 */
/* blame memory. The kernel half says who waited for memory and who took how much; here each wait is laid on those who
 * took some between two collections, by their share. A limit of its own needs no culprit. */
#include "probe/reclaim.h"

#include <errno.h>

#include "probe/filter.h"
#include "probe/gather.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/pairs.h"
#include "reclaim.skel.h"

struct taker {
	guint64 cgroup_key;
	guint64 pages;
};

struct waiter {
	guint64 cgroup_key;
	guint64 ns, waits;
};

struct reclaim_run {
	struct reclaim_bpf *kernel;
	struct gather gather;
	struct pairs *pairs;
	GArray *takers, *waiters; /* of the collection that goes on */
	struct ledger_line told;
};

static const struct rung reclaim_rungs[] = {
	{ .name = "tp_btf/mm_vmscan_*_reclaim, mm_page_alloc",
	  .misses =
		  "reclaim by kswapd, which nobody waits for, and pages that have to be read again because of it; whose "
		  "allocations exactly: waits are shared by who allocated how much in the same second" },
	{ 0 },
};

static const struct pairs_end reclaim_ends[] = { { 0 } };

static const char *const kinds[RECLAIM_KINDS] = { "limit", "machine", "taken" };

static gboolean reclaim_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	(void)owner;
	values[0].text = kinds[which];
	return TRUE;
}

static const struct table_ops reclaim_ops = { .classes = RECLAIM_KINDS, .values = 1, .values_of = reclaim_values };

/* probe_listener.bucket of our own table. */
static void reclaim_bucket(void *user, const struct probe_bucket *bucket)
{
	struct reclaim_run *run = user;
	struct waiter waiter = { bucket->task->cgroup_key, bucket->counts->sum, bucket->counts->count };
	struct taker taker = { bucket->task->cgroup_key, bucket->counts->sum };
	struct probe_end source = { .kind = EDGE_END_CONTAINER, .cgroup_key = waiter.cgroup_key };
	struct probe_end limit = { .kind = EDGE_END_QUOTA, .text = "its own memory limit" };

	if (bucket->values[0].text == kinds[RECLAIM_TAKEN]) {
		g_array_append_val(run->takers, taker);
		return;
	}
	run->told.events += waiter.waits;
	run->told.weight += waiter.ns;
	if (bucket->values[0].text == kinds[RECLAIM_LIMIT])
		pairs_tell(run->pairs, &source, &limit, waiter.ns, waiter.waits);
	else
		g_array_append_val(run->waiters, waiter);
}

/* Shares out one wait; what rounding leaves goes to the last. */
static void reclaim_share(struct reclaim_run *run, const struct waiter *waiter, guint64 pages)
{
	struct probe_end source = { .kind = EDGE_END_CONTAINER, .cgroup_key = waiter->cgroup_key };
	struct probe_end nobody = { .kind = EDGE_END_UNKNOWN, .text = "nobody who was seen" };
	guint64 left = waiter->ns;

	for (guint i = 0; pages && i < run->takers->len; i++) {
		const struct taker *taker = &g_array_index(run->takers, struct taker, i);
		struct probe_end target = { .kind = EDGE_END_CONTAINER, .cgroup_key = taker->cgroup_key };
		guint64 part = i + 1 == run->takers->len
				       ? left
				       : (guint64)((double)waiter->ns * ((double)taker->pages / (double)pages));

		part = MIN(part, left);
		left -= part;
		if (part)
			pairs_tell(run->pairs, &source, &target, part, waiter->waits);
	}
	if (left)
		pairs_tell(run->pairs, &source, &nobody, left, waiter->waits);
}

static void reclaim_blame(struct reclaim_run *run)
{
	guint64 pages = 0;

	for (guint i = 0; i < run->takers->len; i++)
		pages += g_array_index(run->takers, struct taker, i).pages;
	for (guint i = 0; i < run->waiters->len; i++)
		reclaim_share(run, &g_array_index(run->waiters, struct waiter, i), pages);
	g_array_set_size(run->takers, 0);
	g_array_set_size(run->waiters, 0);
}

static gboolean reclaim_load(struct reclaim_run *run, const struct gather_setup *setup, GError **error)
{
	static const char what[] = "cannot load the reclaim program";
	struct filter_values values;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	run->kernel = KERNEL_BTF_OPEN(reclaim, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, setup->request);
	TABLE_SET(run->kernel->rodata, &values, setup->request, setup->rows);
	run->gather.object = run->kernel->obj;
	if (!gather_size(&run->gather, setup, error))
		return FALSE;
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

/* ladder_try_fn */
static gboolean reclaim_attach(void *user, const struct rung *rung, GError **error)
{
	struct reclaim_run *run = user;

	(void)rung;
	if (gather_attach(&run->gather, run->kernel->progs.reclaim_machine_begin, error) &&
	    gather_attach(&run->gather, run->kernel->progs.reclaim_machine_end, error) &&
	    gather_attach(&run->gather, run->kernel->progs.reclaim_limit_begin, error) &&
	    gather_attach(&run->gather, run->kernel->progs.reclaim_limit_end, error) &&
	    gather_attach(&run->gather, run->kernel->progs.reclaim_alloc, error))
		return TRUE;
	gather_detach(&run->gather);
	return FALSE;
}

static void reclaim_close(struct probe_run *opaque)
{
	struct reclaim_run *run = (struct reclaim_run *)opaque;

	if (!run)
		return;
	pairs_close(run->pairs);
	gather_close(&run->gather);
	reclaim_bpf__destroy(run->kernel);
	g_array_unref(run->takers);
	g_array_unref(run->waiters);
	g_free(run);
}

static struct probe_run *reclaim_open(const struct probe_request *request, const struct probe_listener *listener,
				      GError **error)
{
	struct reclaim_run *run = g_new0(struct reclaim_run, 1);
	struct probe_listener own = {
		.user = run,
		.bucket = reclaim_bucket,
	};
	struct gather_setup setup = {
		.request = request,
		.listener = &own,
		.table = &reclaim_ops,
		.rows = MIN(table_rows_for(request, RECLAIM_KINDS), BLAME_ROWS_MAX),
	};

	run->takers = g_array_new(FALSE, FALSE, sizeof(struct taker));
	run->waiters = g_array_new(FALSE, FALSE, sizeof(struct waiter));
	if (reclaim_load(run, &setup, error) && gather_open(&run->gather, &setup, error) &&
	    ladder_climb(reclaim_rungs, request->rung, reclaim_attach, run, NULL, error)) {
		run->pairs = pairs_open(run->kernel->obj, run->gather.table, listener, "memory", reclaim_ends);
		return (struct probe_run *)run;
	}
	reclaim_close((struct probe_run *)run);
	return NULL;
}

static int reclaim_fd(struct probe_run *run)
{
	return gather_fd(&((struct reclaim_run *)run)->gather);
}

static gboolean reclaim_drain(struct probe_run *run, GError **error)
{
	return gather_drain(&((struct reclaim_run *)run)->gather, error);
}

static gboolean reclaim_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct reclaim_run *run = (struct reclaim_run *)opaque;
	struct ledger lost = { 0 };
	gboolean right = table_collect(run->gather.table, &lost, error);

	reclaim_blame(run);
	lost.seen = run->told;
	for (guint item = 0; item < LEDGER_LOST_END; item++)
		lost.seen.events += lost.items[item].events;
	run->told = (struct ledger_line){ 0 };
	ledger_set_rung(ledger, reclaim_rungs[0].name, reclaim_rungs[0].misses);
	ledger_merge(ledger, &lost);
	ledger_clear(&lost);
	return right;
}

static gboolean reclaim_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	gather_detach(&((struct reclaim_run *)opaque)->gather);
	return reclaim_collect(opaque, ledger, error);
}

const struct probe probe_blame_memory = {
	.name = "blame memory",
	.shows = "memory: who allocated while others had to make room for theirs (direct reclaim)",
	.shape = SHAPE_EDGES,
	.unit = UNIT_NANOSECONDS,
	.rungs = reclaim_rungs,
	.labels = pairs_labels,
	.counters = pairs_counters,
	.open = reclaim_open,
	.fd = reclaim_fd,
	.drain = reclaim_drain,
	.collect = reclaim_collect,
	.finish = reclaim_finish,
	.close = reclaim_close,
};
