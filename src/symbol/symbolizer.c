/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/symbolizer.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "kernel/procfs.h"
#include "symbol/debuginfod.h"
#include "symbol/demangle.h"
#include "symbol/hotspot.h"
#include "symbol/inlines.h"
#include "symbol/jitname.h"
#include "symbol/kallsyms.h"
#include "symbol/language.h"
#include "symbol/module.h"
#include "symbol/process.h"

#define PROCESSES_EXITED_MAX 2048 /* remembered after their end; the oldest go first */
#define PROCESSES_UNWANTED_MAX 512 /* of them, such as no stack was seen of: one may be on its way */
#define START_CHECK_NS NS_PER_S /* how long a pid is believed to be the same process */
#define MAPS_PAUSE_NS (100 * NS_PER_MS) /* between re-reads of the mappings of one process; doubled when of no use */
#define ADDRESS_MIN 4096 /* nothing is mapped below, in any process */
#define ADDRESS_MAX (G_GUINT64_CONSTANT(1) << 57) /* nor beyond, on any machine */
#define PYTHON_RETRY_NS NS_PER_S /* between looks for an interpreter under another name */
#define PERFMAP_RETRY_NS (200 * NS_PER_MS)
#define LATER_MAX (1u << 20) /* addresses whose names may come later */
#define NOTES_MAX 32
#define ADVICE_PIDS_MAX 3
#define STRIPPED_MAX 64 /* files counted */
#define STRIPPED_NAMED 3
#define STARTS_NAMED_MAX 65536 /* addresses whose function is called by where it begins */
#define SIGNAL_RETURN "__restore_rt" /* what the C library calls the code that signal handlers return to */
#define KERNEL_RETRY_NS NS_PER_S /* between re-reads of kallsyms; doubled whenever one was of no use */
#define KERNEL_RETRIES_MAX 16
#define KALLSYMS_PATH "/proc/kallsyms"

struct kernel {
	symbolizer_namer_fn namer; /* NULL: there is none, or it cannot */
	void *namer_user;
	struct symtab *table; /* NULL until it is needed */
	gboolean hidden; /* by kptr_restrict */
	guint64 retry_at_ns, retry_after_ns;
	guint retries;
};

/* An address of which more may be known later: of a JIT's code the name, of a file's what is inlined there. */
struct later {
	guint32 tgid;
	struct module *module; /* of a file's: one reference; NULL: a JIT's */
	guint32 place; /* of a file's: number in `inlines`; 0: none (yet) */
	gboolean is_caller, settled;
	guint64 start_ticks, address; /* of a file's: as the file counts them */
	guint32 first, count; /* in `answers` */
	struct symbol symbol; /* what was known when it was seen */
};

/* A file whose functions have no names, and how many addresses wanted one. */
struct stripped {
	const char *name;
	guint addresses;
};

/* What symbolizers of one observation have in common. */
struct symbolizer_files {
	guint refs;
	struct modules *modules;
	GStringChunk *names; /* everything handed out: modules refer to it, too */
};

struct symbolizer {
	struct symbolizer_options options;
	struct symbolizer_files *files; /* one reference */
	struct inlines *inlines; /* NULL: not wanted */
	struct debuginfod *debuginfod; /* NULL: not wanted */
	GArray *answers; /* struct symbol */
	GArray *laters; /* struct later; `later` of a symbol is the index + 1 */
	GPtrArray *notes; /* char * */
	GArray *stripped; /* of struct stripped */
	guint starts_named;
	GHashTable *processes; /* tgid → struct process */
	GQueue exited, unwanted; /* tgids of those that ended, oldest first; of `unwanted` no stack was seen */
	struct modules *modules; /* of `files` … */
	GStringChunk *names; /* … and these */
	struct kernel kernel;
	gboolean follows; /* see symbolizer_follow */
};

static const char *intern(struct symbolizer *symbolizer, const char *text)
{
	return g_string_chunk_insert_const(symbolizer->names, text);
}

static struct symbolizer_files *files_new(void)
{
	struct symbolizer_files *files = g_new0(struct symbolizer_files, 1);

	files->modules = modules_new();
	files->names = g_string_chunk_new(16 << 10);
	return files;
}

static void files_unref(struct symbolizer_files *files)
{
	if (--files->refs > 0)
		return;
	modules_free(files->modules);
	g_string_chunk_free(files->names);
	g_free(files);
}

static struct symbolizer *symbolizer_over(struct symbolizer_files *files)
{
	struct symbolizer *symbolizer = g_new0(struct symbolizer, 1);

	files->refs++;
	symbolizer->files = files;
	symbolizer->processes = g_hash_table_new(NULL, NULL);
	symbolizer->modules = symbolizer->files->modules;
	symbolizer->names = symbolizer->files->names;
	symbolizer->answers = g_array_new(FALSE, FALSE, sizeof(struct symbol));
	symbolizer->laters = g_array_new(FALSE, FALSE, sizeof(struct later));
	symbolizer->notes = g_ptr_array_new_with_free_func(g_free);
	symbolizer->stripped = g_array_new(FALSE, FALSE, sizeof(struct stripped));
	g_queue_init(&symbolizer->exited);
	g_queue_init(&symbolizer->unwanted);
	return symbolizer;
}

struct symbolizer *symbolizer_new(void)
{
	return symbolizer_over(files_new());
}

struct symbolizer *symbolizer_new_beside(const struct symbolizer *other)
{
	return symbolizer_over(other->files);
}

void symbolizer_configure(struct symbolizer *symbolizer, const struct symbolizer_options *options)
{
	symbolizer->options = *options;
	if ((options->inlined || options->lines) && !symbolizer->inlines)
		symbolizer->inlines = inlines_new();
	if (options->debuginfod && !symbolizer->debuginfod)
		symbolizer->debuginfod = debuginfod_new();
}

void symbolizer_free(struct symbolizer *symbolizer)
{
	GHashTableIter each;
	gpointer process;

	if (!symbolizer)
		return;
	symtab_free(symbolizer->kernel.table);
	g_hash_table_iter_init(&each, symbolizer->processes);
	while (g_hash_table_iter_next(&each, NULL, &process))
		process_free(process, symbolizer->modules);
	g_hash_table_unref(symbolizer->processes);
	g_queue_clear(&symbolizer->exited);
	g_queue_clear(&symbolizer->unwanted);
	for (guint i = 0; i < symbolizer->laters->len; i++)
		modules_unref(symbolizer->modules, g_array_index(symbolizer->laters, struct later, i).module);
	g_array_unref(symbolizer->laters);
	debuginfod_free(symbolizer->debuginfod);
	g_array_unref(symbolizer->answers);
	inlines_free(symbolizer->inlines);
	g_ptr_array_unref(symbolizer->notes);
	g_array_unref(symbolizer->stripped);
	files_unref(symbolizer->files);
	g_free(symbolizer);
}

