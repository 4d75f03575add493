/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of one process: where which code is mapped, and its JIT's map file.
 *
 * Only executable mappings are kept, sorted by address and free of overlap, plus a few whose name alone explains an
 * address ([stack], [heap]). A process is bound to its start time: the same pid again is another process. */
#pragma once
#include <glib.h>

#include "symbol/module.h"
#include "symbol/perfmap.h"

#define PROCESS_MAPPINGS_MAX 8192 /* kept per process; the rest is counted in `left_out` */

enum mapping_kind {
	MAPPING_FILE = 0,
	MAPPING_ANONYMOUS = 1, /* executable, but not a file: a JIT's */
	MAPPING_VDSO = 2,
	MAPPING_SPECIAL = 3, /* the kernel's name says what it is */
};

struct mapping {
	guint64 start, end, file_offset;
	enum mapping_kind kind;
	struct module *module; /* FILE and VDSO; NULL when the file could not be had; one reference */
	const char *name; /* FILE: path; SPECIAL: "[stack]"; kept by `names` */
};

/* A mapping as it was told, its file not looked for yet. */
struct mapping_news {
	guint64 start, end, file_offset;
	const char *path; /* not owned */
	guint8 build_id[IMAGE_BUILD_ID_MAX];
	guint build_id_size;
};

struct process {
	guint32 tgid, parent;
	gboolean is_wanted; /* a stack of it was seen: what is told of it is looked at, not only noted */
	gboolean is_copy; /* forked, and not exec'd since: what its parent has mapped it has, too */
	GArray *news; /* struct mapping_news, oldest first; of a process that is not wanted */
	guint64 start_ticks; /* since boot; 0 until known */
	guint64 checked_ns; /* when start_ticks was last compared */
	guint64 maps_read_ns; /* when mappings were last read; 0: never */
	guint64 maps_pause_ns; /* until they may be read again for an address where there is none */
	gboolean exited;
	gboolean is_stale; /* exec'd: read the mappings again if still possible */
	GArray *mappings; /* struct mapping */
	guint left_out;
	guint64 python_tried_ns; /* when it was last looked for an interpreter; 0: never, with these mappings */
	gboolean has_python;
	const char *advice; /* for `advice_mappings` mappings; static */
	guint advice_mappings;
	struct perfmap *perfmap;
	guint64 perfmap_tried_ns;
	struct hotspot_request *map_request; /* asked and not answered yet */
	gboolean map_failed; /* asked in vain: it is not asked again */
	gboolean is_left_unnamed; /* and some that has none at the end either */
	gboolean has_unnamed; /* code of its JIT that had no name when it was seen */
};

struct process *process_new(guint32 tgid);
void process_free(struct process *process, struct modules *modules);

/* Replaces the mappings by /proc/PID/maps; FALSE (and nothing changed) when it is gone. Names are put into `names`. */
gboolean process_read_maps(struct process *process, int proc_fd, struct modules *modules, GStringChunk *names);
/* Looks for a mapping at `address` that is not known yet: asks for that one where the kernel takes
 * questions, else reads all again if it may. TRUE when something was read, not necessarily there. */
gboolean process_read_mapping(struct process *process, int proc_fd, guint64 address, gboolean may_read_all,
			      struct modules *modules, GStringChunk *names);
/* Adds one mapping (its module's reference is taken over), replacing what it covers. */
void process_map(struct process *process, const struct mapping *mapping, struct modules *modules);
void process_unmap_all(struct process *process, struct modules *modules);
/* Gives back memory for mappings to come, of which there will be none. */
void process_shrink(struct process *process);
/* With what is only noted of them. */
void process_copy_mappings(struct process *to, const struct process *from);
/* Notes a mapping of a process that is not wanted. `news->path` must live as long as the process. */
void process_note(struct process *process, const struct mapping_news *news);
/* TRUE when a file whose path ends in `suffix` is mapped. */
gboolean process_maps_file(const struct process *process, const char *suffix);
const struct mapping *process_find(const struct process *process, guint64 address);
/* Makes a mapping from what the kernel calls it: fills kind, module, name. */
void process_identify(struct mapping *mapping, const struct module_locator *locator, struct modules *modules,
		      GStringChunk *names);

/* Opens /tmp/perf-PID.map as the process sees it, under its innermost pid, when it is owned by the process's user or by
 * root and was written since the process began. Does nothing when it is open already. */
void process_open_perfmap(struct process *process, int proc_fd);
