/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints lie in files, not in processes: every process that maps the file runs into them, and the kernel half asks for
 * its cgroup. They are taken out by the kernel when our descriptors close, whatever ends us. What one costs is tried on a
 * function of our own before any other gets one. */
#include "probe/heap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "heap.skel.h"
#include "probe/filter.h"
#include "probe/ladder.h"
#include "probe/mapread.h"
#include "probe/pace.h"
#include "probe/sampled.h"
#include "probe/scripts.h"
#include "probe/uprobes.h"

#define HEAP_RING_BYTES_PER_CPU (2 << 20)
#define HEAP_RING_BYTES_MAX (64 << 20)
#define HEAP_SLOTS 4 /* = STACK_SLOTS of the kernel half */
#define HEAP_TRIES 1000

struct heap_run {
	struct sampled sampled; /* first */
	struct heap_bpf *kernel;
	const struct rung *rung;
	const struct probe_request *request; /* while opening */
	const struct probe_listener *listener; /* likewise */
	char *why_not;
	struct uprobes *uprobes;
	struct bpf_link *ends_links[2];
	guint64 sample_bytes;
	struct paces *paces; /* NULL: what its programs take is not known */
	struct pace before; /* when it began */
	double call_ns, free_ns; /* what one takes longer because of us, as tried */
	guint64 start_ns;
	/* while finishing */
	GHashTable *ends; /* set of struct heap_process * */
	GArray *fates; /* of struct heap_fate, by the intake's id */
};

/* Bytes that allocations of one stack stand for, and how many were looked at. */
struct heap_fate {
	struct ledger_line all, live, ended;
};

#define HEAP_MISSES                                                                                                       \
	"memory programs take from the kernel without an allocator (mmap), runtimes with a heap of their own (Go, Java, " \
	"Python's small objects), and allocators in files that nobody had mapped when it began"
static const struct rung heap_rungs[] = {
	{ .name = "uprobe multi", .misses = HEAP_MISSES },
	{ .name = "uprobe", .misses = HEAP_MISSES },
	{ 0 },
};
#define HEAP_RUNG_MULTI (&heap_rungs[0])

static gboolean heap_is_free(guint32 call)
{
	return call == HEAP_FREE;
}

static gboolean heap_is_allocation(guint32 call)
{
	return call != HEAP_FREE;
}

/* ---- what a breakpoint costs ---- */

__attribute__((noinline)) static void heap_tried(void)
{
	__asm__ volatile("" : : : "memory");
}

static double heap_time_tries(void)
{
	guint64 start_ns = clock_thread_ns();

	for (guint i = 0; i < HEAP_TRIES; i++)
		heap_tried();
	return (double)(clock_thread_ns() - start_ns) / HEAP_TRIES;
}

/* On ourselves. */
static gboolean heap_try(struct heap_run *run, GError **error)
{
	struct probe_site site = { .call = HEAP_TRY };
	gboolean right;
	int fd;

	if (!uprobes_find_own((guintptr)heap_tried, &site.file_offset)) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot find fathom's own code");
		return FALSE;
	}
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		ladder_set_error(error, "cannot open fathom's own program", errno);
		return FALSE;
	}
	site.fd = fd;
	right = uprobes_attach(run->uprobes, run->kernel->progs.heap_enter, FALSE, &site, 1, heap_is_allocation, error);
	if (right) {
		run->free_ns = heap_time_tries();
		right = uprobes_attach(run->uprobes, run->kernel->progs.heap_return, TRUE, &site, 1, heap_is_allocation,
				       error);
	}
	if (right)
		run->call_ns = heap_time_tries();
	uprobes_detach(run->uprobes);
	close(fd);
	return right;
}

/* ---- opening ---- */

