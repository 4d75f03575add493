/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/allocators.h"

#include <string.h>
#include <unistd.h>

#include "probe/heap.h"
#include "symbol/foreign.h"
#include "symbol/image.h"
#include "symbol/maps.h"

#define FILES_MAX 4096 /* looked into */
#define PATH_SHOWN 256

/* `own`: counts only where malloc itself is defined in the same file (libstdc++'s operator new calls malloc, jemalloc's does
 * not). */
static const struct allocator_function {
	const char *name;
	enum heap_call call;
	gboolean own;
} functions[] = {
	{ "malloc", HEAP_MALLOC, FALSE },
	{ "calloc", HEAP_CALLOC, FALSE },
	{ "realloc", HEAP_REALLOC, FALSE },
	{ "aligned_alloc", HEAP_ALIGNED, FALSE },
	{ "memalign", HEAP_ALIGNED, FALSE },
	{ "posix_memalign", HEAP_POSIX_MEMALIGN, FALSE },
	{ "valloc", HEAP_MALLOC, FALSE },
	{ "pvalloc", HEAP_MALLOC, FALSE },
	{ "free", HEAP_FREE, FALSE },
	{ "je_malloc", HEAP_MALLOC, FALSE },
	{ "je_calloc", HEAP_CALLOC, FALSE },
	{ "je_realloc", HEAP_REALLOC, FALSE },
	{ "je_aligned_alloc", HEAP_ALIGNED, FALSE },
	{ "je_posix_memalign", HEAP_POSIX_MEMALIGN, FALSE },
	{ "je_free", HEAP_FREE, FALSE },
	{ "mallocx", HEAP_MALLOC, TRUE },
	{ "rallocx", HEAP_REALLOC, TRUE },
	{ "dallocx", HEAP_FREE, TRUE },
	{ "sdallocx", HEAP_FREE, TRUE },
	{ "free_sized", HEAP_FREE, TRUE },
	{ "free_aligned_sized", HEAP_FREE, TRUE },
	{ "_Znwm", HEAP_MALLOC, TRUE }, /* operator new, new[], with nothrow and alignment */
	{ "_Znam", HEAP_MALLOC, TRUE },
	{ "_ZnwmRKSt9nothrow_t", HEAP_MALLOC, TRUE },
	{ "_ZnamRKSt9nothrow_t", HEAP_MALLOC, TRUE },
	{ "_ZnwmSt11align_val_t", HEAP_MALLOC, TRUE },
	{ "_ZnamSt11align_val_t", HEAP_MALLOC, TRUE },
	{ "_ZdlPv", HEAP_FREE, TRUE }, /* operator delete, delete[] */
	{ "_ZdaPv", HEAP_FREE, TRUE },
	{ "_ZdlPvm", HEAP_FREE, TRUE },
	{ "_ZdaPvm", HEAP_FREE, TRUE },
	{ "_ZdlPvSt11align_val_t", HEAP_FREE, TRUE },
	{ "_ZdaPvSt11align_val_t", HEAP_FREE, TRUE },
	{ "_ZdlPvmSt11align_val_t", HEAP_FREE, TRUE },
	{ "_ZdaPvmSt11align_val_t", HEAP_FREE, TRUE },
};

/* Of one file. */
struct found {
	guint64 addresses[G_N_ELEMENTS(functions)]; /* 0: not defined */
};

/* image_function_fn */
static void found_take(void *user, const char *name, gsize length, guint64 address)
{
	struct found *found = user;

	for (guint i = 0; i < G_N_ELEMENTS(functions); i++)
		if (strlen(functions[i].name) == length && memcmp(functions[i].name, name, length) == 0)
			found->addresses[i] = address;
}

struct search {
	struct registry *registry;
	struct allocators *allocators;
	struct foreign *foreign;
	GHashTable *files; /* struct module_key → GINT_TO_POINTER(it has an allocator) */
	/* while a process is looked at */
	int proc_fd;
	gboolean has_one;
};

/* Two names of one function get one breakpoint. */
static gboolean found_before(const struct found *found, guint index)
{
	for (guint i = 0; i < index; i++)
		if (found->addresses[i] == found->addresses[index])
			return TRUE;
	return FALSE;
}

