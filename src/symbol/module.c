/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/module.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "symbol/debugfile.h"
#include "symbol/source.h"

#define MODULE_SEEKS_MAX 8 /* as many walks through a very large table as cost what reading it does */
#define MAP_FILES_FORMAT "map_files/%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x"
#define VDSO_DEVICE G_MAXUINT64 /* no file has it */
#define SIBLINGS_FRESH_NS (2 * NS_PER_S) /* an inode's number is used again */
#define SIBLINGS_START_MIN (G_GUINT64_CONSTANT(1) << 32) /* below lies what is linked to one address */
#define SIBLINGS_MAX 65536

/* One file at one place: processes that were forked from one another have it in common, and nobody else by chance. */
struct sibling {
	guint64 device, inode, start, end;
};

struct modules {
	struct foreign *foreign;
	guint vdsos;
	const void *vdso_bytes; /* looked at last: in most runs the only one */
	struct module *vdso;
	GHashTable *by_key; /* struct module_key → struct module */
	GHashTable *siblings; /* struct sibling → struct module_key, looked at a moment ago */
	guint64 siblings_since_ns;
	GHashTable *by_build_id; /* GBytes → struct module: one that was opened with it */
	GQueue open, loaded; /* of struct module; most recently used first */
	guint evicted, closed_unread;
	gsize bytes;
	GQueue unwinds; /* of struct module with an unwind table, most recently used first; vDSOs are not in it */
	gsize unwind_bytes;
	guint unwind_evicted, unwind_put_off, unwind_paged;
	gint64 unwind_budget_us, unwind_budget_at_us;
	guint64 unwind_us;
	guint64 unwind_work_bytes; /* of searches, not paid for yet */
};

static guint sibling_hash(gconstpointer data)
{
	const struct sibling *sibling = data;
	guint64 mixed = (sibling->inode * 31 + sibling->device) * 31 + sibling->start;

	return (guint)(mixed ^ mixed >> 32);
}

static gboolean sibling_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct sibling)) == 0;
}

struct modules *modules_new(void)
{
	struct modules *modules = g_new0(struct modules, 1);

	modules->foreign = foreign_new();
	modules->by_key = g_hash_table_new(module_key_hash, module_key_equal);
	modules->siblings = g_hash_table_new_full(sibling_hash, sibling_equal, g_free, g_free);
	modules->by_build_id = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
	g_queue_init(&modules->open);
	g_queue_init(&modules->loaded);
	g_queue_init(&modules->unwinds);
	modules->unwind_budget_us = MODULES_UNWIND_BURST_US;
	modules->unwind_budget_at_us = g_get_monotonic_time();
	return modules;
}

static void rest_end(struct module *module)
{
	if (module->rest)
		close(module->rest_fd);
	module->rest = 0;
	module->sought = 0;
}

static void module_free(struct module *module)
{
	if (module->fd >= 0)
		close(module->fd);
	if (module->downloaded)
		close(module->downloaded);
	rest_end(module);
	symtab_free(module->table);
	unwind_table_unref(module->unwind);
	g_free(module->unwind_segments);
	g_free(module->segments);
	g_free(module->path);
	g_free(module);
}

void modules_free(struct modules *modules)
{
	GHashTableIter each;
	gpointer module;

	if (!modules)
		return;
	g_hash_table_iter_init(&each, modules->by_key);
	while (g_hash_table_iter_next(&each, NULL, &module))
		module_free(module);
	foreign_free(modules->foreign);
	g_hash_table_unref(modules->by_key);
	g_hash_table_unref(modules->siblings);
	g_hash_table_unref(modules->by_build_id);
	g_queue_clear(&modules->open);
	g_queue_clear(&modules->loaded);
	g_queue_clear(&modules->unwinds);
	g_free(modules);
}

static void build_id_forget(struct modules *modules, const struct module *module)
{
	g_autoptr(GBytes) id = g_bytes_new(module->build_id, module->build_id_size);

	if (g_hash_table_lookup(modules->by_build_id, id) == module)
		g_hash_table_remove(modules->by_build_id, id);
}

