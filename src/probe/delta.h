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
/* The same record without STACK_DELTA, up to its registers: until the next call. The copy is in delta_pages. `record` has a sound
 * head: its kernel frames and registers lie within `bytes`. NULL when the rest does not add up. */
const struct stack_record *delta_read(struct delta *delta, const struct stack_record *record, gsize bytes,
				      struct delta_same *same);
/* The pages of memory that the copy last read reaches into, each 4 KiB, from that of its first byte on; what does not belong to the
 * copy means nothing. They are where they were kept: nothing of a copy is moved that did not change. Until the next call. */
const guint8 *const *delta_pages(const struct delta *delta);
/* Puts the copy last read together: `record` as delta_read gave it. */
void delta_copy_out(const struct delta *delta, const struct stack_record *record, guint8 *to);
