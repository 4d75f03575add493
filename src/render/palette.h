/* SPDX-License-Identifier: Apache-2.0 */
/* Colours of frames, one table for every picture. Hues follow what a frame is (kernel, user, JIT …) and, for causes,
 * what the time was spent on; neighbouring hues also differ in lightness, so that the picture survives the common
 * kinds of colour blindness and a grey printer. Each hue has a few shades so that neighbours can be told apart. */
#pragma once
#include <glib.h>

#include "base/json.h"
#include "model/calltree.h"

#define PALETTE_SHADES 5
#define PALETTE_STEPS 6 /* of growth, and of shrinkage, in differential pictures */

struct palette_group {
	const char *name; /* CSS class prefix */
	const char *phrase; /* for legends */
	guint16 hue; /* degrees */
	guint8 saturation; /* per cent */
	guint8 light, dark; /* lightness in per cent on a light and on a dark page */
	guint8 spread; /* degrees of hue between first and last shade */
};

extern const struct palette_group palette_groups[]; /* ended by one without a name */

/* Index into palette_groups. */
guint palette_group_of(const struct calltree_frame *frame);
/* 0 … PALETTE_SHADES - 1; the same name has the same shade in every picture. */
guint palette_shade_of(const struct calltree_frame *frame);
/* Appends a CSS colour, "#rrggbb". */
void palette_append_colour(GString *out, guint group, guint shade, gboolean dark);
/* The same for a differential picture; `step` from -PALETTE_STEPS (less than before) to PALETTE_STEPS (more). */
void palette_append_change(GString *out, int step, gboolean dark);
/* The step for a change of `after` - `before` where the largest change in the picture is `largest`. */
int palette_step_of(guint64 before, guint64 after, guint64 largest);
/* Members of an object: phrases of the groups ("groups"), their colours group by group and shade by shade ("light", "dark")
 * and those of changes from least to most ("change_light", "change_dark"). */
void palette_write(struct json_writer *json);
/* Likewise what palette_group_of and palette_shade_of go by: "shades", "names" of groups, "causes" as [prefix, name]. */
void palette_write_rules(struct json_writer *json);