/* ---- processes ---- */

static struct process *process_lookup(struct symbolizer *symbolizer, guint32 tgid)
{
	return g_hash_table_lookup(symbolizer->processes, GUINT_TO_POINTER(tgid));
}

static void process_forget(struct symbolizer *symbolizer, guint32 tgid)
{
	struct process *process = process_lookup(symbolizer, tgid);

	if (!process)
		return;
	g_hash_table_remove(symbolizer->processes, GUINT_TO_POINTER(tgid));
	process_free(process, symbolizer->modules);
}

static struct process *process_add(struct symbolizer *symbolizer, guint32 tgid)
{
	struct process *process = process_new(tgid);

	process_forget(symbolizer, tgid);
	g_hash_table_insert(symbolizer->processes, GUINT_TO_POINTER(tgid), process);
	return process;
}

static gboolean process_has_jit(const struct process *process)
{
	for (guint i = 0; i < process->mappings->len; i++)
		if (g_array_index(process->mappings, struct mapping, i).kind == MAPPING_ANONYMOUS)
			return TRUE;
	return FALSE;
}

static gboolean process_refresh(struct symbolizer *symbolizer, struct process *process, int proc_fd)
{
	process->maps_read_ns = clock_monotonic_ns();
	process->maps_pause_ns = MAPS_PAUSE_NS;
	if (!process_read_maps(process, proc_fd, symbolizer->modules, symbolizer->names))
		return FALSE;
	process->is_stale = FALSE;
	g_array_set_size(process->news, 0); /* older than that */
	if (symbolizer->options.java_map && !process->map_request && !process->map_failed &&
	    process_maps_file(process, HOTSPOT_LIBRARY))
		process->map_request = hotspot_ask_map(process->tgid, proc_fd, NULL); /* else at the end */
	else if (process_has_jit(process))
		process_open_perfmap(process, proc_fd);
	return TRUE;
}

/* Looks for the file of a mapping. `proc_fd`: -1 when the process is gone. */
static void process_take(struct symbolizer *symbolizer, struct process *process, const struct mapping_news *news,
			 int proc_fd)
{
	struct mapping made = { .file_offset = news->file_offset };
	struct module_locator locator = {
		.tgid = process->tgid,
		.proc_fd = proc_fd,
		.relative = process->parent,
		.start = news->start,
		.end = news->end,
		.build_id = news->build_id_size ? news->build_id : NULL,
		.build_id_size = news->build_id_size,
		.path = news->path,
	};

	process_identify(&made, &locator, symbolizer->modules, symbolizer->names);
	process_map(process, &made, symbolizer->modules);
	if (made.kind == MAPPING_ANONYMOUS && proc_fd >= 0)
		process_open_perfmap(process, proc_fd);
}

/* What was only noted, now that the process is wanted. */
static void process_take_news(struct symbolizer *symbolizer, struct process *process, int proc_fd)
{
	for (guint i = 0; i < process->news->len; i++)
		process_take(symbolizer, process, &g_array_index(process->news, struct mapping_news, i), proc_fd);
	g_array_set_size(process->news, 0);
}

static struct process *process_see(struct symbolizer *symbolizer, guint32 tgid);

/* A child that was gone before anybody looked has what its parent has. (Grandparents are not asked.) */
static void process_inherit(struct symbolizer *symbolizer, struct process *process)
{
	struct process *parent = process_lookup(symbolizer, process->parent);

	process->is_copy = FALSE;
	if (parent)
		parent->is_copy = FALSE;
	parent = process->parent != process->tgid ? process_see(symbolizer, process->parent) : NULL;
	if (!parent)
		return;
	process_copy_mappings(process, parent);
	process->is_stale = FALSE;
}

/* The process behind `tgid` as it is now, its mappings taken; what was remembered when it is gone; NULL when neither. */
static struct process *process_see(struct symbolizer *symbolizer, guint32 tgid)
{
	struct process *process = process_lookup(symbolizer, tgid);
	guint64 now_ns = clock_monotonic_ns(), start;
	int proc_fd;

	if (process && process->is_wanted && !process->is_stale && !process->exited && process->start_ticks &&
	    (symbolizer->follows || now_ns - process->checked_ns < START_CHECK_NS))
		return process;
	proc_fd = foreign_open_process(tgid);
	start = proc_fd >= 0 ? procfs_start_ticks(proc_fd) : 0;
	if (start && process && process->start_ticks && process->start_ticks != start)
		process = NULL; /* the pid was used again */
	if (start && !process)
		process = process_add(symbolizer, tgid);
	if (process) {
		process->is_wanted = TRUE;
		if (!process->is_stale)
			process_take_news(symbolizer, process, start ? proc_fd : -1);
	}
	if (start && process) {
		process->start_ticks = start;
		process->checked_ns = now_ns;
		if (process->is_stale || process->mappings->len == 0)
			process_refresh(symbolizer, process, proc_fd);
	}
	if (process && process->is_copy && process->mappings->len == 0)
		process_inherit(symbolizer, process);
	if (process)
		process_take_news(symbolizer, process, start ? proc_fd : -1);
	if (proc_fd >= 0)
		close(proc_fd);
	return process;
}

gboolean symbolizer_see(struct symbolizer *symbolizer, guint32 tgid)
{
	return process_see(symbolizer, tgid) != NULL;
}

void symbolizer_follow(struct symbolizer *symbolizer, gboolean all)
{
	symbolizer->follows = all;
}

void symbolizer_mapped(struct symbolizer *symbolizer, guint32 tgid, const struct symbolizer_mapping *mapping)
{
	struct process *process = process_lookup(symbolizer, tgid);
	struct mapping_news news = { .start = mapping->start, .file_offset = mapping->file_offset };
	int proc_fd;

	if (mapping->length > G_MAXUINT64 - mapping->start || mapping->build_id_size > sizeof(news.build_id))
		return;
	if (!process) {
		process = process_add(symbolizer, tgid);
		process->is_stale = TRUE; /* it has more mappings than this one */
	}
	news.end = mapping->start + mapping->length;
	news.path = intern(symbolizer, mapping->path ? mapping->path : "");
	news.build_id_size = mapping->build_id_size;
	if (mapping->build_id_size)
		memcpy(news.build_id, mapping->build_id, mapping->build_id_size);
	if (!process->is_wanted) { /* most processes of a machine are none of ours */
		process_note(process, &news);
		return;
	}
	proc_fd = foreign_open_process(tgid);
	process_take(symbolizer, process, &news, proc_fd);
	if (proc_fd >= 0)
		close(proc_fd);
}

