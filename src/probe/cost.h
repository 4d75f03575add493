/* SPDX-License-Identifier: Apache-2.0 */
/* What kernel halves cost: the kernel's own count of runs and nanoseconds of each loaded program. */
#pragma once
#include <glib.h>

struct cost_program {
	guint32 id;
	char name[16];
	guint64 run_count; /* both since statistics were on: 0 when they never were */
	guint64 run_time_ns;
};

/* Turns the kernel's BPF statistics on while the returned descriptor is open (some 40 ns more per run); -1 and
 * `error` when refused. */
int cost_enable(GError **error);

/* The programs process `pid` holds, sorted by id (array of struct cost_program, owned by the caller): fathom's when
 * `pid` is a fathom, or our own. NULL and `error` when the process is gone or its descriptors cannot be read. */
GArray *cost_programs(guint32 pid, GError **error);

/* TRUE while a program with this id is loaded. */
gboolean cost_is_loaded(guint32 program_id);
