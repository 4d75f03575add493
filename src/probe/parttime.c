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
	struct bpf_program *programs[PARTTIME_PROGRAMS];
	struct bpf_link *links[PARTTIME_PROGRAMS]; /* [0] NULL: off */
	guint count;
	int timer;
	int both; /* epoll: the timer, and somebody else's descriptor; -1: none */
	double limit;
	guint64 run_ns;
	guint64 runs, began_ns; /* when the window began (CLOCK_MONOTONIC) */
	guint64 resume_ns; /* off: on again then */
	guint64 since_ns; /* the last take, or that before when nothing was heard between the two */
	guint64 on_ns, counted_ns; /* on since then, but for what came after this moment */
	double factor, carry;
	gboolean is_over;
	guint one_in; /* the least part of the time, a power of two: it is told */
};

guint64 parttime_pause_ns(guint64 window_ns, double share, double limit)
{
	if (limit <= 0 || share <= limit)
		return 0;
	return (guint64)MIN((double)window_ns * (share / limit - 1), (double)PARTTIME_PAUSE_MAX_NS);
}

/* `after_ns` 0: never. */
static void parttime_wake(const struct parttime *parttime, guint64 after_ns)
{
	const struct itimerspec when = { .it_value = { (time_t)(after_ns / NS_PER_S), (long)(after_ns % NS_PER_S) } };

	timerfd_settime(parttime->timer, 0, &when, NULL);
}

static void parttime_detach(struct parttime *parttime)
{
	int reason = errno;

	for (guint i = parttime->count; i-- > 0;)
		bpf_link__destroy(g_steal_pointer(&parttime->links[i]));
	errno = reason;
}

static gboolean parttime_attach(struct parttime *parttime)
{
	for (guint i = 0; i < parttime->count; i++) {
		parttime->links[i] = kernel_btf_attach(parttime->programs[i]);
		if (!parttime->links[i]) {
			parttime_detach(parttime);
			return FALSE;
		}
	}
	return TRUE;
}

struct parttime *parttime_new(struct bpf_program *const *programs, guint count, double limit, guint64 run_ns)
{
	struct parttime *parttime = g_new0(struct parttime, 1);

	g_return_val_if_fail(count <= PARTTIME_PROGRAMS, NULL);
	memcpy(parttime->programs, programs, count * sizeof(programs[0]));
	parttime->count = count;
	parttime->limit = limit;
	parttime->run_ns = run_ns;
	parttime->factor = 1;
	parttime->one_in = 1;
	parttime->both = -1;
	parttime->began_ns = parttime->since_ns = parttime->counted_ns = clock_monotonic_ns();
	parttime->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (parttime->timer >= 0 && parttime_attach(parttime)) {
		if (limit > 0) /* so that a machine that is busy already pays for one window, not for a second */
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
	return parttime->links[0] != NULL;
}

gboolean parttime_step(struct parttime *parttime, guint64 runs)
{
	guint64 now_ns = clock_monotonic_ns(), window_ns = now_ns - parttime->began_ns, expired, pause_ns;
	double share;

	if (parttime->is_over || (read(parttime->timer, &expired, sizeof(expired)) < 0 && errno != EAGAIN))
		return FALSE;
	if (!parttime->links[0]) {
		parttime->runs = runs;
		return now_ns >= parttime->resume_ns;
	}
	if (window_ns < PARTTIME_WINDOW_NS)
		return FALSE;
	share = (double)((runs - parttime->runs) * parttime->run_ns) /
		((double)window_ns * (double)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1));
	window_ns = MIN(window_ns, PARTTIME_WINDOW_NS); /* a flood may be over before a pause after a long one is */
	pause_ns = parttime_pause_ns(window_ns, share, parttime->limit);
	parttime->began_ns = now_ns;
	parttime->runs = runs;
	if (pause_ns == 0)
		return FALSE;
	parttime->resume_ns = now_ns + pause_ns;
	while (parttime->one_in < 1 + pause_ns / window_ns)
		parttime->one_in *= 2;
	return TRUE;
}

/* Time on is counted up to now. */
static void parttime_count(struct parttime *parttime)
{
	guint64 now_ns = clock_monotonic_ns();

	if (parttime->links[0])
		parttime->on_ns += now_ns - parttime->counted_ns;
	parttime->counted_ns = now_ns;
}

static void parttime_pause(struct parttime *parttime)
{
	parttime_count(parttime);
	parttime_detach(parttime);
}

void parttime_stop(struct parttime *parttime)
{
	parttime->is_over = TRUE;
	parttime_pause(parttime);
}

gboolean parttime_turn(struct parttime *parttime)
{
	if (parttime->links[0]) {
		parttime_pause(parttime);
		parttime_wake(parttime, MAX(parttime->resume_ns, parttime->counted_ns + 1) - parttime->counted_ns);
		return TRUE;
	}
	parttime_count(parttime);
	parttime->began_ns = parttime->counted_ns;
	if (!parttime_attach(parttime)) {
		parttime->resume_ns = parttime->began_ns + PARTTIME_PAUSE_MAX_NS;
		parttime_wake(parttime, PARTTIME_PAUSE_MAX_NS);
		return FALSE;
	}
	parttime_wake(parttime, PARTTIME_WINDOW_NS);
	return TRUE;
}

void parttime_take(struct parttime *parttime)
{
	guint64 whole_ns;

	parttime_count(parttime);
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
				100 * parttime->limit, what, parttime->one_in));
}
