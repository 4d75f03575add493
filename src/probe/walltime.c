/* SPDX-License-Identifier: Apache-2.0 */
/* All time of all threads: the switches say exactly how long each state lasted, samples say where the running time was
 * spent. Every owner's exact running time is shared out among its samples' stacks, to the nanosecond. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "offcpu.skel.h"
#include "probe/ladder.h"
#include "probe/mapread.h"
#include "probe/offcpu_run.h"
#include "probe/percpu.h"
#include "probe/profile.h"

/* ---- samples ---- */

static gboolean walltime_tick_cpu(struct offcpu_run *run, int cpu, GError **error)
{
	guint32 hz = run->request.frequency_hz > 0 ? run->request.frequency_hz : PROFILE_FREQUENCY_HZ;
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = NS_PER_S / hz,
	};
	int fd = percpu_event_open(&attr, cpu);
	struct bpf_link *link;

	if (fd == -ENODEV) /* went offline a moment ago */
		return TRUE;
	if (fd < 0) {
		ladder_set_error(error, "cannot open a sampling event", -fd);
		return FALSE;
	}
	link = bpf_program__attach_perf_event(run->kernel->progs.offcpu_tick, fd);
	if (!link) {
		ladder_set_error(error, "cannot attach to the sampling event", errno);
		close(fd);
		return FALSE;
	}
	g_ptr_array_add(run->ticks, link);
	return TRUE;
}

static gboolean walltime_tick(struct offcpu_run *run, GError **error)
{
	g_autoptr(GArray) cpus = percpu_online(error);

	for (guint i = 0; cpus && i < cpus->len; i++)
		if (!walltime_tick_cpu(run, g_array_index(cpus, int, i), error))
			return FALSE;
	return cpus != NULL;
}

static struct probe_run *walltime_open(const struct probe_request *request, const struct probe_listener *listener,
				       GError **error)
{
	struct offcpu_run *run = offcpu_run_open(request, listener, TRUE, error);

	if (run && walltime_tick(run, error))
		return (struct probe_run *)run;
	offcpu_run_close(run);
	return NULL;
}

/* ---- sharing out running time ---- */

struct sample {
	guint32 stack; /* intake's id */
	guint64 count;
};

/* A process (or thread) in one cgroup: its exact running time and its samples. */
struct owner {
	struct probe_task task; /* the one with the most running time, when the name changed */
	struct interval_sum running;
	guint64 task_ns;
	GArray *samples; /* of struct sample */
	guint64 sample_count;
};

struct walltime {
	struct offcpu_run *run;
	GHashTable *owners; /* set of struct owner */
	guint64 expected_ns, threads;
};

static guint owner_hash(gconstpointer pointer)
{
	const struct owner *owner = pointer;

	return (g_int64_hash(&owner->task.cgroup_key) * 31 + owner->task.tgid) * 31 + owner->task.tid;
}

static gboolean owner_equal(gconstpointer left, gconstpointer right)
{
	const struct owner *a = left, *b = right;

	return a->task.cgroup_key == b->task.cgroup_key && a->task.tgid == b->task.tgid && a->task.tid == b->task.tid;
}

static void owner_free(gpointer pointer)
{
	struct owner *owner = pointer;

	g_array_free(owner->samples, TRUE);
	g_free(owner);
}

static struct owner *walltime_owner(struct walltime *walltime, const struct probe_task *task)
{
	struct owner wanted = { .task = *task };
	struct owner *owner = g_hash_table_lookup(walltime->owners, &wanted);

	if (!owner) {
		owner = g_new0(struct owner, 1);
		owner->task = *task;
		owner->samples = g_array_new(FALSE, FALSE, sizeof(struct sample));
		g_hash_table_add(walltime->owners, owner);
	}
	return owner;
}

/* mapread_fn: the times of one owner. Waiting is told at once, running when the samples are known. */
static void walltime_take_owner(void *user, const void *key, const void *value)
{
	struct walltime *walltime = user;
	const struct owner_sum *sum = value;
	const struct interval_sum *running = &sum->times[TIME_RUNNING];
	struct probe_task task;
	struct owner *owner;

	memcpy(&task, key, sizeof(task)); /* = struct stack_task; see intake.c */
	task.comm[PROBE_COMM - 1] = task.thread_comm[PROBE_COMM - 1] = '\0';
	owner = walltime_owner(walltime, &task);
	owner->running.weight_ns += running->weight_ns;
	owner->running.events += running->events;
	owner->running.max_ns = MAX(owner->running.max_ns, running->max_ns);
	if (running->weight_ns > owner->task_ns) {
		owner->task_ns = running->weight_ns;
		owner->task = task;
	}
	for (guint state = TIME_BLOCKED; state < TIME_COUNT; state++)
		if (sum->times[state].weight_ns > 0)
			offcpu_run_tell(walltime->run, (enum probe_state)state, &task, STACK_NONE, STACK_NONE,
					&sum->times[state]);
	walltime->expected_ns += sum->expected_ns;
	walltime->threads += sum->threads;
}

