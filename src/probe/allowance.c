/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/allowance.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "probe/cost.h"

#define ALLOWANCE_WINDOW_NS (20 * NS_PER_MS) /* statistics are on at least so long … */
#define ALLOWANCE_PAUSE_NS NS_PER_S /* … and off so long, unless it costs too much */
/* Where nothing waits for the answer, or who watches for ever is patient. */
#define ALLOWANCE_PAUSE_MAX_NS (16 * NS_PER_S)
#define ALLOWANCE_SAME 0.2 /* shares that differ by less are the same: looking at fewer did not help */
#define ALLOWANCE_ROOM 0.4 /* below this share of the limit twice as many events are looked at */

#define ALLOWANCE_CLOCK_TRIES 5
#define ALLOWANCE_CLOCK_READS 100
#define ALLOWANCE_TOLD_PART 4

struct allowance_ran {
	guint64 ns, runs;
};

struct allowance {
	struct bpf_object *object;
	double limit; /* of the CPU time of all CPUs */
	int map; /* one_in; -1: the kernel half cannot */
	guint32 one_in, most_one_in, least_kept;
	int statistics; /* open: a window is on; -1 */
	guint64 began_ns, next_ns; /* CLOCK_MONOTONIC */
	guint64 pause_ns; /* between windows */
	struct allowance_ran ran; /* when the window began */
	double measuring_ns; /* what statistics add to the time of a run */
	guint64 cost_ns, watched_ns; /* in all windows */
	double most; /* share in a window */
	double raised_at; /* share that made `one_in` what it is; 0: none */
	gboolean is_refused; /* no statistics */
	gboolean is_patient;
	int timer; /* a window should end; -1: nobody waits */
	int both; /* epoll: the timer, and somebody else's descriptor */
};

guint32 allowance_next(guint32 one_in, double share, double limit)
{
	if (share > limit)
		return (guint32)MIN(ceil(one_in * share / limit), (double)ALLOWANCE_ONE_IN_MAX);
	if (share < limit * ALLOWANCE_ROOM && one_in > 1)
		return one_in / 2;
	return one_in;
}

/* What reading the clock takes: the kernel reads it before and after each run while statistics are on, and one of the two
 * readings is in the time it tells. */
static double allowance_clock_ns(void)
{
	guint64 least_ns = G_MAXUINT64;

	for (guint i = 0; i < ALLOWANCE_CLOCK_TRIES; i++) {
		guint64 began_ns = clock_monotonic_ns(), ended_ns = began_ns;

		for (guint read = 0; read < ALLOWANCE_CLOCK_READS; read++)
			ended_ns = clock_monotonic_ns();
		least_ns = MIN(least_ns, ended_ns - began_ns);
	}
	return (double)least_ns / ALLOWANCE_CLOCK_READS;
}

guint64 allowance_cost_ns(guint64 told_ns, guint64 runs, double measuring_ns)
{
	double added_ns = (double)runs * measuring_ns;

	/* The estimate may be wrong, a program never takes next to nothing. */
	return MAX((guint64)MAX((double)told_ns - added_ns, 0), told_ns / ALLOWANCE_TOLD_PART);
}

struct allowance *allowance_new(struct bpf_object *object, double limit)
{
	struct allowance *allowance = g_new0(struct allowance, 1);

	allowance->object = object;
	allowance->limit = limit > 0 ? limit : ALLOWANCE_SHARE;
	allowance->map = bpf_object__find_map_fd_by_name(object, "budget_one_in");
	allowance->one_in = allowance->most_one_in = 1;
	allowance->least_kept = ALLOWANCE_ONE_IN_MAX;
	allowance->measuring_ns = allowance_clock_ns();
	allowance->statistics = allowance->timer = allowance->both = -1;
	allowance->pause_ns = ALLOWANCE_PAUSE_NS;
	return allowance;
}

void allowance_delay(struct allowance *allowance)
{
	allowance->next_ns = clock_monotonic_ns() + ALLOWANCE_PAUSE_NS;
}

void allowance_keep(struct allowance *allowance, guint32 one_in)
{
	allowance->least_kept = one_in;
}

void allowance_be_rare(struct allowance *allowance)
{
	allowance->is_patient = TRUE;
}

int allowance_be_patient(struct allowance *allowance, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	allowance_be_rare(allowance);
	allowance->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	allowance->both = epoll_create1(EPOLL_CLOEXEC);
	if (allowance->timer < 0 || allowance->both < 0 ||
	    epoll_ctl(allowance->both, EPOLL_CTL_ADD, allowance->timer, &event) < 0 ||
	    (fd >= 0 && epoll_ctl(allowance->both, EPOLL_CTL_ADD, fd, &event) < 0))
		return -1;
	return allowance->both;
}

void allowance_free(struct allowance *allowance)
{
	const int fds[] = { allowance ? allowance->statistics : -1, allowance ? allowance->timer : -1,
			    allowance ? allowance->both : -1 };
	int reason = errno;

	for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	g_free(allowance);
	errno = reason;
}

static struct allowance_ran allowance_ran(const struct allowance *allowance)
{
	struct bpf_program *program;
	guint64 ns = 0, runs = 0;

