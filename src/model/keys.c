/* SPDX-License-Identifier: Apache-2.0 */
#include "model/keys.h"

/* The hash table's keys: the tuples with their width, which GLib's functions do not get otherwise. */
struct keys_tuple {
	guint width;
	const char *values[];
};

static guint keys_tuple_hash(gconstpointer key)
{
	const struct keys_tuple *tuple = key;
	guint hash = tuple->width;

	for (guint i = 0; i < tuple->width; i++)
		hash = hash * 31 + (tuple->values[i] ? g_str_hash(tuple->values[i]) : 1);
	return hash;
}

static gboolean keys_tuple_equal(gconstpointer left, gconstpointer right)
{
	const struct keys_tuple *a = left, *b = right;

	for (guint i = 0; i < a->width; i++)
		if (g_strcmp0(a->values[i], b->values[i]) != 0)
			return FALSE;
	return TRUE;
}

void keys_init(struct keys *keys, guint width)
{
	g_return_if_fail(width <= KEYS_WIDTH_MAX);
	*keys = (struct keys){
		.width = width,
		.rows = g_ptr_array_new(),
		.strings = g_string_chunk_new(1024),
		.ids = g_hash_table_new(keys_tuple_hash, keys_tuple_equal),
		.wide = g_ptr_array_new_with_free_func(g_free),
	};
}

void keys_clear(struct keys *keys)
{
	if (!keys->rows)
		return;
	g_ptr_array_unref(keys->rows);
	g_string_chunk_free(keys->strings);
	g_hash_table_unref(keys->ids);
	g_ptr_array_unref(keys->wide);
	*keys = (struct keys){ 0 };
}

static struct keys_tuple *keys_tuple_new(guint width)
{
	struct keys_tuple *tuple = g_malloc0(sizeof(*tuple) + width * sizeof(tuple->values[0]));

	tuple->width = width;
	return tuple;
}

guint32 keys_find(const struct keys *keys, const char *const *values)
{
	g_autofree struct keys_tuple *wanted = keys_tuple_new(keys->width);
	gpointer known;

	for (guint i = 0; i < keys->width; i++)
		wanted->values[i] = values[i];
	known = g_hash_table_lookup(keys->ids, wanted);
	return known ? GPOINTER_TO_UINT(known) - 1 : KEYS_NONE;
}

guint32 keys_add(struct keys *keys, const char *const *values)
{
	guint32 row = keys_find(keys, values);
	struct keys_tuple *tuple;

	if (row != KEYS_NONE || keys->rows->len >= KEYS_ROWS_MAX)
		return row;
	tuple = keys_tuple_new(keys->width);
	for (guint i = 0; i < keys->width; i++)
		tuple->values[i] = values[i] ? g_string_chunk_insert_const(keys->strings, values[i]) : NULL;
	g_ptr_array_add(keys->wide, tuple);
	g_ptr_array_add(keys->rows, tuple->values);
	g_hash_table_insert(keys->ids, tuple, GUINT_TO_POINTER(keys->rows->len));
	return keys->rows->len - 1;
}

const char *const *keys_values(const struct keys *keys, guint32 row)
{
	return g_ptr_array_index(keys->rows, row);
}