void symbolizer_forked(struct symbolizer *symbolizer, guint32 parent_tgid, guint32 child_tgid)
{
	struct process *parent, *child;

	if (parent_tgid == child_tgid)
		return; /* a thread */
	parent = process_lookup(symbolizer, parent_tgid);
	if (parent && parent->is_wanted)
		parent = process_see(symbolizer, parent_tgid);
	child = process_add(symbolizer, child_tgid);
	child->parent = parent_tgid;
	child->is_copy = TRUE;
	if (parent)
		process_copy_mappings(child, parent);
	child->is_stale = !parent || parent->is_stale; /* it has what nobody has told us of */
}

void symbolizer_execed(struct symbolizer *symbolizer, guint32 tgid)
{
	struct process *process = process_lookup(symbolizer, tgid);

	if (!process)
		process = process_add(symbolizer, tgid);
	process_unmap_all(process, symbolizer->modules);
	g_clear_pointer(&process->perfmap, perfmap_free);
	g_clear_pointer(&process->map_request, hotspot_cancel);
	process->map_failed = FALSE;
	process->has_unnamed = FALSE;
	process->is_wanted = process->is_copy = FALSE;
	process->is_stale = TRUE;
}

static void exited_remember(struct symbolizer *symbolizer, GQueue *queue, guint32 tgid, guint most)
{
	g_queue_push_tail(queue, GUINT_TO_POINTER(tgid));
	while (queue->length > most) {
		guint32 oldest = GPOINTER_TO_UINT(g_queue_pop_head(queue));
		struct process *gone = process_lookup(symbolizer, oldest);

		if (gone && gone->exited &&
		    gone->is_wanted == (queue == &symbolizer->exited)) /* else the pid lives again */
			process_forget(symbolizer, oldest);
	}
}

void symbolizer_exited(struct symbolizer *symbolizer, guint32 tgid)
{
	struct process *process = process_lookup(symbolizer, tgid);

	if (!process || process->exited)
		return;
	process->exited = TRUE;
	process_shrink(process);
	if (process->is_wanted)
		exited_remember(symbolizer, &symbolizer->exited, tgid, PROCESSES_EXITED_MAX);
	else
		exited_remember(symbolizer, &symbolizer->unwanted, tgid, PROCESSES_UNWANTED_MAX);
}

/* ---- names ---- */

G_GNUC_PRINTF(3, 4)
static void unresolved(struct symbolizer *symbolizer, struct symbol *symbol, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	symbol->kind = FRAME_UNRESOLVED;
	symbol->name = intern(symbolizer, text);
	symbol->offset = 0;
}

static const char *shown_name(struct symbolizer *symbolizer, struct symtab *table, const struct symtab_hit *hit)
{
	const char **slot = symtab_slot(table, hit->index);

	if (!*slot) {
		g_autofree char *readable = demangle(hit->name);

		*slot = intern(symbolizer, readable ? readable : hit->name);
	}
	return *slot;
}

static gboolean name_from_perfmap(struct symbolizer *symbolizer, struct process *process, guint64 address,
				  struct symbol *symbol)
{
	const char *name = process->perfmap ? perfmap_find(process->perfmap, address, &symbol->offset) : NULL;
	g_autofree char *readable = NULL, *module = NULL;
	guint64 now_ns;
	int proc_fd;

	if (!name) {
		now_ns = clock_monotonic_ns();
		if (process->perfmap_tried_ns && now_ns - process->perfmap_tried_ns < PERFMAP_RETRY_NS)
			return FALSE;
		process->perfmap_tried_ns = now_ns;
		proc_fd = process->perfmap || process->exited ? -1 : foreign_open_process(process->tgid);
		if (proc_fd >= 0) {
			if (procfs_start_ticks(proc_fd) == process->start_ticks)
				process_open_perfmap(process, proc_fd);
			close(proc_fd);
		}
		if (!process->perfmap || !perfmap_update(process->perfmap))
			return FALSE;
		name = perfmap_find(process->perfmap, address, &symbol->offset);
	}
	if (!name)
		return FALSE;
	readable = jitname_read(name, &module);
	symbol->kind = FRAME_JIT;
	symbol->name = intern(symbolizer, readable);
	symbol->module = module ? intern(symbolizer, module) : NULL;
	return TRUE;
}

static void later_add(struct symbolizer *symbolizer, const struct later *later, struct symbol *symbol)
{
	if (symbolizer->laters->len >= LATER_MAX)
		return;
	if (later->module)
		module_ref(later->module);
	g_array_append_val(symbolizer->laters, *later);
	symbol->later = symbolizer->laters->len;
}

static void name_later(struct symbolizer *symbolizer, struct process *process, guint64 address, struct symbol *symbol)
{
	struct later later = { .tgid = process->tgid, .start_ticks = process->start_ticks, .address = address };

	process->has_unnamed = TRUE;
	later_add(symbolizer, &later, symbol);
}

static void name_jit(struct symbolizer *symbolizer, struct process *process, guint64 address, struct symbol *symbol)
{
	if (name_from_perfmap(symbolizer, process, address, symbol))
		return;
	if (process->perfmap)
		unresolved(symbolizer, symbol, "[jit: not in the perf map]");
	else
		unresolved(symbolizer, symbol, "[jit: no perf map]");
	name_later(symbolizer, process, address, symbol);
}

/* The same few words for thousands of addresses. `reason`: a literal. */
static void unresolved_in(struct symbolizer *symbolizer, struct module *module, const char *reason,
			  struct symbol *symbol)
{
	if (module->reason != reason) {
		unresolved(symbolizer, symbol, "[%s: %s]", module->name, reason);
		module->reason = reason;
		module->said = symbol->name;
	}
	symbol->kind = FRAME_UNRESOLVED;
	symbol->name = module->said;
	symbol->offset = 0;
}

static void stripped_note(struct symbolizer *symbolizer, const struct module *module)
{
	struct stripped fresh = { .name = module->said, .addresses = 1 }; /* interned: one pointer a name */

	for (guint i = 0; i < symbolizer->stripped->len; i++) {
		struct stripped *known = &g_array_index(symbolizer->stripped, struct stripped, i);

		if (known->name == fresh.name) {
			known->addresses++;
			return;
		}
	}
	if (symbolizer->stripped->len < STRIPPED_MAX)
		g_array_append_val(symbolizer->stripped, fresh);
}

