/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel half may cost, as a share of the CPU time of the whole machine. Its cost is the kernel's own measure (BPF
 * statistics), which is on for a moment every second only, since it makes every program on the machine some 40 ns a run
 * slower; what it adds to the time it tells itself is taken off again. Above the budget the kernel half is told to look at one event in so many (bpf/budget.bpf.h), and again at more when
 * there is room. Kernel halves that cannot do that go on; the ledger says so. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "model/ledger.h"

#define ALLOWANCE_SHARE 0.05 /* when nobody says otherwise */
#define ALLOWANCE_ONE_IN_MAX 1024

/* The next number after one in `one_in` cost `share`. Pure: for tests. */
guint32 allowance_next(guint32 one_in, double share, double limit);

/* Of `told_ns` in so many runs, what they take while nobody measures. Pure: for tests. */
guint64 allowance_cost_ns(guint64 told_ns, guint64 runs, double measuring_ns);

struct allowance; /* NULL, for all functions below: nothing is measured, everything is looked at */

/* After loading. `limit` 0: ALLOWANCE_SHARE. Never NULL. */
struct allowance *allowance_new(struct bpf_object *object, double limit);
void allowance_free(struct allowance *allowance);
/* Measures for the first time in a second, not at once: for probes that cannot look at fewer events. */
void allowance_delay(struct allowance *allowance);
/* Looks at one event in `one_in` (a power of two) and no fewer: where what is left then is the cost of being called. */
void allowance_keep(struct allowance *allowance, guint32 one_in);
/* As long as there is room, measures less and less often: for who watches for ever. A flood may take 16 s to be noticed. Who
 * waits for `fd` (-1: nothing else) waits for what is returned, too, which is readable when a measurement should end: else it
 * would go on until the next step, and every program on the machine pays for that. Owned by it; -1: errno says why. To be
 * called once. */
int allowance_be_patient(struct allowance *allowance, int fd);
/* The first half of that: for probes that take a step many times a second of themselves. */
void allowance_be_rare(struct allowance *allowance);
/* To be called some ten times a second. */
void allowance_step(struct allowance *allowance);
/* How many events one stands for now, and stood for at most; the budget as a share of the machine's CPU time. */
guint32 allowance_one_in(const struct allowance *allowance);
guint32 allowance_most_one_in(const struct allowance *allowance);
double allowance_limit(const struct allowance *allowance);
/* Whether it was sampled, always in the same words. */
void allowance_account(const struct allowance *allowance, struct ledger *ledger);
/* At the end: what it cost, unless that was far below the budget. */
void allowance_account_cost(const struct allowance *allowance, struct ledger *ledger);
