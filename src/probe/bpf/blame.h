/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who made whom wait: what both halves of the blame probes share. Waiters and culprits are rows of a table (table.h). */
#pragma once
#include "shared.h"

/* Culprits that are no rows. */
#define BLAME_IDLE 0xffffU /* nobody: the CPU was leaving its sleep, or slept although somebody waited */
#define BLAME_QUOTA 0xfffeU /* nobody was allowed to: the waiter's own quota was used up */
#define BLAME_OLDER 0xfffdU /* longer ago than the CPU's memory reaches */
#define BLAME_ELSEWHERE 0xfffcU /* waited on another CPU before it was moved */
#define BLAME_OTHERS 0xfffbU /* somebody who could not be told apart */
#define BLAME_ROWS_MAX 0xfff0U

struct blame_key {
	__u16 waiter, culprit;
};

struct blame_sum {
	__u64 ns;
	__u64 waits; /* in how many waits it had a part */
};
