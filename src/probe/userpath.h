/* SPDX-License-Identifier: Apache-2.0 */
/* User stacks told to the kernel half of offcpu and walltime, so that it knows them again without a copy: after a copy was
 * walked, in which places of the stack the words lie that decided about the walk, and a hash of those words. */
#pragma once
#include <glib.h>

#include "probe/bpf/shared.h"
#include "probe/offcpu.h"
#include "probe/probe.h"

/* The path of a walked copy. FALSE when it has none: too many words, or some that the kernel half does not look at. */
gboolean userpath_make(struct user_path *path, const struct stack_key *seed, const struct probe_copy *copy,
		       const struct probe_basis *basis);

struct userpath;

/* `map_fd`: user_paths of the kernel half, stays the caller's; `seed`: its stack_seed. */
struct userpath *userpath_new(int map_fd, const struct stack_key *seed);
void userpath_free(struct userpath *userpath);
void userpath_learn(struct userpath *userpath, guint32 tgid, const struct probe_copy *copy,
		    const struct probe_basis *basis);
/* It ended, or is another program now. */
void userpath_forget(struct userpath *userpath, guint32 tgid);