static void open_end(struct modules *modules, struct module *module)
{
	if (module->fd < 0)
		return;
	close(module->fd);
	module->fd = -1;
	g_queue_delete_link(&modules->open, module->open_place);
	module->open_place = NULL;
}

static void unwind_end(struct modules *modules, struct module *module)
{
	if (!module->unwind_place)
		return;
	modules->unwind_bytes -= module->unwind_bytes;
	modules->unwind_paged -= unwind_table_is_paged(module->unwind);
	module->unwind_bytes = 0;
	g_queue_delete_link(&modules->unwinds, module->unwind_place);
	module->unwind_place = NULL;
	g_clear_pointer(&module->unwind, unwind_table_unref);
	g_clear_pointer(&module->unwind_segments, g_free);
	module->unwind_state = MODULE_UNWIND_PENDING;
}

static void module_drop(struct modules *modules, struct module *module)
{
	unwind_end(modules, module);
	open_end(modules, module);
	build_id_forget(modules, module);
	g_hash_table_remove(modules->by_key, &module->key);
	module_free(module);
}

static void table_evict(struct modules *modules, struct module *module)
{
	modules->bytes -= symtab_bytes(module->table);
	g_queue_delete_link(&modules->loaded, module->place);
	module->place = NULL;
	rest_end(module);
	g_clear_pointer(&module->table, symtab_free);
	g_clear_pointer(&module->segments, g_free);
	module->state = MODULE_PENDING;
	modules->evicted++;
	if (module->refs == 0)
		module_drop(modules, module);
}

static void open_begin(struct modules *modules, struct module *module, int fd)
{
	module->fd = fd;
	g_queue_push_head(&modules->open, module);
	module->open_place = modules->open.head;
	if (modules->open.length > MODULES_OPEN_MAX) {
		open_end(modules, g_queue_peek_tail(&modules->open));
		modules->closed_unread++;
	}
}

static void witness_add(struct module *module, const struct module_locator *locator)
{
	struct module_witness *last =
		&module->witnesses[(module->witness_next + MODULE_WITNESSES - 1) % MODULE_WITNESSES];

	if (last->tgid == locator->tgid)
		return;
	module->witnesses[module->witness_next] =
		(struct module_witness){ .tgid = locator->tgid, .start = locator->start, .end = locator->end };
	module->witness_next = (module->witness_next + 1) % MODULE_WITNESSES;
}

static struct module *module_new(struct modules *modules, const struct module_key *key, const char *path)
{
	struct module *module = g_new0(struct module, 1);
	const char *slash;

	module->key = *key;
	module->fd = -1;
	module->refs = 1;
	module->path = g_strdup(path);
	if (g_str_has_suffix(path, " (deleted)"))
		module->path[strlen(path) - strlen(" (deleted)")] = '\0';
	slash = strrchr(module->path, '/');
	module->name = slash && slash[1] ? slash + 1 : module->path;
	module->language = language_of_file(module->name);
	g_hash_table_insert(modules->by_key, &module->key, module);
	return module;
}

static gboolean build_id_is(const struct module *module, const guint8 *id, guint size)
{
	return module->build_id_size == size && memcmp(module->build_id, id, size) == 0;
}

static void build_id_read(struct modules *modules, struct module *module)
{
	g_autoptr(image_t) image = image_open_fd(module->fd, NULL);

	if (!image || !image->build_id_size)
		return;
	memcpy(module->build_id, image->build_id, image->build_id_size);
	module->build_id_size = image->build_id_size;
	g_hash_table_replace(modules->by_build_id, g_bytes_new(module->build_id, module->build_id_size), module);
}

/* The known module with `key`, or a new one for the open file; takes over `fd`. */
static struct module *module_take(struct modules *modules, const struct module_key *key, int fd, const char *path)
{
	struct module *module = g_hash_table_lookup(modules->by_key, key);

