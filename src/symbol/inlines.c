/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/inlines.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"

struct file {
	char *name;
	struct debug_fds fds; /* dwarf -1: it has no debug information */
	GHashTable *numbers; /* address (owned) → number */
	GArray *wanted; /* of guint32: numbers not looked up yet */
	guint missed; /* addresses that were not looked up in time */
};

struct place {
	guint64 address;
	const struct lines_place *found;
};

struct inlines {
	GHashTable *files; /* module → struct file */
	GPtrArray *in_order; /* struct file, as met */
	GArray *places; /* struct place, by number - 1 */
	GPtrArray *results; /* struct lines */
	guint open;
	guint refused_files, refused_places;
};

static void file_free(gpointer data)
{
	struct file *file = data;

	if (file->fds.dwarf >= 0)
		close(file->fds.dwarf);
	if (file->fds.alt >= 0)
		close(file->fds.alt);
	g_clear_pointer(&file->numbers, g_hash_table_unref);
	g_clear_pointer(&file->wanted, g_array_unref);
	g_free(file->name);
	g_free(file);
}

struct inlines *inlines_new(void)
{
	struct inlines *inlines = g_new0(struct inlines, 1);

	inlines->files = g_hash_table_new(NULL, NULL);
	inlines->in_order = g_ptr_array_new_with_free_func(file_free);
	inlines->places = g_array_new(FALSE, TRUE, sizeof(struct place));
	inlines->results = g_ptr_array_new_with_free_func((GDestroyNotify)lines_free);
	return inlines;
}

void inlines_free(struct inlines *inlines)
{
	if (!inlines)
		return;
	g_hash_table_unref(inlines->files);
	g_ptr_array_unref(inlines->in_order);
	g_array_unref(inlines->places);
	g_ptr_array_unref(inlines->results);
	g_free(inlines);
}

static void file_open(struct inlines *inlines, struct modules *modules, const struct module *module, struct file *file)
{
	file->fds = (struct debug_fds){ -1, -1 };
	if (inlines->open >= INLINES_FILES_MAX) {
		inlines->refused_files++;
		return;
	}
	if (!modules_open_dwarf(modules, module, &file->fds))
		return;
	inlines->open++;
	file->numbers = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	file->wanted = g_array_new(FALSE, FALSE, sizeof(guint32));
}

void inlines_retry(struct inlines *inlines, struct modules *modules, struct module *module)
{
	struct file *file = g_hash_table_lookup(inlines->files, module);

	if (file && file->fds.dwarf < 0)
		file_open(inlines, modules, module, file);
}

static struct file *file_get(struct inlines *inlines, struct modules *modules, struct module *module)
{
	struct file *file = g_hash_table_lookup(inlines->files, module);

	if (file)
		return file;
	file = g_new0(struct file, 1);
	file->name = g_strdup(module->name);
	file_open(inlines, modules, module, file);
	g_hash_table_insert(inlines->files, module_ref(module), file); /* kept: a pointer is the key */
	g_ptr_array_add(inlines->in_order, file);
	return file;
}

guint32 inlines_add(struct inlines *inlines, struct modules *modules, struct module *module, guint64 address)
{
	struct file *file = file_get(inlines, modules, module);
	struct place place = { .address = address };
	guint32 number;

	if (file->fds.dwarf < 0)
		return 0;
	number = GPOINTER_TO_UINT(g_hash_table_lookup(file->numbers, &address));
	if (number)
		return number;
	if (inlines->places->len >= INLINES_PLACES_MAX) {
		inlines->refused_places++;
		return 0;
	}
	g_array_append_val(inlines->places, place);
	number = inlines->places->len;
	g_hash_table_insert(file->numbers, g_memdup2(&address, sizeof(address)), GUINT_TO_POINTER(number));
	g_array_append_val(file->wanted, number);
	return number;
}

static struct place *place_at(const struct inlines *inlines, guint32 number)
{
	return &g_array_index(inlines->places, struct place, number - 1);
}

static gint compare_addresses(gconstpointer a, gconstpointer b, gpointer user)
{
	guint64 x = place_at(user, *(const guint32 *)a)->address, y = place_at(user, *(const guint32 *)b)->address;

	return (x > y) - (x < y);
}

static void file_look_up(struct inlines *inlines, struct file *file, guint64 time_max_ns)
{
	guint count = file->wanted->len;
	g_autofree guint64 *addresses = g_new(guint64, count);
	struct lines *lines;

	/* In their order, so that a unit's functions are read once. */
	g_array_sort_with_data(file->wanted, compare_addresses, inlines);
	for (guint i = 0; i < count; i++)
		addresses[i] = place_at(inlines, g_array_index(file->wanted, guint32, i))->address;
	lines = lines_look_up(&file->fds, addresses, count, time_max_ns);
	for (guint i = 0; i < count; i++)
		place_at(inlines, g_array_index(file->wanted, guint32, i))->found = &lines->places[i];
	file->missed += count - lines->looked_up;
	g_ptr_array_add(inlines->results, lines);
	g_array_set_size(file->wanted, 0);
}

static gint compare_files(gconstpointer a, gconstpointer b)
{
	const struct file *x = *(struct file *const *)a, *y = *(struct file *const *)b;

	return (x->wanted->len < y->wanted->len) - (x->wanted->len > y->wanted->len);
}

void inlines_settle(struct inlines *inlines)
{
	guint64 until_ns = clock_monotonic_ns() + INLINES_ALL_NS;
	g_autoptr(GPtrArray) files = g_ptr_array_new();

	for (guint i = 0; i < inlines->in_order->len; i++) {
		struct file *file = g_ptr_array_index(inlines->in_order, i);

		if (file->wanted && file->wanted->len)
			g_ptr_array_add(files, file);
	}
	g_ptr_array_sort(files, compare_files);
	for (guint i = 0; i < files->len; i++) {
		struct file *file = g_ptr_array_index(files, i);
		guint64 now_ns = clock_monotonic_ns();

		if (now_ns < until_ns) {
			file_look_up(inlines, file, MIN(until_ns - now_ns, INLINES_FILE_NS));
		} else {
			file->missed += file->wanted->len;
			g_array_set_size(file->wanted, 0);
		}
	}
}

const struct lines_place *inlines_get(const struct inlines *inlines, guint32 number)
{
	const struct lines_place *found = place_at(inlines, number)->found;

	return found && found->count ? found : NULL;
}

char *inlines_complaint(struct inlines *inlines, guint index)
{
	for (guint i = 0; i < inlines->in_order->len; i++) {
		const struct file *file = g_ptr_array_index(inlines->in_order, i);

		if (file->missed && index-- == 0)
			return g_strdup_printf(
				"inlined functions of %s: %u of %u addresses were not looked up in time, or its "
				"debug information is damaged",
				file->name, file->missed, g_hash_table_size(file->numbers));
	}
	if (inlines->refused_files && index-- == 0)
		return g_strdup_printf("inlined functions of %u files were not looked up: more than %d have some",
				       inlines->refused_files, INLINES_FILES_MAX);
	if (inlines->refused_places && index == 0)
		return g_strdup_printf(
			"%u addresses were not looked up for inlined functions: more than %u are too many",
			inlines->refused_places, INLINES_PLACES_MAX);
	return NULL;
}
