/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/hosts.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/root.h"

/* The address in the one form it is compared in; FALSE: it is none. */
static gboolean address_write(const char *word, char *address)
{
	guint8 bytes[16];
	int family = inet_pton(AF_INET, word, bytes) == 1    ? AF_INET
		     : inet_pton(AF_INET6, word, bytes) == 1 ? AF_INET6
							     : 0;

	return family && inet_ntop(family, bytes, address, INET6_ADDRSTRLEN);
}

static void line_take(char *line, GHashTable *names)
{
	g_auto(GStrv) words = NULL;
	char address[INET6_ADDRSTRLEN];
	char *comment = strchr(line, '#');
	guint name = 1;

	if (comment)
		*comment = '\0';
	words = g_strsplit_set(g_strstrip(line), " \t\r", -1);
	if (!words[0] || !address_write(words[0], address) || g_hash_table_contains(names, address))
		return;
	while (words[name] && !words[name][0])
		name++;
	if (words[name])
		g_hash_table_insert(names, g_strdup(address), g_strdup(words[name]));
}

GHashTable *hosts_parse(const char *text)
{
	GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (guint i = 0; lines[i] && g_hash_table_size(names) < HOSTS_ENTRIES_MAX; i++)
		line_take(lines[i], names);
	return names;
}

GHashTable *hosts_load(guint32 pid, GError **error)
{
	g_autofree char *root = g_strdup_printf("/proc/%u/root", pid);
	g_autofree char *text = NULL;
	int fd = file_open_in_root(root, "/etc/hosts", error);

	if (fd < 0)
		return NULL;
	text = file_read_fd(fd, HOSTS_BYTES_MAX, NULL, error);
	close(fd);
	return text ? hosts_parse(text) : NULL;
}
