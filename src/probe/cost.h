/* SPDX-License-Identifier: Apache-2.0 */
/* What kernel halves cost: the kernel's own count of runs and nanoseconds of each loaded program, and its memory. */
#pragma once
#include <glib.h>

#define COST_PROGRAMS_MAX 4096 /* looked at on one machine */
#define COST_NAME_BYTES 128

struct cost_program {
	guint32 id;
	char name[COST_NAME_BYTES]; /* in full where the program carries its types, else 15 bytes of it */
	const char *type; /* "tracing", "perf_event" */
	guint64 run_count; /* both since statistics were on: 0 when they never were */
	guint64 run_time_ns;
	guint64 missed_count; /* runs left out because the program was running already */
	guint64 memory_bytes; /* of its code */
	guint64 map_bytes; /* filled by cost_add_maps */
	guint32 one_in; /* cost_one_in; not filled here */
};

/* Turns the kernel's BPF statistics on while the returned descriptor is open (some 40 ns more per run); -1 and
 * `error` when refused. */
int cost_enable(GError **error);

/* The programs process `pid` holds, sorted by id (array of struct cost_program, owned by the caller): fathom's when
 * `pid` is a fathom, or our own. NULL and `error` when the process is gone or its descriptors cannot be read. */
GArray *cost_programs(guint32 pid, GError **error);
/* All that are loaded, sorted by id; the same kind of array. */
GArray *cost_all_programs(GError **error);
/* Fills map_bytes: a map that several programs use is counted with the one of lowest id. */
void cost_add_maps(GArray *programs);
/* Program id → pid of the process that holds it (directly or by a link; the eldest such pid). A program without one is
 * pinned, or attached to something that keeps it. */
GHashTable *cost_holders(void);

/* Reads one program again, or holds it so that it stays: a descriptor, -1 when it is gone. */
gboolean cost_read(guint32 program_id, struct cost_program *program);
int cost_hold(guint32 program_id);

/* How many events each one that the program looks at stands for, where it keeps within a budget by sampling (bpf/budget.bpf.h);
 * 0: it cannot, or is no probe of ours. */
guint32 cost_one_in(guint32 program_id);

/* The programs this process holds descriptors of: an array of struct cost_own, owned by the caller. Asking about one's own takes no
 * right; names are 15 bytes at most. */
struct cost_own {
	int fd; /* not the caller's */
	struct cost_program program;
};
GArray *cost_own(void);
/* One of them again; FALSE: the descriptor is no longer of the program `program` was of. */
gboolean cost_read_own(int fd, struct cost_program *program);

/* The maps in which our own programs time themselves (pace.h): an array of struct cost_paces, owned by the caller. */
struct cost_paces {
	int fd; /* not the caller's */
	guint32 id;
};
GArray *cost_own_paces(void);
/* Does it time itself, in one of `paces`? `fd`: of one of our own programs. */
gboolean cost_times_itself(int fd, const GArray *paces);

/* TRUE while a program with this id is loaded. */
gboolean cost_is_loaded(guint32 program_id);
