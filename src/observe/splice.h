/* SPDX-License-Identifier: Apache-2.0 */
/* Splicing: the frames of an interpreter's language in place of the interpreter's own.
 *
 * The kernel told both halves of a stack: native addresses, and the chain of Python frames at the same moment (a "script").
 * Each call from C into the interpreter is one native frame of its evaluation loop and one run of Python frames, the last of
 * which is marked as an entry. So run after run takes the place of frame after frame, and what lies between (C functions
 * that Python called and that call Python) stays where it was. */
#pragma once
#include <glib.h>

#include "model/calltree.h"
#include "probe/bpf/script.h"
#include "probe/probe.h"
#include "symbol/symbolizer.h"

#define SPLICE_FRAMES_MAX (PROBE_UNWOUND_DEPTH + SCRIPT_DEPTH)

struct splice;

/* Borrows both. */
struct splice *splice_new(struct symbolizer *symbolizer, struct calltree *tree);
void splice_free(struct splice *splice);

/* How to tell the probe (probe->teach) about interpreters; what was known before is told at once. */
typedef void (*splice_teach_fn)(void *user, guint32 tgid, const struct python_process *process);
void splice_set_teacher(struct splice *splice, splice_teach_fn teach, void *user);
/* A process was seen, or its mappings changed: tells the probe when it is an interpreter. Cheap when it is known. */
void splice_see(struct splice *splice, guint32 tgid);
/* A child runs what its parent runs. */
void splice_fork(struct splice *splice, guint32 parent_tgid, guint32 child_tgid);
/* Looks at every process that runs now by the name of its program: so that the first samples have their frames, too. */
void splice_see_all(struct splice *splice);
/* It exec'ed or ended. */
void splice_forget(struct splice *splice, guint32 tgid);

/* See struct probe_listener. */
void splice_code(struct splice *splice, const struct script_code_record *record);
void splice_script(struct splice *splice, const struct script_stack_record *record);

/* TRUE for the name of the interpreter's evaluation loop. */
gboolean splice_is_evaluation(const char *name);
/* Puts the frames of the script `hash` into `frames` (ids of the tree, innermost first, `count` of SPLICE_FRAMES_MAX).
 * Returns the new count. */
guint splice_frames(struct splice *splice, const guint64 hash[2], guint32 *frames, guint count);