/* A function whose name is not known is called by where it begins, so that it is not one with all others of its file. */
static void name_by_start(struct symbolizer *symbolizer, const struct unwind_table *table, const struct module *module,
			  guint64 address, struct symbol *symbol)
{
	guint64 start;

	if (symbolizer->starts_named >= STARTS_NAMED_MAX || !unwind_table_find_start(table, address, &start))
		return;
	symbolizer->starts_named++;
	unresolved(symbolizer, symbol, "[%s+0x%" G_GINT64_MODIFIER "x]", module->name, start);
}

/* What the file's description of its frames tells of an address without a name. */
static void name_by_frames(struct symbolizer *symbolizer, struct module *module, guint64 address, struct symbol *symbol)
{
	const struct unwind_table *table;

	if (modules_load_unwind(symbolizer->modules, module) != MODULE_UNWIND_READY)
		return;
	table = module->unwind;
	if (cfi_rule_kind(unwind_table_find(table, address)) == CFI_SIGNAL ||
	    cfi_rule_kind(unwind_table_work_out(table, address)) == CFI_SIGNAL) {
		symbol->kind = FRAME_USER;
		symbol->name = SIGNAL_RETURN;
	} else if (!module->is_complete) {
		name_by_start(symbolizer, table, module, address, symbol);
	}
}

/* The name of an address as the module counts them. */
static void name_at(struct symbolizer *symbolizer, struct module *module, guint64 address, struct symbol *symbol)
{
	struct symtab_hit hit;

	if (modules_find(symbolizer->modules, module, address, &hit)) {
		symbol->kind = FRAME_USER;
		symbol->name = shown_name(symbolizer, module->table, &hit);
		symbol->offset = address - hit.start;
		return;
	}
	if (symtab_count(module->table) == 0)
		unresolved_in(symbolizer, module, "no symbols", symbol);
	else if (!module->is_complete)
		unresolved_in(symbolizer, module, "stripped, not an exported function", symbol);
	else
		unresolved_in(symbolizer, module, "in no function", symbol);
	name_by_frames(symbolizer, module, address, symbol);
	if (symbol->kind == FRAME_UNRESOLVED && !module->is_complete)
		stripped_note(symbolizer, module);
}

static void name_from_table(struct symbolizer *symbolizer, struct module *module, guint64 file_offset,
			    struct symbol *symbol)
{
	guint64 address;

	if (module_address(module, file_offset, &address))
		name_at(symbolizer, module, address, symbol);
	else
		unresolved(symbolizer, symbol, "[%s: in no function]", module->name);
}

static const char *name_with_line(struct symbolizer *symbolizer, const char *name, const struct lines_frame *frame)
{
	const char *slash = strrchr(frame->file, '/');
	g_autofree char *text = NULL;

	if (!symbolizer->options.lines || !frame->line)
		return name;
	text = g_strdup_printf("%s (%s:%u)", name, slash ? slash + 1 : frame->file, frame->line);
	return intern(symbolizer, text);
}

/* Programs that carry their own lines, without debug information: Go's. */
static void line_from_table(struct symbolizer *symbolizer, const struct module *module, guint64 address,
			    struct symbol *symbol)
{
	struct lines_frame frame = { 0 };

	if (symbolizer->options.lines && symbol->kind == FRAME_USER && module->state == MODULE_READY &&
	    symtab_line(module->table, address, &frame.file, &frame.line))
		symbol->name = name_with_line(symbolizer, symbol->name, &frame);
}

/* What debug information may add to an address of a file. */
static void expand_later(struct symbolizer *symbolizer, const struct mapping *mapping, guint64 address,
			 struct symbol *symbol)
{
	struct module *module = mapping->module;
	struct later later = { .module = module };
	gboolean fetch = FALSE;

	if (mapping->kind != MAPPING_FILE ||
	    !module_address(module, address - mapping->start + mapping->file_offset, &later.address))
		return;
	if (symbolizer->inlines)
		later.place = inlines_add(symbolizer->inlines, symbolizer->modules, module, later.address);
	if (symbolizer->debuginfod && module->build_id_size)
		fetch = !module->is_complete || (symbolizer->inlines && !later.place);
	if (fetch)
		debuginfod_want(symbolizer->debuginfod, module, module->build_id, module->build_id_size);
	if (!later.place)
		line_from_table(symbolizer, module, later.address, symbol);
	if (fetch || later.place)
		later_add(symbolizer, &later, symbol);
}

static void name_in_file(struct symbolizer *symbolizer, struct process *process, const struct mapping *mapping,
			 guint64 address, struct symbol *symbol)
{
	struct module *module = mapping->module;
	const char *slash = strrchr(mapping->name, '/');

	if (!module && mapping->kind == MAPPING_VDSO) {
		unresolved(symbolizer, symbol, "[vdso: of another ABI]");
		return;
	}
	if (!module) {
		unresolved(symbolizer, symbol, "[%s: file is gone]", slash ? slash + 1 : mapping->name);
		return;
	}
	symbol->module = intern(symbolizer, module->name);
	switch (modules_load(symbolizer->modules, module)) {
	case MODULE_READY:
		name_from_table(symbolizer, module, address - mapping->start + mapping->file_offset, symbol);
		expand_later(symbolizer, mapping, address, symbol);
		return;
	case MODULE_NOT_ELF: /* some runtimes keep their JIT's code in a file (memfd) */
		if (!name_from_perfmap(symbolizer, process, address, symbol)) {
			unresolved(symbolizer, symbol, "[%s: not an ELF file]", module->name);
			name_later(symbolizer, process, address, symbol);
		}
		return;
	case MODULE_GONE:
		unresolved(symbolizer, symbol, "[%s: file is gone]", module->name);
		return;
	case MODULE_PENDING:
	case MODULE_UNREADABLE:
	default:
		unresolved(symbolizer, symbol, "[%s: damaged ELF file]", module->name);
		return;
	}
}

/* Looks once more, since code may have been mapped after first sight. Not too often, and less and less often while it is
 * of no use: where a stack leads astray, every address is one where nothing is. */
static void look_again(struct symbolizer *symbolizer, struct process *process, guint64 address)
{
	guint64 now_ns = clock_monotonic_ns();
	int proc_fd;

	if (process->exited || address < ADDRESS_MIN || address >= ADDRESS_MAX ||
	    (process->maps_read_ns && now_ns - process->maps_read_ns < process->maps_pause_ns))
		return;
	proc_fd = foreign_open_process(process->tgid);
	if (proc_fd < 0)
		return;
	process->maps_read_ns = now_ns;
	if ((symbolizer->follows || procfs_start_ticks(proc_fd) == process->start_ticks) &&
	    process_read_mapping(process, proc_fd, address, !symbolizer->follows, symbolizer->modules,
				 symbolizer->names) &&
	    process_has_jit(process))
		process_open_perfmap(process, proc_fd);
	close(proc_fd);
	process->maps_pause_ns = process_find(process, address) ? MAPS_PAUSE_NS : 2 * process->maps_pause_ns;
}

