/* SPDX-License-Identifier: Apache-2.0 */
/* Where: addresses → functions.
 *
 * Everything about a process is taken at first sight (its mappings, open descriptors of the files behind them, its
 * root and inner pid), because it may be gone a millisecond later. Symbol tables are read once per build-id (fallback:
 * device, inode, mtime, size) and kept in an LRU with a byte budget. Each distinct (process, address) is resolved once.
 * Files come from inside containers: hostile, bounded, never mapped into memory. */
#pragma once
#include <glib.h>

#include "model/calltree.h"
#include "model/ledger.h"
#include "symbol/python.h"
#include "symbol/unwind.h"

struct symbolizer;

/* Names of addresses where nothing executable is begin with this. */
#define SYMBOL_UNMAPPED "[unmapped"

struct symbol {
	enum frame_kind kind; /* USER, KERNEL, JIT or UNRESOLVED */
	const char *name; /* demangled function; for UNRESOLVED the reason: "[libfoo.so: no symbols]" */
	const char *module; /* file's base name, "[vdso]", kernel module or "vmlinux"; NULL when not known */
	guint64 offset; /* from the function's start */
	guint32 later; /* not 0: more may be known at the end, see symbolizer_settle */
};

struct symbolizer_options {
	/* May Java virtual machines be asked to write a map of their compiled code? It touches them: see hotspot.h. */
	gboolean java_map;
	gboolean inlined; /* functions inlined into others, where debug information tells */
	gboolean debuginfod; /* fetch debug files that are missing from the servers in DEBUGINFOD_URLS */
	gboolean lines; /* "function (file.c:12)", where debug information tells */
};

struct symbolizer *symbolizer_new(void);
/* One with the same files (descriptors, names, unwind tables) as another of the same thread. Neither need outlive the other. */
struct symbolizer *symbolizer_new_beside(const struct symbolizer *other);
/* Before first use; without it everything optional is off. */
void symbolizer_configure(struct symbolizer *symbolizer, const struct symbolizer_options *options);
void symbolizer_free(struct symbolizer *symbolizer);

/* Who can name one kernel address without a table of all; `name` and `module` ("" for the kernel's own) are copied. */
struct symbolizer_kernel_name {
	const char *name, *module;
	guint64 offset;
};
enum symbolizer_namer_answer {
	SYMBOLIZER_NAMER_FOUND = 0,
	SYMBOLIZER_NAMER_NONE = 1, /* the address is in no function */
	SYMBOLIZER_NAMER_CANNOT = 2, /* /proc/kallsyms is read instead */
};
typedef enum symbolizer_namer_answer (*symbolizer_namer_fn)(void *user, guint64 address,
							    struct symbolizer_kernel_name *name);
void symbolizer_set_namer(struct symbolizer *symbolizer, symbolizer_namer_fn namer, void *user);

/* First sight of a process: takes its mappings. Cheap when already known. FALSE when the process is gone and nothing
 * is known about it. */
gboolean symbolizer_see(struct symbolizer *symbolizer, guint32 tgid);

/* `all`: news of every mapping, fork, exec and exit will come from here on, so what is known of a process need not be
 * looked at again. */
void symbolizer_follow(struct symbolizer *symbolizer, gboolean all);
/* Side-band news, in the order they happened (perf mmap2/fork/exec/exit records). `build_id` may be NULL. */
struct symbolizer_mapping {
	guint64 start, length, file_offset;
	const guint8 *build_id;
	guint build_id_size;
	const char *path; /* as the process names it */
};
void symbolizer_mapped(struct symbolizer *symbolizer, guint32 tgid, const struct symbolizer_mapping *mapping);
void symbolizer_forked(struct symbolizer *symbolizer, guint32 parent_tgid, guint32 child_tgid);
void symbolizer_execed(struct symbolizer *symbolizer, guint32 tgid);
void symbolizer_exited(struct symbolizer *symbolizer, guint32 tgid); /* keeps what is known until the end */

/* Walks a copy of a process's stack (see symbol/unwind.h), as its mappings are now. */
struct symbolizer_walk {
	struct unwind_result result;
	enum stack_end end;
	gboolean frame_pointers_do; /* the chain of frame pointers gives as much */
	gboolean is_preliminary; /* a table was put off: later there may be more */
};
void symbolizer_unwind(struct symbolizer *symbolizer, guint32 tgid, const struct unwind_registers *registers,
		       const struct unwind_stack *stack, guint64 *addresses, guint capacity,
		       struct symbolizer_walk *walk);

/* Of Go's code: how far above RSP the return address lies before the instruction at `address` runs, in bytes. FALSE: not known. */
gboolean symbolizer_go_depth(struct symbolizer *symbolizer, guint32 tgid, guint64 address, guint32 *depth);

/* The Python interpreter of a process. TRUE when it has one; `python` as in its file, `runtime` where it is in memory.
 * Cheap when asked again. */
gboolean symbolizer_python(struct symbolizer *symbolizer, guint32 tgid, struct python *python, guint64 *runtime);

/* How to get the names of functions that the process's language keeps to itself: one sentence, static. NULL: nothing is
 * known to be missing. */
const char *symbolizer_advice(struct symbolizer *symbolizer, guint32 tgid);

/* Resolves. Strings in `symbol` live as long as the symbolizer or one beside it. Never fails: the kind says UNRESOLVED and the name why.
 * `is_caller`: the address is a return address (every frame but the innermost): looked up one byte earlier. */
void symbolizer_user(struct symbolizer *symbolizer, guint32 tgid, guint64 address, gboolean is_caller,
		     struct symbol *symbol);

/* Some names come late: a runtime writes its map when it likes, or when asked. symbolizer_settle is called when the
 * measurement is over, takes at most a few seconds, and makes symbolizer_answer know all there is to know about each
 * symbol whose `later` was set. */
void symbolizer_settle(struct symbolizer *symbolizer);
/* The frames of one such address, innermost first: never none. `*symbols` lives until the next symbolizer_settle. */
guint symbolizer_answer(const struct symbolizer *symbolizer, guint32 later, const struct symbol **symbols);
/* What would make stacks complete that end in code this process's runtime made; NULL when there is nothing to say. */
const char *symbolizer_stacks_advice(const struct symbolizer *symbolizer, guint32 tgid);
/* Sentences for people about what is missing and how to get it, each once; owned by the symbolizer. */
const GPtrArray *symbolizer_notes(const struct symbolizer *symbolizer);

/* What would name functions of files that have been stripped, those most often asked about first; NULL: there are none, or their
 * debug symbols were looked for. Owned by the caller. */
char *symbolizer_stripped(const struct symbolizer *symbolizer);

void symbolizer_kernel(struct symbolizer *symbolizer, guint64 address, gboolean is_caller, struct symbol *symbol);
