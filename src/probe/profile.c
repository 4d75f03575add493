/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/profile.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "probe/filter.h"
#include "probe/ladder.h"
#include "probe/percpu.h"
#include "probe/profile_pace.h"
#include "probe/sampled.h"
#include "probe/scripts.h"
#include "profile.skel.h"

#define PROFILE_MISSED_MIN 0.01 /* share of skipped samples worth telling */
#define PROFILE_RING_BYTES_PER_CPU (1 << 20)
#define PROFILE_RING_BYTES_MAX (64 << 20)
/* Times, at most, for high rates: a ring is resident as a whole. */
#define PROFILE_RING_GROWTH 4
#define PROFILE_LATE_NS (10 * NS_PER_S) /* so much too late a measurement may end on an overloaded machine */
#define PROFILE_TABLE_MIN 4096 /* entries of the kernel's tables */
#define PROFILE_SPARE 2 /* tables that forget spread their room over the CPUs */

struct profile_event {
	int cpu, fd; /* fd owned by the link */
	struct bpf_link *link;
};

struct profile_run {
	struct sampled sampled; /* first */
	struct profile_bpf *kernel;
	const struct rung *rung;
	char *why_not; /* better rungs that did not work; NULL: none */
	guint32 frequency_hz;
	guint32 slower; /* times, than asked for: to stay within the budget */
	GArray *events; /* of struct profile_event */
};

static const struct rung profile_rungs[] = {
	{ .name = "perf cycles", .misses = NULL },
	{ .name = "perf cpu-clock",
	  .misses = "code that runs with interrupts off: its samples fall on the code after it" },
	{ 0 },
};
#define PROFILE_RUNG_CYCLES (&profile_rungs[0])
#define PROFILE_RUNG_CLOCK (&profile_rungs[1])

static struct perf_event_attr profile_attr(const struct rung *rung, guint32 frequency_hz)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .disabled = 1 };

	if (rung == PROFILE_RUNG_CYCLES) {
		attr.type = PERF_TYPE_HARDWARE;
		attr.config = PERF_COUNT_HW_CPU_CYCLES;
		attr.freq = 1;
		attr.sample_freq = frequency_hz;
	} else {
		attr.type = PERF_TYPE_SOFTWARE;
		attr.config = PERF_COUNT_SW_CPU_CLOCK;
		attr.sample_period = NS_PER_S / frequency_hz; /* a fixed period: the kernel need not adapt it */
	}
	return attr;
}

static void profile_detach(struct profile_run *run)
{
	for (guint i = 0; i < run->events->len; i++)
		bpf_link__destroy(g_array_index(run->events, struct profile_event, i).link);
	g_array_set_size(run->events, 0);
}

static gboolean profile_attach_cpu(struct profile_run *run, const struct rung *rung, int cpu, GError **error)
{
	struct perf_event_attr attr = profile_attr(rung, run->frequency_hz);
	struct profile_event event = { .cpu = cpu, .fd = percpu_event_open(&attr, cpu) };

	if (event.fd == -ENODEV) /* went offline a moment ago */
		return TRUE;
	if (event.fd == -ENOENT || event.fd == -EOPNOTSUPP) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED, "this machine does not count cycles");
		return FALSE;
	}
	if (event.fd < 0) {
		ladder_set_error(error, "cannot open a sampling event", -event.fd);
		return FALSE;
	}
	event.link = bpf_program__attach_perf_event(run->kernel->progs.profile_tick, event.fd);
	if (!event.link) {
		ladder_set_error(error, "cannot attach to the sampling event", errno);
		close(event.fd);
		return FALSE;
	}
	g_array_append_val(run->events, event);
	return TRUE;
}

/* ladder_try_fn */
static gboolean profile_attach(void *user, const struct rung *rung, GError **error)
{
	struct profile_run *run = user;
	g_autoptr(GArray) cpus = percpu_online(error);

	for (guint i = 0; cpus && i < cpus->len; i++) {
		if (!profile_attach_cpu(run, rung, g_array_index(cpus, int, i), error)) {
			profile_detach(run);
			return FALSE;
		}
	}
	return cpus != NULL;
}

/* Room for seconds of what usually comes of copies, or the first copies of sixty processes, on each CPU: a busy machine lets
 * the reader wait. A power of two. */
static guint32 profile_ring_bytes(guint32 frequency_hz)
{
	guint32 bytes = sampled_ring_bytes(PROFILE_RING_BYTES_PER_CPU, PROFILE_RING_BYTES_MAX);
	guint32 most = MIN(bytes * PROFILE_RING_GROWTH, (guint32)PROFILE_RING_BYTES_MAX);

	for (guint32 hz = PROFILE_FREQUENCY_HZ; hz < frequency_hz && bytes < most; hz *= 2)
		bytes *= 2;
	return bytes;
}

/* Above this rate the kernel drops samples. */
static guint64 profile_limit_hz(void)
{
	g_autofree char *text = file_read("/proc/sys/kernel/perf_event_max_sample_rate", 64, NULL, NULL);
	guint64 limit_hz = text ? g_ascii_strtoull(text, NULL, 10) : 0;

	return limit_hz > 0 ? limit_hz : G_MAXUINT64;
}

