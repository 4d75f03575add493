/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/budget.h"

#include <bpf/bpf.h>
#include <math.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "probe/cost.h"

#define BUDGET_WINDOW_NS (20 * NS_PER_MS) /* statistics are on at least so long … */
#define BUDGET_PAUSE_NS NS_PER_S /* … and off so long, unless it costs too much */
#define BUDGET_SAME 0.2 /* shares that differ by less are the same: looking at fewer did not help */
#define BUDGET_ROOM 0.4 /* below this share of the limit twice as many events are looked at */

struct budget {
	struct bpf_object *object;
	double limit; /* of the CPU time of all CPUs */
	int map; /* one_in; -1: the kernel half cannot */
	guint32 one_in, most_one_in;
	int statistics; /* open: a window is on; -1 */
	guint64 began_ns, next_ns; /* CLOCK_MONOTONIC */
	guint64 ran_ns; /* when the window began */
	guint64 cost_ns, watched_ns; /* in all windows */
	double most; /* share in a window */
	double raised_at; /* share that made `one_in` what it is; 0: none */
	gboolean is_refused; /* no statistics */
};

guint32 budget_next(guint32 one_in, double share, double limit)
{
	if (share > limit)
		return (guint32)MIN(ceil(one_in * share / limit), (double)BUDGET_ONE_IN_MAX);
	if (share < limit * BUDGET_ROOM && one_in > 1)
		return one_in / 2;
	return one_in;
}

struct budget *budget_new(struct bpf_object *object, double limit)
{
	struct budget *budget = g_new0(struct budget, 1);

	budget->object = object;
	budget->limit = limit > 0 ? limit : BUDGET_SHARE;
	budget->map = bpf_object__find_map_fd_by_name(object, "budget_one_in");
	budget->one_in = budget->most_one_in = 1;
	budget->statistics = -1;
	return budget;
}

void budget_free(struct budget *budget)
{
	if (budget && budget->statistics >= 0)
		close(budget->statistics);
	g_free(budget);
}

static guint64 budget_ran_ns(const struct budget *budget)
{
	struct bpf_program *program;
	guint64 ns = 0;

	bpf_object__for_each_program(program, budget->object)
	{
		struct bpf_prog_info info = { 0 };
		guint32 size = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
			ns += info.run_time_ns;
	}
	return ns;
}

static void budget_begin_window(struct budget *budget)
{
	budget->statistics = cost_enable(NULL);
	budget->is_refused = budget->statistics < 0;
	budget->ran_ns = budget_ran_ns(budget);
	budget->began_ns = clock_monotonic_ns();
}

static void budget_set(struct budget *budget, guint32 one_in)
{
	guint32 zero = 0;

	if (budget->map < 0 || one_in == budget->one_in ||
	    bpf_map_update_elem(budget->map, &zero, &one_in, BPF_ANY) != 0)
		return;
	budget->one_in = one_in;
	budget->most_one_in = MAX(budget->most_one_in, one_in);
}

/* Being called at all costs something that sampling cannot save: where that alone is above the limit, more of it would only
 * make the result worse. */
static guint32 budget_choose(struct budget *budget, double share)
{
	guint32 next = budget_next(budget->one_in, share, budget->limit);

	if (next > budget->one_in && fabs(share - budget->raised_at) < BUDGET_SAME * budget->raised_at)
		return budget->one_in;
	if (next != budget->one_in)
		budget->raised_at = next > budget->one_in ? share : 0;
	return next;
}

static void budget_end_window(struct budget *budget, guint64 now_ns)
{
	guint64 cost_ns = budget_ran_ns(budget) - budget->ran_ns;
	guint64 machine_ns = (now_ns - budget->began_ns) * (guint64)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
	double share = (double)cost_ns / (double)MAX(machine_ns, 1);

	close(budget->statistics);
	budget->statistics = -1;
	budget->cost_ns += cost_ns;
	budget->watched_ns += machine_ns;
	budget->most = MAX(budget->most, share);
	budget_set(budget, budget_choose(budget, share));
	budget->next_ns = share > budget->limit ? now_ns : now_ns + BUDGET_PAUSE_NS;
}

void budget_step(struct budget *budget)
{
	guint64 now_ns = clock_monotonic_ns();

	if (budget->is_refused)
		return;
	if (budget->statistics >= 0 && now_ns - budget->began_ns >= BUDGET_WINDOW_NS)
		budget_end_window(budget, now_ns);
	if (budget->statistics < 0 && now_ns >= budget->next_ns)
		budget_begin_window(budget);
}

void budget_account(const struct budget *budget, struct ledger *ledger)
{
	if (budget->most_one_in > 1)
		ledger_note(ledger,
			    g_strdup_printf(
				    "to stay within the budget (%.3g %% of the machine's CPU time) only some of the "
				    "events were looked at, each of which stands for as many: counts are "
				    "estimates",
				    100 * budget->limit));
	else if (budget->most > budget->limit && budget->map < 0)
		ledger_note(ledger, g_strdup("above its budget, and this probe cannot look at fewer events"));
}

void budget_account_cost(const struct budget *budget, struct ledger *ledger)
{
	double share = budget->watched_ns ? (double)budget->cost_ns / (double)budget->watched_ns : 0;

	if (budget->watched_ns > 0 && budget->most > budget->limit / 2)
		ledger_note(ledger,
			    g_strdup_printf(
				    "cost: %.2f %% of the machine's CPU time, %.2f %% at most (budget %.3g %%); one "
				    "event in up to %u looked at",
				    100 * share, 100 * budget->most, 100 * budget->limit, budget->most_one_in));
}
