/* SPDX-License-Identifier: Apache-2.0 */
/* pprof's profile.proto (github.com/google/pprof/proto/profile.proto), raw or gzipped. The whole message is held, at
 * most IMPORT_BINARY_BYTES_MAX; tables are sized by what is really in it. Two passes: strings, functions, mappings and
 * locations first, then samples, since the order of fields is free. */
#include <string.h>

#include "import/readers.h"
#include "import/stacks.h"

/* Part of a message: what is left to read. */
struct wire {
	const guchar *at, *end;
	const guchar *base; /* of the file, for positions */
};

struct wire_field {
	guint32 number;
	guint32 type; /* 0 varint, 1 64 bits, 2 bytes, 5 32 bits */
	guint64 value; /* type 0, 1, 5 */
	struct wire bytes; /* type 2 */
};

struct text_slice {
	const char *text;
	gsize length;
};

struct value_type {
	guint64 type, unit; /* indices of strings */
};

struct function {
	guint64 name, file;
};

/* Locations are small runs in `lines`: innermost function first. */
struct location {
	guint64 mapping; /* id */
	guint64 address;
	guint32 first_line, lines;
};

struct profile {
	const guchar *base;
	GArray *strings; /* of struct text_slice */
	GArray *types; /* of struct value_type */
	GArray *functions; /* of struct function */
	GHashTable *function_ids; /* id → index + 1 */
	GHashTable *mapping_files; /* id → index of a string + 1 */
	GArray *locations; /* of struct location */
	GHashTable *location_ids; /* id → index + 1 */
	GArray *lines; /* of guint64: function ids */
	guint64 default_type, start_ns, duration_ns;
	guint value_index;
	guint64 scale;
};

static gboolean wire_fail(const guchar *base, const guchar *at, GError **error, const char *why)
{
	g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_MALFORMED, "byte %zu of the profile: %s", (gsize)(at - base),
		    why);
	return FALSE;
}

static gboolean wire_varint(struct wire *wire, guint64 *value, GError **error)
{
	*value = 0;
	for (guint shift = 0; shift < 70 && wire->at < wire->end; shift += 7) {
		guchar byte = *wire->at++;

		if (shift < 64)
			*value |= (guint64)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return TRUE;
	}
	return wire_fail(wire->base, wire->at, error, "a number does not end");
}

static gboolean wire_fixed(struct wire *wire, guint width, guint64 *value, GError **error)
{
	if ((gsize)(wire->end - wire->at) < width)
		return wire_fail(wire->base, wire->at, error, "a field is cut short");
	*value = 0;
	for (guint i = 0; i < width; i++)
		*value |= (guint64)*wire->at++ << (8 * i);
	return TRUE;
}

/* 1: a field; 0: the end; -1: `error`. */
static int wire_next(struct wire *wire, struct wire_field *field, GError **error)
{
	guint64 key;

	if (wire->at == wire->end)
		return 0;
	if (!wire_varint(wire, &key, error))
		return -1;
	field->number = (guint32)(key >> 3);
	field->type = key & 7;
	switch (field->type) {
	case 0:
		return wire_varint(wire, &field->value, error) ? 1 : -1;
	case 1:
		return wire_fixed(wire, 8, &field->value, error) ? 1 : -1;
	case 5:
		return wire_fixed(wire, 4, &field->value, error) ? 1 : -1;
	case 2:
		if (!wire_varint(wire, &field->value, error))
			return -1;
		if (field->value > (guint64)(wire->end - wire->at)) {
			wire_fail(wire->base, wire->at, error, "a field is longer than what contains it");
			return -1;
		}
		field->bytes = (struct wire){ wire->at, wire->at + field->value, wire->base };
		wire->at += field->value;
		return 1;
	default:
		wire_fail(wire->base, wire->at, error, "not a protobuf field");
		return -1;
	}
}

/* Reads the varints of a message into `values` by field number (1 … count); other fields are ignored. */
static gboolean wire_numbers(struct wire wire, guint64 *values, guint count, GError **error)
{
	struct wire_field field;
	int more;

	memset(values, 0, sizeof(*values) * (count + 1));
	while ((more = wire_next(&wire, &field, error)) > 0)
		if (field.type == 0 && field.number <= count)
			values[field.number] = field.value;
	return more == 0;
}

