/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define NETDEV_PIECE_BYTES 3500
#define NETDEV_BYTES_MAX (256 << 10) /* 120 bytes an interface */

/* Columns of /proc/net/dev after the name. */
enum {
	RECEIVED_BYTES = 0,
	RECEIVED_PACKETS = 1,
	RECEIVED_DROPS = 3,
	SENT_BYTES = 8,
	SENT_PACKETS = 9,
	SENT_DROPS = 11,
	COLUMNS = 12,
};

int netdev_open(const char *root, guint32 pid)
{
	g_autofree char *path = g_strdup_printf("%s/proc/%u/net/dev", strcmp(root, "/") == 0 ? "" : root, pid);

	return open(path, O_RDONLY | O_CLOEXEC);
}

/* A line is "  eth0: 1 2 3 …"; the kernel allows no colon and no space in the name of an interface. */
static void netdev_line(const char *line, struct netdev_traffic *traffic)
{
	const char *name = line + strspn(line, " "), *at = strchr(name, ':');
	guint64 columns[COLUMNS];
	char *end;

	if (!at || memchr(name, '\n', (gsize)(at - name)) || strncmp(name, "lo:", 3) == 0)
		return;
	at++;
	for (guint i = 0; i < COLUMNS; i++, at = end)
		columns[i] = g_ascii_strtoull(at, &end, 10);
	traffic->received_bytes += columns[RECEIVED_BYTES];
	traffic->received_packets += columns[RECEIVED_PACKETS];
	traffic->sent_bytes += columns[SENT_BYTES];
	traffic->sent_packets += columns[SENT_PACKETS];
	traffic->drops += columns[RECEIVED_DROPS] + columns[SENT_DROPS];
	traffic->interfaces++;
}

static char *netdev_text(int fd)
{
	gsize room = 4096, used = 0;
	char *text = g_malloc(room);

	for (;;) {
		ssize_t n = pread(fd, text + used, room - 1 - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			g_free(text);
			return NULL;
		}
		used += (gsize)n;
		/* The kernel fills a page with whole lines: less than that is all there is. */
		if (n < NETDEV_PIECE_BYTES || used >= NETDEV_BYTES_MAX)
			break;
		if (used == room - 1)
			text = g_realloc(text, room *= 2);
	}
	text[used] = '\0';
	return text;
}

gboolean netdev_read(int fd, struct netdev_traffic *traffic)
{
	g_autofree char *text = netdev_text(fd);

	*traffic = (struct netdev_traffic){ 0 };
	if (!text)
		return FALSE;
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		netdev_line(line, traffic);
	return TRUE;
}