static const struct mapping *find_mapping(struct symbolizer *symbolizer, struct process *process, guint64 address)
{
	const struct mapping *mapping = process_find(process, address);

	if (mapping)
		return mapping;
	look_again(symbolizer, process, address);
	return process_find(process, address);
}

G_GNUC_PRINTF(2, 3)
static void note(struct symbolizer *symbolizer, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	if (symbolizer->notes->len < NOTES_MAX &&
	    !g_ptr_array_find_with_equal_func(symbolizer->notes, text, g_str_equal, NULL))
		g_ptr_array_add(symbolizer->notes, g_steal_pointer(&text));
}

/* ---- walks ---- */

struct place_finder {
	struct symbolizer *symbolizer;
	struct process *process;
	gboolean has_gaps; /* some code's table could not be had */
	gboolean is_preliminary; /* some code's table was put off */
};

/* unwind_lookup_t */
static gboolean place_find(guint64 address, struct unwind_place *place, gpointer data)
{
	struct place_finder *finder = data;
	struct modules *modules = finder->symbolizer->modules;
	const struct mapping *mapping = find_mapping(finder->symbolizer, finder->process, address);
	guint64 in_file;

	*place = (struct unwind_place){ .start = address, .end = address + 1 };
	if (!mapping)
		return finder->process->left_out > 0;
	if (mapping->kind == MAPPING_SPECIAL && (g_str_equal(mapping->name, "[heap]") || /* data */
						 g_str_has_prefix(mapping->name, "[stack")))
		return FALSE;
	place->start = mapping->start;
	place->end = mapping->end;
	if (!mapping->module) {
		finder->has_gaps |= mapping->kind == MAPPING_FILE;
		return TRUE;
	}
	switch (modules_load_unwind(modules, mapping->module)) {
	case MODULE_UNWIND_READY:
		if (!module_unwind_address(mapping->module, address - mapping->start + mapping->file_offset, &in_file))
			return TRUE;
		place->bias = address - in_file;
		place->table = mapping->module->unwind;
		return TRUE;
	case MODULE_UNWIND_ABSENT:
		return TRUE;
	case MODULE_UNWIND_PENDING:
		finder->is_preliminary = TRUE;
		G_GNUC_FALLTHROUGH;
	case MODULE_UNWIND_UNREADABLE:
	default:
		finder->has_gaps = TRUE;
		return TRUE;
	}
}

static enum stack_end walk_end(const struct unwind_result *result)
{
	switch (result->end) {
	case UNWIND_END_FIRST:
		return STACK_END_FIRST;
	case UNWIND_END_NO_ROW:
		return STACK_END_NO_TABLE;
	case UNWIND_END_OUTSIDE:
		return result->wanted_bytes ? STACK_END_SHORT : STACK_END_BROKEN;
	case UNWIND_END_DEPTH:
		return STACK_END_DEEP;
	case UNWIND_END_UNSUPPORTED:
		return STACK_END_UNSUPPORTED;
	case UNWIND_END_BAD:
	default:
		return STACK_END_BROKEN;
	}
}

/* Once a file. */
static void note_worked_out(struct symbolizer *symbolizer, const struct process *process, guint64 address)
{
	const struct mapping *mapping = process_find(process, address);
	struct module *module = mapping ? mapping->module : NULL;

	if (!module || module->is_worked_out)
		return;
	module->is_worked_out = TRUE;
	note(symbolizer,
	     "%s does not describe its frames: callers were worked out from its machine code, and taken where a call led there",
	     module->name);
}

void symbolizer_unwind(struct symbolizer *symbolizer, guint32 tgid, const struct unwind_registers *registers,
		       const struct unwind_stack *stack, guint64 *addresses, guint capacity,
		       struct symbolizer_walk *walk)
{
	struct place_finder finder = { .symbolizer = symbolizer, .process = process_lookup(symbolizer, tgid) };

	*walk = (struct symbolizer_walk){ .end = STACK_END_GONE, .is_preliminary = TRUE };
	if (stack->basis)
		stack->basis->overflow = TRUE;
	if (!finder.process || finder.process->is_stale || !finder.process->is_wanted)
		finder.process = process_see(symbolizer, tgid);
	if (!finder.process || (finder.process->exited && finder.process->mappings->len == 0)) {
		if (stack->memo)
			unwind_memo_forget(stack->memo);
		if (capacity)
			addresses[walk->result.depth++] = registers->ip;
		return;
	}
	walk->result = unwind(registers, stack, place_find, &finder, addresses, capacity);
	walk->end = walk_end(&walk->result);
	if (walk->result.worked_out)
		note_worked_out(symbolizer, finder.process, walk->result.worked_out);
	walk->is_preliminary = finder.is_preliminary;
	if (finder.has_gaps && walk->end != STACK_END_FIRST)
		walk->end = STACK_END_UNREAD;
	if (stack->memo && (finder.has_gaps || walk->is_preliminary))
		unwind_memo_forget(stack->memo);
	walk->frame_pointers_do = walk->result.by_frame_pointers && !finder.has_gaps;
	if (walk->end == STACK_END_FIRST && !walk->frame_pointers_do)
		walk->frame_pointers_do = unwind_equals_frame_pointers(registers, stack, &walk->result, addresses);
	/* A module's table may be dropped at the next first sight of another: nothing of the walk refers to it. */
}

gboolean symbolizer_go_depth(struct symbolizer *symbolizer, guint32 tgid, guint64 address, guint32 *depth)
{
	struct place_finder finder = { .symbolizer = symbolizer, .process = process_see(symbolizer, tgid) };
	struct unwind_place place;

	return finder.process && place_find(address, &place, &finder) && place.table &&
	       unwind_table_find_go(place.table, address - place.bias, depth);
}

void symbolizer_user(struct symbolizer *symbolizer, guint32 tgid, guint64 address, gboolean is_caller,
		     struct symbol *symbol)
{
	struct process *process = process_lookup(symbolizer, tgid);
	const struct mapping *mapping;