static gboolean heap_load(struct heap_run *run, GError **error)
{
	const struct probe_request *request = run->request;
	static const char what[] = "cannot load the heap program";
	guint32 ring_bytes = sampled_ring_bytes(HEAP_RING_BYTES_PER_CPU, HEAP_RING_BYTES_MAX);
	struct filter_values values;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	run->kernel = KERNEL_BTF_OPEN(heap, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, request);
	FILTER_SET_STACK(run->kernel->rodata, &values);
	SCRIPTS_SET(run->kernel->rodata, request);
	run->kernel->rodata->sample_bytes = run->sample_bytes;
	run->kernel->rodata->stack_wake_bytes = ring_bytes / 4;
	bpf_map__set_max_entries(run->kernel->maps.stack_ring, ring_bytes);
	uprobes_prepare(run->uprobes, run->kernel->progs.heap_enter);
	uprobes_prepare(run->uprobes, run->kernel->progs.heap_return);
	uprobes_prepare(run->uprobes, run->kernel->progs.heap_free);
	return sampled_load(&run->sampled, btf, run->kernel->skeleton, request, run->listener, HEAP_SLOTS, what, error);
}

static void heap_unload(struct heap_run *run)
{
	for (guint i = 0; i < G_N_ELEMENTS(run->ends_links); i++) {
		bpf_link__destroy(run->ends_links[i]);
		run->ends_links[i] = NULL;
	}
	g_clear_pointer(&run->uprobes, uprobes_free);
	g_clear_pointer(&run->paces, paces_close);
	sampled_close(&run->sampled);
	g_clear_pointer(&run->kernel, heap_bpf__destroy);
}

static gboolean heap_follow_ends(struct heap_run *run, GError **error)
{
	const struct bpf_program *const programs[] = { run->kernel->progs.heap_exec, run->kernel->progs.heap_exit };

	for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
		run->ends_links[i] = kernel_btf_attach(programs[i]);
		if (!run->ends_links[i]) {
			ladder_set_error(error, "cannot follow the ends of processes", errno);
			return FALSE;
		}
	}
	return TRUE;
}

/* What frees first: an allocation whose end is not heard would live for ever. And returns before calls: a call whose return is
 * not heard would never end. */
static gboolean heap_attach(struct heap_run *run, GError **error)
{
	const struct probe_request *request = run->request;
	const struct {
		struct bpf_program *program;
		gboolean at_return;
		gboolean (*wanted)(guint32 call);
	} parts[] = {
		{ run->kernel->progs.heap_free, FALSE, heap_is_free },
		{ run->kernel->progs.heap_return, TRUE, heap_is_allocation },
		{ run->kernel->progs.heap_enter, FALSE, heap_is_allocation },
	};

	for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
		if (!uprobes_attach(run->uprobes, parts[i].program, parts[i].at_return, request->sites,
				    request->site_count, parts[i].wanted, error))
			return FALSE;
	return TRUE;
}

/* ladder_try_fn */
static gboolean heap_climb(void *user, const struct rung *rung, GError **error)
{
	struct heap_run *run = user;

	run->uprobes = uprobes_new(rung == HEAP_RUNG_MULTI);
	if (heap_load(run, error) && heap_try(run, error) && heap_attach(run, error) && heap_follow_ends(run, error))
		return TRUE;
	heap_unload(run);
	return FALSE;
}

static void heap_close(struct probe_run *opaque)
{
	struct heap_run *run = (struct heap_run *)opaque;

	if (!run)
		return;
	heap_unload(run);
	if (run->ends)
		g_hash_table_unref(run->ends);
	if (run->fates)
		g_array_unref(run->fates);
	g_free(run->why_not);
	g_free(run);
}

