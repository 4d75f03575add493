/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, dense from 0, for fingerprints of stacks in the order in which they come: 16 bytes and a slot of an index each, not
 * an allocation and an entry of a hash table. */
#pragma once
#include <glib.h>

#include "probe/bpf/shared.h"

struct keynumbers;

struct keynumbers *keynumbers_new(void);
void keynumbers_free(struct keynumbers *numbers);
/* The key's number; the first time one that is as large as the count was before. Keys are fingerprints: their bits are random. */
guint32 keynumbers_add(struct keynumbers *numbers, const struct stack_key *key);
guint32 keynumbers_count(const struct keynumbers *numbers);
