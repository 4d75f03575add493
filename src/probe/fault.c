/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/fault.h"

#include <errno.h>
#include <unistd.h>

#include "fault.skel.h"
#include "probe/filter.h"
#include "probe/gather.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/percpu.h"

struct fault_run {
	struct fault_bpf *kernel;
	struct gather gather;
	struct gather_setup setup;
	const struct rung *rung;
	char *why_not;
	GPtrArray *ends; /* of struct bpf_link *: one a CPU and event */
};

static const struct rung fault_rungs[] = {
	{ .name = "fentry+fexit/handle_mm_fault",
	  .misses = "faults that end in a signal; of each, the way into the kernel and the search for the mapping" },
	{ .name = "tp_btf/page_fault + perf min-faults, maj-faults",
	  .misses = "faults that end in a signal, and pages the kernel gets on a process's behalf without a fault" },
	{ .name = "perf page-faults, min-faults, maj-faults",
	  .misses =
		  "faults that end in a signal, pages the kernel gets without a fault, and the first part of each fault, "
		  "before it is counted" },
	{ 0 },
};
#define FAULT_RUNG_FUNCTION (&fault_rungs[0])
#define FAULT_RUNG_TRACEPOINT (&fault_rungs[1])

static gboolean fault_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	(void)owner;
	values[0].text = which == FAULT_MAJOR ? "major" : "minor";
	return TRUE;
}

static const struct table_ops fault_ops = { .classes = FAULT_KINDS, .values = 1, .values_of = fault_values };
static const struct probe_label fault_labels[] = { { "kind", PROBE_LABEL_TEXT }, { 0 } };

static void fault_link_free(gpointer link)
{
	bpf_link__destroy(link);
}

static gboolean fault_load(struct fault_run *run, const struct rung *rung, GError **error)
{
	static const char what[] = "cannot load the page fault program";
	gboolean tracepoint = rung == FAULT_RUNG_TRACEPOINT, function = rung == FAULT_RUNG_FUNCTION;
	struct filter_values values;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	run->kernel = KERNEL_BTF_OPEN(fault, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, run->setup.request);
	TABLE_SET(run->kernel->rodata, &values, run->setup.request, run->setup.rows);
	bpf_program__set_autoload(run->kernel->progs.fault_user, tracepoint);
	bpf_program__set_autoload(run->kernel->progs.fault_kernel, tracepoint);
	bpf_program__set_autoload(run->kernel->progs.fault_any, !tracepoint && !function);
	bpf_program__set_autoload(run->kernel->progs.fault_minor, !function);
	bpf_program__set_autoload(run->kernel->progs.fault_major, !function);
	bpf_program__set_autoload(run->kernel->progs.fault_handle, function);
	bpf_program__set_autoload(run->kernel->progs.fault_handled, function);
	run->gather.object = run->kernel->obj;
	if (!gather_size(&run->gather, &run->setup, error))
		return FALSE;
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

/* Runs `program` each time the software event `config` is counted, on every CPU. */
static gboolean fault_attach_event(struct fault_run *run, struct bpf_program *program, guint64 config,
				   const GArray *cpus, GError **error)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = config,
					.sample_period = 1,
					.wakeup_events = 1 };

	for (guint i = 0; i < cpus->len; i++) {
		int fd = percpu_event_open(&attr, g_array_index(cpus, int, i));
		struct bpf_link *link = fd < 0 ? NULL : bpf_program__attach_perf_event(program, fd);

		if (!link) {
			ladder_set_error(error, "cannot count page faults", fd < 0 ? -fd : errno);
			if (fd >= 0)
				close(fd);
			return FALSE;
		}
		g_ptr_array_add(run->ends, link);
	}
	return TRUE;
}

static void fault_unload(struct fault_run *run)
{
	g_ptr_array_set_size(run->ends, 0);
	gather_close(&run->gather);
	fault_bpf__destroy(g_steal_pointer(&run->kernel));
}

/* The end by perf's counts, the beginning by a tracepoint or by perf, too. */
static gboolean fault_attach_events(struct fault_run *run, gboolean tracepoint, GError **error)
{
	g_autoptr(GArray) cpus = percpu_online(error);

	if (!cpus ||
	    !fault_attach_event(run, run->kernel->progs.fault_minor, PERF_COUNT_SW_PAGE_FAULTS_MIN, cpus, error) ||
	    !fault_attach_event(run, run->kernel->progs.fault_major, PERF_COUNT_SW_PAGE_FAULTS_MAJ, cpus, error))
		return FALSE;
	if (!tracepoint)
		return fault_attach_event(run, run->kernel->progs.fault_any, PERF_COUNT_SW_PAGE_FAULTS, cpus, error);
	return gather_attach(&run->gather, run->kernel->progs.fault_user, error) &&
	       gather_attach(&run->gather, run->kernel->progs.fault_kernel, error);
}

/* ladder_try_fn */
static gboolean fault_attach(void *user, const struct rung *rung, GError **error)
{
	struct fault_run *run = user;
	gboolean good = fault_load(run, rung, error) && gather_open(&run->gather, &run->setup, error);

	if (good && rung == FAULT_RUNG_FUNCTION)
		good = gather_attach(&run->gather, run->kernel->progs.fault_handled, error) &&
		       gather_attach(&run->gather, run->kernel->progs.fault_handle, error);
	else if (good)
		good = fault_attach_events(run, rung == FAULT_RUNG_TRACEPOINT, error);
	if (!good)
		fault_unload(run);
	return good;
}

static void fault_close(struct probe_run *opaque)
{
	struct fault_run *run = (struct fault_run *)opaque;

	if (!run)
		return;
	fault_unload(run);
	g_ptr_array_unref(run->ends);
	g_free(run->why_not);
	g_free(run);
}

static struct probe_run *fault_open(const struct probe_request *request, const struct probe_listener *listener,
				    GError **error)
{
	struct fault_run *run = g_new0(struct fault_run, 1);

	run->ends = g_ptr_array_new_with_free_func(fault_link_free);
	run->setup = (struct gather_setup){
		.request = request,
		.listener = listener,
		.table = &fault_ops,
		.rows = table_rows_for(request, FAULT_KINDS),
	};
	run->rung = ladder_climb(fault_rungs, request->rung, fault_attach, run, &run->why_not, error);
	if (run->rung)
		return (struct probe_run *)run;
	fault_close((struct probe_run *)run);
	return NULL;
}

static int fault_fd(struct probe_run *run)
{
	return gather_fd(&((struct fault_run *)run)->gather);
}

static gboolean fault_drain(struct probe_run *run, GError **error)
{
	return gather_drain(&((struct fault_run *)run)->gather, error);
}

static void fault_account(const struct fault_run *run, struct ledger *ledger)
{
	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
}

static gboolean fault_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct fault_run *run = (struct fault_run *)opaque;

	fault_account(run, ledger);
	return gather_collect(&run->gather, ledger, error);
}

static gboolean fault_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct fault_run *run = (struct fault_run *)opaque;

	fault_account(run, ledger);
	g_ptr_array_set_size(run->ends, 0);
	return gather_finish(&run->gather, ledger, error);
}

const struct probe probe_fault = {
	.name = "fault",
	.shows = "page faults: how long a process waits for its memory, minor and major",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = fault_rungs,
	.labels = fault_labels,
	.open = fault_open,
	.fd = fault_fd,
	.drain = fault_drain,
	.collect = fault_collect,
	.finish = fault_finish,
	.close = fault_close,
};
