/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The fingerprint of a stack; compiles on both sides, so that user space can test it. */
#pragma once
#include "shared.h"

#define STACK_ROTATE(word, bits) (((word) << (bits)) | ((word) >> (64 - (bits))))

/* One word into the fingerprint: two independent lanes, each step one-to-one in the word and in the lane. Keyed by
 * stack_seed, so that nobody who chooses addresses can aim at a collision. */
static inline __attribute__((always_inline)) void stack_hash_word(struct stack_key *key, __u64 word)
{
	__u64 a = (key->hash[0] ^ word) * 0x9fb21c651e98df25ULL;
	__u64 b = (key->hash[1] + word) * 0xd6e8feb86659fd93ULL;

	key->hash[0] = a ^ (a >> 32);
	key->hash[1] = STACK_ROTATE(b, 29);
}