	if (module) {
		close(fd);
		return module_ref(module);
	}
	module = module_new(modules, key, path);
	open_begin(modules, module, fd);
	build_id_read(modules, module);
	return module;
}

static gboolean sibling_of(const struct module_locator *locator, struct sibling *sibling)
{
	*sibling = (struct sibling){ locator->device, locator->inode, locator->start, locator->end };
	return locator->device && locator->inode && locator->start >= SIBLINGS_START_MIN;
}

/* The file that another process was seen to have at just that place: a walk through /proc for each of many workers is
 * most of what starting to look at them costs. */
static struct module *get_sibling(struct modules *modules, const struct module_locator *locator)
{
	const struct module_key *key = NULL;
	struct sibling sibling;
	struct module *module;

	if (!sibling_of(locator, &sibling))
		return NULL;
	if (clock_monotonic_ns() - modules->siblings_since_ns > SIBLINGS_FRESH_NS)
		g_hash_table_remove_all(modules->siblings);
	else
		key = g_hash_table_lookup(modules->siblings, &sibling);
	module = key ? g_hash_table_lookup(modules->by_key, key) : NULL;
	return module ? module_ref(module) : NULL;
}

static void sibling_note(struct modules *modules, const struct module_locator *locator, const struct module *module)
{
	struct sibling sibling;

	if (!sibling_of(locator, &sibling) || g_hash_table_size(modules->siblings) >= SIBLINGS_MAX)
		return;
	if (g_hash_table_size(modules->siblings) == 0)
		modules->siblings_since_ns = clock_monotonic_ns();
	g_hash_table_insert(modules->siblings, g_memdup2(&sibling, sizeof(sibling)),
			    g_memdup2(&module->key, sizeof(module->key)));
}

/* Through /proc/PID/map_files: the very file that is mapped, deleted or not, in whatever mount namespace. */
static struct module *get_mapped(struct modules *modules, const struct module_locator *locator)
{
	struct foreign_file file;
	struct module *module;
	char name[64];

	g_snprintf(name, sizeof(name), MAP_FILES_FORMAT, locator->start, locator->end);
	if (!foreign_stat(modules->foreign, locator->proc_fd, name, &file.key))
		return NULL;
	module = g_hash_table_lookup(modules->by_key, &file.key);
	if (module)
		return module_ref(module);
	if (!foreign_open(modules->foreign, locator->proc_fd, name, &file))
		return NULL;
	return module_take(modules, &file.key, file.fd, locator->path);
}

/* Through the path, as `root` sees it; only if it still is the same file. */
static struct module *get_named(struct modules *modules, const struct module_locator *locator, const char *root,
				gboolean must_match)
{
	struct foreign_file file;
	struct module *module;
	gboolean known;

	if (locator->path[0] != '/' || !foreign_open_in_root(root, locator->path, &file))
		return NULL;
	if (locator->inode && locator->inode != file.key.inode) {
		close(file.fd);
		return NULL;
	}
	module = module_take(modules, &file.key, file.fd, locator->path);
	known = locator->build_id && build_id_is(module, locator->build_id, locator->build_id_size);
	if (known || (!must_match && !locator->build_id))
		return module;
	modules_unref(modules, module);
	return NULL;
}

static struct module *get_by_build_id(struct modules *modules, const struct module_locator *locator)
{
	g_autoptr(GBytes) id = NULL;
	struct module *module;

	if (!locator->build_id)
		return NULL;
	id = g_bytes_new(locator->build_id, locator->build_id_size);
	module = g_hash_table_lookup(modules->by_build_id, id);
	return module && strcmp(module->path, locator->path) == 0 ? module_ref(module) : NULL;
}

struct module *modules_get(struct modules *modules, const struct module_locator *locator)
{
	struct module *module = NULL;
	char root[64];

