/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/profile.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "probe/filter.h"
#include "probe/intake.h"
#include "probe/ladder.h"
#include "probe/losses.h"
#include "probe/mapread.h"
#include "probe/percpu.h"
#include "profile.skel.h"

#define PROFILE_MISSED_NOTE 0.01 /* share of skipped ticks worth a note */

struct profile_event {
	int cpu, fd; /* fd owned by the link */
	struct bpf_link *link;
};

struct profile_run {
	struct profile_bpf *kernel;
	struct intake *intake;
	struct probe_listener listener;
	const struct rung *rung;
	char *why_not; /* better rungs that did not work; NULL: none */
	guint32 frequency_hz;
	GArray *events; /* of struct profile_event */
	/* while finishing */
	struct ledger_line unsent;
};

static const struct rung profile_rungs[] = {
	{ .name = "perf cycles", .misses = NULL },
	{ .name = "perf cpu-clock", .misses = "code that runs with interrupts off: its samples fall on the code after it" },
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

static gboolean profile_load(struct profile_run *run, const struct probe_request *request, GError **error)
{
	static const char what[] = "cannot load the sampling program";
	struct filter_values values;
	int result;

	ladder_log_start();
	run->kernel = profile_bpf__open();
	if (!run->kernel) {
		ladder_set_error(error, what, errno);
		return FALSE;
	}
	filter_values_init(&values, request);
	FILTER_SET_STACK(run->kernel->rodata, &values);
	if (!filter_size(run->kernel->obj, request, error))
		return FALSE;
	result = profile_bpf__load(run->kernel);
	if (result != 0) {
		ladder_set_error(error, what, -result);
		return FALSE;
	}
	return filter_fill(run->kernel->obj, request, error);
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
	intake_close(run->intake);
	profile_bpf__destroy(run->kernel);
	g_free(run->why_not);
	g_free(run);
}

static struct probe_run *profile_open(const struct probe_request *request, const struct probe_listener *listener,
				      GError **error)
{
	struct profile_run *run = g_new0(struct profile_run, 1);

	run->listener = *listener;
	run->frequency_hz = request->frequency_hz > 0 ? request->frequency_hz : PROFILE_FREQUENCY_HZ;
	run->events = g_array_new(FALSE, FALSE, sizeof(struct profile_event));
	if (profile_load(run, request, error))
		run->intake = intake_open(bpf_map__fd(run->kernel->maps.stack_ring), request, listener, error);
	if (!run->intake || !profile_start(run, request, error)) {
		profile_close((struct probe_run *)run);
		return NULL;
	}
	return (struct probe_run *)run;
}

static int profile_fd(struct probe_run *opaque)
{
	return intake_fd(((struct profile_run *)opaque)->intake);
}

static gboolean profile_drain(struct probe_run *opaque, GError **error)
{
	return intake_drain(((struct profile_run *)opaque)->intake, error);
}

/* mapread_fn: one distinct stack and how often it was seen. */
static void profile_weigh(void *user, const void *key, const void *value)
{
	struct profile_run *run = user;
	const struct stack_value *counted = value;
	struct probe_weight weight = {
		.stack = intake_stack(run->intake, counted->id),
		.waker_stack = PROBE_NO_STACK,
		.state = PROBE_STATE_RUNNING,
		.events = counted->events,
		.weight = counted->weight,
	};

	(void)key;
	weight.task = intake_task(run->intake, weight.stack);
	if (!weight.task) {
		run->unsent.events += counted->events;
		run->unsent.weight += counted->weight;
	} else if (counted->events > 0 && run->listener.weight) {
		run->listener.weight(run->listener.user, &weight);
	}
}

/* Ticks the events should have fired since they were enabled; 0 when not known. */
static guint64 profile_expected_ticks(const struct profile_run *run)
{
	guint64 sum = 0;

	if (run->rung != PROFILE_RUNG_CLOCK)
		return 0;
	for (guint i = 0; i < run->events->len; i++) {
		guint64 enabled_ns;

		if (read(g_array_index(run->events, struct profile_event, i).fd, &enabled_ns, sizeof(enabled_ns)) ==
		    sizeof(enabled_ns))
			sum += enabled_ns / (NS_PER_S / run->frequency_hz);
	}
	return sum;
}

static guint64 profile_ticks(const struct profile_run *run)
{
	int cpus = libbpf_num_possible_cpus();
	g_autofree guint64 *ticks = g_new0(guint64, MAX(cpus, 1));
	guint32 zero = 0;
	guint64 sum = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(run->kernel->maps.ticks), &zero, ticks) != 0)
		return 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += ticks[cpu];
	return sum;
}

/* Ticks the kernel skipped (throttled, or the virtual CPU did not run) are nobody's in particular: the target is
 * charged with its share, and a note says that this is an estimate. */
static void profile_account_missed(const struct profile_run *run, guint64 expected, struct ledger *ledger)
{
	guint64 ticks = profile_ticks(run);
	guint64 missed = expected > ticks + run->events->len ? expected - ticks : 0;
	guint64 share;

	if (missed == 0 || ticks == 0 || missed < expected * PROFILE_MISSED_NOTE)
		return;
	share = (guint64)((double)missed * ledger->seen.events / ticks + 0.5);
	ledger->seen.events += share;
	ledger->seen.weight += share;
	ledger_add(ledger, LEDGER_LOST_MISSED, share, share);
	ledger_note(ledger, g_strdup_printf("the kernel skipped %.1f %% of all ticks; the target's share is estimated",
					    100.0 * missed / expected));
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
		ledger_note(ledger, g_strdup_printf("%u CPUs came online during the measurement and were not sampled",
						    unseen));
}

static gboolean profile_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct profile_run *run = (struct profile_run *)opaque;
	guint64 expected;

	for (guint i = 0; i < run->events->len; i++)
		ioctl(g_array_index(run->events, struct profile_event, i).fd, PERF_EVENT_IOC_DISABLE, 0);
	expected = profile_expected_ticks(run);
	profile_account_cpus(run, ledger);
	if (!intake_drain(run->intake, error) ||
	    !mapread_each(bpf_map__fd(run->kernel->maps.stacks), sizeof(struct stack_key), sizeof(struct stack_value),
			  profile_weigh, run, error) ||
	    !losses_read(bpf_map__fd(run->kernel->maps.losses), ledger, error))
		return FALSE;
	if (run->unsent.events > 0)
		ledger_add(ledger, LEDGER_LOST_RING, run->unsent.events, run->unsent.weight);
	profile_account_missed(run, expected, ledger);
	intake_account(run->intake, ledger);
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
	.fd = profile_fd,
	.drain = profile_drain,
	.finish = profile_finish,
	.close = profile_close,
};
