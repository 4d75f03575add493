/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bucket of a value, the same as model/histogram.c's (where the bounds are explained); compiles on both sides, so
 * that user space can test it. */
#pragma once
#include <linux/types.h>

#define HISTOGRAM_CELLS 48 /* = HISTOGRAM_BUCKETS */

#define HISTOGRAM_INLINE static inline __attribute__((always_inline))

/* Lower bounds of buckets for nanoseconds: 2^(i % 10) · 1000^(i / 10). */
#define HISTOGRAM_TEN(thousands)                                                                                       \
	(thousands), 2 * (thousands), 4 * (thousands), 8 * (thousands), 16 * (thousands), 32 * (thousands),            \
		64 * (thousands), 128 * (thousands), 256 * (thousands), 512 * (thousands)

static const __u64 histogram_ns_low[64] = {
	HISTOGRAM_TEN(1ULL),
	HISTOGRAM_TEN(1000ULL),
	HISTOGRAM_TEN(1000000ULL),
	HISTOGRAM_TEN(1000000000ULL),
	1000000000000ULL,
	2000000000000ULL,
	4000000000000ULL,
	8000000000000ULL,
	16000000000000ULL,
	32000000000000ULL,
	64000000000000ULL,
	128000000000000ULL,
	[HISTOGRAM_CELLS... 63] = ~0ULL,
};

/* De Bruijn: the product's top six bits differ for each number of ones. */
#define HISTOGRAM_DE_BRUIJN 0x03f79d71b4cb0a89ULL
static const __u8 histogram_bits[64] = {
	0,  47, 1,  56, 48, 27, 2,  60, 57, 49, 41, 37, 28, 16, 3,  61, 54, 58, 35, 52, 50, 42,
	21, 44, 38, 32, 29, 23, 17, 11, 4,  62, 46, 55, 26, 59, 40, 36, 15, 53, 34, 51, 20, 43,
	31, 22, 10, 45, 25, 39, 14, 33, 19, 30, 9,  24, 13, 18, 8,  12, 7,  6,	5,  63,
};

/* The place of the highest bit set; 0 for 0. Without branches, which nobody could foretell; BPF has no instruction. */
HISTOGRAM_INLINE __u32 histogram_log2(__u64 value)
{
	value |= value >> 1;
	value |= value >> 2;
	value |= value >> 4;
	value |= value >> 8;
	value |= value >> 16;
	value |= value >> 32;
	return histogram_bits[(value * HISTOGRAM_DE_BRUIJN) >> 58];
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

	log += ns >= histogram_ns_low[(log + 1) & 63]; /* the mask is for the verifier */
	return log < HISTOGRAM_CELLS ? log : HISTOGRAM_CELLS - 1;
}

/* Counts of one key on one CPU, as they lie in the kernel's map. */
struct histogram_cells {
	__u64 sum;
	__u64 max; /* user space takes it away when it reads */
	__u64 buckets[HISTOGRAM_CELLS];
};
