/* SPDX-License-Identifier: Apache-2.0 */
/* Does something grow, how fast, and when does it reach its limit? From readings at several times; pure. */
#pragma once
#include <glib.h>

struct growth {
	GArray *points; /* private */
};

/* What the readings say. */
struct growth_trend {
	guint readings;
	gint64 change_bytes; /* from the first to the last */
	double slope_bytes_per_s; /* of the straight line that fits best */
	double fit; /* how much of the change the line explains: 0 … 1 */
	double growing_steps; /* share of steps between readings that went up */
	gboolean
		is_suspicious; /* grew so steadily, and so much, that it may be a leak; a short look cannot prove one */
};

/* Below these nothing is suspicious. */
#define GROWTH_READINGS_MIN 4
#define GROWTH_BYTES_MIN (1 << 20)
#define GROWTH_SHARE_MIN 0.01 /* of its size at first */
#define GROWTH_STEPS_MIN 0.75
#define GROWTH_FIT_MIN 0.9

void growth_init(struct growth *growth);
void growth_clear(struct growth *growth);
/* In order of time. */
void growth_add(struct growth *growth, guint64 time_ns, guint64 bytes);
/* All zero with fewer than two readings. */
struct growth_trend growth_trend_of(const struct growth *growth);
/* Seconds until `used` reaches `limit` if it goes on; INFINITY when it does not grow, 0 when it is there. */
double growth_seconds_to(const struct growth_trend *trend, guint64 used_bytes, guint64 limit_bytes);