static gboolean profile_check_frequency(guint32 frequency_hz, GError **error)
{
	guint64 limit_hz = profile_limit_hz();

	if (frequency_hz <= limit_hz)
		return TRUE;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED,
		    "the kernel allows at most %" G_GUINT64_FORMAT " samples a second, not %u "
		    "(sysctl kernel.perf_event_max_sample_rate)",
		    limit_hz, frequency_hz);
	return FALSE;
}

/* There cannot be more stacks, threads and processes than samples: of a short measurement, tables for 100,000 stacks are a
 * millisecond and megabytes spent on nothing. */
static gboolean profile_size_tables(struct profile_run *run, const struct probe_request *request, GError **error)
{
	const struct {
		struct bpf_map *map;
		guint32 spare;
	} tables[] = {
		{ run->kernel->maps.stacks, 1 },
		{ run->kernel->maps.last_samples, PROFILE_SPARE },
		{ run->kernel->maps.script_stacks, PROFILE_SPARE },
		{ run->kernel->maps.stack_plans, PROFILE_SPARE },
		{ run->kernel->maps.script_codes, 1 },
	};
	double samples = (double)(request->duration_ns + PROFILE_LATE_NS) / NS_PER_S * run->frequency_hz *
			 libbpf_num_possible_cpus();

	/* Every page of a table has to be cleared: what nobody asks is not made. */
	if (!request->filter)
		bpf_map__set_max_entries(run->kernel->maps.filter_later, 1);
	for (guint i = 0; request->duration_ns && i < G_N_ELEMENTS(tables); i++) {
		guint32 room = bpf_map__max_entries(tables[i].map), entries = PROFILE_TABLE_MIN;
		int result = 0;

		while (entries < room && entries < samples * tables[i].spare)
			entries *= 2;
		if (entries < room)
			result = bpf_map__set_max_entries(tables[i].map, entries);
		if (result < 0) {
			ladder_set_error(error, "cannot make the kernel's tables smaller", -result);
			return FALSE;
		}
	}
	return TRUE;
}

static gboolean profile_load(struct profile_run *run, const struct probe_request *request,
			     const struct probe_listener *listener, GError **error)
{
	static const char what[] = "cannot load the sampling program";
	struct filter_values values;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	run->kernel = KERNEL_BTF_OPEN(profile, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, request);
	FILTER_SET_STACK(run->kernel->rodata, &values);
	SCRIPTS_SET(run->kernel->rodata, request);
	run->kernel->rodata->profile_moments = request->moments;
	bpf_map__set_max_entries(run->kernel->maps.stack_ring, profile_ring_bytes(run->frequency_hz));
	run->kernel->rodata->stack_wake_bytes = profile_ring_bytes(run->frequency_hz) / 8;
	return profile_size_tables(run, request, error) &&
	       sampled_load(&run->sampled, btf, run->kernel->skeleton, request, listener, 1, what, error);
}

/* Starts the events only when all are attached, so that all CPUs begin together. */
static gboolean profile_start(struct profile_run *run, const struct probe_request *request, GError **error)
{
	const struct rung *rungs = request->cycles || request->rung ? profile_rungs : PROFILE_RUNG_CLOCK;

	run->rung = ladder_climb(rungs, request->rung, profile_attach, run, &run->why_not, error);
	if (!run->rung)
		return FALSE;
	for (guint i = 0; i < run->events->len; i++)
		ioctl(g_array_index(run->events, struct profile_event, i).fd, PERF_EVENT_IOC_ENABLE, 0);
	return TRUE;
}

static void profile_close(struct probe_run *opaque)
{
	struct profile_run *run = (struct profile_run *)opaque;

	if (!run)
		return;
	profile_detach(run);
	g_array_free(run->events, TRUE);
	sampled_close(&run->sampled);
	profile_bpf__destroy(run->kernel);
	g_free(run->why_not);
	g_free(run);
}

static struct probe_run *profile_open(const struct probe_request *request, const struct probe_listener *listener,
				      GError **error)
{
	struct profile_run *run = g_new0(struct profile_run, 1);

	run->frequency_hz = request->frequency_hz > 0 ? request->frequency_hz : PROFILE_FREQUENCY_HZ;
	run->slower = 1;
	run->events = g_array_new(FALSE, FALSE, sizeof(struct profile_event));
	if (!profile_check_frequency(run->frequency_hz, error) || !profile_load(run, request, listener, error) ||
	    !profile_start(run, request, error)) {
		profile_close((struct probe_run *)run);
		return NULL;
	}
	return (struct probe_run *)run;
}

/* The kernel may have lowered its limit while we ran; it then drops samples without telling. */
static void profile_account_limit(const struct profile_run *run, struct ledger *ledger)
{
	guint64 limit_hz = profile_limit_hz();

	if (run->frequency_hz > limit_hz)
		ledger_note(ledger, g_strdup_printf("the kernel lowered its limit to %" G_GUINT64_FORMAT
						    " samples a second meanwhile: some are missing",
						    limit_hz));
}

