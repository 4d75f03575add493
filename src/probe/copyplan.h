/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a process's user stack is copied (bpf/copy.bpf.h), from what walking its copies really needed: a copy that was
 * too short makes the next ones longer, long ones shrink to what was used, and a process whose frame pointers give the very
 * same stacks is copied only now and then, to see whether that is still so. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/probe.h"

#define COPYPLAN_WINDOW 256 /* stacks after which a length may shrink */
/* Equal stacks in a row until frame pointers are relied on; four times as many after a mistake. */
#define COPYPLAN_TRUST 32
#define COPYPLAN_TRUST_MAX 8192
#define COPYPLAN_FRAME_BYTES_MAX 16384 /* of one frame of code that keeps frame pointers, and has no table */
#define COPYPLAN_AUDIT 64 /* of so many stacks of a process with frame pointers one is checked */

/* Of one process. Pure: for tests. */
struct copyplan_need {
	guint32 bytes, one_in, tail; /* the plan, as struct stack_plan */
	gboolean is_known; /* `bytes` is what the kernel half uses */
	guint32 peak_bytes, stacks; /* in this window */
	gboolean is_recognised; /* known stacks are not copied again: a window tells nothing of them */
	guint32 least_bytes; /* then: no shorter, because stacks that are known need it; never more than a process begins with */
	guint32 equal, trust;
	guint32 is_go;
};

void copyplan_need_init(struct copyplan_need *need, gboolean is_recognised);
/* TRUE when the plan changed. */
gboolean copyplan_need_learn(struct copyplan_need *need, const struct probe_copy *copy,
			     const struct probe_unwound *unwound);

/* The walk ended where frame pointers lead far beyond what it had: to another stack, as from Go's scheduler to the goroutine it
 * left. No longer copy is made for that. */
gboolean copyplan_leads_away(const struct probe_unwound *unwound);

struct copyplan;

/* Before loading a kernel half that includes copy.bpf.h: makes room for each CPU's copies, `slots` at a time. */
gboolean copyplan_size(struct bpf_object *object, guint slots, GError **error);
/* After loading. NULL when the kernel half makes no copies. */
struct copyplan *copyplan_new(struct bpf_object *object);
void copyplan_free(struct copyplan *plan);
void copyplan_learn(struct copyplan *plan, const struct probe_task *task, const struct probe_copy *copy,
		    const struct probe_unwound *unwound);
/* The return address of the function of Go lies `depth` bytes above RSP when the process is at `ip`. */
void copyplan_learn_place(struct copyplan *plan, guint32 tgid, guint64 ip, guint32 depth);
/* It ended, or is another program now. */
void copyplan_forget(struct copyplan *plan, guint32 tgid);
