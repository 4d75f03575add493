/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/allowance.h"

#include <bpf/bpf.h>
#include <math.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "probe/pace.h"

#define ALLOWANCE_SOON_NS (20 * NS_PER_MS) /* at first and while it costs too much it is judged after so long … */
#define ALLOWANCE_WINDOW_NS NS_PER_S /* … else after so long */
#define ALLOWANCE_TIMED_ENOUGH 256 /* calls: by fewer it is judged only after the latter */
#define ALLOWANCE_TIMED_FIRST 16 /* before so many it is not known what a call takes */
#define ALLOWANCE_TIMED_AGAIN 64 /* after so many more it is reckoned anew */
#define ALLOWANCE_SAME 0.2 /* shares that differ by less are the same: looking at fewer did not help */
#define ALLOWANCE_ROOM 0.4 /* below this share of the limit twice as many events are looked at */

struct allowance {
	struct paces *paces; /* NULL: not known */
	double limit; /* of the CPU time of all CPUs */
	double cpus;
	int map; /* one_in; -1: the kernel half cannot */
	guint32 one_in, most_one_in, least_kept;
	struct pace before; /* when the window began */
	guint64 began_ns, window_ns; /* CLOCK_MONOTONIC; how long it lasts at least */
	double call_ns; /* what a run takes, of all programs; 0: not known yet */
	struct pace called; /* since then it is reckoned anew */
	guint64 cost_ns, watched_ns; /* in all windows; of all CPUs */
	double most; /* share in a window */
	double raised_at; /* share that made `one_in` what it is; 0: none */
};

guint32 allowance_next(guint32 one_in, double share, double limit)
{
	if (share > limit)
		return (guint32)MIN(ceil(one_in * share / limit), (double)ALLOWANCE_ONE_IN_MAX);
	if (share < limit * ALLOWANCE_ROOM && one_in > 1)
		return one_in / 2;
	return one_in;
}

struct allowance *allowance_new(const struct bpf_object *object, double limit)
{
	struct allowance *allowance = g_new0(struct allowance, 1);

	allowance->paces = paces_open(object);
	allowance->limit = limit > 0 ? limit : ALLOWANCE_SHARE;
	allowance->cpus = (double)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
	allowance->map = bpf_object__find_map_fd_by_name(object, "budget_one_in");
	allowance->one_in = allowance->most_one_in = 1;
	allowance->least_kept = ALLOWANCE_ONE_IN_MAX;
	allowance->before = allowance->called = paces_sum(allowance->paces);
	allowance->began_ns = clock_monotonic_ns();
	allowance->window_ns = ALLOWANCE_SOON_NS;
	return allowance;
}

void allowance_delay(struct allowance *allowance)
{
	allowance->window_ns = ALLOWANCE_WINDOW_NS;
}

void allowance_keep(struct allowance *allowance, guint32 one_in)
{
	allowance->least_kept = one_in;
}

void allowance_free(struct allowance *allowance)
{
	if (!allowance)
		return;
	paces_close(allowance->paces);
	g_free(allowance);
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
	allowance->called = paces_sum(allowance->paces); /* a run takes more or less from now on */
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

/* Programs that run seldom are timed seldom: what a run takes is reckoned over more than a window then. */
static void allowance_learn(struct allowance *allowance, const struct pace *now)
{
	struct pace_spent spent = pace_spent(now, &allowance->called);

	if (spent.timed < (allowance->call_ns > 0 ? ALLOWANCE_TIMED_AGAIN : ALLOWANCE_TIMED_FIRST))
		return;
	allowance->call_ns = (double)spent.ns / (double)spent.runs;
	allowance->called = *now;
}

/* What so many runs took since the window began goes into the sum. Its share of the machine. */
static double allowance_take(struct allowance *allowance, guint64 runs, guint64 elapsed_ns)
{
	double cost_ns = (double)runs * allowance->call_ns, machine_ns = (double)elapsed_ns * allowance->cpus;
	double share = cost_ns / machine_ns;

	allowance->cost_ns += (guint64)cost_ns;
	allowance->watched_ns += (guint64)machine_ns;
	allowance->most = MAX(allowance->most, share);
	return share;
}

void allowance_step(struct allowance *allowance)
{
	guint64 now_ns = clock_monotonic_ns();
	struct pace_spent spent;
	struct pace now;
	double share;

	if (!allowance || !allowance->paces || now_ns - allowance->began_ns < allowance->window_ns)
		return;
	now = paces_sum(allowance->paces);
	spent = pace_spent(&now, &allowance->before);
	if (spent.timed < ALLOWANCE_TIMED_ENOUGH && now_ns - allowance->began_ns < ALLOWANCE_WINDOW_NS)
		return;
	allowance_learn(allowance, &now);
	if (allowance->call_ns <= 0)
		return;
	share = allowance_take(allowance, spent.runs, now_ns - allowance->began_ns);
	allowance_set(allowance, allowance_choose(allowance, share));
	allowance->before = now;
	allowance->began_ns = now_ns;
	allowance->window_ns =
		share > allowance->limit && allowance->map >= 0 ? ALLOWANCE_SOON_NS : ALLOWANCE_WINDOW_NS;
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
	else if (!allowance->paces)
		ledger_note(ledger, g_strdup("what its programs cost could not be read: no budget was kept"));
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