static struct profile_pace profile_pace_read(const struct profile_run *run)
{
	int cpus = libbpf_num_possible_cpus();
	g_autofree struct profile_pace *each = g_new0(struct profile_pace, MAX(cpus, 1));
	struct profile_pace sum = { 0 };
	guint32 zero = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(run->kernel->maps.pace), &zero, each) != 0)
		return sum;
	for (int cpu = 0; cpu < cpus; cpu++) {
		sum.intervals += each[cpu].intervals;
		sum.cpu_ns += each[cpu].cpu_ns;
	}
	return sum;
}

/* Samples the kernel skipped, from the pace. Threads that run rarely are sampled by chance: only what is beyond that
 * (three standard deviations) counts as skipped. */
static void profile_account_missed(const struct profile_run *run, struct ledger *ledger)
{
	struct profile_pace pace = profile_pace_read(run);
	double due = (double)pace.cpu_ns * run->frequency_hz / NS_PER_S;
	double extra = due - pace.intervals;
	guint64 missed;

	if (run->rung != PROFILE_RUNG_CLOCK || pace.intervals == 0 || extra <= 3 * sqrt(due) ||
	    extra < PROFILE_MISSED_MIN * due)
		return;
	missed = (guint64)llround((double)ledger->seen.weight * (extra / pace.intervals));
	ledger->seen.events += missed;
	ledger->seen.weight += missed;
	ledger_add(ledger, LEDGER_LOST_MISSED, missed, missed);
	ledger_note(ledger, g_strdup_printf("the kernel skipped some %.0f %% of the samples (estimated from CPU time): "
					    "the timer was throttled or a virtual CPU did not run",
					    100 * extra / due));
}

/* CPUs that came online after the start are not sampled. */
static void profile_account_cpus(const struct profile_run *run, struct ledger *ledger)
{
	g_autoptr(GArray) cpus = percpu_online(NULL);
	guint unseen = 0;

	for (guint i = 0; cpus && i < cpus->len; i++) {
		gboolean seen = FALSE;

		for (guint j = 0; j < run->events->len && !seen; j++)
			seen = g_array_index(run->events, struct profile_event, j).cpu == g_array_index(cpus, int, i);
		unseen += !seen;
	}
	if (unseen > 0)
		ledger_note(ledger,
			    g_strdup_printf("%u CPUs came online during the measurement and were not sampled", unseen));
}

/* The kernel half counts each sample so many times from the moment the allowance tells it; a sample that comes between that
 * and this is counted too often: at 10,000 Hz one in some hundred changes. */
static void profile_slow_down(struct profile_run *run)
{
	guint32 slower = allowance_one_in(run->sampled.allowance);
	guint64 period = run->rung == PROFILE_RUNG_CLOCK ? NS_PER_S / run->frequency_hz * slower
							 : MAX(run->frequency_hz / slower, 1);

	if (slower == run->slower)
		return;
	run->slower = slower;
	for (guint i = 0; i < run->events->len; i++)
		ioctl(g_array_index(run->events, struct profile_event, i).fd, PERF_EVENT_IOC_PERIOD, &period);
}

static gboolean profile_drain(struct probe_run *opaque, GError **error)
{
	gboolean good = sampled_drain(opaque, error);

	profile_slow_down((struct profile_run *)opaque);
	return good;
}

static void profile_account_slower(const struct profile_run *run, struct ledger *ledger)
{
	guint32 most = allowance_most_one_in(run->sampled.allowance);

	if (most > 1)
		ledger_note(ledger,
			    g_strdup_printf(
				    "to stay within the budget (%.3g %% of the machine's CPU time) fewer samples were "
				    "taken, down to %.3g a second and CPU, each of which counts for as many more",
				    100 * allowance_limit(run->sampled.allowance), (double)run->frequency_hz / most));
}

static gboolean profile_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct profile_run *run = (struct profile_run *)opaque;

	for (guint i = 0; i < run->events->len; i++)
		ioctl(g_array_index(run->events, struct profile_event, i).fd, PERF_EVENT_IOC_DISABLE, 0);
	profile_account_cpus(run, ledger);
	if (!sampled_tell_counted(&run->sampled, error) || !sampled_account(&run->sampled, ledger, error))
		return FALSE;
	profile_account_missed(run, ledger);
	profile_account_limit(run, ledger);
	profile_account_slower(run, ledger);
	ledger->rung = g_strdup(run->rung->name);
	ledger->misses = g_strdup(run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	profile_detach(run);
	return TRUE;
}

const struct probe probe_profile = {
	.name = "profile",
	.shows = "where CPU time goes: stacks of running threads, sampled",
	.shape = SHAPE_CALLTREE,
	.unit = UNIT_COUNT,
	.rungs = profile_rungs,
	.open = profile_open,
	.fd = sampled_fd,
	.drain = profile_drain,
	.is_calm = sampled_is_calm,
	.teach = sampled_teach,
	.finish = profile_finish,
	.close = profile_close,
};