static struct probe_run *heap_open(const struct probe_request *request, const struct probe_listener *listener,
				   GError **error)
{
	struct heap_run *run = g_new0(struct heap_run, 1);

	run->request = request;
	run->listener = listener;
	run->sample_bytes = request->sample_bytes ? request->sample_bytes : HEAP_SAMPLE_BYTES;
	run->rung = ladder_climb(heap_rungs, request->rung, heap_climb, run, &run->why_not, error);
	if (!run->rung) {
		heap_close((struct probe_run *)run);
		return NULL;
	}
	run->paces = paces_open(run->kernel->obj);
	run->before = paces_sum(run->paces);
	run->start_ns = clock_monotonic_ns();
	return (struct probe_run *)run;
}

/* ---- the end ---- */

static guint heap_process_hash(gconstpointer key)
{
	const struct heap_process *process = key;

	return process->tgid * 31 + process->life;
}

static gboolean heap_process_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct heap_process)) == 0;
}

static struct heap_fate *heap_fate(struct heap_run *run, guint32 stack)
{
	if (stack >= run->fates->len)
		g_array_set_size(run->fates, stack + 1);
	return &g_array_index(run->fates, struct heap_fate, stack);
}

/* mapread_fn */
static void heap_take_end(void *user, const void *key, const void *value)
{
	struct heap_run *run = user;

	(void)value;
	g_hash_table_add(run->ends, g_memdup2(key, sizeof(struct heap_process)));
}

/* mapread_fn: one allocation that nobody has freed. */
static void heap_take_live(void *user, const void *key, const void *value)
{
	struct heap_run *run = user;
	const struct heap_place *place = key;
	const struct heap_block *block = value;
	guint32 stack = intake_stack(run->sampled.intake, block->id);
	struct ledger_line *line;

	if (stack == PROBE_NO_STACK)
		return;
	line = g_hash_table_contains(run->ends, &place->process) ? &heap_fate(run, stack)->ended
								 : &heap_fate(run, stack)->live;
	line->events++;
	line->weight += block->weight;
}

/* intake_copied_fn: all allocations of one stack. */
static void heap_take_all(void *user, guint32 stack, guint64 events, guint64 weight)
{
	struct heap_fate *fate = heap_fate(user, stack);

	fate->all.events += events;
	fate->all.weight += weight;
}

static void heap_tell(struct heap_run *run)
{
	for (guint32 i = 0; i < run->fates->len; i++) {
		const struct heap_fate *fate = &g_array_index(run->fates, struct heap_fate, i);
		guint64 gone = fate->all.weight - MIN(fate->all.weight, fate->live.weight + fate->ended.weight);
		guint64 gone_events = fate->all.events - MIN(fate->all.events, fate->live.events + fate->ended.events);

		sampled_tell(&run->sampled, PROBE_STATE_ALLOCATED, i, fate->live.events, fate->live.weight);
		sampled_tell(&run->sampled, PROBE_STATE_ENDED, i, fate->ended.events, fate->ended.weight);
		sampled_tell(&run->sampled, PROBE_STATE_FREED, i, gone_events, gone);
	}
}

static struct heap_count heap_counts(const struct heap_run *run)
{
	int cpus = libbpf_num_possible_cpus();
	g_autofree struct heap_count *each = g_new0(struct heap_count, MAX(cpus, 1));
	struct heap_count sum = { 0 };
	guint32 zero = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(run->kernel->maps.heap_counts), &zero, each) != 0)
		return sum;
	for (int cpu = 0; cpu < cpus; cpu++) {
		sum.calls += each[cpu].calls;
		sum.frees += each[cpu].frees;
	}
	return sum;
}

/* In words; `*ns`: in all. Owned by the caller. */
static char *heap_programs_cost(const struct heap_run *run, double *ns)
{
	struct pace now = paces_sum(run->paces);
	struct pace_spent spent = pace_spent(&now, &run->before);

	*ns = (double)spent.ns;
	if (!run->paces || !spent.timed)
		return g_strdup("what the programs took is not known");
	return g_strdup_printf("the programs ran %" G_GUINT64_FORMAT " times, %.0f ns a run", spent.runs,
			       (double)spent.ns / (double)spent.runs);
}

