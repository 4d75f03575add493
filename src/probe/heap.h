/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Heap allocations, by uprobes on the allocators' functions; weight = bytes.
 *
 * The estimator: an allocation of s bytes is looked at with the chance s / R (R: request's sample_bytes), always when
 * s ≥ R, and then stands for max(s, R) bytes. So the expected weight of each allocation is s, whatever its size and whatever
 * the others do: sums over any group of allocations are unbiased. Their standard deviation is at most sqrt(R × sum).
 * Above the budget R is larger for a while (bpf/budget.bpf.h), which changes nothing of that.
 * An allocation that was looked at is followed until it is freed, so what is still allocated is estimated in the same way. */
#pragma once
#include "bpf/shared.h"

#define HEAP_SAMPLE_BYTES (512 << 10) /* R when the request says 0 */
#define HEAP_LIVE 262144 /* allocations followed at once */
#define HEAP_ENDS 16384 /* processes that ended or exec'ed and were not cleared away yet */

/* What an allocator's function does, = attach cookie of the program at it. */
enum heap_call {
	HEAP_TRY = 0, /* none: fathom tries what a call costs */
	HEAP_MALLOC = 1, /* (size) → address */
	HEAP_CALLOC = 2, /* (count, size) → address */
	HEAP_REALLOC = 3, /* (address, size) → address */
	HEAP_ALIGNED = 4, /* (alignment, size) → address */
	HEAP_POSIX_MEMALIGN = 5, /* (address *, alignment, size) → 0 */
	HEAP_FREE = 6, /* (address) */
	HEAP_CALLS = 7,
};

/* One life of a process: until it ends or calls execve. */
struct heap_process {
	__u32 tgid;
	__u32 life;
};

struct heap_place {
	__u64 address;
	struct heap_process process;
};

/* An allocation that is followed. */
struct heap_block {
	__u32 id; /* of its record in the ring of stacks */
	__u32 pad;
	__u64 weight; /* bytes it stands for */
};

struct heap_count { /* one for each CPU */
	__u64 calls; /* of functions that allocate; the programs ran twice for each */
	__u64 frees; /* the programs ran once for each */
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_heap;
#endif