static guint sites_add(struct allocators *allocators, const struct found *found, const struct image *image, int fd)
{
	guint added = 0;

	for (guint i = 0; i < G_N_ELEMENTS(functions); i++) {
		struct probe_site site = { .fd = fd, .call = functions[i].call };

		if (!found->addresses[i] || (functions[i].own && !found->addresses[0]) || found_before(found, i) ||
		    !image_offset(image->segments, image->segment_count, found->addresses[i], &site.file_offset))
			continue;
		if (allocators->sites->len >= ALLOCATORS_SITES_MAX) {
			allocators->is_cut = TRUE;
			break;
		}
		g_array_append_val(allocators->sites, site);
		added++;
	}
	return added;
}

/* TRUE when the file has an allocator; then the descriptor is kept. */
static gboolean file_search(struct search *search, int fd, const char *path)
{
	g_autoptr(image_t) image = image_open_fd(fd, NULL);
	struct found found = { { 0 } };

	if (!image || !image->is_64bit)
		return FALSE;
	image_each_function(image, SHT_DYNSYM, found_take, &found);
	image_each_function(image, SHT_SYMTAB, found_take, &found);
	if (sites_add(search->allocators, &found, image, fd) == 0)
		return FALSE;
	g_array_append_val(search->allocators->fds, fd);
	g_ptr_array_add(search->allocators->files, g_strndup(path, PATH_SHOWN));
	return TRUE;
}

/* maps_each_fn */
static gboolean mapping_search(void *user, const struct maps_entry *entry)
{
	struct search *search = user;
	struct foreign_file file = { .fd = -1 };
	gpointer known;
	char name[64];
	gboolean has;

	if (!entry->executable || entry->path[0] != '/')
		return TRUE;
	g_snprintf(name, sizeof(name), "map_files/%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x", entry->start,
		   entry->end);
	if (!foreign_stat(search->foreign, search->proc_fd, name, &file.key))
		return TRUE;
	if (g_hash_table_lookup_extended(search->files, &file.key, NULL, &known)) {
		search->has_one |= GPOINTER_TO_INT(known);
		return TRUE;
	}
	if (g_hash_table_size(search->files) >= FILES_MAX) {
		search->allocators->is_cut = TRUE;
		return FALSE;
	}
	if (!foreign_open(search->foreign, search->proc_fd, name, &file))
		return TRUE;
	has = file_search(search, file.fd, entry->path);
	if (!has)
		close(file.fd);
	search->has_one |= has;
	g_hash_table_insert(search->files, g_memdup2(&file.key, sizeof(file.key)), GINT_TO_POINTER(has));
	return TRUE;
}

static void process_search(struct search *search, guint32 tgid)
{
	enum maps_answer answer;

	if (search->allocators->processes >= ALLOCATORS_PROCESSES_MAX) {
		search->allocators->is_cut = TRUE;
		return;
	}
	search->proc_fd = foreign_open_process(tgid);
	if (search->proc_fd < 0)
		return;
	search->has_one = FALSE;
	answer = maps_read(search->proc_fd, mapping_search, search);
	close(search->proc_fd);
	if (answer != MAPS_FOUND)
		return;
	search->allocators->processes++;
	search->allocators->without += !search->has_one;
}

struct allocators *allocators_find(struct registry *registry, const GPtrArray *targets)
{
	struct allocators *allocators = g_new0(struct allocators, 1);
	struct search search = { .registry = registry, .allocators = allocators };
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));

	allocators->sites = g_array_new(FALSE, FALSE, sizeof(struct probe_site));
	allocators->files = g_ptr_array_new_with_free_func(g_free);
	allocators->fds = g_array_new(FALSE, FALSE, sizeof(int));
	search.foreign = foreign_new();
	search.files = g_hash_table_new_full(module_key_hash, module_key_equal, g_free, NULL);
	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind == TARGET_PROCESS)
			g_array_append_val(pids, target->pid);
		else if (target->kind == TARGET_CONTAINER)
			registry_pids(registry, target->container, pids);
	}
	for (guint i = 0; i < pids->len; i++)
		process_search(&search, g_array_index(pids, guint32, i));
	g_hash_table_unref(search.files);
	foreign_free(search.foreign);
	return allocators;
}

void allocators_free(struct allocators *allocators)
{
	if (!allocators)
		return;
	for (guint i = 0; i < allocators->fds->len; i++)
		close(g_array_index(allocators->fds, int, i));
	g_array_unref(allocators->fds);
	g_array_unref(allocators->sites);
	g_ptr_array_unref(allocators->files);
	g_free(allocators);
}
