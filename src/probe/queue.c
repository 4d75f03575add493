/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/queue.h"

#include <errno.h>

#include "probe/filter.h"
#include "probe/gather.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/pairs.h"
#include "queue.skel.h"

struct queue_run {
	struct queue_bpf *kernel;
	struct gather gather;
	struct pairs *pairs;
};

static const struct rung queue_rungs[] = {
	{ .name = "tp_btf/block_rq_*",
	  .misses = "requests made before it was watched; in what order a device works on what it has" },
	{ 0 },
};

static const struct pairs_end queue_ends[] = {
	{ BLAME_OTHERS, EDGE_END_UNKNOWN, "others that could not be told apart" },
	{ TABLE_NO_ROW, EDGE_END_UNKNOWN, "no room to say who" },
	{ 0 },
};

static gboolean queue_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	(void)owner;
	(void)which;
	(void)values;
	return TRUE;
}

static const struct table_ops queue_ops = { .classes = QUEUE_WAITS, .values = 0, .values_of = queue_values };

static gboolean queue_load(struct queue_run *run, const struct gather_setup *setup, GError **error)
{
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	static const char what[] = "cannot load the block queue program";
	struct filter_values values;

	run->kernel = KERNEL_BTF_OPEN(queue, btf, what, error);
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
static gboolean queue_attach(void *user, const struct rung *rung, GError **error)
{
	struct queue_run *run = user;
	struct bpf_program *const programs[] = {
		run->kernel->progs.queue_complete,
		run->kernel->progs.queue_merge,
		run->kernel->progs.queue_insert,
		run->kernel->progs.queue_issue,
	};

	(void)rung;
	return gather_attach_all(&run->gather, programs, G_N_ELEMENTS(programs), error);
}

static void queue_close(struct probe_run *opaque)
{
	struct queue_run *run = (struct queue_run *)opaque;

	if (!run)
		return;
	pairs_close(run->pairs);
	gather_close(&run->gather);
	queue_bpf__destroy(run->kernel);
	g_free(run);
}

static struct probe_run *queue_open(const struct probe_request *request, const struct probe_listener *listener,
				    GError **error)
{
	struct queue_run *run = g_new0(struct queue_run, 1);
	struct probe_listener own = *listener;
	struct gather_setup setup = {
		.request = request,
		.listener = &own,
		.table = &queue_ops,
		.rows = MIN(table_rows_for(request, QUEUE_WAITS), BLAME_ROWS_MAX),
	};

	own.bucket = NULL;
	if (queue_load(run, &setup, error) && gather_open(&run->gather, &setup, error) &&
	    ladder_climb(queue_rungs, request->rung, queue_attach, run, NULL, error)) {
		run->pairs = pairs_open(run->kernel->obj, run->gather.table, listener, "block", queue_ends);
		return (struct probe_run *)run;
	}
	queue_close((struct probe_run *)run);
	return NULL;
}

static int queue_fd(struct probe_run *run)
{
	return gather_fd(&((struct queue_run *)run)->gather);
}

static gboolean queue_drain(struct probe_run *run, GError **error)
{
	return gather_drain(&((struct queue_run *)run)->gather, error);
}

static gboolean queue_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	ledger_set_rung(ledger, queue_rungs[0].name, queue_rungs[0].misses);
	return pairs_collect(((struct queue_run *)opaque)->pairs, ledger, error);
}

static gboolean queue_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	gather_detach(&((struct queue_run *)opaque)->gather);
	return queue_collect(opaque, ledger, error);
}

const struct probe probe_blame_block = {
	.name = "blame block",
	.shows = "block devices: whose requests were in flight while others waited for theirs",
	.shape = SHAPE_EDGES,
	.unit = UNIT_NANOSECONDS,
	.rungs = queue_rungs,
	.labels = pairs_labels,
	.counters = pairs_counters,
	.open = queue_open,
	.fd = queue_fd,
	.drain = queue_drain,
	.collect = queue_collect,
	.finish = queue_finish,
	.close = queue_close,
};