	if (locator->proc_fd >= 0)
		module = get_sibling(modules, locator);
	if (!module && locator->proc_fd >= 0) {
		module = get_mapped(modules, locator);
		if (module)
			sibling_note(modules, locator, module);
	}
	if (!module && locator->proc_fd >= 0) {
		g_snprintf(root, sizeof(root), "/proc/self/fd/%d/root", locator->proc_fd);
		module = get_named(modules, locator, root, FALSE);
	}
	if (!module && locator->relative) {
		g_snprintf(root, sizeof(root), "/proc/%u/root", locator->relative);
		module = get_named(modules, locator, root, TRUE);
	}
	if (!module)
		module = get_by_build_id(modules, locator);
	if (!module && locator->build_id)
		module = get_named(modules, locator, "/", TRUE);
	if (module && locator->proc_fd >= 0)
		witness_add(module, locator);
	if (module && module->state == MODULE_GONE) /* here is somebody who still has it */
		module->state = MODULE_PENDING;
	return module;
}

struct module *module_ref(struct module *module)
{
	module->refs++;
	return module;
}

void modules_unref(struct modules *modules, struct module *module)
{
	if (!module || --module->refs)
		return;
	if (module->state != MODULE_READY) /* a table stays in the LRU for whoever maps the file next */
		module_drop(modules, module);
}

/* ---- tables ---- */

/* Files of different containers are often the same file: the table of one serves all, when it really is equal. */
static void table_share(struct modules *modules, struct module *module)
{
	g_autoptr(GBytes) id = g_bytes_new(module->build_id, module->build_id_size);
	struct module *other = g_hash_table_lookup(modules->by_build_id, id);

	if (other && other != module && other->table && !other->rest && symtab_equal(other->table, module->table)) {
		symtab_free(module->table);
		module->table = symtab_ref(other->table);
	}
}

static void table_take(struct modules *modules, struct module *module, const struct image *image, struct symtab *table)
{
	module->table = table;
	module->segment_count = image->segment_count;
	module->segments = g_memdup2(image->segments, image->segment_count * sizeof(*image->segments));
	if (module->build_id_size && !module->rest) /* what is added later is this file's */
		table_share(modules, module);
	module->state = MODULE_READY;
	g_queue_push_head(&modules->loaded, module);
	module->place = modules->loaded.head;
	modules->bytes += symtab_bytes(module->table);
	while (modules->bytes > MODULES_BYTES_MAX && modules->loaded.length > 1)
		table_evict(modules, g_queue_peek_tail(&modules->loaded));
}

/* The module's file, once more; -1 when that process does not map it any more. */
static int witness_open(struct modules *modules, const struct module *module, const struct module_witness *witness)
{
	int proc_fd = witness->tgid ? foreign_open_process(witness->tgid) : -1;
	struct foreign_file file = { .fd = -1 };
	char name[64];

	if (proc_fd < 0)
		return -1;
	g_snprintf(name, sizeof(name), MAP_FILES_FORMAT, witness->start, witness->end);
	if (!foreign_open(modules->foreign, proc_fd, name, &file)) {
		file.fd = -1;
	} else if (!module_key_equal(&file.key, &module->key)) {
		close(file.fd);
		file.fd = -1;
	}
	close(proc_fd);
	return file.fd;
}

static gboolean reopen(struct modules *modules, struct module *module)
{
	int fd = -1;

	for (guint i = 0; i < MODULE_WITNESSES && fd < 0; i++)
		fd = witness_open(modules, module, &module->witnesses[i]);
	if (fd >= 0)
		open_begin(modules, module, fd);
	return fd >= 0;
}

/* A root through which a container's own debug files can be seen: any process that maps the module. */
static char *witness_root(const struct module *module)
{
	for (guint i = 0; i < MODULE_WITNESSES; i++) {
		g_autofree char *root = g_strdup_printf("/proc/%u/root", module->witnesses[i].tgid);

		if (module->witnesses[i].tgid && access(root, F_OK) == 0)
			return g_steal_pointer(&root);
	}
	return NULL;
}

