/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/parttime.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "probe/kernel_btf.h"

struct parttime {
	struct parttime_setup setup;
	struct bpf_link *links[PARTTIME_PROGRAMS];
	guint programs;
	struct paces *paces;
	double cpus;
	gboolean is_on, is_over;
	int timer;
	int both; /* epoll: the timer, and somebody else's descriptor; -1: none */
	struct pace before; /* when the stretch began, of all CPUs */
	struct pace timed; /* `call_ns` is of what was timed since */
	double call_ns; /* 0: nothing was timed yet */
	double calls_per_s; /* in the last stretch */
	double turn_ns; /* CPU time of the last two turns */
	guint64 cycle_ns, began_ns; /* when the cycle began (CLOCK_MONOTONIC), and the stretch */
	guint64 window_ns; /* how long it is on before it is asked whether it may stay */
	guint64 resume_ns; /* off: on again then */
	guint64 taken_ns; /* counts, when last */
	guint64 since_ns; /* the last take, or that before when nothing was heard between the two */
	guint64 on_ns, counted_ns; /* on since then, but for what came after this moment */
	double factor, carry;
	guint one_in; /* the least part of the time, a power of two: it is told */
};

/* Part of a cycle at its beginning and its end: whoever takes the counts once a cycle is not always on time. */
#define PARTTIME_MARGIN_NS (50 * NS_PER_MS)
#define PARTTIME_TIMED_ENOUGH 256 /* calls: then what was timed before counts for half */
#define PARTTIME_CLOSED_NS 30 /* a call of a program that does nothing */

struct parttime_plan parttime_plan(double share, double off, double limit)
{
	struct parttime_plan plan = { .on_ns = PARTTIME_WINDOW_NS };
	double room, on_ns = 0;

	if (limit <= 0 || share <= limit)
		return plan;
	for (guint cycles = 1; cycles <= PARTTIME_CYCLES; cycles++) {
		plan.cycles = cycles;
		room = limit * cycles - off;
		on_ns = (double)PARTTIME_CYCLE_NS * room / share;
		if (room >= off && on_ns >= (double)PARTTIME_WINDOW_NS)
			break;
	}
	plan.on_ns =
		(guint64)CLAMP(on_ns, (double)PARTTIME_WINDOW_NS, (double)(PARTTIME_CYCLE_NS - 2 * PARTTIME_MARGIN_NS));
	return plan;
}

double parttime_call_ns(const struct pace *now, const struct pace *before, guint programs)
{
	double sum = 0;

	for (guint i = 0; i < programs; i++) {
		guint64 timed = (now->runs[i] - before->runs[i]) / PACE_TIMED;

		if (timed > 0)
			sum += (double)(now->timed_ns[i] - before->timed_ns[i]) / (double)timed;
	}
	return sum;
}

/* CPU time of all CPUs in so long. */
static double parttime_cpu_ns(const struct parttime *parttime, guint64 elapsed_ns)
{
	return (double)elapsed_ns * parttime->cpus;
}

/* Of the machine's CPU time, while it has been on since `before`. */
static double parttime_share(struct parttime *parttime, const struct pace *now, guint64 elapsed_ns)
{
	guint64 timed = (now->runs[0] - parttime->timed.runs[0]) / PACE_TIMED;
	double calls = (double)(now->runs[0] - parttime->before.runs[0]);
	double call_ns = parttime_call_ns(now, &parttime->timed, parttime->programs);

	if (timed >= PARTTIME_TIMED_ENOUGH) {
		parttime->call_ns = parttime->call_ns > 0 ? (parttime->call_ns + call_ns) / 2 : call_ns;
		parttime->timed = *now;
	}
	if (parttime->call_ns > 0)
		call_ns = parttime->call_ns;
	parttime->calls_per_s = calls * (double)NS_PER_S / (double)elapsed_ns;
	return calls * (call_ns + (double)parttime->setup.detour_ns) / parttime_cpu_ns(parttime, elapsed_ns);
}

/* Of the machine's CPU time, for programs that are called while they are off. */
static double parttime_closed_share(const struct parttime *parttime)
{
	return parttime->calls_per_s * PARTTIME_CLOSED_NS / parttime_cpu_ns(parttime, NS_PER_S);
}

/* Off, but on their hooks? */
static gboolean parttime_may_be_called(const struct parttime *parttime)
{
	return parttime->setup.open && parttime_closed_share(parttime) <= parttime->setup.limit / 2;
}

/* Of the machine's CPU time in a cycle, besides what is taken while they are on. */
static double parttime_off_share(const struct parttime *parttime)
{
	double turning = parttime->turn_ns / parttime_cpu_ns(parttime, PARTTIME_CYCLE_NS);

	return parttime_may_be_called(parttime) ? turning + parttime_closed_share(parttime) : turning;
}

