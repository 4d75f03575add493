/* SPDX-License-Identifier: Apache-2.0 */
/* Files of observed processes, looked at and opened without handing control to them.
 *
 * Even stat or open of a file on FUSE asks a daemon, which a container may own and may never answer. So a file is
 * first looked at without synchronising with its server (statx AT_STATX_DONT_SYNC), and the kind of its mount is looked up
 * in the process's mountinfo; FUSE is refused, and so is a mount nobody lists. */
#pragma once
#include <glib.h>

struct module_key { /* one file, as long as nobody writes to it */
	guint64 device, inode, size;
	gint64 changed_ns;
};

/* For hash tables whose keys are struct module_key, in which no padding is: GHashFunc, GEqualFunc. */
guint module_key_hash(gconstpointer data);
gboolean module_key_equal(gconstpointer a, gconstpointer b);

struct foreign_file {
	struct module_key key;
	int fd; /* read-only, close-on-exec, a regular file; the caller closes it */
};

struct foreign; /* remembers mounts for a moment */

struct foreign *foreign_new(void);
void foreign_free(struct foreign *foreign);

/* Directory /proc/TGID: stays bound to this very process, reads fail once it is gone. -1 when there is none. */
int foreign_open_process(guint32 tgid);
/* `name` is a magic link below the directory `proc_fd`, such as "map_files/1000-2000". */
gboolean foreign_stat(struct foreign *foreign, int proc_fd, const char *name, struct module_key *key);
gboolean foreign_open(struct foreign *foreign, int proc_fd, const char *name, struct foreign_file *file);
/* A path as seen in `root`; see file_open_in_root. */
gboolean foreign_open_in_root(const char *root, const char *path, struct foreign_file *file);
/* The same, but the last component may not be a symbolic link. */
gboolean foreign_open_entry_in_root(const char *root, const char *path, struct foreign_file *file);
