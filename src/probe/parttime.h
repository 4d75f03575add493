/* SPDX-License-Identifier: Apache-2.0 */
/* Programs on hooks so busy that being called is what they cost: attached for part of the time only, as soon as all of it is
 * more than their budget. Nothing is paid in between. What it counts stands for the whole time. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "base/clock.h"
#include "model/histogram.h"
#include "model/ledger.h"

#define PARTTIME_WINDOW_NS (50 * NS_PER_MS) /* it is on for so long at least … */
#define PARTTIME_PAUSE_MAX_NS (2 * NS_PER_S) /* … and off for so long at most */

/* How long a program must be off that was on for `window_ns` and took `share` of the machine's CPU time meanwhile, to take at
 * most `limit` of both together; 0: it need not. Pure: for tests. */
guint64 parttime_pause_ns(guint64 window_ns, double share, double limit);

struct parttime;

/* Attaches `programs`, in that order, of which a run of all together takes `run_ns`. `limit`: of the CPU time of all CPUs; 0: none.
 * NULL: errno says why. */
#define PARTTIME_PROGRAMS 2
struct parttime *parttime_new(struct bpf_program *const *programs, guint count, double limit, guint64 run_ns);
void parttime_free(struct parttime *parttime);
/* Readable when a step is due; owned by it. */
int parttime_fd(const struct parttime *parttime);
/* Readable when a step is due, or `fd` (-1: nothing else) is; owned by it. -1: errno says why. To be called once. */
int parttime_fd_with(struct parttime *parttime, int fd);
/* To be called when that is readable, and now and then: `runs` there were so far. TRUE: it should be turned (parttime_turn). */
gboolean parttime_step(struct parttime *parttime, guint64 runs);
/* On to off and back. FALSE: it cannot be attached again (errno), and stays off. */
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