/* `after_ns` 0: never. */
static void parttime_wake(const struct parttime *parttime, guint64 after_ns)
{
	const struct itimerspec when = { .it_value = { (time_t)(after_ns / NS_PER_S), (long)(after_ns % NS_PER_S) } };

	timerfd_settime(parttime->timer, 0, &when, NULL);
}

static void parttime_open(struct parttime *parttime, gboolean open)
{
	parttime->is_on = open;
	if (parttime->setup.open)
		__atomic_store_n(parttime->setup.open, open, __ATOMIC_RELEASE);
}

static void parttime_detach(struct parttime *parttime)
{
	int reason = errno;

	for (guint i = parttime->programs; i-- > 0;)
		bpf_link__destroy(g_steal_pointer(&parttime->links[i]));
	errno = reason;
}

static gboolean parttime_attach(struct parttime *parttime)
{
	for (guint i = 0; i < parttime->programs; i++) {
		if (parttime->links[i])
			continue;
		parttime->links[i] = kernel_btf_attach(parttime->setup.programs[i]);
		if (!parttime->links[i]) {
			parttime_detach(parttime);
			return FALSE;
		}
	}
	parttime_open(parttime, TRUE);
	return TRUE;
}

struct parttime *parttime_new(const struct parttime_setup *setup)
{
	struct parttime *parttime = g_new0(struct parttime, 1);

	parttime->setup = *setup;
	parttime->paces = paces_open(setup->object);
	while (parttime->programs < PARTTIME_PROGRAMS && setup->programs[parttime->programs])
		parttime->programs++;
	parttime->cpus = (double)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1); /* the kernel reads a file to say it: once */
	parttime->before = parttime->timed = paces_sum(parttime->paces);
	parttime->window_ns = PARTTIME_WINDOW_NS;
	parttime->factor = 1;
	parttime->one_in = 1;
	parttime->both = -1;
	parttime->cycle_ns = parttime->began_ns = parttime->since_ns = parttime->counted_ns = clock_monotonic_ns();
	parttime->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (parttime->paces && parttime->timer >= 0 && parttime_attach(parttime)) {
		if (setup->limit > 0) /* so that a machine that is busy already pays for one window, not for a second */
			parttime_wake(parttime, PARTTIME_WINDOW_NS);
		return parttime;
	}
	parttime_free(parttime);
	return NULL;
}

void parttime_free(struct parttime *parttime)
{
	int reason = errno;

	if (!parttime)
		return;
	parttime_detach(parttime);
	paces_close(parttime->paces);
	if (parttime->timer >= 0)
		close(parttime->timer);
	if (parttime->both >= 0)
		close(parttime->both);
	g_free(parttime);
	errno = reason;
}

int parttime_fd(const struct parttime *parttime)
{
	return parttime->timer;
}

int parttime_fd_with(struct parttime *parttime, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (fd < 0)
		return parttime->timer;
	parttime->both = epoll_create1(EPOLL_CLOEXEC);
	if (parttime->both < 0 || epoll_ctl(parttime->both, EPOLL_CTL_ADD, parttime->timer, &event) < 0 ||
	    epoll_ctl(parttime->both, EPOLL_CTL_ADD, fd, &event) < 0)
		return -1;
	return parttime->both;
}

gboolean parttime_is_on(const struct parttime *parttime)
{
	return parttime->is_on;
}

/* It is on again somewhere in the cycle that begins at `cycle_ns`. */
static void parttime_resume_in(struct parttime *parttime, guint64 cycle_ns)
{
	guint64 room_ns = PARTTIME_CYCLE_NS - 2 * PARTTIME_MARGIN_NS - parttime->window_ns;

	parttime->cycle_ns = cycle_ns;
	parttime->resume_ns = cycle_ns + PARTTIME_MARGIN_NS + (guint64)(g_random_double() * (double)room_ns);
}

gboolean parttime_step(struct parttime *parttime)
{
	guint64 now_ns = clock_monotonic_ns(), window_ns = now_ns - parttime->began_ns, expired;
	struct parttime_plan plan;
	struct pace pace;
	double share;

	if (parttime->is_over || (read(parttime->timer, &expired, sizeof(expired)) < 0 && errno != EAGAIN))
		return FALSE;
	if (!parttime->is_on)
		return now_ns >= parttime->resume_ns;
	if (parttime->setup.limit <= 0 || window_ns < parttime->window_ns)
		return FALSE;
	pace = paces_sum(parttime->paces);
	share = parttime_share(parttime, &pace, window_ns);
	plan = parttime_plan(share, parttime_off_share(parttime), parttime->setup.limit);
	parttime->began_ns = now_ns;
	parttime->before = pace;
	parttime->window_ns = plan.on_ns;
	if (plan.cycles == 0)
		return FALSE;
	parttime_resume_in(parttime, parttime->cycle_ns + plan.cycles * PARTTIME_CYCLE_NS);
	while (parttime->one_in * plan.on_ns < plan.cycles * PARTTIME_CYCLE_NS)
		parttime->one_in *= 2;
	return TRUE;
}

