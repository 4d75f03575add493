/* SPDX-License-Identifier: Apache-2.0 */
/* How complete user stacks are, for each process: part of the ledger.
 *
 * Processes of one name in one container are one entry. Weights are in the unit of the shape, and those of all ends add up
 * to what the process's user stacks weigh. `missing` says in words what the incomplete ones lack, the heaviest first
 * in what people are shown: "libfoo.so has no unwind table and keeps no frame pointers". Names are raw bytes. */
#pragma once
#include <glib.h>

/* How far the walk of a user stack came. Explicit values; in JSON they travel by name. */
enum stack_end {
	STACK_END_NONE = 0, /* there is no user half */
	STACK_END_FIRST = 1, /* complete: the thread's first frame was reached */
	STACK_END_UNCHECKED = 2, /* walked by frame pointers; whether they are complete is not known */
	STACK_END_SHORT = 3, /* more of the stack is needed than was copied */
	STACK_END_NO_TABLE = 4, /* code that says nothing about its frames and keeps no frame pointer */
	STACK_END_BROKEN = 5, /* contradicts itself */
	STACK_END_DEEP = 6, /* more frames than are kept */
	STACK_END_UNSUPPORTED = 7, /* code whose frames we cannot follow */
	STACK_END_GONE = 8, /* the process ended before its mappings were read */
	STACK_END_UNREAD = 9, /* the unwind table of a file could not be read, or not in the time allowed for it */
	STACK_ENDS = 10,
};

#define COVERAGE_PROCESSES_MAX 1024 /* the rest is one entry, COVERAGE_OTHERS of container "" */
#define COVERAGE_MISSING_MAX 16 /* sentences a process */
#define COVERAGE_OTHERS "[other processes]"

struct coverage_missing {
	char *text;
	guint64 weight; /* of the stacks it makes incomplete */
};

struct coverage_process {
	char *container, *name;
	guint64 weight[STACK_ENDS];
	GArray *missing; /* of struct coverage_missing */
	char *advice; /* what to do about it: "node --perf-basic-prof names its functions"; NULL: nothing known */
};

struct coverage; /* the processes of one shape */

struct coverage *coverage_new(void);
void coverage_free(struct coverage *coverage);
/* Finds or makes the entry; valid until coverage_free. */
struct coverage_process *coverage_process(struct coverage *coverage, const char *container, const char *name);
guint coverage_count(const struct coverage *coverage);
struct coverage_process *coverage_at(const struct coverage *coverage, guint i);
void coverage_merge(struct coverage *into, const struct coverage *from);

void coverage_add_missing(struct coverage_process *process, const char *text, guint64 weight);
void coverage_advise(struct coverage_process *process, const char *advice);
guint64 coverage_weight(const struct coverage_process *process); /* of all user stacks */
guint64 coverage_complete(const struct coverage_process *process); /* of those that reach the first frame */

/* Stable machine name ("no_table") and, for incomplete ends, what is said when nothing better is known. */
const char *stack_end_name(enum stack_end end);
const char *stack_end_phrase(enum stack_end end);