static void heap_account_cost(struct heap_run *run, struct ledger *ledger)
{
	struct heap_count counts = heap_counts(run);
	double traps_ns = (double)counts.calls * run->call_ns + (double)counts.frees * run->free_ns, programs_ns;
	g_autofree char *calls = units_count(counts.calls), *frees = units_count(counts.frees);
	g_autofree char *programs = heap_programs_cost(run, &programs_ns);

	ledger_note(ledger,
		    g_strdup_printf(
			    "cost: %s allocations and %s frees were interrupted, %.2f and %.2f µs each (as tried on "
			    "fathom itself); %s; in all %.2f %% of one CPU",
			    calls, frees, run->call_ns / 1e3, run->free_ns / 1e3, programs,
			    100 * (traps_ns + programs_ns) / (double)MAX(clock_monotonic_ns() - run->start_ns, 1)));
}

static void heap_account_budget(const struct heap_run *run, struct ledger *ledger)
{
	guint32 most = allowance_most_one_in(run->sampled.allowance);
	g_autofree char *sample = units_bytes(run->sample_bytes * most);

	if (most > 1)
		ledger_note(ledger,
			    g_strdup_printf(
				    "to stay within the budget (%.3g %% of the machine's CPU time, without the "
				    "interruptions themselves) fewer allocations were looked at, down to one in %s, "
				    "each of which stands for as many bytes",
				    100 * allowance_limit(run->sampled.allowance), sample));
}

static void heap_account(struct heap_run *run, struct ledger *ledger)
{
	g_autofree char *sample = units_bytes(run->sample_bytes), *exact = units_bytes(ledger->seen.weight);
	guint64 lost = run->kernel->bss->heap_ends_lost;

	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	heap_account_budget(run, ledger);
	if (run->sample_bytes > 1 || allowance_most_one_in(run->sampled.allowance) > 1)
		ledger_note(ledger,
			    g_strdup_printf("an allocation of s bytes was looked at with the chance s / %s and stands "
					    "for its share: all sums are estimates without bias. Counted "
					    "exactly: %" G_GUINT64_FORMAT " allocations, %s",
					    sample, ledger->seen.events, exact));
	if (lost > 0)
		ledger_note(ledger,
			    g_strdup_printf("%" G_GUINT64_FORMAT " ends of processes were not kept: what those had "
					    "allocated counts as still allocated",
					    lost));
}

static gboolean heap_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct heap_run *run = (struct heap_run *)opaque;

	run->ends = g_hash_table_new_full(heap_process_hash, heap_process_equal, g_free, NULL);
	run->fates = g_array_new(FALSE, TRUE, sizeof(struct heap_fate));
	heap_account_cost(run, ledger);
	uprobes_detach(run->uprobes);
	if (!intake_drain_rest(run->sampled.intake, error) ||
	    !mapread_each(bpf_map__fd(run->kernel->maps.heap_ends), sizeof(struct heap_process), sizeof(guint8),
			  heap_take_end, run, error) ||
	    !mapread_each(bpf_map__fd(run->kernel->maps.heap_live), sizeof(struct heap_place),
			  sizeof(struct heap_block), heap_take_live, run, error))
		return FALSE;
	intake_take_copied(run->sampled.intake, heap_take_all, run);
	heap_tell(run);
	if (!sampled_account(&run->sampled, ledger, error))
		return FALSE;
	heap_account(run, ledger);
	return TRUE;
}

const struct probe probe_heap = {
	.name = "heap",
	.shows =
		"what programs allocate: stacks of malloc and its kind, in bytes, and what is still allocated at the end",
	.shape = SHAPE_CALLTREE,
	.unit = UNIT_BYTES,
	.rungs = heap_rungs,
	.open = heap_open,
	.fd = sampled_fd,
	.drain = sampled_drain,
	.teach = sampled_teach,
	.finish = heap_finish,
	.close = heap_close,
};
