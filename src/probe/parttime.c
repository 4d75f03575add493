/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/parttime.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "probe/kernel_btf.h"

struct parttime {
	struct bpf_program *program;
	struct bpf_link *link; /* NULL: off */
	int timer;
	double limit;
	guint64 run_ns;
	guint64 runs, began_ns; /* when the window began (CLOCK_MONOTONIC) */
	guint64 resume_ns; /* off: on again then */
	guint64 since_ns; /* the last take, or that before when nothing was heard between the two */
	guint64 on_ns, counted_ns; /* on since then, but for what came after this moment */
	double factor, carry;
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

struct parttime *parttime_new(struct bpf_program *program, double limit, guint64 run_ns)
{
	struct parttime *parttime = g_new0(struct parttime, 1);

	parttime->program = program;
	parttime->limit = limit;
	parttime->run_ns = run_ns;
	parttime->factor = 1;
	parttime->one_in = 1;
	parttime->began_ns = parttime->since_ns = parttime->counted_ns = clock_monotonic_ns();
	parttime->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (parttime->timer >= 0)
		parttime->link = kernel_btf_attach(program);
	if (parttime->link)
		return parttime;
	parttime_free(parttime);
	return NULL;
}

void parttime_free(struct parttime *parttime)
{
	int reason = errno;

	if (!parttime)
		return;
	bpf_link__destroy(parttime->link);
	if (parttime->timer >= 0)
		close(parttime->timer);
	g_free(parttime);
	errno = reason;
}

int parttime_fd(const struct parttime *parttime)
{
	return parttime->timer;
}

gboolean parttime_is_on(const struct parttime *parttime)
{
	return parttime->link != NULL;
}

gboolean parttime_step(struct parttime *parttime, guint64 runs)
{
	guint64 now_ns = clock_monotonic_ns(), window_ns = now_ns - parttime->began_ns, expired, pause_ns;
	double share;

	if (read(parttime->timer, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		return FALSE;
	if (!parttime->link) {
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

	if (parttime->link)
		parttime->on_ns += now_ns - parttime->counted_ns;
	parttime->counted_ns = now_ns;
}

void parttime_stop(struct parttime *parttime)
{
	parttime_count(parttime);
	bpf_link__destroy(g_steal_pointer(&parttime->link));
}

gboolean parttime_turn(struct parttime *parttime)
{
	if (parttime->link) {
		parttime_stop(parttime);
		parttime_wake(parttime, MAX(parttime->resume_ns, parttime->counted_ns + 1) - parttime->counted_ns);
		return TRUE;
	}
	parttime_count(parttime);
	parttime->began_ns = parttime->counted_ns;
	parttime->link = kernel_btf_attach(parttime->program);
	if (!parttime->link) {
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
	if (parttime->factor == 1 || counts->count == 0)
		return;
	counts->sum = (guint64)((double)counts->sum * parttime->factor);
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