static void table_add(GHashTable *table, guint64 id, guint64 value)
{
	guint64 *key = g_new(guint64, 1);

	*key = id;
	g_hash_table_insert(table, key, GSIZE_TO_POINTER(value + 1));
}

static gboolean table_find(GHashTable *table, guint64 id, guint64 *value)
{
	gsize found = GPOINTER_TO_SIZE(g_hash_table_lookup(table, &id));

	*value = found - 1;
	return found != 0;
}

static gboolean profile_location(struct profile *profile, struct wire wire, GError **error)
{
	struct location location = { .first_line = profile->lines->len };
	guint64 id = 0, line[3];
	struct wire_field field;
	int more;

	while ((more = wire_next(&wire, &field, error)) > 0) {
		if (field.number == 1 && field.type == 0)
			id = field.value;
		else if (field.number == 2 && field.type == 0)
			location.mapping = field.value;
		else if (field.number == 3 && field.type == 0)
			location.address = field.value;
		else if (field.number == 4 && field.type == 2) {
			if (!wire_numbers(field.bytes, line, 2, error))
				return FALSE;
			g_array_append_val(profile->lines, line[1]);
		}
	}
	location.lines = profile->lines->len - location.first_line;
	table_add(profile->location_ids, id, profile->locations->len);
	g_array_append_val(profile->locations, location);
	return more == 0;
}

static gboolean profile_function(struct profile *profile, struct wire wire, GError **error)
{
	guint64 values[5];
	struct function function;

	if (!wire_numbers(wire, values, 4, error))
		return FALSE;
	function = (struct function){ values[2] ? values[2] : values[3], values[4] };
	table_add(profile->function_ids, values[1], profile->functions->len);
	g_array_append_val(profile->functions, function);
	return TRUE;
}

static gboolean profile_table(struct profile *profile, const struct wire_field *field, GError **error)
{
	guint64 values[6];
	struct text_slice slice;
	struct value_type type;

	switch (field->number) {
	case 1:
		if (!wire_numbers(field->bytes, values, 2, error))
			return FALSE;
		type = (struct value_type){ values[1], values[2] };
		g_array_append_val(profile->types, type);
		return TRUE;
	case 3:
		if (!wire_numbers(field->bytes, values, 5, error))
			return FALSE;
		table_add(profile->mapping_files, values[1], values[5]);
		return TRUE;
	case 4:
		return profile_location(profile, field->bytes, error);
	case 5:
		return profile_function(profile, field->bytes, error);
	case 6:
		slice = (struct text_slice){ (const char *)field->bytes.at,
					     (gsize)(field->bytes.end - field->bytes.at) };
		g_array_append_val(profile->strings, slice);
		return TRUE;
	default:
		return TRUE;
	}
}

static gboolean profile_tables(struct profile *profile, struct wire wire, GError **error)
{
	struct wire_field field;
	int more;

	while ((more = wire_next(&wire, &field, error)) > 0) {
		if (field.type == 2 && !profile_table(profile, &field, error))
			return FALSE;
		if (field.type == 0 && field.number == 9)
			profile->start_ns = field.value;
		else if (field.type == 0 && field.number == 10)
			profile->duration_ns = field.value;
		else if (field.type == 0 && field.number == 14)
			profile->default_type = field.value;
	}
	return more == 0;
}

static struct text_slice profile_string(const struct profile *profile, guint64 index)
{
	if (index >= profile->strings->len)
		return (struct text_slice){ "", 0 };
	return g_array_index(profile->strings, struct text_slice, index);
}

static gboolean slice_equals(struct text_slice slice, const char *text)
{
	return slice.length == strlen(text) && memcmp(slice.text, text, slice.length) == 0;
}

/* Chooses what to count: the profile's default, else the last type (as pprof does); and its unit. */
static enum unit profile_choose(struct profile *profile)
{
	static const struct {
		const char *name;
		enum unit unit;
		guint64 scale;
	} units[] = { { "nanoseconds", UNIT_NANOSECONDS, 1 },
		      { "microseconds", UNIT_NANOSECONDS, 1000 },
		      { "milliseconds", UNIT_NANOSECONDS, 1000000 },
		      { "seconds", UNIT_NANOSECONDS, 1000000000 },
		      { "bytes", UNIT_BYTES, 1 },
		      { "kilobytes", UNIT_BYTES, 1024 } };
	struct text_slice unit;