	*symbol = (struct symbol){ 0 };
	if (!process || process->is_stale || !process->is_wanted)
		process = process_see(symbolizer, tgid);
	if (!process || (process->exited && process->mappings->len == 0)) {
		unresolved(symbolizer, symbol, "[exited before its mappings were read]");
		return;
	}
	if (is_caller && address)
		address--;
	mapping = find_mapping(symbolizer, process, address);
	if (!mapping) {
		unresolved(symbolizer, symbol,
			   process->left_out ? SYMBOL_UNMAPPED ", or beyond the limit of mappings]"
					     : SYMBOL_UNMAPPED ": no code at this address]");
		return;
	}
	switch (mapping->kind) {
	case MAPPING_FILE:
	case MAPPING_VDSO:
		name_in_file(symbolizer, process, mapping, address, symbol);
		break;
	case MAPPING_ANONYMOUS:
		name_jit(symbolizer, process, address, symbol);
		break;
	case MAPPING_SPECIAL:
	default:
		unresolved(symbolizer, symbol, "%s", mapping->name);
		break;
	}
	if (symbol->kind != FRAME_UNRESOLVED && is_caller)
		symbol->offset++;
	if (symbol->later) {
		struct later *later = &g_array_index(symbolizer->laters, struct later, symbol->later - 1);

		later->is_caller = is_caller;
		later->symbol = *symbol;
		later->symbol.later = 0;
	}
}

/* ---- names that come later ---- */

static void map_take(struct symbolizer *symbolizer, struct process *process, int proc_fd)
{
	g_autoptr(GError) error = NULL;
	struct perfmap *before = process->perfmap;

	if (!hotspot_finish(g_steal_pointer(&process->map_request), &error)) {
		process->map_failed = TRUE;
		note(symbolizer, "Java process %u wrote no map of its code: %s", process->tgid, error->message);
		return;
	}
	process->perfmap = NULL;
	process_open_perfmap(process, proc_fd); /* it was written anew, perhaps in another file */
	if (process->perfmap)
		perfmap_free(before);
	else
		process->perfmap = before;
}

/* What was compiled since the first answer is in the second only. All are asked at once, then waited for. */
static void maps_ask(struct symbolizer *symbolizer, gboolean wait)
{
	GHashTableIter each;
	gpointer value;

	g_hash_table_iter_init(&each, symbolizer->processes);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		struct process *process = value;
		g_autoptr(GError) error = NULL;
		int proc_fd;

		if (!process->has_unnamed || process->exited || !process_maps_file(process, HOTSPOT_LIBRARY))
			continue;
		proc_fd = foreign_open_process(process->tgid);
		if (proc_fd < 0 || procfs_start_ticks(proc_fd) != process->start_ticks) {
			if (proc_fd >= 0)
				close(proc_fd);
			continue;
		}
		if (wait && process->map_request)
			map_take(symbolizer, process, proc_fd);
		else if (!wait && !process->map_failed)
			process->map_request = hotspot_ask_map(process->tgid, proc_fd, &error);
		if (error) {
			process->map_failed = TRUE;
			note(symbolizer, "Java process %u was not asked for a map of its code: %s", process->tgid,
			     error->message);
		}
		close(proc_fd);
	}
}

static void later_name(struct symbolizer *symbolizer, struct later *later)
{
	struct process *process = process_lookup(symbolizer, later->tgid);

	if (!process || process->start_ticks != later->start_ticks)
		return;
	if (!name_from_perfmap(symbolizer, process, later->address, &later->symbol))
		process->is_left_unnamed = TRUE;
	else if (later->is_caller)
		later->symbol.offset++;
}

static void answer_add(struct symbolizer *symbolizer, const struct symbol *known, const struct lines_frame *frame,
		       gboolean is_inlined)
{
	g_autofree char *readable = frame->name[0] ? demangle(frame->name) : NULL;
	struct symbol symbol = *known;

	if (is_inlined) {
		symbol.kind = FRAME_INLINED;
		symbol.name = intern(symbolizer, readable	  ? readable
						 : frame->name[0] ? frame->name
								  : "[inlined, without a name]");
	} else if (known->kind == FRAME_UNRESOLVED && frame->name[0]) {
		symbol.kind = FRAME_USER;
		symbol.name = intern(symbolizer, readable ? readable : frame->name);
	}
	symbol.name = name_with_line(symbolizer, symbol.name, frame);
	g_array_append_val(symbolizer->answers, symbol);
}

/* The function itself keeps the name it has from the symbol table. */
static void later_expand(struct symbolizer *symbolizer, const struct later *later)
{
	const struct lines_place *place = inlines_get(symbolizer->inlines, later->place);
	guint first;

	if (!place) {
		g_array_append_val(symbolizer->answers, later->symbol);
		return;
	}
	first = symbolizer->options.inlined ? 0 : place->count - 1;
	for (guint i = first; i < place->count; i++) {
		struct lines_frame frame = place->frames[i];

		if (!symbolizer->options.inlined) { /* then the line is the innermost one's */
			frame.line = place->frames[0].line;
			frame.file = place->frames[0].file;
		}
		answer_add(symbolizer, &later->symbol, &frame, i + 1 < place->count);
	}
}

static void later_settle(struct symbolizer *symbolizer, struct later *later)
{
	later->settled = TRUE;
	later->first = symbolizer->answers->len;
	if (later->place) {
		later_expand(symbolizer, later);
	} else {
		if (!later->module)
			later_name(symbolizer, later);
		g_array_append_val(symbolizer->answers, later->symbol);
	}
	later->count = symbolizer->answers->len - later->first;
}

/* ---- debug files from servers ---- */

static void downloads_take(struct symbolizer *symbolizer)
{
	guint missing = 0;
	gpointer owner;
	int fd;

	for (;;) {
		g_autoptr(GError) error = NULL;
		gboolean any = debuginfod_take(symbolizer->debuginfod, &owner, &fd, &error);

		if (!any)
			break;
		if (fd >= 0 && modules_take_downloaded(symbolizer->modules, owner, fd)) {
			if (symbolizer->inlines)
				inlines_retry(symbolizer->inlines, symbolizer->modules, owner);
		} else {
			missing++;
		}
	}
	if (missing)
		note(symbolizer, "debuginfod: the servers had no debug file for %u of the programs and libraries seen",
		     missing);
}

/* The names and places that the debug files which came know. */
static void downloads_apply(struct symbolizer *symbolizer)
{
	for (guint i = 0; i < symbolizer->laters->len; i++) {
		struct later *later = &g_array_index(symbolizer->laters, struct later, i);
		guint64 caller = later->is_caller ? 1 : 0;

		if (later->settled || !later->module || !later->module->downloaded)
			continue;
		if (later->module->state == MODULE_READY)
			name_at(symbolizer, later->module, later->address, &later->symbol);
		if (later->symbol.kind != FRAME_UNRESOLVED)
			later->symbol.offset += caller;
		if (symbolizer->inlines && !later->place)
			later->place =
				inlines_add(symbolizer->inlines, symbolizer->modules, later->module, later->address);
	}
}

