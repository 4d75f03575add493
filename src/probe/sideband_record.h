/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing the records of a perf side-band ring (kernel: include/uapi/linux/perf_event.h). Pure: bytes → struct.
 * Paths inside are chosen by whoever is observed. */
#pragma once
#include <glib.h>

#include "probe/probe.h"

enum sideband_kind {
	SIDEBAND_OTHER = 0, /* nothing we want (a thread's fork, a rename, a data mapping) */
	SIDEBAND_MAPPED = 1,
	SIDEBAND_FORKED = 2, /* a process, not a thread */
	SIDEBAND_EXECED = 3,
	SIDEBAND_EXITED = 4, /* a process */
	SIDEBAND_LOST = 5,
};

struct sideband_record {
	enum sideband_kind kind;
	guint64 time_ns;
	guint32 tgid;
	guint32 parent_tgid; /* FORKED */
	guint64 lost; /* LOST: number of records */
	struct probe_mapping mapping; /* MAPPED; path and build_id point into the parsed bytes */
};

#define SIDEBAND_RECORD_MAX 65535 /* bytes; the size field has 16 bits */

/* Parses the record that begins at `bytes`, of which `available` can be read. The events must have been opened
 * with sample_id_all and PERF_SAMPLE_TID | PERF_SAMPLE_TIME. FALSE when the record is malformed. */
gboolean sideband_parse(const guint8 *bytes, gsize available, struct sideband_record *record);
