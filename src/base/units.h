/* SPDX-License-Identifier: Apache-2.0 */
/* Units for people: three significant digits, the field's names. Only render/ and cli/ call these. */
#pragma once
#include <glib.h>

#define NS_PER_US G_GUINT64_CONSTANT(1000)
#define NS_PER_MS G_GUINT64_CONSTANT(1000000)
#define NS_PER_S G_GUINT64_CONSTANT(1000000000)

/* The unit of a weight inside a shape. */
enum unit {
	UNIT_COUNT = 0, /* samples, events */
	UNIT_NANOSECONDS = 1,
	UNIT_BYTES = 2,
	UNITS = 3,
};
extern const char *const unit_names[UNITS]; /* "nanoseconds": part of the formats of captures */

/* All return a new string owned by the caller. */
char *units_duration(guint64 ns); /* "1.20 ms", "12.3 s", "340 ns" */
char *units_bytes(guint64 bytes); /* IEC: "1.50 MiB" */
char *units_count(guint64 count); /* SI: "1.20k" from 10,000 on; below that, the number */
char *units_weight(enum unit unit, guint64 weight); /* one of the above by unit */
char *units_percent(double part, double whole); /* "12.3 %"; "-" when whole is 0 */

/* Parses "10", "10s", "1.5s", "500ms", "100us", "5m", "1h"; a bare number is in `default_unit_ns` nanoseconds.
 * FALSE when the text is not a duration or does not fit. */
gboolean units_parse_duration(const char *text, guint64 default_unit_ns, guint64 *ns);
/* Parses "4096", "64k", "1.5MiB", "2g"; units are powers of 1024. */
gboolean units_parse_bytes(const char *text, guint64 *bytes);
