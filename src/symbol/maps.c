/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MAPS_CHUNK (64u << 10)
#define MAPS_NAME_BYTES (PATH_MAX + 16) /* " (deleted)" behind it */

/* ---- questions ---- */

/* struct procmap_query and its ioctl, as the kernel has fixed them; Debian 12's headers are older. */
struct maps_query {
	guint64 size, flags, address;
	guint64 start, end, vma_flags, page_size, offset, inode;
	guint32 device_major, device_minor, name_bytes, build_id_bytes;
	guint64 name_address, build_id_address;
};
#define MAPS_QUERY _IOWR('f', 17, struct maps_query)
#define MAPS_QUERY_EXECUTABLE 0x04
#define MAPS_QUERY_OR_NEXT 0x10

static enum maps_answer maps_ask(int fd, guint64 address, guint64 flags, char name[MAPS_NAME_BYTES],
				 struct maps_entry *entry)
{
	struct maps_query query = {
		.size = sizeof(query),
		.flags = flags,
		.address = address,
		.name_bytes = MAPS_NAME_BYTES,
		.name_address = (guintptr)name,
	};

	if (ioctl(fd, MAPS_QUERY, &query) != 0)
		return errno == ENOENT || errno == ESRCH ? MAPS_NONE : MAPS_CANNOT;
	*entry = (struct maps_entry){
		.start = query.start,
		.end = query.end,
		.offset = query.offset,
		.inode = query.inode,
		.device = (guint64)query.device_major << 32 | query.device_minor,
		.executable = (query.vma_flags & MAPS_QUERY_EXECUTABLE) != 0,
		.path = query.name_bytes > 0 ? name : "",
	};
	return entry->end > entry->start ? MAPS_FOUND : MAPS_CANNOT;
}

static enum maps_answer maps_ask_all(int fd, maps_each_fn each, void *user)
{
	char name[MAPS_NAME_BYTES];
	struct maps_entry entry = { 0 };
	enum maps_answer answer, first = MAPS_NONE;

	while ((answer = maps_ask(fd, entry.end, MAPS_QUERY_EXECUTABLE | MAPS_QUERY_OR_NEXT, name, &entry)) ==
	       MAPS_FOUND) {
		first = MAPS_FOUND;
		if (!each(user, &entry))
			break;
	}
	return first == MAPS_FOUND ? MAPS_FOUND : answer;
}

/* ---- text ---- */

static gboolean take_number(char **at, int base, char separator, guint64 *value)
{
	char *end;

	*value = g_ascii_strtoull(*at, &end, (guint)base);
	if (end == *at || *end != separator)
		return FALSE;
	*at = end + 1;
	return TRUE;
}

gboolean maps_line_parse(char *line, struct maps_entry *entry)
{
	char *at = line, *end;

	if (!take_number(&at, 16, '-', &entry->start) || !take_number(&at, 16, ' ', &entry->end) || strlen(at) < 5)
		return FALSE;
	entry->executable = at[2] == 'x';
	entry->device = 0;
	at += 5;
	if (!take_number(&at, 16, ' ', &entry->offset))
		return FALSE;
	at = strchr(at, ' ');
	if (!at)
		return FALSE;
	at++;
	entry->inode = g_ascii_strtoull(at, &end, 10);
	while (*end == ' ')
		end++;
	entry->path = end;
	return entry->start < entry->end;
}

/* Hands out the whole lines among the first `bytes` of `chunk`; returns how many bytes they were, or -1 to end. */
static gssize maps_take_lines(char *chunk, gsize bytes, maps_each_fn each, void *user)
{
	char *line = chunk, *end;
	struct maps_entry entry;

	while ((end = memchr(line, '\n', bytes - (gsize)(line - chunk)))) {
		*end = '\0';
		if (maps_line_parse(line, &entry) && !each(user, &entry))
			return -1;
		line = end + 1;
	}
	return line - chunk;
}

static enum maps_answer maps_read_text(int fd, maps_each_fn each, void *user)
{
	g_autofree char *chunk = g_malloc(MAPS_CHUNK);
	gsize kept = 0, total = 0;

	while (kept < MAPS_CHUNK && total < MAPS_BYTES_MAX) {
		ssize_t n = read(fd, chunk + kept, MAPS_CHUNK - kept);
		gssize taken;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		kept += (gsize)n;
		total += (gsize)n;
		taken = maps_take_lines(chunk, kept, each, user);
		if (taken < 0)
			break;
		kept -= (gsize)taken;
		memmove(chunk, chunk + taken, kept);
	}
	return total > 0 ? MAPS_FOUND : MAPS_NONE; /* an ended process has an empty file */
}

/* ---- either ---- */

static int maps_open(int proc_fd)
{
	return openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
}

enum maps_answer maps_read(int proc_fd, maps_each_fn each, void *user)
{
	int fd = maps_open(proc_fd);
	enum maps_answer answer;

	if (fd < 0)
		return MAPS_NONE;
	answer = maps_ask_all(fd, each, user);
	if (answer == MAPS_CANNOT)
		answer = maps_read_text(fd, each, user);
	close(fd);
	return answer;
}

enum maps_answer maps_find(int proc_fd, guint64 address, maps_each_fn each, void *user)
{
	int fd = maps_open(proc_fd);
	char name[MAPS_NAME_BYTES];
	struct maps_entry entry;
	enum maps_answer answer;

	if (fd < 0)
		return MAPS_NONE;
	answer = maps_ask(fd, address, 0, name, &entry);
	close(fd);
	if (answer == MAPS_FOUND)
		each(user, &entry);
	return answer;
}
