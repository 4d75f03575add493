/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/memory.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "memory.skel.h"
#include "probe/filter.h"
#include "probe/ladder.h"
#include "probe/percpu.h"
#include "probe/sampled.h"
#include "probe/scripts.h"

#define MEMORY_RING_BYTES_PER_CPU (1 << 20)
#define MEMORY_RING_BYTES_MAX (64 << 20)

struct memory_run {
	struct sampled sampled; /* first */
	struct memory_bpf *kernel;
	const struct rung *rung;
	guint32 every;
	guint64 event_bytes;
	GArray *links; /* of struct bpf_link *, one a CPU */
	GArray *fds; /* of their events, owned by the links */
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

static gboolean memory_load(struct memory_run *run, const struct probe_request *request,
			    const struct probe_listener *listener, GError **error)
{
	static const char what[] = "cannot load the page fault program";
	guint32 ring_bytes = sampled_ring_bytes(MEMORY_RING_BYTES_PER_CPU, MEMORY_RING_BYTES_MAX);
	struct filter_values values;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	run->kernel = KERNEL_BTF_OPEN(memory, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, request);
	FILTER_SET_STACK(run->kernel->rodata, &values);
	SCRIPTS_SET(run->kernel->rodata, request);
	run->kernel->rodata->event_bytes = run->event_bytes;
	bpf_map__set_max_entries(run->kernel->maps.stack_ring, ring_bytes);
	run->kernel->rodata->stack_wake_bytes = ring_bytes / 4;
	return sampled_load(&run->sampled, btf, run->kernel->skeleton, request, listener, 1, what, error);
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
	sampled_close(&run->sampled);
	memory_bpf__destroy(run->kernel);
	g_free(run);
}

static struct probe_run *memory_open(const struct probe_request *request, const struct probe_listener *listener,
				     GError **error)
{
	struct memory_run *run = g_new0(struct memory_run, 1);

	run->every = request->every ? request->every : MEMORY_EVERY;
	run->event_bytes = (guint64)run->every * (guint64)sysconf(_SC_PAGESIZE);
	run->links = g_array_new(FALSE, FALSE, sizeof(struct bpf_link *));
	run->fds = g_array_new(FALSE, FALSE, sizeof(int));
	if (!memory_load(run, request, listener, error) || !memory_start(run, request, error)) {
		memory_close((struct probe_run *)run);
		return NULL;
	}
	return (struct probe_run *)run;
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
	if (!sampled_tell_counted(&run->sampled, error) || !sampled_account(&run->sampled, ledger, error))
		return FALSE;
	allowance_account(run->sampled.allowance, ledger);
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
	.fd = sampled_fd,
	.drain = sampled_drain,
	.teach = sampled_teach,
	.finish = memory_finish,
	.close = memory_close,
};
