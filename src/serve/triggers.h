/* SPDX-License-Identifier: Apache-2.0 */
/* What makes the flight recorder keep the minutes before: a table of reasons, and of each whether it counts, above which
 * bound, and for how many readings in a row. */
#pragma once
#include <glib.h>

/* The first that applies is the one that is told. */
enum trigger {
	TRIGGER_OOM = 0,
	TRIGGER_CONNECTION_ERRORS = 1,
	TRIGGER_THROTTLING = 2,
	TRIGGER_MEMORY_PRESSURE = 3,
	TRIGGER_IO_PRESSURE = 4,
	TRIGGER_CPU_PRESSURE = 5,
	TRIGGER_RUNQ_LATENCY = 6,
	TRIGGER_BLOCK_LATENCY = 7,
	TRIGGER_CONNECT_LATENCY = 8,
	TRIGGER_REQUEST_LATENCY = 9,
	TRIGGERS = 10,
};

enum trigger_kind {
	TRIGGER_EVENT, /* happens or not: no bound */
	TRIGGER_SHARE, /* above 0, at most 1 */
	TRIGGER_LATENCY, /* 99th percentile, in nanoseconds */
};

struct trigger_setting {
	gboolean is_on;
	double bound; /* a share, or nanoseconds */
	guint readings; /* in a row; one a second */
};

struct triggers {
	struct trigger_setting of[TRIGGERS];
};

const char *trigger_name(enum trigger trigger); /* "throttling" */
enum trigger_kind trigger_kind(enum trigger trigger);

void triggers_init(struct triggers *triggers); /* defaults */
/* Takes over "NAME=BOUND", "NAME=BOUND/READINGS", "NAME=on" or "NAME=off". FALSE and `error` (CONFIG_ERROR_VALUE) when that
 * makes no sense; nothing is changed then. */
gboolean triggers_take(struct triggers *triggers, const char *text, GError **error);