static void inlines_finish(struct symbolizer *symbolizer)
{
	char *complaint;

	inlines_settle(symbolizer->inlines);
	for (guint i = 0; (complaint = inlines_complaint(symbolizer->inlines, i)); i++) {
		note(symbolizer, "%s", complaint);
		g_free(complaint);
	}
}

static const struct language *process_language(const struct process *process)
{
	for (guint i = 0; i < process->mappings->len; i++) {
		const struct mapping *mapping = &g_array_index(process->mappings, struct mapping, i);
		const char *slash = mapping->kind == MAPPING_FILE ? strrchr(mapping->name, '/') : NULL;
		const struct language *language = slash ? language_of_file(slash + 1) : NULL;

		if (language)
			return language;
	}
	return NULL;
}

/* Pids of one runtime, "12, 13, 14 and 5 more". */
static void pids_append(GString *pids, guint count, guint32 tgid)
{
	if (count < ADVICE_PIDS_MAX)
		g_string_append_printf(pids, "%s%u", count ? ", " : "", tgid);
}

/* Java's map holds what was compiled when it was asked; others are written as code is made. */
static gboolean map_is_old(const struct symbolizer *symbolizer, const struct language *language)
{
	return language && language->kind == LANGUAGE_JAVA && !symbolizer->options.java_map;
}

/* Its code has no names, and nobody said yet how it could have (of a map asked for in vain that was said). */
static gboolean process_needs_advice(const struct symbolizer *symbolizer, const struct process *process,
				     const struct language *language)
{
	return process->is_left_unnamed && !process->map_failed && process_language(process) == language &&
	       (!process->perfmap || map_is_old(symbolizer, language));
}

/* What would have named the code that has no name: one sentence for all processes of a runtime. */
static void advise(struct symbolizer *symbolizer, const struct language *language)
{
	g_autoptr(GString) pids = g_string_new(NULL);
	GHashTableIter each;
	guint count = 0;
	gpointer value;

	g_hash_table_iter_init(&each, symbolizer->processes);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		const struct process *process = value;

		if (process_needs_advice(symbolizer, process, language))
			pids_append(pids, count++, process->tgid);
	}
	if (count == 0)
		return;
	if (count > ADVICE_PIDS_MAX)
		g_string_append_printf(pids, " and %u more", count - ADVICE_PIDS_MAX);
	note(symbolizer, "%s (pid %s): %s", language ? language->name : "code made at run time", pids->str,
	     language && language->advice ? language->advice
					  : "its functions are not named, because it writes no /tmp/perf-PID.map");
}

/* (What other languages would have to do is said by symbolizer_advice.) */
static void advise_all(struct symbolizer *symbolizer)
{
	advise(symbolizer, NULL);
	advise(symbolizer, language_find(LANGUAGE_NODE));
	advise(symbolizer, language_find(LANGUAGE_JAVA));
}

void symbolizer_settle(struct symbolizer *symbolizer)
{
	GHashTableIter each;
	gpointer value;

	if (symbolizer->options.java_map) {
		maps_ask(symbolizer, TRUE); /* the answers to the first questions */
		maps_ask(symbolizer, FALSE);
		maps_ask(symbolizer, TRUE);
	}
	g_hash_table_iter_init(&each, symbolizer->processes);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		struct process *process = value;

		process->perfmap_tried_ns = 0;
		if (process->has_unnamed && process->perfmap)
			perfmap_update(process->perfmap);
	}
	if (symbolizer->debuginfod) {
		downloads_take(symbolizer);
		downloads_apply(symbolizer);
	}
	if (symbolizer->inlines)
		inlines_finish(symbolizer);
	for (guint i = 0; i < symbolizer->laters->len; i++) {
		struct later *later = &g_array_index(symbolizer->laters, struct later, i);

		if (!later->settled)
			later_settle(symbolizer, later);
	}
	advise_all(symbolizer);
}

guint symbolizer_answer(const struct symbolizer *symbolizer, guint32 number, const struct symbol **symbols)
{
	const struct later *later;

	g_return_val_if_fail(number > 0 && number <= symbolizer->laters->len, 0);
	later = &g_array_index(symbolizer->laters, struct later, number - 1);
	g_return_val_if_fail(later->settled, 0);
	*symbols = &g_array_index(symbolizer->answers, struct symbol, later->first);
	return later->count;
}

const char *symbolizer_stacks_advice(const struct symbolizer *symbolizer, guint32 tgid)
{
	const struct process *process = g_hash_table_lookup(symbolizer->processes, GUINT_TO_POINTER(tgid));
	const struct language *language = process ? process_language(process) : NULL;

	return language ? language->stacks : NULL;
}

/* GCompareFunc */
static gint stripped_by_addresses(gconstpointer a, gconstpointer b)
{
	const struct stripped *left = a, *right = b;

	return (left->addresses < right->addresses) - (left->addresses > right->addresses);
}

char *symbolizer_stripped(const struct symbolizer *symbolizer)
{
	GArray *files = symbolizer->stripped;
	g_autoptr(GString) names = g_string_new(NULL);

	if (files->len == 0 || symbolizer->options.debuginfod)
		return NULL;
	g_array_sort(files, stripped_by_addresses);
	for (guint i = 0; i < MIN(files->len, (guint)STRIPPED_NAMED); i++) {
		const char *said = g_array_index(files, struct stripped, i).name + 1; /* "[name: reason]" */

		g_string_append_printf(names, "%s%.*s", i ? ", " : "", (int)(strrchr(said, ':') - said), said);
	}
	if (files->len > STRIPPED_NAMED)
		g_string_append_printf(names, " and %u more", files->len - STRIPPED_NAMED);
	return g_strdup_printf(
		"functions without names, because their files are stripped: of %s (each is called by where it begins in "
		"its file, where that is known). Names are in the files' debug symbols (Debian: packages NAME-dbgsym; or --debuginfod fetches them)",
		names->str);
}

const GPtrArray *symbolizer_notes(const struct symbolizer *symbolizer)
{
	return symbolizer->notes;
}

/* ---- Python ---- */

/* Where the file's address 0 lies in the process, by one of its mappings. */
static gboolean mapping_bias(const struct mapping *mapping, guint64 *bias)
{
	guint64 address;

	if (!module_address(mapping->module, mapping->file_offset, &address))
		return FALSE;
	*bias = mapping->start - address;
	return TRUE;
}

