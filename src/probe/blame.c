/* SPDX-License-Identifier: Apache-2.0 */
/* blame cpu: who ran while others waited. The kernel half is runq.bpf.c. */
#include "probe/pairs.h"
#include "probe/runq_run.h"
#include "probe/table.h"
#include "runq.skel.h"

struct blame_run {
	struct runq_run *run;
	struct pairs *pairs;
};

static const struct pairs_end blame_ends[] = {
	{ BLAME_QUOTA, EDGE_END_QUOTA, "its own CPU quota" },
	{ BLAME_IDLE, EDGE_END_UNKNOWN, "nobody: the CPU was waking up or idle" },
	{ BLAME_OLDER, EDGE_END_UNKNOWN, "longer ago than is remembered" },
	{ BLAME_ELSEWHERE, EDGE_END_UNKNOWN, "on another CPU, before it was moved" },
	{ TABLE_NO_ROW, EDGE_END_UNKNOWN, "no room to say who" },
	{ 0 },
};

static struct probe_run *blame_open(const struct probe_request *request, const struct probe_listener *listener,
				    GError **error)
{
	struct runq_run *run = runq_run_open(request, listener, TRUE, error);
	struct blame_run *blame;

	if (!run)
		return NULL;
	blame = g_new0(struct blame_run, 1);
	blame->run = run;
	blame->pairs = pairs_open(run->kernel->obj, run->table, listener, "cpu", blame_ends);
	return (struct probe_run *)blame;
}

static int blame_fd(struct probe_run *run)
{
	return table_fd(((struct blame_run *)run)->run->table);
}

static gboolean blame_drain(struct probe_run *run, GError **error)
{
	(void)error;
	runq_run_drain(((struct blame_run *)run)->run);
	return TRUE;
}

static gboolean blame_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct blame_run *blame = (struct blame_run *)opaque;

	runq_run_account(blame->run, ledger);
	return pairs_collect(blame->pairs, ledger, error);
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
	pairs_close(blame->pairs);
	runq_run_close(blame->run);
	g_free(blame);
}

const struct probe probe_blame = {
	.name = "blame cpu",
	.shows = "run queue: who ran while others waited for that CPU",
	.shape = SHAPE_EDGES,
	.unit = UNIT_NANOSECONDS,
	.rungs = runq_rungs,
	.labels = pairs_labels,
	.counters = pairs_counters,
	.open = blame_open,
	.fd = blame_fd,
	.drain = blame_drain,
	.collect = blame_collect,
	.finish = blame_finish,
	.close = blame_close,
};
