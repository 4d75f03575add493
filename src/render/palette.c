/* SPDX-License-Identifier: Apache-2.0 */
#include "render/palette.h"

#include <math.h>
#include <string.h>

/* The first FRAME_KINDS groups stand in the order of enum frame_kind; causes follow. */
const struct palette_group palette_groups[] = {
	[FRAME_USER] = { "user", "user code", 24, 92, 72, 36, 16 },
	[FRAME_KERNEL] = { "kernel", "kernel", 206, 78, 74, 36, 14 },
	[FRAME_JIT] = { "jit", "JIT-compiled", 148, 44, 66, 30, 18 },
	[FRAME_INLINED] = { "inlined", "inlined", 58, 78, 74, 32, 6 },
	[FRAME_UNRESOLVED] = { "unresolved", "unresolved", 220, 5, 80, 38, 4 },
	[FRAME_CONTAINER] = { "container", "container", 272, 48, 80, 42, 16 },
	[FRAME_PROCESS] = { "process", "process", 292, 26, 85, 36, 14 },
	[FRAME_THREAD] = { "thread", "thread", 285, 12, 88, 32, 14 },
	[FRAME_CAUSE] = { "cause", "cause", 240, 24, 78, 40, 8 },
	[FRAME_WAKER] = { "waker", "waker", 176, 46, 62, 28, 8 },
	[FRAME_SCRIPT] = { "script", "interpreted", 116, 52, 70, 30, 18 },
	{ "running", "running", 6, 80, 72, 42, 10 },
	{ "waiting", "waiting for a CPU", 325, 62, 74, 40, 16 },
	{ "disk", "blocked: disk", 218, 62, 64, 44, 4 },
	{ "lock", "blocked: lock", 46, 88, 58, 32, 4 },
	{ "network", "blocked: network", 172, 50, 56, 28, 4 },
	{ "sleep", "blocked: sleep", 225, 16, 78, 38, 4 },
	{ "fault", "blocked: page fault", 92, 42, 62, 30, 4 },
	{ "child", "blocked: child", 24, 40, 64, 36, 4 },
	{ NULL },
};

/* Which cause has which colours; the first prefix that fits wins. */
static const struct {
	const char *prefix;
	const char *group;
} palette_causes[] = {
	{ "running", "running" },	    { "waiting for CPU", "waiting" },
	{ "blocked: disk", "disk" },	    { "disk", "disk" },
	{ "blocked: lock", "lock" },	    { "lock", "lock" },
	{ "blocked: network", "network" },  { "network", "network" },
	{ "blocked: sleep", "sleep" },	    { "sleep", "sleep" },
	{ "blocked: page fault", "fault" }, { "page fault", "fault" },
	{ "blocked: child", "child" },	    { "child", "child" },
};

static guint palette_group_named(const char *name)
{
	for (guint i = 0; palette_groups[i].name; i++)
		if (strcmp(palette_groups[i].name, name) == 0)
			return i;
	return FRAME_CAUSE;
}

guint palette_group_of(const struct calltree_frame *frame)
{
	if (frame->kind != FRAME_CAUSE)
		return frame->kind;
	for (guint i = 0; i < G_N_ELEMENTS(palette_causes); i++)
		if (g_str_has_prefix(frame->name, palette_causes[i].prefix))
			return palette_group_named(palette_causes[i].group);
	return FRAME_CAUSE;
}

guint palette_shade_of(const struct calltree_frame *frame)
{
	guint32 hash = 2166136261u; /* FNV-1a: shades must not change with the hash of the tree */

	for (const char *at = frame->name; *at; at++)
		hash = (hash ^ (guchar)*at) * 16777619u;
	return (hash ^ hash >> 15) % PALETTE_SHADES;
}

static double hsl_channel(double hue, double saturation, double lightness, double offset)
{
	double k = fmod(offset + hue / 30, 12);
	double a = saturation * MIN(lightness, 1 - lightness);

	return lightness - a * MAX(-1.0, MIN(MIN(k - 3, 9 - k), 1.0));
}