/* Time on is counted up to now. */
static void parttime_count(struct parttime *parttime)
{
	guint64 now_ns = clock_monotonic_ns();

	if (parttime->is_on)
		parttime->on_ns += now_ns - parttime->counted_ns;
	parttime->counted_ns = now_ns;
}

static void parttime_pause(struct parttime *parttime)
{
	parttime_count(parttime);
	parttime_open(parttime, FALSE);
	if (parttime->is_over || !parttime_may_be_called(parttime))
		parttime_detach(parttime);
}

void parttime_stop(struct parttime *parttime)
{
	parttime->is_over = TRUE;
	parttime_pause(parttime);
}

static gboolean parttime_resume(struct parttime *parttime)
{
	parttime_count(parttime);
	parttime->began_ns = parttime->counted_ns;
	parttime->before = paces_sum(parttime->paces);
	return parttime_attach(parttime);
}

gboolean parttime_turn(struct parttime *parttime)
{
	guint64 before_ns = clock_thread_ns();
	gboolean ok = TRUE;

	if (parttime->is_on) {
		parttime_pause(parttime);
	} else {
		ok = parttime_resume(parttime);
		if (!ok)
			parttime->resume_ns = parttime->began_ns + PARTTIME_CYCLE_NS;
	}
	parttime->turn_ns = parttime->turn_ns / 2 + (double)(clock_thread_ns() - before_ns);
	parttime_wake(parttime, parttime->is_on
					? parttime->window_ns
					: MAX(parttime->resume_ns, parttime->counted_ns + 1) - parttime->counted_ns);
	return ok;
}

/* The cycle begins when counts are taken, if one was about to begin or has just begun; not for who takes them more often. */
static void parttime_align(struct parttime *parttime)
{
	guint64 now_ns = parttime->counted_ns;

	if (parttime->is_over || now_ns < parttime->taken_ns + PARTTIME_CYCLE_NS / 2)
		return;
	parttime->taken_ns = now_ns;
	if (parttime->is_on) {
		if (now_ns >= parttime->cycle_ns + PARTTIME_CYCLE_NS / 2)
			parttime->cycle_ns = now_ns;
	} else if (now_ns + PARTTIME_CYCLE_NS / 2 >= parttime->cycle_ns) {
		parttime_resume_in(parttime, now_ns);
		parttime_wake(parttime, parttime->resume_ns - now_ns);
	}
}

void parttime_take(struct parttime *parttime)
{
	guint64 whole_ns;

	parttime_count(parttime);
	parttime_align(parttime);
	if (parttime->on_ns == 0)
		return;
	whole_ns = parttime->counted_ns - parttime->since_ns;
	parttime->factor = parttime->on_ns < whole_ns ? (double)whole_ns / (double)parttime->on_ns : 1;
	parttime->since_ns = parttime->counted_ns;
	parttime->on_ns = 0;
}

/* What is left of one bucket goes to the next, so that the sum is right however little is in each. */
void parttime_scale(struct parttime *parttime, struct histogram_counts *counts)
{
	if (parttime->factor == 1)
		return;
	counts->sum =
		(guint64)(gint64)((double)(gint64)counts->sum * parttime->factor); /* it may be less than before */
	counts->count = 0;
	for (guint i = 0; i < G_N_ELEMENTS(counts->buckets); i++) {
		double many = (double)counts->buckets[i] * parttime->factor;

		if (counts->buckets[i] == 0)
			continue;
		counts->buckets[i] = (guint64)(many + parttime->carry);
		parttime->carry += many - (double)counts->buckets[i];
		counts->count += counts->buckets[i];
	}
}

void parttime_account(const struct parttime *parttime, const char *what, struct ledger *ledger)
{
	if (parttime->one_in > 1)
		ledger_note(
			ledger,
			g_strdup_printf(
				"to stay within the budget (%.3g %% of the machine's CPU time) %s were looked at for "
				"part of the time only, down to one part in %u, each of which stands for as many: "
				"their numbers are estimates",
				100 * parttime->setup.limit, what, parttime->one_in));
}
