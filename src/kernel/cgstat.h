/* SPDX-License-Identifier: Apache-2.0 */
/* What one cgroup uses and may use, from the files of its directories (Documentation/admin-guide/cgroup-v2.rst,
 * cgroup-v1/, accounting/psi.rst): one set of numbers, wherever the controllers are mounted. Files read often are kept
 * open and read again from their start, as long as the budget of open files lasts.
 *
 * On a hybrid machine the v1 controllers come first; the unified hierarchy adds pressure when the same cgroup is in use
 * there. Figures include the cgroups below. What no file tells is CGSTAT_UNKNOWN: never zero. */
#pragma once
#include <glib.h>

#include "kernel/cgroupfs.h"

#define CGSTAT_UNKNOWN G_MAXUINT64
#define CGSTAT_UNLIMITED (G_MAXUINT64 - 1) /* limits only: there is none at this cgroup */

enum pressure_resource {
	PRESSURE_CPU = 0,
	PRESSURE_MEMORY = 1,
	PRESSURE_IO = 2,
	PRESSURE_RESOURCES = 3,
};

struct pressure {
	guint64 some_ns, full_ns; /* stalled since boot or birth */
};

struct cgstat {
	/* counters */
	guint64 cpu_ns, cpu_user_ns, cpu_system_ns;
	guint64 periods, throttled_periods, throttled_ns, burst_ns;
	guint64 high_events, max_events, oom_events, oom_kills;
	guint64 refaults_anon, refaults_file, pages_scanned, faults, major_faults;
	struct pressure pressure[PRESSURE_RESOURCES];
	guint64 pids_limit_hits;
	guint64 read_bytes, write_bytes, reads, writes; /* summed over devices */
	/* levels */
	guint64 memory_bytes, inactive_file_bytes, anon_bytes, file_bytes, kernel_bytes, swap_bytes, dirty_bytes,
		writeback_bytes;
	guint64 pids;
};

/* At this very cgroup; those above it may be tighter. */
struct cglimits {
	guint64 cpu_nanocores, cpu_weight, memory_bytes, memory_high_bytes, pids;
};

struct cgstat_reader;

/* Files that may be kept open; shared by all readers of a program. */
struct cgstat_budget {
	guint files_left;
};

/* NULL when there is no cgroup `path` in any hierarchy. `budget` must outlive the reader. */
struct cgstat_reader *cgstat_open(const struct cgroupfs *cgroupfs, const char *path, struct cgstat_budget *budget);
void cgstat_close(struct cgstat_reader *reader);
/* FALSE when the cgroup is gone. `quiet`: none of its threads has run since the last reading, so that only what others
 * can change (its memory, by reclaim; writing back) need be read; the rest is as it was. */
gboolean cgstat_read(struct cgstat_reader *reader, gboolean quiet, struct cgstat *stat);
/* The rarely changing ones of one cgroup, opened anew each time. */
void cglimits_read(const struct cgroupfs *cgroupfs, const char *path, struct cglimits *limits);

/* The same of the whole machine, from /proc below `root`; `processors` counts its CPUs. Kept open likewise. */
struct hoststat {
	struct cgstat stat;
	guint64 memory_total_bytes; /* the machine's: its limit */
	guint64 cpu_idle_ns, cpu_stolen_ns;
	guint processors;
};
struct hoststat_reader;
struct hoststat_reader *hoststat_open(const char *root);
void hoststat_close(struct hoststat_reader *reader);
void hoststat_read(struct hoststat_reader *reader, struct hoststat *host);
