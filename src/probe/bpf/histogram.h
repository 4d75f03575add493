/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bucket of a value, the same as model/histogram.c's (where the bounds are explained); compiles on both sides, so
 * that user space can test it. */
#pragma once
#include <linux/types.h>

#define HISTOGRAM_CELLS 48 /* = HISTOGRAM_BUCKETS */

#define HISTOGRAM_INLINE static inline __attribute__((always_inline))

/* Upper bounds of buckets 0 … 46 for nanoseconds: 2^(i % 10) · 1000^(i / 10); what lies above is in the last. */
#define HISTOGRAM_TEN(thousands)                                                                                       \
	(thousands), 2 * (thousands), 4 * (thousands), 8 * (thousands), 16 * (thousands), 32 * (thousands),            \
		64 * (thousands), 128 * (thousands), 256 * (thousands), 512 * (thousands)

static const __u64 histogram_ns_low[HISTOGRAM_CELLS] = {
	HISTOGRAM_TEN(1ULL), HISTOGRAM_TEN(1000ULL), HISTOGRAM_TEN(1000000ULL), HISTOGRAM_TEN(1000000000ULL),
	1000000000000ULL,    2000000000000ULL,	     4000000000000ULL,		8000000000000ULL,
	16000000000000ULL,   32000000000000ULL,	     64000000000000ULL,		128000000000000ULL,
};

/* The place of the highest bit set; 0 for 0. By halves: BPF has no instruction for it. */
HISTOGRAM_INLINE __u32 histogram_log2(__u64 value)
{
	__u32 low = (__u32)value, high = (__u32)(value >> 32), log = 0;

	if (high) {
		low = high;
		log = 32;
	}
	if (low >> 16) {
		low >>= 16;
		log += 16;
	}
	if (low >> 8) {
		low >>= 8;
		log += 8;
	}
	if (low >> 4) {
		low >>= 4;
		log += 4;
	}
	if (low >> 2) {
		low >>= 2;
		log += 2;
	}
	return log + (low >> 1);
}

/* Bytes and counts. */
HISTOGRAM_INLINE __u32 histogram_cell_size(__u64 value)
{
	__u32 log = histogram_log2(value);

	return log < HISTOGRAM_CELLS ? log : HISTOGRAM_CELLS - 1;
}

/* Nanoseconds: the next bound is below the next power of two, by less than a bucket. */
HISTOGRAM_INLINE __u32 histogram_cell_ns(__u64 ns)
{
	__u32 log = histogram_log2(ns);

	if (log >= HISTOGRAM_CELLS - 1)
		return HISTOGRAM_CELLS - 1;
	return ns >= histogram_ns_low[log + 1] ? log + 1 : log;
}

/* Counts of one key on one CPU, as they lie in the kernel's map. */
struct histogram_cells {
	__u64 sum;
	__u64 max; /* user space takes it away when it reads */
	__u64 buckets[HISTOGRAM_CELLS];
};
