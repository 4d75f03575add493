/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are mapped as code, and their symbol tables.
 *
 * A module is one file: device, inode, time of change and size. (A build-id alone is not trusted as a key: a container
 * can give its own file the build-id of somebody else's libc. Files that turn out to hold equal tables share one.)
 * At first sight a module only gets a descriptor, so that deletion, replacement and the end of the process do not
 * matter; its table is read at the first address asked for, and the descriptor closed. Tables live in an LRU with a
 * byte budget; an evicted one is read again through any process that still maps the file. */
#pragma once
#include <glib.h>

#include "symbol/foreign.h"
#include "symbol/image.h"
#include "symbol/language.h"
#include "symbol/python.h"
#include "symbol/symtab.h"
#include "symbol/unwind_table.h"

#define MODULES_OPEN_MAX 256 /* descriptors kept for tables not read yet; beyond, the oldest is closed */
#define MODULES_BYTES_MAX (64u << 20) /* of tables */
#define MODULES_UNWIND_BYTES_MAX (32u << 20) /* of unwind tables */
#define MODULES_UNWIND_PAGED_MAX 48 /* tables that keep their file open */
#define MODULES_UNWIND_BURST_US 1000000 /* of CPU time: reading and compiling may take this long at once … */
#define MODULES_UNWIND_SHARE 10 /* … and, over time, one part in so many */
#define MODULES_UNWIND_BYTES_PER_US 80 /* of descriptions read one by one: measured 79 to 109 (bench/unwind.c) */
#define MODULES_VDSO_MAX 16 /* different vDSO images */

enum module_state {
	MODULE_PENDING = 0, /* table not read (or evicted) */
	MODULE_READY = 1,
	MODULE_NOT_ELF = 2,
	MODULE_UNREADABLE = 3,
	MODULE_GONE = 4, /* no process is left through which the file could be opened */
};

enum module_unwind_state {
	MODULE_UNWIND_PENDING = 0, /* not compiled yet, evicted, or put off */
	MODULE_UNWIND_READY = 1,
	MODULE_UNWIND_ABSENT = 2, /* the file does not describe its frames */
	MODULE_UNWIND_UNREADABLE = 3,
};

#define MODULE_WITNESSES 4

struct module {
	struct module_key key;
	guint8 build_id[IMAGE_BUILD_ID_MAX];
	guint build_id_size; /* known once the file was opened */
	char *path; /* as the first process named it: raw bytes */
	const char *name; /* points to the base name in `path`; or "[vdso]" */
	const struct language *language; /* whose interpreter is called that; NULL: none that we know */
	enum module_state state;
	gboolean is_complete; /* the table holds local functions, too */
	const char *reason; /* why an address had no name last: a literal */
	const char *said; /* … and what was said of it; kept by whoever names */
	struct symtab *table; /* MODULE_READY; modules_find looks in it */
	struct image_segment *segments;
	guint segment_count;
	int downloaded; /* its debug file from a server, open; 0: none */
	enum module_unwind_state unwind_state;
	struct unwind_table *unwind; /* MODULE_UNWIND_READY */
	gboolean is_worked_out; /* said that callers were found by its code */
	struct python python; /* MODULE_READY, and only with: */
	gboolean has_python; /* it holds a Python interpreter */
	/* private to module.c */
	struct image_segment *unwind_segments;
	guint unwind_segment_count;
	GList *unwind_place; /* in the list of unwind tables */
	gsize unwind_bytes; /* as counted */
	int fd;
	guint rest; /* of the sources, not read yet; 0: none … */
	int rest_fd; /* … and the file for it */
	guint sought; /* addresses looked for in that file one by one */
	guint refs;
	struct module_witness { /* who maps it: ways to open it again */
		guint32 tgid;
		guint64 start, end;
	} witnesses[MODULE_WITNESSES];
	guint witness_next;
	GList *place; /* in the list of loaded modules; NULL: it has no table that counts */
	GList *open_place; /* in that of open ones: a loaded module may be opened again, for its unwind table */
};

/* How a mapping names its file. */
struct module_locator {
	guint32 tgid;
	int proc_fd; /* directory /proc/TGID, or -1 when the process is gone */
	guint32 relative; /* a process likely to see the same files (parent), 0: none */
	guint64 start, end;
	guint64 inode, device; /* from /proc/PID/maps; 0: not known */
	const guint8 *build_id; /* from the kernel; may be NULL */
	guint build_id_size;
	const char *path;
};

struct modules;

struct modules *modules_new(void);
void modules_free(struct modules *modules);

/* The module behind a mapping, with a reference for the caller; NULL when the file cannot be had any more. */
struct module *modules_get(struct modules *modules, const struct module_locator *locator);
/* The vDSO, from its image in memory, with a reference for the caller. NULL when it is no ELF image. */
struct module *modules_get_vdso(struct modules *modules, const void *bytes, gsize length);
struct module *module_ref(struct module *module);
void modules_unref(struct modules *modules, struct module *module);

/* Makes sure the table is there if it can be. */
enum module_state modules_load(struct modules *modules, struct module *module);
/* The function that holds an address as the module counts them; MODULE_READY only. What was put off is read if it must be. */
gboolean modules_find(struct modules *modules, struct module *module, guint64 address, struct symtab_hit *hit);
/* File offset → address in the module's own count. */
gboolean module_address(const struct module *module, guint64 file_offset, guint64 *address);

/* Takes over `fd`, a debug file fetched for the module; FALSE when it is not its. A loaded table is completed from it. */
gboolean modules_take_downloaded(struct modules *modules, struct module *module, int fd);

/* The debug information of a module, through a process that still maps it; see debug_file_dwarf. */
struct debug_fds;
gboolean modules_open_dwarf(struct modules *modules, const struct module *module, struct debug_fds *fds);

/* Makes sure the unwind table is there if it can be. What a file says about its frames is read here and now, and compiled
 * if it must be whole (unwind_table.h). What would exceed the budget of time is pending until later: so are lazy tables
 * whose searches have used it up. */
enum module_unwind_state modules_load_unwind(struct modules *modules, struct module *module);
/* File offset → address as the unwind table counts it; MODULE_UNWIND_READY only. */
gboolean module_unwind_address(const struct module *module, guint64 file_offset, guint64 *address);

struct modules_usage {
	guint modules, open, loaded, evicted, closed_unread;
	gsize bytes;
	guint unwind_tables, unwind_evicted, unwind_put_off;
	gsize unwind_bytes;
	guint64 unwind_us; /* spent on reading and compiling */
};
void modules_usage(const struct modules *modules, struct modules_usage *usage);
