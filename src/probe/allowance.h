/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel half may cost, as a share of the CPU time of the whole machine. What it does cost it says itself (pace.h): no right is
 * needed for that, and nobody else pays for it. Above the budget the kernel half is told to look at one event in so many
 * (bpf/budget.bpf.h), and again at more when there is room. Kernel halves that cannot do that go on; the ledger says so. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "model/ledger.h"

#define ALLOWANCE_SHARE 0.05 /* when nobody says otherwise */
#define ALLOWANCE_ONE_IN_MAX 1024

/* The next number after one in `one_in` cost `share`. Pure: for tests. */
guint32 allowance_next(guint32 one_in, double share, double limit);

struct allowance; /* NULL, for all functions below: nothing is measured, everything is looked at */

/* After loading. `limit` 0: ALLOWANCE_SHARE. Never NULL. */
struct allowance *allowance_new(const struct bpf_object *object, double limit);
void allowance_free(struct allowance *allowance);
/* Judges for the first time after a second, not as soon as it can: what comes first is dearer than what follows. */
void allowance_delay(struct allowance *allowance);
/* Looks at one event in `one_in` (a power of two) and no fewer: where what is left then is the cost of being called. */
void allowance_keep(struct allowance *allowance, guint32 one_in);
/* To be called some ten times a second; less often, a flood is noticed later. */
void allowance_step(struct allowance *allowance);
/* How many events one stands for now, and stood for at most; the budget as a share of the machine's CPU time. */
guint32 allowance_one_in(const struct allowance *allowance);
guint32 allowance_most_one_in(const struct allowance *allowance);
double allowance_limit(const struct allowance *allowance);
/* Whether it was sampled, always in the same words. */
void allowance_account(const struct allowance *allowance, struct ledger *ledger);
/* At the end: what it cost, unless that was far below the budget. */
void allowance_account_cost(const struct allowance *allowance, struct ledger *ledger);
