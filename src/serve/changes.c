/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/changes.h"

#include <string.h>

#include "base/units.h"
#include "model/identity.h"

#define CHANGES_ID_LENGTH 12 /* what a container without a name is called by */
#define CHANGES_BIRTH_MAX_S 60 /* a birth longer ago is not when it came into view */

static const struct watched {
	enum gauge gauge, beside; /* the second is known where that file could be read at all */
	const char *name, *words;
	enum {
		LIMIT_CORES,
		LIMIT_BYTES,
		LIMIT_COUNT
	} unit;
} limits[] = {
	{ GAUGE_CPU_LIMIT, GAUGE_CPU, "cpu", "CPU limit", LIMIT_CORES },
	{ GAUGE_MEMORY_LIMIT, GAUGE_MEMORY, "memory", "memory limit", LIMIT_BYTES },
	{ GAUGE_MEMORY_HIGH, GAUGE_MEMORY, "memory.high", "memory.high", LIMIT_BYTES },
	{ GAUGE_PIDS_LIMIT, GAUGE_PIDS, "pids", "threads' limit", LIMIT_COUNT },
};

/* A container that is there. */
struct life {
	struct identity identity; /* first: what it is found by */
	char *name, *id, *pod, *image;
	guint readings; /* until it was told; G_MAXUINT: it was */
	gboolean seen; /* in this reading */
	gboolean is_known[G_N_ELEMENTS(limits)];
	guint64 values[G_N_ELEMENTS(limits)];
};

/* One that ended. */
struct past {
	char *id, *pod, *image;
	guint64 ended; /* order of ends */
};

struct changes {
	GHashTable *lives; /* of struct life *, by key and birth */
	GHashTable *past; /* name → struct past * */
	guint64 ends; /* so far */
	gboolean began;
	/* of the reading that is taken */
	guint64 now_ns;
	changes_fn each;
	void *user;
};

static void life_free(gpointer data)
{
	struct life *life = data;

	g_free(life->name);
	g_free(life->id);
	g_free(life->pod);
	g_free(life->image);
	g_free(life);
}

static void past_free(gpointer data)
{
	struct past *past = data;

	g_free(past->id);
	g_free(past->pod);
	g_free(past->image);
	g_free(past);
}

struct changes *changes_new(void)
{
	struct changes *changes = g_new0(struct changes, 1);

	changes->lives = g_hash_table_new_full(identity_hash, identity_equal, life_free, NULL);
	changes->past = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, past_free);
	return changes;
}

void changes_free(struct changes *changes)
{
	if (!changes)
		return;
	g_hash_table_unref(changes->lives);
	g_hash_table_unref(changes->past);
	g_free(changes);
}

guint changes_remembered(const struct changes *changes)
{
	return g_hash_table_size(changes->past);
}

/* ---- telling ---- */

static void tell(const struct changes *changes, const char *kind, const struct life *life, guint64 time_ns,
		 const struct event_field *fields, guint count)
{
	const struct event event = {
		.realtime_ns = time_ns, .container = life->name, .kind = kind, .field_count = count, .fields = fields
	};

	changes->each(changes->user, &event);
}

static char *limit_words(const struct watched *limit, gboolean is_known, guint64 value)
{
	if (!is_known)
		return g_strdup("none");
	if (limit->unit == LIMIT_BYTES)
		return units_bytes(value);
	if (limit->unit == LIMIT_COUNT)
		return g_strdup_printf("%" G_GUINT64_FORMAT, value);
	return g_strdup_printf("%.4g cores", (double)value / 1e9);
}

static void tell_limit(const struct changes *changes, const struct life *life, const struct watched *limit,
		       gboolean is_known, guint64 value)
{
	guint i = (guint)(limit - limits), count = 0;
	enum event_unit unit = limit->unit == LIMIT_BYTES ? EVENT_BYTES : EVENT_COUNT;
	g_autofree char *before = limit_words(limit, life->is_known[i], life->values[i]);
	g_autofree char *after = limit_words(limit, is_known, value);
	g_autofree char *change = g_strdup_printf("%s %s → %s", limit->words, before, after);
	struct event_field fields[4];

	fields[count++] = (struct event_field){ .name = "change", .unit = EVENT_TEXT, .text = change };
	fields[count++] = (struct event_field){ .name = "limit", .unit = EVENT_TEXT, .text = limit->name };
	if (life->is_known[i])
		fields[count++] = (struct event_field){ .name = "before", .unit = unit, .number = life->values[i] };
	if (is_known)
		fields[count++] = (struct event_field){ .name = "after", .unit = unit, .number = value };
	tell(changes, "limit", life, changes->now_ns, fields, count);
}

/* When it came: its birth, where that was just now. */
static guint64 birth_of(const struct changes *changes, const struct gauge_row *row)
{
	guint64 started_ns;

	if (!gauge_get(row, GAUGE_STARTED, &started_ns) || started_ns > changes->now_ns ||
	    changes->now_ns - started_ns > CHANGES_BIRTH_MAX_S * NS_PER_S)
		return changes->now_ns;
	return started_ns;
}

