/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of stacks that came as what changed of them (probe/bpf/delta.h): makes them whole again. Records must be handed over in
 * the order they were sent in, and all of them: each says what the next one is told against. */
#pragma once
#include <glib.h>

#include "probe/bpf/shared.h"

struct delta;

/* What is known of a copy beside what it holds. */
struct delta_same {
	guint32 tid;
	guint64 number; /* of the record; 0: came as it was, nothing is known */
	guint64 since; /* number of the thread's last record, when ... */
	guint32 from; /* ... the copy holds from this offset on what that one held there; the copy's length: nothing */
};

struct delta *delta_new(void);
void delta_free(struct delta *delta);
/* The same record with a copy and without STACK_DELTA: until the next call. `record` has a sound head: its kernel frames and registers lie
 * within `bytes`. NULL when the rest does not add up. */
const struct stack_record *delta_read(struct delta *delta, const struct stack_record *record, gsize bytes,
				      struct delta_same *same);
