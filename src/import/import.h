/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign captures → snapshots. Whoever made the file is not trusted: input is streamed with named limits, every
 * count and index is checked, and an error names the position of the fault. */
#pragma once
#include <glib.h>

#include "model/snapshot.h"

#define IMPORT_ERROR (import_error_quark())
GQuark import_error_quark(void);
enum import_error {
	IMPORT_ERROR_OPEN = 1, /* cannot be opened or read */
	IMPORT_ERROR_FORMAT = 2, /* no such format, or the content fits none */
	IMPORT_ERROR_MALFORMED = 3, /* the message begins with the position: "line 3: …", "byte 120: …" */
	IMPORT_ERROR_TOO_LARGE = 4, /* beyond a named limit */
	IMPORT_ERROR_EMPTY = 5, /* well-formed, but there is no stack in it */
};

#define IMPORT_LINE_BYTES_MAX (4u << 20) /* of a folded stack or a line of perf script */
#define IMPORT_DEPTH_MAX 4096 /* frames of a stack; deeper ones keep the frames nearest the root */
#define IMPORT_BINARY_BYTES_MAX (256u << 20) /* of a pprof profile, inflated */
#define IMPORT_INFLATED_BYTES_MAX (16ull << 30) /* of compressed text */

struct import_options {
	const char *format; /* "folded", "perf-script", "pprof", "json"; NULL: told from the content */
	enum unit unit; /* of folded weights; UNIT_COUNT unless the user says otherwise */
	guint64 scale; /* folded weights are multiplied by this (1000 for microseconds); 0: as the content tells, else 1 */
};

/* Reads `path` ("-": standard input), gzip or not. Owned by the caller; NULL and `error`, which names the file. */
struct snapshot *import_file(const char *path, const struct import_options *options, GError **error);
/* The same from memory; `data` is not kept. */
struct snapshot *import_bytes(const void *data, gsize length, const struct import_options *options, GError **error);

/* Names of the formats, for messages and help; ended by NULL. */
extern const char *const import_format_names[];