static void tell_birth(const struct changes *changes, const struct life *life, guint64 time_ns)
{
	const struct past *past = g_hash_table_lookup(changes->past, life->name);
	gboolean is_same =
		past && (g_strcmp0(past->id, life->id) == 0 || (life->pod && g_strcmp0(past->pod, life->pod) == 0));
	gboolean is_other_image = past && past->image && life->image && strcmp(past->image, life->image) != 0;
	const char *kind = !past ? "start" : is_same && !is_other_image ? "restart" : "deploy";
	struct event_field fields[2];
	guint count = 0;

	if (life->image)
		fields[count++] = (struct event_field){ .name = "image", .unit = EVENT_TEXT, .text = life->image };
	if (is_other_image)
		fields[count++] =
			(struct event_field){ .name = "image_before", .unit = EVENT_TEXT, .text = past->image };
	tell(changes, kind, life, time_ns, fields, count);
}

/* ---- a reading ---- */

static void take_text(char **into, const char *text)
{
	if (!text || g_strcmp0(*into, text) == 0)
		return;
	g_free(*into);
	*into = g_strdup(text);
}

/* Those of runtimes come late: until then a container is called by its id. */
static gboolean has_name(const struct life *life)
{
	return life->name && (!life->id || strncmp(life->name, life->id, CHANGES_ID_LENGTH) != 0);
}

static struct life *life_of(struct changes *changes, const struct gauge_row *row)
{
	struct life wanted = { .identity = { row->key, row->birth_ns } };
	struct life *life = g_hash_table_lookup(changes->lives, &wanted);

	if (!life) {
		life = g_memdup2(&wanted, sizeof(wanted));
		life->readings = changes->began ? 0 : G_MAXUINT;
		for (guint i = 0; i < G_N_ELEMENTS(limits); i++)
			life->is_known[i] = gauge_get(row, limits[i].gauge, &life->values[i]);
		g_hash_table_add(changes->lives, life);
	}
	take_text(&life->name, row->name);
	take_text(&life->id, row->texts[GAUGE_TEXT_ID]);
	take_text(&life->pod, row->texts[GAUGE_TEXT_POD]);
	take_text(&life->image, row->texts[GAUGE_TEXT_IMAGE]);
	return life;
}

/* Limits of one not told yet are still being set by who makes it. */
static void take_limits(const struct changes *changes, struct life *life, const struct gauge_row *row)
{
	for (guint i = 0; i < G_N_ELEMENTS(limits); i++) {
		guint64 value;
		gboolean is_known = gauge_get(row, limits[i].gauge, &value);

		if (!gauge_is_known(row, limits[i].beside)) /* it is just ending */
			continue;
		if (life->readings == G_MAXUINT && (is_known != life->is_known[i] || value != life->values[i]))
			tell_limit(changes, life, &limits[i], is_known, value);
		life->is_known[i] = is_known;
		life->values[i] = value;
	}
}

static void take_row(struct changes *changes, const struct gauge_row *row)
{
	struct life *life = life_of(changes, row);

	life->seen = TRUE;
	take_limits(changes, life, row);
	if (life->readings != G_MAXUINT && (has_name(life) || ++life->readings >= CHANGES_NAME_READINGS)) {
		tell_birth(changes, life, birth_of(changes, row));
		life->readings = G_MAXUINT;
	}
}

/* GHRFunc: not one of the latest? */
static gboolean is_long_past(gpointer name, gpointer past, gpointer changes)
{
	(void)name;
	return ((const struct past *)past)->ended + CHANGES_NAMES_MAX / 2 <= ((const struct changes *)changes)->ends;
}

static void remember(struct changes *changes, const struct life *life)
{
	struct past *past = g_new0(struct past, 1);

	if (g_hash_table_size(changes->past) >= CHANGES_NAMES_MAX)
		g_hash_table_foreach_remove(changes->past, is_long_past, changes);
	past->ended = ++changes->ends;
	past->id = g_strdup(life->id);
	past->pod = g_strdup(life->pod);
	past->image = g_strdup(life->image);
	g_hash_table_replace(changes->past, g_strdup(life->name), past);
}

void changes_take(struct changes *changes, const struct gauges *readings, guint64 now_ns, changes_fn each, void *user)
{
	GHashTableIter iter;
	gpointer key;

	changes->now_ns = now_ns;
	changes->each = each;
	changes->user = user;
	g_hash_table_iter_init(&iter, changes->lives);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		((struct life *)key)->seen = FALSE;
	/* Who ended first: one that takes its place is in the same reading. */
	for (guint32 i = 0; i < readings->rows->len; i++) {
		const struct gauge_row *row = gauges_row(readings, i);

		if (row->resource == GAUGE_RESOURCE_CONTAINER && !row->dead)
			life_of(changes, row)->seen = TRUE;
	}
	g_hash_table_iter_init(&iter, changes->lives);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		const struct life *life = key;

		if (life->seen)
			continue;
		if (life->readings == G_MAXUINT) { /* who ended before he was told was nobody */
			tell(changes, "stop", life, now_ns, NULL, 0);
			remember(changes, life);
		}
		g_hash_table_iter_remove(&iter);
	}
	for (guint32 i = 0; i < readings->rows->len; i++) {
		const struct gauge_row *row = gauges_row(readings, i);

		if (row->resource == GAUGE_RESOURCE_CONTAINER && !row->dead)
			take_row(changes, row);
	}
	changes->began = TRUE;
}