/* Files that are named like Python are read for it; of the others those are known that were read for their symbols. */
static gboolean mapping_python(struct symbolizer *symbolizer, const struct mapping *mapping)
{
	struct module *module = mapping->module;

	if (mapping->kind != MAPPING_FILE || !module)
		return FALSE;
	if (module->language && module->language->kind == LANGUAGE_PYTHON)
		modules_load(symbolizer->modules, module);
	return module->state == MODULE_READY && module->has_python;
}

static gboolean process_find_python(struct symbolizer *symbolizer, const struct process *process, struct python *python,
				    guint64 *runtime)
{
	for (guint i = 0; i < process->mappings->len; i++) {
		const struct mapping *mapping = &g_array_index(process->mappings, struct mapping, i);
		guint64 bias;

		if (mapping_python(symbolizer, mapping) && mapping_bias(mapping, &bias)) {
			*python = mapping->module->python;
			*runtime = python->runtime + bias;
			return TRUE;
		}
	}
	return FALSE;
}

gboolean symbolizer_python(struct symbolizer *symbolizer, guint32 tgid, struct python *python, guint64 *runtime)
{
	struct process *process = process_see(symbolizer, tgid);
	guint64 now_ns = clock_monotonic_ns();

	if (!process ||
	    (process->python_tried_ns && !process->has_python && now_ns - process->python_tried_ns < PYTHON_RETRY_NS))
		return FALSE;
	process->python_tried_ns = now_ns;
	process->has_python = process_find_python(symbolizer, process, python, runtime);
	return process->has_python;
}

/* ---- what other languages would have to do ---- */

/* Node and Java are told by their own readers, when it is known what they miss. */
static gboolean language_has_reader(const struct language *language)
{
	return language->kind == LANGUAGE_NODE || language->kind == LANGUAGE_JAVA;
}

static const char *mapping_advice(const struct mapping *mapping)
{
	const char *slash = strrchr(mapping->name, '/');
	const struct language *language = mapping->kind == MAPPING_FILE && slash ? language_of_file(slash + 1) : NULL;
	const struct module *module = mapping->module;

	if (!language || language_has_reader(language))
		return NULL;
	if (language->kind != LANGUAGE_PYTHON)
		return language->advice;
	if (module && module->state == MODULE_READY && module->has_python && !python_is_known(&module->python))
		return "Python functions are named for CPython 3.11 to 3.13, and this is another version";
	return NULL;
}

const char *symbolizer_advice(struct symbolizer *symbolizer, guint32 tgid)
{
	struct process *process = process_lookup(symbolizer, tgid);
	const char *advice = NULL;

	if (!process || process->perfmap)
		return NULL;
	if (process->advice_mappings == process->mappings->len)
		return process->advice;
	for (guint i = 0; i < process->mappings->len && !advice; i++)
		advice = mapping_advice(&g_array_index(process->mappings, struct mapping, i));
	process->advice_mappings = process->mappings->len;
	process->advice = advice;
	return advice;
}

/* ---- the kernel ---- */

void symbolizer_set_namer(struct symbolizer *symbolizer, symbolizer_namer_fn namer, void *user)
{
	symbolizer->kernel.namer = namer;
	symbolizer->kernel.namer_user = user;
}

static void kernel_load(struct kernel *kernel)
{
	if (kernel->table)
		return;
	kernel->table = kallsyms_load(KALLSYMS_PATH, &kernel->hidden);
	kernel->retry_after_ns = KERNEL_RETRY_NS;
	kernel->retry_at_ns = clock_monotonic_ns() + kernel->retry_after_ns;
}

/* Modules and BPF programs may have been loaded since the table was read: ours, for one. */
static gboolean kernel_find(struct kernel *kernel, guint64 address, struct symtab_hit *hit)
{
	guint64 now_ns;

	if (symtab_find(kernel->table, address, hit))
		return TRUE;
	now_ns = clock_monotonic_ns();
	if (kernel->hidden || now_ns < kernel->retry_at_ns || kernel->retries >= KERNEL_RETRIES_MAX)
		return FALSE;
	symtab_free(kernel->table);
	kernel->table = kallsyms_load(KALLSYMS_PATH, &kernel->hidden);
	kernel->retries++;
	if (symtab_find(kernel->table, address, hit)) {
		kernel->retry_at_ns = now_ns + kernel->retry_after_ns;
		return TRUE;
	}
	kernel->retry_after_ns *= 2;
	kernel->retry_at_ns = now_ns + kernel->retry_after_ns;
	return FALSE;
}

static void kernel_name_in_table(struct symbolizer *symbolizer, guint64 address, struct symbol *symbol)
{
	struct kernel *kernel = &symbolizer->kernel;
	struct symtab_hit hit;

	kernel_load(kernel);
	if (kernel_find(kernel, address, &hit)) {
		symbol->kind = FRAME_KERNEL;
		symbol->name = intern(symbolizer, hit.name);
		if (hit.tag[0])
			symbol->module = intern(symbolizer, hit.tag);
		symbol->offset = address - hit.start;
	} else if (kernel->hidden) {
		unresolved(symbolizer, symbol, "[kernel: addresses hidden (kptr_restrict)]");
	} else if (symtab_count(kernel->table) == 0) {
		unresolved(symbolizer, symbol, "[kernel: no symbols (/proc/kallsyms)]");
	} else {
		unresolved(symbolizer, symbol, "[kernel: in no function]");
	}
}

static enum symbolizer_namer_answer kernel_name_ask(struct symbolizer *symbolizer, guint64 address,
						    struct symbol *symbol)
{
	struct kernel *kernel = &symbolizer->kernel;
	struct symbolizer_kernel_name name;
	enum symbolizer_namer_answer answer;

	if (!kernel->namer)
		return SYMBOLIZER_NAMER_CANNOT;
	answer = kernel->namer(kernel->namer_user, address, &name);
	if (answer == SYMBOLIZER_NAMER_CANNOT) {
		kernel->namer = NULL;
	} else if (answer == SYMBOLIZER_NAMER_NONE) {
		unresolved(symbolizer, symbol, "[kernel: in no function]");
	} else {
		symbol->kind = FRAME_KERNEL;
		symbol->name = intern(symbolizer, name.name);
		if (name.module[0])
			symbol->module = intern(symbolizer, name.module);
		symbol->offset = name.offset;
	}
	return answer;
}

void symbolizer_kernel(struct symbolizer *symbolizer, guint64 address, gboolean is_caller, struct symbol *symbol)
{
	*symbol = (struct symbol){ .module = "vmlinux" };
	if (is_caller && address)
		address--;
	if (kernel_name_ask(symbolizer, address, symbol) == SYMBOLIZER_NAMER_CANNOT)
		kernel_name_in_table(symbolizer, address, symbol);
	if (symbol->kind == FRAME_KERNEL && is_caller)
		symbol->offset++;
}
