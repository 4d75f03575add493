/* SPDX-License-Identifier: Apache-2.0 */
/* Programs on hooks so busy that they would cost more than their budget: on for part of the time only. What is counted then stands
 * for the whole time.
 *
 * Off they are by being told so (bpf/pace.bpf.h), where being called at all is cheap, else they are taken off their hooks: that and
 * the way back stop every CPU for a moment, some tenths of a millisecond each. So there is one stretch a cycle, a second, of as much
 * as the budget allows; one in a few cycles where turning would take most of it. Where in the cycle is by chance: much of what a
 * machine does it does once a second. A cycle begins when counts are taken (parttime_take), so that each reading has one. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "base/clock.h"
#include "model/histogram.h"
#include "model/ledger.h"
#include "probe/pace.h"

#define PARTTIME_PROGRAMS 2
#define PARTTIME_WINDOW_NS (50 * NS_PER_MS) /* it is on for so long at least */
#define PARTTIME_CYCLE_NS NS_PER_S
#define PARTTIME_CYCLES 3 /* one in so many at least */

/* Of every so many cycles it is on in one, once. */
struct parttime_plan {
	guint64 on_ns;
	guint cycles; /* 0: it need not be off */
};

/* For programs that take `share` of the machine's CPU time while they are on, and may take `limit` of all of it (0: any);
 * `off`: of that of a cycle, for having them off and on again. Pure: for tests. */
struct parttime_plan parttime_plan(double share, double off, double limit);

/* What a call of all `programs` together takes, by what was timed up to `now`, since `before`; 0: nothing was. Pure: for tests. */
double parttime_call_ns(const struct pace *now, const struct pace *before, guint programs);

struct parttime;

struct parttime_setup {
	struct bpf_program *programs
		[PARTTIME_PROGRAMS]; /* number 0 and so on to `object`; attached in that order; NULL behind the last */
	const struct bpf_object *object; /* which times itself; to outlive all this, as what follows */
	guint32 *open; /* where they look whether they are on; NULL: they do not */
	guint64 detour_ns; /* what being called costs besides */
	double limit; /* of the CPU time of all CPUs; 0: none */
};

/* Attaches them. NULL: errno says why. */
struct parttime *parttime_new(const struct parttime_setup *setup);
void parttime_free(struct parttime *parttime);
/* Readable when a step is due; owned by it. */
int parttime_fd(const struct parttime *parttime);
/* Readable when a step is due, or `fd` (-1: nothing else) is; owned by it. -1: errno says why. To be called once. */
int parttime_fd_with(struct parttime *parttime, int fd);
/* To be called when that is readable, and now and then. TRUE: it should be turned (parttime_turn). */
gboolean parttime_step(struct parttime *parttime);
/* On to off and back. FALSE: they cannot be attached again (errno), and stay off. */
gboolean parttime_turn(struct parttime *parttime);
/* Off for good. */
void parttime_stop(struct parttime *parttime);
gboolean parttime_is_on(const struct parttime *parttime);
/* What was counted since the last call, in a part of the time, as what it would have been in all of it. To be called for all
 * that is counted, between parttime_take and the next. */
void parttime_take(struct parttime *parttime);
void parttime_scale(struct parttime *parttime, struct histogram_counts *counts);
/* For how much of the time it was on, always in the same words: `what` was looked at. */
void parttime_account(const struct parttime *parttime, const char *what, struct ledger *ledger);
