/* SPDX-License-Identifier: Apache-2.0 */
/* Many stacks → one calltree, fast. Inserting each stack as it comes would look up every frame in a hash table larger
 * than any cache. Here stacks are collected as rows of frame ids, sorted, and then laid down in order: what a stack
 * shares with the one before it is already in place, and in an empty tree everything else is new, so that no look-up is
 * needed at all. A batch has a fixed size; with more stacks than fit, later batches are merged into the tree. */
#pragma once
#include <glib.h>

#include "model/calltree.h"

struct stacks;

/* `tree` is borrowed. */
struct stacks *stacks_new(struct calltree *tree);
/* Discards what was not flushed. */
void stacks_free(struct stacks *stacks);
typedef struct stacks stacks_t;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(stacks_t, stacks_free)

/* Adds a frame (an id of the tree) to the stack being built, root first. Beyond IMPORT_DEPTH_MAX frames are ignored;
 * returns FALSE then. */
gboolean stacks_push(struct stacks *stacks, guint32 frame);
/* Turns the frames pushed since the last end around: for sources that start at the leaf. */
void stacks_reverse(struct stacks *stacks);
/* Ends the stack. */
void stacks_end(struct stacks *stacks, guint64 weight);
/* Drops the stack being built. */
void stacks_cancel(struct stacks *stacks);
/* Moves everything into the tree. */
void stacks_flush(struct stacks *stacks);