static void append_hsl(GString *out, double hue, double saturation, double lightness)
{
	static const double offsets[] = { 0, 8, 4 };

	hue = fmod(hue + 360, 360);
	g_string_append_c(out, '#');
	for (guint i = 0; i < 3; i++)
		g_string_append_printf(out, "%02x",
				       (guint)lround(255 * hsl_channel(hue, saturation, lightness, offsets[i])));
}

void palette_append_colour(GString *out, guint group, guint shade, gboolean dark)
{
	const struct palette_group *colours = &palette_groups[group];
	double place = (double)shade / (PALETTE_SHADES - 1) - 0.5;
	double lightness = (dark ? colours->dark : colours->light) + place * 7;
	double saturation = colours->saturation * (dark ? 0.72 : 1);

	append_hsl(out, colours->hue + place * colours->spread, saturation / 100, lightness / 100);
}

void palette_append_change(GString *out, int step, gboolean dark)
{
	double share = fabs((double)step) / PALETTE_STEPS;
	double hue = step > 0 ? 12 : 212;

	if (dark)
		append_hsl(out, hue, step ? 0.25 + 0.50 * share : 0, 0.30 + 0.14 * share);
	else
		append_hsl(out, hue, step ? 0.70 + 0.20 * share : 0, 0.92 - 0.32 * share);
}

static void palette_write_colours(struct json_writer *json, const char *key, gboolean dark)
{
	g_autoptr(GString) colour = g_string_new(NULL);

	json_begin_array(json, key);
	for (guint group = 0; palette_groups[group].name; group++) {
		for (guint shade = 0; shade < PALETTE_SHADES; shade++) {
			g_string_truncate(colour, 0);
			palette_append_colour(colour, group, shade, dark);
			json_string(json, NULL, colour->str);
		}
	}
	json_end_array(json);
}

static void palette_write_changes(struct json_writer *json, const char *key, gboolean dark)
{
	g_autoptr(GString) colour = g_string_new(NULL);

	json_begin_array(json, key);
	for (int step = -PALETTE_STEPS; step <= PALETTE_STEPS; step++) {
		g_string_truncate(colour, 0);
		palette_append_change(colour, step, dark);
		json_string(json, NULL, colour->str);
	}
	json_end_array(json);
}

void palette_write(struct json_writer *json)
{
	json_begin_array(json, "groups");
	for (guint group = 0; palette_groups[group].name; group++)
		json_string(json, NULL, palette_groups[group].phrase);
	json_end_array(json);
	palette_write_colours(json, "light", FALSE);
	palette_write_colours(json, "dark", TRUE);
	palette_write_changes(json, "change_light", FALSE);
	palette_write_changes(json, "change_dark", TRUE);
}

void palette_write_rules(struct json_writer *json)
{
	json_uint(json, "shades", PALETTE_SHADES);
	json_begin_array(json, "names");
	for (guint group = 0; palette_groups[group].name; group++)
		json_string(json, NULL, palette_groups[group].name);
	json_end_array(json);
	json_begin_array(json, "causes");
	for (guint i = 0; i < G_N_ELEMENTS(palette_causes); i++) {
		json_begin_array(json, NULL);
		json_string(json, NULL, palette_causes[i].prefix);
		json_string(json, NULL, palette_causes[i].group);
		json_end_array(json);
	}
	json_end_array(json);
}

int palette_step_of(guint64 before, guint64 after, guint64 largest)
{
	guint64 change = after > before ? after - before : before - after;
	int step;

	if (!change || !largest)
		return 0;
	/* The square root keeps small changes visible beside a large one. */
	step = (int)ceil(sqrt((double)change / (double)largest) * PALETTE_STEPS - 0.15);
	step = CLAMP(step, 0, PALETTE_STEPS);
	return after > before ? step : -step;
}
