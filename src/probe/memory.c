/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/memory.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "memory.skel.h"
#include "probe/copyplan.h"
#include "probe/filter.h"
#include "probe/intake.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/losses.h"
#include "probe/mapread.h"
#include "probe/percpu.h"
#include "probe/scripts.h"

#define MEMORY_RING_BYTES_PER_CPU (1 << 20)
#define MEMORY_RING_BYTES_MAX (64 << 20)

struct memory_run {
	struct memory_bpf *kernel;
	struct intake *intake;
	struct probe_listener listener;
	const struct rung *rung;
	guint32 every;
	guint64 event_bytes;
	GArray *links; /* of struct bpf_link *, one a CPU */
	GArray *fds; /* of their events, owned by the links */
	/* while finishing */
	struct ledger_line unsent;
};

static const struct rung memory_rungs[] = {
	{ .name = "perf page-faults",
	  .misses = "memory that comes without a fault of its own: filled in advance, or the rest of a huge page" },
	{ 0 },
};

static void memory_detach(struct memory_run *run)
{
	for (guint i = 0; i < run->links->len; i++)
		bpf_link__destroy(g_array_index(run->links, struct bpf_link *, i));
	g_array_set_size(run->links, 0);
	g_array_set_size(run->fds, 0);
}

static gboolean memory_attach_cpu(struct memory_run *run, int cpu, GError **error)
{
	struct perf_event_attr attr = { .size = sizeof(attr),
					.disabled = 1,
					.type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_PAGE_FAULTS,
					.sample_period = run->every };
	int fd = percpu_event_open(&attr, cpu);
	struct bpf_link *link;

	if (fd == -ENODEV) /* went offline a moment ago */
		return TRUE;
	if (fd < 0) {
		ladder_set_error(error, "cannot open a page fault event", -fd);
		return FALSE;
	}
	link = bpf_program__attach_perf_event(run->kernel->progs.memory_fault, fd);
	if (!link) {
		ladder_set_error(error, "cannot attach to the page fault event", errno);
		close(fd);
		return FALSE;
	}
	g_array_append_val(run->links, link);
	g_array_append_val(run->fds, fd);
	return TRUE;
}

/* ladder_try_fn */
static gboolean memory_attach(void *user, const struct rung *rung, GError **error)
{
	struct memory_run *run = user;
	g_autoptr(GArray) cpus = percpu_online(error);

	(void)rung;
	for (guint i = 0; cpus && i < cpus->len; i++) {
		if (!memory_attach_cpu(run, g_array_index(cpus, int, i), error)) {
			memory_detach(run);
			return FALSE;
		}
	}
	return cpus != NULL;
}

/* A power of two. */
static guint32 memory_ring_bytes(void)
{
	guint32 bytes = MEMORY_RING_BYTES_PER_CPU;

	for (int cpus = libbpf_num_possible_cpus(); cpus > 1 && bytes < MEMORY_RING_BYTES_MAX; cpus = (cpus + 1) / 2)
		bytes *= 2;
	return bytes;
}

static gboolean memory_load(struct memory_run *run, const struct probe_request *request, GError **error)
{
	static const char what[] = "cannot load the page fault program";
	struct filter_values values;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	ladder_log_start();
	run->kernel = memory_bpf__open_opts(kernel_btf_options(btf));
	if (!run->kernel) {
		ladder_set_error(error, what, errno);
		return FALSE;
	}
	filter_values_init(&values, request);
	FILTER_SET_STACK(run->kernel->rodata, &values);
	SCRIPTS_SET(run->kernel->rodata, request);
	run->kernel->rodata->event_bytes = run->event_bytes;
	bpf_map__set_max_entries(run->kernel->maps.stack_ring, memory_ring_bytes());
	run->kernel->rodata->stack_wake_bytes = memory_ring_bytes() / 4;
	if (!filter_size(run->kernel->obj, request, error) || !copyplan_size(run->kernel->obj, 1, error))
		return FALSE;
	if (!kernel_btf_load(btf, run->kernel->skeleton, what, error))
		return FALSE;
	return filter_fill(run->kernel->obj, request, error);
}

/* Starts the events only when all are attached, so that all CPUs begin together. */
static gboolean memory_start(struct memory_run *run, const struct probe_request *request, GError **error)
{
	run->rung = ladder_climb(memory_rungs, request->rung, memory_attach, run, NULL, error);
	if (!run->rung)
		return FALSE;
	for (guint i = 0; i < run->fds->len; i++)
		ioctl(g_array_index(run->fds, int, i), PERF_EVENT_IOC_ENABLE, 0);
	return TRUE;
}