	bpf_object__for_each_program(program, allowance->object)
	{
		struct bpf_prog_info info = { 0 };
		guint32 size = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
			ns += info.run_time_ns;
			runs += info.run_cnt;
		}
	}
	return (struct allowance_ran){ ns, runs };
}

static void allowance_begin_window(struct allowance *allowance)
{
	static const struct itimerspec window = { .it_value = { .tv_nsec = ALLOWANCE_WINDOW_NS } };

	allowance->statistics = cost_enable(NULL);
	allowance->is_refused = allowance->statistics < 0;
	allowance->ran = allowance_ran(allowance);
	allowance->began_ns = clock_monotonic_ns();
	if (allowance->timer >= 0 && !allowance->is_refused)
		timerfd_settime(allowance->timer, 0, &window, NULL);
}

/* `at_least` or a little more: a power of two (bpf/budget.bpf.h). */
static void allowance_set(struct allowance *allowance, guint32 at_least)
{
	guint32 zero = 0, one_in = 1;

	while (one_in < at_least && one_in < allowance->least_kept)
		one_in *= 2;
	if (allowance->map < 0 || one_in == allowance->one_in ||
	    bpf_map_update_elem(allowance->map, &zero, &one_in, BPF_ANY) != 0)
		return;
	allowance->one_in = one_in;
	allowance->most_one_in = MAX(allowance->most_one_in, one_in);
}

/* Being called at all costs something that sampling cannot save: where that alone is above the limit, more of it would only
 * make the result worse. */
static guint32 allowance_choose(struct allowance *allowance, double share)
{
	guint32 next = allowance_next(allowance->one_in, share, allowance->limit);

	if (next > allowance->one_in && fabs(share - allowance->raised_at) < ALLOWANCE_SAME * allowance->raised_at)
		return allowance->one_in;
	if (next != allowance->one_in)
		allowance->raised_at = next > allowance->one_in ? share : 0;
	return next;
}

static void allowance_end_window(struct allowance *allowance, guint64 now_ns)
{
	struct allowance_ran now = allowance_ran(allowance);
	guint64 cost_ns =
		allowance_cost_ns(now.ns - allowance->ran.ns, now.runs - allowance->ran.runs, allowance->measuring_ns);
	guint64 machine_ns = (now_ns - allowance->began_ns) * (guint64)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
	double share = (double)cost_ns / (double)MAX(machine_ns, 1);

	close(allowance->statistics);
	allowance->statistics = -1;
	allowance->cost_ns += cost_ns;
	allowance->watched_ns += machine_ns;
	allowance->most = MAX(allowance->most, share);
	allowance_set(allowance, allowance_choose(allowance, share));
	allowance->next_ns = share > allowance->limit && allowance->map >= 0 ? now_ns : now_ns + allowance->pause_ns;
	/* Turning statistics on and off rewrites the kernel's code: 0.2 ms. */
	if (allowance->map < 0 || (allowance->is_patient && share < allowance->limit * ALLOWANCE_ROOM))
		allowance->pause_ns = MIN(allowance->pause_ns * 2, (guint64)ALLOWANCE_PAUSE_MAX_NS);
	else
		allowance->pause_ns = ALLOWANCE_PAUSE_NS;
}

void allowance_step(struct allowance *allowance)
{
	guint64 now_ns = clock_monotonic_ns(), expired;

	if (!allowance || allowance->is_refused ||
	    (allowance->timer >= 0 && read(allowance->timer, &expired, sizeof(expired)) < 0 && errno != EAGAIN))
		return;
	if (allowance->statistics >= 0 && now_ns - allowance->began_ns >= ALLOWANCE_WINDOW_NS)
		allowance_end_window(allowance, now_ns);
	if (allowance->statistics < 0 && now_ns >= allowance->next_ns)
		allowance_begin_window(allowance);
}

guint32 allowance_one_in(const struct allowance *allowance)
{
	return allowance ? allowance->one_in : 1;
}

guint32 allowance_most_one_in(const struct allowance *allowance)
{
	return allowance ? allowance->most_one_in : 1;
}

double allowance_limit(const struct allowance *allowance)
{
	return allowance ? allowance->limit : ALLOWANCE_SHARE;
}

void allowance_account(const struct allowance *allowance, struct ledger *ledger)
{
	if (!allowance)
		return;
	if (allowance->most_one_in > 1)
		ledger_note(ledger,
			    g_strdup_printf(
				    "to stay within the budget (%.3g %% of the machine's CPU time) only some of the "
				    "events were looked at, down to one in %u, each of which stands for as many: "
				    "counts are estimates",
				    100 * allowance->limit, allowance->most_one_in));
	else if (allowance->most > allowance->limit && allowance->map < 0)
		ledger_note(ledger, g_strdup("above its budget, and this probe cannot look at fewer events"));
}

void allowance_account_cost(const struct allowance *allowance, struct ledger *ledger)
{
	double share;

	if (!allowance || !allowance->watched_ns)
		return;
	share = (double)allowance->cost_ns / (double)allowance->watched_ns;
	if (allowance->most > allowance->limit / 2)
		ledger_note(ledger, g_strdup_printf("cost: %.2f %% of the machine's CPU time, %.2f %% at most (budget "
						    "%.3g %%)",
						    100 * share, 100 * allowance->most, 100 * allowance->limit));
}