	profile->value_index = profile->types->len ? profile->types->len - 1 : 0;
	profile->scale = 1;
	for (guint i = 0; profile->default_type && i < profile->types->len; i++)
		if (g_array_index(profile->types, struct value_type, i).type == profile->default_type)
			profile->value_index = i;
	if (!profile->types->len)
		return UNIT_COUNT;
	unit = profile_string(profile, g_array_index(profile->types, struct value_type, profile->value_index).unit);
	for (guint i = 0; i < G_N_ELEMENTS(units); i++) {
		if (!slice_equals(unit, units[i].name))
			continue;
		profile->scale = units[i].scale;
		return units[i].unit;
	}
	return UNIT_COUNT;
}

static char *slice_dup(struct text_slice slice)
{
	return slice.length ? g_strndup(slice.text, slice.length) : NULL;
}

static enum frame_kind pprof_kind(const char *module, const char *name)
{
	if (module && (g_str_has_prefix(module, "[kernel") || strcmp(module, "[vmlinux]") == 0))
		return FRAME_KERNEL;
	return name[0] == '[' && g_str_has_suffix(name, "]") ? FRAME_UNRESOLVED : FRAME_USER;
}

/* Frames of one location, leaf first: the innermost inlined function comes first. FALSE when the stack is full. */
static gboolean profile_push(const struct profile *profile, struct stacks *stacks, struct calltree *tree,
			     const struct location *location)
{
	guint64 file = 0, index;
	g_autofree char *module = NULL;
	gboolean room = TRUE;

	if (table_find(profile->mapping_files, location->mapping, &file))
		module = slice_dup(profile_string(profile, file));
	for (guint i = 0; i < location->lines; i++) {
		guint64 id = g_array_index(profile->lines, guint64, location->first_line + i);
		g_autofree char *name = NULL;
		enum frame_kind kind;

		if (table_find(profile->function_ids, id, &index))
			name = slice_dup(profile_string(
				profile, g_array_index(profile->functions, struct function, index).name));
		kind = !name ? FRAME_UNRESOLVED : i + 1 < location->lines ? FRAME_INLINED : pprof_kind(module, name);
		room = stacks_push(stacks, calltree_frame(tree, kind, name ? name : "[no name]", -1, module));
	}
	if (!location->lines) {
		const char *base = module ? strrchr(module, '/') : NULL;
		g_autofree char *why =
			g_strdup_printf("[%s: no symbol]", module ? (base ? base + 1 : module) : "unknown");

		room = stacks_push(stacks, calltree_frame(tree, FRAME_UNRESOLVED, why, -1, module));
	}
	return room;
}

/* Adds the location with this id; FALSE and `error` when there is none. */
static gboolean sample_location(const struct profile *profile, struct stacks *stacks, struct calltree *tree, guint64 id,
				const guchar *at, gboolean *cut, GError **error)
{
	guint64 index;

	if (!table_find(profile->location_ids, id, &index))
		return wire_fail(profile->base, at, error, "a sample names a location that does not exist");
	if (!profile_push(profile, stacks, tree, &g_array_index(profile->locations, struct location, index)))
		*cut = TRUE;
	return TRUE;
}

/* A repeated number, packed or not: calls for each; `which` counts values. */
static gboolean sample_value(const struct profile *profile, guint *which, guint64 number, guint64 *weight,
			     const guchar *at, GError **error)
{
	if ((*which)++ != profile->value_index)
		return TRUE;
	if (number > G_MAXINT64 / profile->scale)
		return wire_fail(profile->base, at, error, "a sample's value is negative or too large");
	*weight = number * profile->scale;
	return TRUE;
}

static gboolean profile_sample(const struct profile *profile, struct stacks *stacks, struct calltree *tree,
			       struct wire wire, guint64 *weight, gboolean *cut, GError **error)
{
	struct wire_field field;
	guint which = 0;
	int more;