static void memory_close(struct probe_run *opaque)
{
	struct memory_run *run = (struct memory_run *)opaque;

	if (!run)
		return;
	memory_detach(run);
	g_array_free(run->links, TRUE);
	g_array_free(run->fds, TRUE);
	intake_close(run->intake);
	memory_bpf__destroy(run->kernel);
	g_free(run);
}

static struct probe_run *memory_open(const struct probe_request *request, const struct probe_listener *listener,
				     GError **error)
{
	struct memory_run *run = g_new0(struct memory_run, 1);

	run->listener = *listener;
	run->every = request->every ? request->every : MEMORY_EVERY;
	run->event_bytes = (guint64)run->every * (guint64)sysconf(_SC_PAGESIZE);
	run->links = g_array_new(FALSE, FALSE, sizeof(struct bpf_link *));
	run->fds = g_array_new(FALSE, FALSE, sizeof(int));
	if (memory_load(run, request, error))
		run->intake = intake_open(run->kernel->obj, request, listener, error);
	if (!run->intake || !memory_start(run, request, error)) {
		memory_close((struct probe_run *)run);
		return NULL;
	}
	return (struct probe_run *)run;
}

static int memory_fd(struct probe_run *opaque)
{
	return intake_fd(((struct memory_run *)opaque)->intake);
}

static gboolean memory_drain(struct probe_run *opaque, GError **error)
{
	return intake_drain(((struct memory_run *)opaque)->intake, error);
}

static void memory_teach(struct probe_run *opaque, guint32 tgid, const struct python_process *process)
{
	intake_teach(((struct memory_run *)opaque)->intake, tgid, process);
}

static void memory_tell(struct memory_run *run, guint32 stack, guint64 events, guint64 weight_bytes)
{
	struct probe_weight weight = {
		.task = intake_task(run->intake, stack),
		.stack = stack,
		.waker_stack = PROBE_NO_STACK,
		.state = PROBE_STATE_RUNNING,
		.events = events,
		.weight = weight_bytes,
	};

	if (!weight.task) {
		run->unsent.events += events;
		run->unsent.weight += weight_bytes;
	} else if (events > 0 && run->listener.weight) {
		run->listener.weight(run->listener.user, &weight);
	}
}

/* mapread_fn: one distinct stack. */
static void memory_weigh(void *user, const void *key, const void *value)
{
	struct memory_run *run = user;
	const struct stack_value *counted = value;

	(void)key;
	memory_tell(run, intake_stack(run->intake, counted->id), counted->events, counted->weight);
}

/* intake_copied_fn: one that was walked from copies. */
static void memory_weigh_copied(void *user, guint32 stack, guint64 events)
{
	struct memory_run *run = user;

	memory_tell(run, stack, events, events * run->event_bytes);
}

static void memory_account_huge_pages(struct ledger *ledger)
{
	g_autofree char *text = file_read("/sys/kernel/mm/transparent_hugepage/enabled", 128, NULL, NULL);

	if (text && strstr(text, "[always]"))
		ledger_note(ledger,
			    g_strdup("huge pages are always on here (transparent_hugepage): a fault that brings "
				     "one counts as a small page, so large areas are underrated"));
}

static gboolean memory_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct memory_run *run = (struct memory_run *)opaque;

	for (guint i = 0; i < run->fds->len; i++)
		ioctl(g_array_index(run->fds, int, i), PERF_EVENT_IOC_DISABLE, 0);
	if (!intake_drain(run->intake, error) ||
	    !mapread_each(bpf_map__fd(run->kernel->maps.stacks), sizeof(struct stack_key), sizeof(struct stack_value),
			  memory_weigh, run, error) ||
	    !losses_read(bpf_map__fd(run->kernel->maps.losses), ledger, error))
		return FALSE;
	intake_take_copied(run->intake, memory_weigh_copied, run);
	if (run->unsent.events > 0)
		ledger_add(ledger, LEDGER_LOST_RING, run->unsent.events, run->unsent.weight);
	intake_account(run->intake, ledger);
	memory_account_huge_pages(ledger);
	if (run->every > 1)
		ledger_note(ledger, g_strdup_printf("one page fault in %u was looked at, and stands for all of them",
						    run->every));
	ledger->rung = g_strdup(run->rung->name);
	ledger->misses = g_strdup(run->rung->misses);
	memory_detach(run);
	return TRUE;
}

const struct probe probe_memory = {
	.name = "memory",
	.shows = "where memory grows: stacks of page faults, in bytes",
	.shape = SHAPE_CALLTREE,
	.unit = UNIT_BYTES,
	.rungs = memory_rungs,
	.open = memory_open,
	.fd = memory_fd,
	.drain = memory_drain,
	.teach = memory_teach,
	.finish = memory_finish,
	.close = memory_close,
};