static void table_read(struct modules *modules, struct module *module)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(image_t) image = image_open_fd(module->fd, &error);
	g_autofree char *root = witness_root(module);
	struct source_file file = {
		.image = image, .path = module->path, .root = root, .downloaded = module->downloaded
	};
	struct symtab *table = NULL;

	if (image) {
		table = source_read(&file, &module->is_complete, &module->rest);
		module->rest_fd = module->rest ? fcntl(module->fd, F_DUPFD_CLOEXEC, 0) : -1;
		if (module->rest_fd < 0)
			module->rest = 0;
		module->has_python = python_read(image, &module->python);
	} else {
		module->state =
			g_error_matches(error, IMAGE_ERROR, IMAGE_ERROR_NOT_ELF) ? MODULE_NOT_ELF : MODULE_UNREADABLE;
	}
	open_end(modules, module);
	if (table)
		table_take(modules, module, image, table);
}

static void rest_take(struct modules *modules, struct module *module, struct symtab *table)
{
	modules->bytes -= symtab_bytes(module->table);
	symtab_append(module->table, table);
	modules->bytes += symtab_bytes(module->table);
}

static void rest_read(struct modules *modules, struct module *module)
{
	g_autoptr(image_t) image = image_open_fd(module->rest_fd, NULL);
	g_autofree char *root = witness_root(module);
	struct source_file file = { .image = image, .path = module->path, .root = root };

	if (image)
		rest_take(modules, module, source_read_rest(&file, module->rest));
	rest_end(module);
}

static gboolean rest_seek(struct modules *modules, struct module *module, guint64 address)
{
	g_autoptr(image_t) image = image_open_fd(module->rest_fd, NULL);
	struct source_file file = { .image = image, .path = module->path };
	struct symtab *table = image ? source_find(&file, module->rest, address) : NULL;

	module->sought++;
	if (table)
		rest_take(modules, module, table);
	return table != NULL;
}

gboolean modules_find(struct modules *modules, struct module *module, guint64 address, struct symtab_hit *hit)
{
	if (symtab_find(module->table, address, hit))
		return TRUE;
	if (!module->rest)
		return FALSE;
	if (module->sought >= MODULE_SEEKS_MAX || !rest_seek(modules, module, address))
		rest_read(modules, module);
	return symtab_find(module->table, address, hit);
}

enum module_state modules_load(struct modules *modules, struct module *module)
{
	if (module->state == MODULE_READY && module->place) {
		g_queue_unlink(&modules->loaded, module->place);
		g_queue_push_head_link(&modules->loaded, module->place);
	} else if (module->state == MODULE_PENDING) {
		if (module->fd >= 0 || reopen(modules, module))
			table_read(modules, module);
		else
			module->state = MODULE_GONE;
	}
	return module->state;
}

gboolean modules_take_downloaded(struct modules *modules, struct module *module, int fd)
{
	g_autoptr(image_t) debug = image_open_fd(fd, NULL);
	symtab_builder_t *builder;
	struct symtab *table;

	if (!debug || module->downloaded || !build_id_is(module, debug->build_id, debug->build_id_size)) {
		close(fd);
		return FALSE;
	}
	module->downloaded = fd;
	if (module->state != MODULE_READY || module->is_complete)
		return TRUE;
	builder = symtab_builder_new();
	image_add_symbols(debug, SHT_SYMTAB, builder);
	table = symtab_builder_finish(builder);
	if (symtab_count(table) <= symtab_count(module->table)) {
		symtab_free(table);
		return TRUE;
	}
	modules->bytes -= symtab_bytes(module->table);
	modules->bytes += symtab_bytes(table);
	rest_end(module);
	symtab_free(module->table);
	module->table = table;
	module->is_complete = TRUE;
	return TRUE;
}