	*weight = 0;
	while ((more = wire_next(&wire, &field, error)) > 0) {
		struct wire packed = field.bytes;
		guint64 number = field.value;

		if (field.number != 1 && field.number != 2)
			continue;
		if (field.type != 2 && field.type != 0)
			continue;
		while (field.type == 0 || packed.at < packed.end) {
			if (field.type == 2 && !wire_varint(&packed, &number, error))
				return FALSE;
			if (field.number == 1 && !sample_location(profile, stacks, tree, number, wire.at, cut, error))
				return FALSE;
			if (field.number == 2 && !sample_value(profile, &which, number, weight, wire.at, error))
				return FALSE;
			if (field.type == 0)
				break;
		}
	}
	return more == 0;
}

static gboolean profile_samples(const struct profile *profile, struct wire wire, struct shape *shape, guint64 *count,
				GError **error)
{
	g_autoptr(stacks_t) stacks = stacks_new(shape->calltree);
	struct wire_field field;
	int more;

	while ((more = wire_next(&wire, &field, error)) > 0) {
		gboolean cut = FALSE;
		guint64 weight;

		if (field.number != 2 || field.type != 2)
			continue;
		if (!profile_sample(profile, stacks, shape->calltree, field.bytes, &weight, &cut, error))
			return FALSE;
		if (!weight) {
			stacks_cancel(stacks);
			continue;
		}
		stacks_reverse(stacks);
		stacks_end(stacks, weight);
		ledger_add(&shape->ledger, LEDGER_TRUNCATED, cut, cut ? weight : 0);
		(*count)++;
	}
	stacks_flush(stacks);
	return more == 0;
}

static void profile_init(struct profile *profile, const guchar *base)
{
	*profile = (struct profile){
		.base = base,
		.strings = g_array_new(FALSE, FALSE, sizeof(struct text_slice)),
		.types = g_array_new(FALSE, FALSE, sizeof(struct value_type)),
		.functions = g_array_new(FALSE, FALSE, sizeof(struct function)),
		.locations = g_array_new(FALSE, FALSE, sizeof(struct location)),
		.lines = g_array_new(FALSE, FALSE, sizeof(guint64)),
		.function_ids = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
		.location_ids = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
		.mapping_files = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
	};
}

static void profile_clear(struct profile *profile)
{
	g_array_unref(profile->strings);
	g_array_unref(profile->types);
	g_array_unref(profile->functions);
	g_array_unref(profile->locations);
	g_array_unref(profile->lines);
	g_hash_table_unref(profile->function_ids);
	g_hash_table_unref(profile->location_ids);
	g_hash_table_unref(profile->mapping_files);
}

static struct snapshot *profile_snapshot(struct profile *profile, struct wire wire, GError **error)
{
	g_autoptr(snapshot_t) snapshot = NULL;
	struct shape *shape;
	struct text_slice type;
	guint64 count = 0;

	if (!profile_tables(profile, wire, error))
		return NULL;
	snapshot = import_snapshot("pprof", profile_choose(profile), &shape);
	if (profile->types->len) {
		type = profile_string(profile,
				      g_array_index(profile->types, struct value_type, profile->value_index).type);
		shape->ledger.rung = type.length ? g_strndup(type.text, type.length) : NULL;
	}
	if (profile->start_ns <= G_MAXINT64)
		snapshot->start_realtime_ns = profile->start_ns;
	if (profile->duration_ns <= G_MAXINT64)
		snapshot->duration_ns = profile->duration_ns;
	if (!profile_samples(profile, wire, shape, &count, error) || !import_finish(shape, count, error))
		return NULL;
	return g_steal_pointer(&snapshot);
}

struct snapshot *import_pprof(struct input *input, const struct import_options *options, GError **error)
{
	gsize length;
	const guchar *bytes = input_peek_all(input, IMPORT_BINARY_BYTES_MAX, &length, error);
	struct profile profile;
	struct snapshot *snapshot;

	(void)options;
	if (!bytes)
		return NULL;
	profile_init(&profile, bytes);
	snapshot = profile_snapshot(&profile, (struct wire){ bytes, bytes + length, bytes }, error);
	profile_clear(&profile);
	return snapshot;
}
