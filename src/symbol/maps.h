/* SPDX-License-Identifier: Apache-2.0 */
/* What is mapped in a process, read below its directory in /proc.
 *
 * Linux 6.11 answers questions about single mappings (PROCMAP_QUERY, include/uapi/linux/fs.h): a process of sixty mappings, eight
 * of them executable, costs eight questions. Older kernels print the whole list (proc_pid_maps(5)). */
#pragma once
#include <glib.h>

#define MAPS_BYTES_MAX (64u << 20) /* of the text of /proc/PID/maps */

struct maps_entry {
	guint64 start, end, offset, inode;
	guint64 device; /* 0 when not told */
	gboolean executable;
	const char *path; /* valid during the call; "" when anonymous */
};

/* FALSE ends the reading. */
typedef gboolean (*maps_each_fn)(void *user, const struct maps_entry *entry);

enum maps_answer {
	MAPS_FOUND = 0,
	MAPS_NONE = 1,
	MAPS_CANNOT = 2,
};

/* Every executable mapping, in order of address; from the text also the others. MAPS_NONE: the process is gone. */
enum maps_answer maps_read(int proc_fd, maps_each_fn each, void *user);
/* The mapping at `address`, executable or not, handed to `each`. MAPS_CANNOT: this kernel takes no such questions. */
enum maps_answer maps_find(int proc_fd, guint64 address, maps_each_fn each, void *user);
/* The text form alone: "start-end rwxp offset major:minor inode     path", in place. */
gboolean maps_line_parse(char *line, struct maps_entry *entry);