/* intake_copied_fn: the samples of one stack. */
static void walltime_take_stack(void *user, guint32 stack, guint64 events, guint64 samples)
{
	struct walltime *walltime = user;
	const struct sample sample = { .stack = stack, .count = samples };
	const struct probe_task *task = intake_task(walltime->run->intake, stack);
	struct owner *owner;

	(void)events;
	if (!task)
		return; /* its record was lost: the owner's other samples stand for its time */
	owner = walltime_owner(walltime, task);
	g_array_append_val(owner->samples, sample);
	owner->sample_count += sample.count;
}

/* mapread_fn: the samples of one stack that was not copied. */
static void walltime_take_samples(void *user, const void *key, const void *value)
{
	struct walltime *walltime = user;
	const struct stack_value *counted = value;

	(void)key;
	if (counted->events > 0)
		walltime_take_stack(walltime, intake_stack(walltime->run->intake, counted->id), counted->events,
				    counted->events);
}

/* Shares out without remainder: what rounding leaves of one stack is carried to the next. */
static void walltime_tell_running(struct walltime *walltime, const struct owner *owner)
{
	unsigned __int128 carried = 0;

	if (owner->running.weight_ns == 0)
		return; /* samples at most on the way in or out */
	if (owner->sample_count == 0) {
		offcpu_run_tell(walltime->run, PROBE_STATE_RUNNING, &owner->task, STACK_NONE, STACK_NONE,
				&owner->running);
		return;
	}
	for (guint i = 0; i < owner->samples->len; i++) {
		const struct sample *sample = &g_array_index(owner->samples, struct sample, i);
		struct interval_sum part = { .events = sample->count };

		carried += (unsigned __int128)owner->running.weight_ns * sample->count;
		part.weight_ns = (guint64)(carried / owner->sample_count);
		carried %= owner->sample_count;
		offcpu_run_tell_stack(walltime->run, PROBE_STATE_RUNNING, sample->stack, &part);
	}
}

static gboolean walltime_tell(struct walltime *walltime, GError **error)
{
	struct offcpu_bpf *kernel = walltime->run->kernel;
	GHashTableIter each;
	gpointer owner;

	if (!mapread_each(bpf_map__fd(kernel->maps.owners), sizeof(struct stack_task), sizeof(struct owner_sum),
			  walltime_take_owner, walltime, error) ||
	    !mapread_each(bpf_map__fd(kernel->maps.stacks), sizeof(struct stack_key), sizeof(struct stack_value),
			  walltime_take_samples, walltime, error))
		return FALSE;
	intake_take_copied(walltime->run->intake, walltime_take_stack, walltime);
	g_hash_table_iter_init(&each, walltime->owners);
	while (g_hash_table_iter_next(&each, &owner, NULL))
		walltime_tell_running(walltime, owner);
	return TRUE;
}

static gboolean walltime_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct walltime walltime = { .run = (struct offcpu_run *)opaque };
	gboolean right;

	walltime.owners = g_hash_table_new_full(owner_hash, owner_equal, owner_free, NULL);
	right = offcpu_run_stop(walltime.run, error) && offcpu_run_tell_blocked(walltime.run, error) &&
		walltime_tell(&walltime, error) && offcpu_run_account(walltime.run, ledger, error);
	g_hash_table_destroy(walltime.owners);
	if (!right)
		return FALSE;
	ledger->expected_weight += walltime.expected_ns;
	ledger_note(ledger, g_strdup_printf("threads watched: %" G_GUINT64_FORMAT, walltime.threads));
	return TRUE;
}

static int walltime_fd(struct probe_run *run)
{
	return probe_offcpu.fd(run);
}

static gboolean walltime_drain(struct probe_run *run, GError **error)
{
	return probe_offcpu.drain(run, error);
}

static void walltime_teach(struct probe_run *run, guint32 tgid, const struct python_process *process)
{
	probe_offcpu.teach(run, tgid, process);
}

static void walltime_close(struct probe_run *run)
{
	offcpu_run_close((struct offcpu_run *)run);
}

const struct probe probe_walltime = {
	.name = "walltime",
	.shows = "all time of every thread: running, waiting for a CPU (woken, preempted, throttled), blocked",
	.shape = SHAPE_CALLTREE,
	.unit = UNIT_NANOSECONDS,
	.rungs = offcpu_rungs,
	.open = walltime_open,
	.fd = walltime_fd,
	.drain = walltime_drain,
	.teach = walltime_teach,
	.finish = walltime_finish,
	.close = walltime_close,
};
