/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a copy of a stack travels when its reader has seen the thread's stack before: only the words that changed.
 *
 * Both sides keep the same pages of words, found by thread and address. What is in them is a guess at what the stack holds
 * now: mostly right, since the outer frames of a thread hardly change between two samples. What travels are the words the
 * guess is wrong about, and the reader puts the others in their places. So the result is exact whatever the pages hold:
 * two threads that share a page cost bytes, never truth. */
#pragma once
#include "shared.h"

#define STACK_DELTA_PAGES 512 /* 2 MiB on each side: about so many threads with shallow stacks */
#define STACK_DELTA_PAGE_BITS 12
#define STACK_DELTA_PAGE_WORDS (1 << (STACK_DELTA_PAGE_BITS - 3))
#define STACK_DELTA_GROUP 8 /* words: a bit for each in one byte */
#define STACK_DELTA_GROUP_BYTES (STACK_DELTA_GROUP * 8)

/* Behind the registers of a record with STACK_DELTA, in place of the copy. Then: a bit for each group of the copy (some of it
 * changed), filled up to whole words; the words that travel; and a mask for each group that changed (bit i: its word i travels;
 * none: all of the group is the one word that does, as in buffers that were cleared). */
struct stack_delta {
	__u64 known; /* bit i: the copy's i-th page was guessed from the page kept; else the guess is zeros, and is not kept */
	__u32 tid; /* whose pages */
	__u32 words; /* that travel */
};

static inline __attribute__((always_inline)) __u32 stack_delta_page_of(__u32 tid, __u64 address)
{
	__u64 page = (address >> STACK_DELTA_PAGE_BITS) + ((__u64)tid << 40);

	return (__u32)((page * 0x9e3779b97f4a7c15ULL) >> 40) & (STACK_DELTA_PAGES - 1);
}

static inline __attribute__((always_inline)) __u32 stack_delta_groups(__u32 copy_bytes)
{
	return (copy_bytes + STACK_DELTA_GROUP_BYTES - 1) / STACK_DELTA_GROUP_BYTES;
}

/* 1 unless the word is 0. Without a branch: the verifier would follow both ways of each. */
static inline __attribute__((always_inline)) __u64 stack_delta_is_set(__u64 word)
{
	word |= -word;
	asm volatile("" : "+r"(word));
	return word >> 63;
}

static inline __attribute__((always_inline)) __u32 stack_delta_map_words(__u32 groups)
{
	return (groups + 63) / 64;
}

/* Writes the words of a group that differ from the guess to `words`, which has room for all → how many, 0 when nothing does;
 * `*mask`: which. */
static inline __attribute__((always_inline)) __u32 stack_delta_group(const __u64 *now, const __u64 *guess, __u64 *words,
								     __u8 *mask)
{
	__u64 any = 0, uneven = 0, bits = 0, count = 0;

#pragma GCC unroll 8
	for (int i = 0; i < STACK_DELTA_GROUP; i++) {
		any |= now[i] ^ guess[i];
		uneven |= now[i] ^ now[0];
	}
	*mask = 0;
	if (!any)
		return 0;
	words[0] = now[0];
	if (!uneven)
		return 1;
#pragma GCC unroll 8
	for (int i = 0; i < STACK_DELTA_GROUP; i++) {
		__u64 differs = stack_delta_is_set(now[i] ^ guess[i]);

		words[count] = now[i];
		count += differs;
		bits |= differs << i;
	}
	*mask = (__u8)bits;
	return (__u32)count;
}
