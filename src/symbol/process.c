/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/process.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "symbol/hotspot.h"
#include "symbol/maps.h"

#define STATUS_MAX (64u << 10)
#define MAP_SLACK_NS NS_PER_S /* start times are counted in ticks, and the clock is adjusted */

struct process *process_new(guint32 tgid)
{
	struct process *process = g_new0(struct process, 1);

	process->tgid = tgid;
	process->mappings = g_array_new(FALSE, FALSE, sizeof(struct mapping));
	process->news = g_array_new(FALSE, FALSE, sizeof(struct mapping_news));
	return process;
}

void process_free(struct process *process, struct modules *modules)
{
	process_unmap_all(process, modules);
	g_array_unref(process->mappings);
	g_array_unref(process->news);
	perfmap_free(process->perfmap);
	hotspot_cancel(process->map_request);
	g_free(process);
}

/* ---- the sorted array ---- */

static struct mapping *mapping_at(const struct process *process, guint index)
{
	return &g_array_index(process->mappings, struct mapping, index);
}

/* Index of the first mapping that ends behind `address`. */
static guint mapping_index(const struct process *process, guint64 address)
{
	guint low = 0, high = process->mappings->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (mapping_at(process, middle)->end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

gboolean process_maps_file(const struct process *process, const char *suffix)
{
	for (guint i = 0; i < process->mappings->len; i++) {
		const struct mapping *mapping = mapping_at(process, i);

		if (mapping->kind == MAPPING_FILE && g_str_has_suffix(mapping->name, suffix))
			return TRUE;
	}
	return FALSE;
}

const struct mapping *process_find(const struct process *process, guint64 address)
{
	guint index = mapping_index(process, address);

	if (index < process->mappings->len && mapping_at(process, index)->start <= address)
		return mapping_at(process, index);
	return NULL;
}

/* Cuts a hole for [start, end); returns where a new mapping belongs. */
static guint mappings_cut(struct process *process, guint64 start, guint64 end, struct modules *modules)
{
	guint first = mapping_index(process, start), last;

	if (first < process->mappings->len && mapping_at(process, first)->start < start) {
		struct mapping left = *mapping_at(process, first);

		if (left.module)
			module_ref(left.module);
		mapping_at(process, first)->file_offset += start - left.start;
		mapping_at(process, first)->start = start;
		left.end = start;
		g_array_insert_val(process->mappings, first, left);
		first++;
	}
	for (last = first; last < process->mappings->len && mapping_at(process, last)->end <= end; last++)
		modules_unref(modules, mapping_at(process, last)->module);
	g_array_remove_range(process->mappings, first, last - first);
	if (first < process->mappings->len && mapping_at(process, first)->start < end) {
		struct mapping *right = mapping_at(process, first);

		right->file_offset += end - right->start;
		right->start = end;
	}
	return first;
}

void process_map(struct process *process, const struct mapping *mapping, struct modules *modules)
{
	guint at;

	process->python_tried_ns = 0;
	if (mapping->start >= mapping->end || process->mappings->len >= PROCESS_MAPPINGS_MAX) {
		process->left_out++;
		modules_unref(modules, mapping->module);
		return;
	}
	at = mappings_cut(process, mapping->start, mapping->end, modules);
	g_array_insert_val(process->mappings, at, *mapping);
}

static GArray *array_shrunk(GArray *array)
{
	GArray *exact = g_array_sized_new(FALSE, FALSE, g_array_get_element_size(array), array->len);

	if (array->len)
		g_array_append_vals(exact, array->data, array->len);
	g_array_unref(array);
	return exact;
}

void process_shrink(struct process *process)
{
	process->mappings = array_shrunk(process->mappings);
	process->news = array_shrunk(process->news);
}

void process_unmap_all(struct process *process, struct modules *modules)
{
	for (guint i = 0; i < process->mappings->len; i++)
		modules_unref(modules, mapping_at(process, i)->module);
	g_array_set_size(process->mappings, 0);
	g_array_set_size(process->news, 0);
	process->python_tried_ns = 0;
	process->left_out = 0;
}

void process_note(struct process *process, const struct mapping_news *news)
{
	if (process->news->len >= PROCESS_MAPPINGS_MAX)
		process->left_out++;
	else
		g_array_append_vals(process->news, news, 1);
}

void process_copy_mappings(struct process *to, const struct process *from)
{
	for (guint i = 0; i < from->mappings->len; i++)
		if (mapping_at(from, i)->module)
			module_ref(mapping_at(from, i)->module);
	g_array_append_vals(to->mappings, from->mappings->data, from->mappings->len);
	g_array_append_vals(to->news, from->news->data, from->news->len);
	to->left_out = from->left_out;
}

/* ---- what a mapping is ---- */

/* Every process of one ABI has the same vDSO image, so a mapping of the size of ours is ours: nothing has to be read from
 * the process. (Its memory is never read: the page behind an address may by now belong to a FUSE file whose server does
 * not answer.) The vDSO of another ABI has no names. */
static struct module *vdso_get(guint64 length, struct modules *modules)
{
	const ElfW(Ehdr) *own = (const void *)(guintptr)getauxval(AT_SYSINFO_EHDR);
	guint64 page = (guint64)sysconf(_SC_PAGESIZE);

	if (!own || length != ((own->e_shoff + own->e_shnum * own->e_shentsize + page - 1) & ~(page - 1)))
		return NULL;
	return modules_get_vdso(modules, own, length);
}

static gboolean path_is_anonymous(const char *path)
{
	return path[0] == '\0' || g_str_has_prefix(path, "//anon") || g_str_has_prefix(path, "[anon") ||
	       g_str_has_prefix(path, "/dev/zero") || g_str_has_prefix(path, "/anon_hugepage");
}

void process_identify(struct mapping *mapping, const struct module_locator *locator, struct modules *modules,
		      GStringChunk *names)
{
	const char *path = locator->path ? locator->path : "";

	mapping->start = locator->start;
	mapping->end = locator->end;
	mapping->name = "";
	if (path_is_anonymous(path)) {
		mapping->kind = MAPPING_ANONYMOUS;
	} else if (strcmp(path, "[vdso]") == 0) {
		mapping->kind = MAPPING_VDSO;
		mapping->name = "[vdso]";
		mapping->file_offset = 0;
		mapping->module = vdso_get(locator->end - locator->start, modules);
	} else if (path[0] == '[') {
		mapping->kind = MAPPING_SPECIAL;
		mapping->name = g_string_chunk_insert_const(names, path);
	} else {
		mapping->kind = MAPPING_FILE;
		mapping->name = g_string_chunk_insert_const(names, path);
		mapping->module = modules_get(modules, locator);
	}
}

/* ---- /proc/PID/maps ---- */

struct maps_reader {
	struct process *process;
	struct modules *modules;
	GStringChunk *names;
	int proc_fd;
};

/* A mapping worth keeping: code, and what explains an address by its name alone. */
static gboolean entry_is_telling(const struct maps_entry *entry)
{
	return entry->executable || (entry->path[0] == '[' && !g_str_has_prefix(entry->path, "[anon") &&
				     !g_str_has_prefix(entry->path, "[vvar"));
}

/* maps_each_fn */
static gboolean reader_take(void *user, const struct maps_entry *entry)
{
	const struct maps_reader *reader = user;
	struct mapping mapping = { .file_offset = entry->offset };
	struct module_locator locator = {
		.tgid = reader->process->tgid,
		.proc_fd = reader->proc_fd,
		.start = entry->start,
		.end = entry->end,
		.inode = entry->inode,
		.device = entry->device,
		.path = entry->path,
	};

	if (!entry_is_telling(entry))
		return TRUE;
	if (reader->process->mappings->len >= PROCESS_MAPPINGS_MAX) {
		reader->process->left_out++;
		return FALSE;
	}
	process_identify(&mapping, &locator, reader->modules, reader->names);
	process_map(reader->process, &mapping, reader->modules);
	return TRUE;
}

gboolean process_read_maps(struct process *process, int proc_fd, struct modules *modules, GStringChunk *names)
{
	struct maps_reader reader = { process, modules, names, proc_fd };
	GArray *before = process->mappings; /* its references keep modules from being read twice */
	guint left_out = process->left_out;
	gboolean found;

	process->mappings = g_array_new(FALSE, FALSE, sizeof(struct mapping));
	process->left_out = 0;
	found = maps_read(proc_fd, reader_take, &reader) == MAPS_FOUND;
	if (!found) {
		GArray *none = process->mappings;

		process->mappings = before;
		process->left_out = left_out;
		before = none;
	}
	for (guint i = 0; i < before->len; i++)
		modules_unref(modules, g_array_index(before, struct mapping, i).module);
	g_array_unref(before);
	return found;
}

gboolean process_read_mapping(struct process *process, int proc_fd, guint64 address, gboolean may_read_all,
			      struct modules *modules, GStringChunk *names)
{
	struct maps_reader reader = { process, modules, names, proc_fd };
	enum maps_answer answer = maps_find(proc_fd, address, reader_take, &reader);

	if (answer == MAPS_CANNOT && may_read_all)
		return process_read_maps(process, proc_fd, modules, names);
	return answer == MAPS_FOUND;
}

/* ---- the JIT's map ---- */

/* The last number of a line "Name:\t1\t2\t3" of /proc/PID/status. */
static gboolean status_number(const char *status, const char *name, gboolean last, guint32 *value)
{
	const char *at = strstr(status, name);
	const char *end = at ? strchr(at + 1, '\n') : NULL; /* `name` begins with a newline of its own */
	gboolean any = FALSE;

	for (at = at ? at + strlen(name) : NULL; at && end && at < end;) {
		char *next;
		guint64 number = g_ascii_strtoull(at, &next, 10);

		if (next == at || next > end)
			break;
		*value = (guint32)number;
		any = TRUE;
		at = next;
		if (!last)
			break;
	}
	return any;
}

/* A container that starts again has the same inner pid, and perhaps the same /tmp: what was written before the process
 * began is another one's. */
static gboolean map_is_older(const struct process *process, const struct stat *st)
{
	struct timespec boot;
	guint64 start_ns, written_ns;

	if (!process->start_ticks || clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
		return FALSE;
	start_ns = clock_realtime_ns() - ((guint64)boot.tv_sec * NS_PER_S + (guint64)boot.tv_nsec) +
		   process->start_ticks * (NS_PER_S / (guint64)sysconf(_SC_CLK_TCK));
	written_ns = (guint64)st->st_mtim.tv_sec * NS_PER_S + (guint64)st->st_mtim.tv_nsec;
	return written_ns + MAP_SLACK_NS < start_ns;
}

void process_open_perfmap(struct process *process, int proc_fd)
{
	g_autofree char *status = NULL;
	char root[64], path[64];
	guint32 inner = 0, uid = 0;
	struct foreign_file file;
	struct stat st;

	if (process->perfmap)
		return;
	status = file_read_at(proc_fd, "status", STATUS_MAX, NULL, NULL);
	if (!status || !status_number(status, "\nNSpid:", TRUE, &inner) ||
	    !status_number(status, "\nUid:", FALSE, &uid))
		return;
	g_snprintf(root, sizeof(root), "/proc/self/fd/%d/root", proc_fd);
	g_snprintf(path, sizeof(path), "/tmp/perf-%u.map", inner);
	if (!foreign_open_entry_in_root(root, path, &file))
		return;
	if (fstat(file.fd, &st) == 0 && (st.st_uid == uid || st.st_uid == 0) && !map_is_older(process, &st))
		process->perfmap = perfmap_new(file.fd);
	else
		close(file.fd);
}