gboolean modules_open_dwarf(struct modules *modules, const struct module *module, struct debug_fds *fds)
{
	g_autofree char *root = witness_root(module);
	struct source_file file = { .path = module->path, .root = root, .downloaded = module->downloaded };
	g_autoptr(image_t) image = NULL;
	gboolean found;
	int fd = -1;

	for (guint i = 0; i < MODULE_WITNESSES && fd < 0; i++)
		fd = witness_open(modules, module, &module->witnesses[i]);
	if (fd < 0 && module->downloaded) /* its process is gone: the debug file stands for it */
		fd = fcntl(module->downloaded, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return FALSE;
	file.image = image = image_open_fd(fd, NULL);
	found = image && debug_file_dwarf(&file, fd, fds);
	close(fd);
	return found;
}

/* ---- unwind tables ---- */

/* Whoever can make us read files could make us read for ever: time for it grows with the time that passes. */
static gboolean unwind_budget_left(struct modules *modules)
{
	gint64 now_us = g_get_monotonic_time();

	modules->unwind_budget_us += (now_us - modules->unwind_budget_at_us) / MODULES_UNWIND_SHARE;
	modules->unwind_budget_us = MIN(modules->unwind_budget_us, (gint64)MODULES_UNWIND_BURST_US);
	modules->unwind_budget_at_us = now_us;
	return modules->unwind_budget_us > 0;
}

static void unwind_open(struct module *module, const struct image *image, gboolean is_whole)
{
	g_autoptr(GError) error = NULL;

	module->unwind = is_whole ? unwind_table_read_whole(image, &error) : unwind_table_read(image, &error);
	if (!module->unwind) {
		module->unwind_state = g_error_matches(error, CFI_ERROR, CFI_ERROR_ABSENT) ? MODULE_UNWIND_ABSENT
											   : MODULE_UNWIND_UNREADABLE;
		return;
	}
	module->unwind_state = MODULE_UNWIND_READY;
	module->unwind_segment_count = image->segment_count;
	module->unwind_segments = g_memdup2(image->segments, image->segment_count * sizeof(*image->segments));
}

/* Tables that are read page by page grow. The module is the one used last. */
static void unwind_count(struct modules *modules, struct module *module)
{
	modules->unwind_bytes -= module->unwind_bytes;
	module->unwind_bytes = unwind_table_bytes(module->unwind);
	modules->unwind_bytes += module->unwind_bytes;
	while (modules->unwind_bytes > MODULES_UNWIND_BYTES_MAX && modules->unwinds.length > 1) {
		modules->unwind_evicted++;
		unwind_end(modules, g_queue_peek_tail(&modules->unwinds));
	}
}

/* The one that was not used for longest. */
static void unwind_evict_paged(struct modules *modules)
{
	for (GList *place = modules->unwinds.tail; place; place = place->prev) {
		if (!unwind_table_is_paged(((struct module *)place->data)->unwind))
			continue;
		modules->unwind_evicted++;
		unwind_end(modules, place->data);
		return;
	}
}

static void unwind_keep(struct modules *modules, struct module *module)
{
	g_queue_push_head(&modules->unwinds, module);
	module->unwind_place = modules->unwinds.head;
	modules->unwind_paged += unwind_table_is_paged(module->unwind);
	unwind_count(modules, module);
	if (modules->unwind_paged > MODULES_UNWIND_PAGED_MAX)
		unwind_evict_paged(modules);
}

static void unwind_read(struct modules *modules, struct module *module)
{
	guint64 start_ns = clock_thread_ns();
	gint64 taken_us;
	gboolean was_open = module->fd >= 0;
	g_autoptr(image_t) image = NULL;

	if (!was_open && !reopen(modules, module)) {
		module->unwind_state = MODULE_UNWIND_UNREADABLE;
		return;
	}
	image = image_open_fd(module->fd, NULL);
	if (image)
		unwind_open(module, image, FALSE);
	else
		module->unwind_state = MODULE_UNWIND_UNREADABLE;
	if (!was_open)
		open_end(modules, module);
	if (module->unwind)
		unwind_keep(modules, module);
	taken_us = (gint64)((clock_thread_ns() - start_ns) / 1000);
	modules->unwind_budget_us -= taken_us;
	modules->unwind_us += (guint64)taken_us;
}

/* Searches in a lazy table take time as well. FALSE when there is none left for it. */
static gboolean unwind_pay(struct modules *modules, const struct module *module)
{
	modules->unwind_work_bytes += unwind_table_take_work(module->unwind);
	modules->unwind_budget_us -= (gint64)(modules->unwind_work_bytes / MODULES_UNWIND_BYTES_PER_US);
	modules->unwind_work_bytes %= MODULES_UNWIND_BYTES_PER_US;
	return modules->unwind_budget_us > 0 || !unwind_table_is_lazy(module->unwind) || unwind_budget_left(modules);
}

enum module_unwind_state modules_load_unwind(struct modules *modules, struct module *module)
{
	if (module->unwind_place) {
		if (!unwind_pay(modules, module)) {
			modules->unwind_put_off++;
			return MODULE_UNWIND_PENDING;
		}
		g_queue_unlink(&modules->unwinds, module->unwind_place);
		g_queue_push_head_link(&modules->unwinds, module->unwind_place);
		if (unwind_table_is_paged(module->unwind))
			unwind_count(modules, module);
	} else if (module->unwind_state == MODULE_UNWIND_PENDING) {
		if (unwind_budget_left(modules))
			unwind_read(modules, module);
		else
			modules->unwind_put_off++;
	}
	return module->unwind_state;
}

gboolean module_unwind_address(const struct module *module, guint64 file_offset, guint64 *address)
{
	return image_address(module->unwind_segments, module->unwind_segment_count, file_offset, address);
}

static struct module_key vdso_key(const guint8 *bytes, gsize length)
{
	struct module_key key = { .device = VDSO_DEVICE,
				  .size = length,
				  .inode = G_GUINT64_CONSTANT(14695981039346656037) };

	for (gsize i = 0; i < length; i++) /* FNV-1a: what differs is another vDSO */
		key.inode = (key.inode ^ bytes[i]) * G_GUINT64_CONSTANT(1099511628211);
	return key;
}

struct module *modules_get_vdso(struct modules *modules, const void *bytes, gsize length)
{
	struct image_bytes memory = { .fd = -1, .memory = bytes, .size = length };
	struct module_key key;
	struct module *module;
	struct symtab_builder *builder;
	g_autoptr(image_t) image = NULL;

	if (modules->vdso && modules->vdso_bytes == bytes && modules->vdso->key.size == length)
		return module_ref(modules->vdso);
	key = vdso_key(bytes, length);
	module = g_hash_table_lookup(modules->by_key, &key);
	if (module)
		return module_ref(module);
	image = modules->vdsos < MODULES_VDSO_MAX ? image_open(&memory, NULL) : NULL;
	if (!image)
		return NULL;
	modules->vdsos++;
	module = module_new(modules, &key, "[vdso]");
	module->segment_count = image->segment_count;
	module->segments = g_memdup2(image->segments, image->segment_count * sizeof(*image->segments));
	builder = symtab_builder_new();
	image_add_symbols(image, SHT_DYNSYM, builder); /* it has no other */
	module->table = symtab_builder_finish(builder);
	module->is_complete = TRUE;
	module->state = MODULE_READY;
	modules->vdso_bytes = bytes;
	modules->vdso = module;
	unwind_open(module, image, TRUE); /* small: not worth an account of the searches in it */
	return module_ref(module); /* one more, for ever: it is small and cannot be read again */
}

gboolean module_address(const struct module *module, guint64 file_offset, guint64 *address)
{
	return image_address(module->segments, module->segment_count, file_offset, address);
}

void modules_usage(const struct modules *modules, struct modules_usage *usage)
{
	*usage = (struct modules_usage){
		.modules = g_hash_table_size(modules->by_key),
		.open = modules->open.length,
		.loaded = modules->loaded.length,
		.evicted = modules->evicted,
		.closed_unread = modules->closed_unread,
		.bytes = modules->bytes,
		.unwind_tables = modules->unwinds.length,
		.unwind_evicted = modules->unwind_evicted,
		.unwind_put_off = modules->unwind_put_off,
		.unwind_bytes = modules->unwind_bytes,
		.unwind_us = modules->unwind_us,
	};
}
