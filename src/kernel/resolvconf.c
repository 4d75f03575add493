/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/resolvconf.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/root.h"

/* A domain in the form names are compared in; NULL when nothing is left. */
static char *domain_new(const char *word)
{
	char *domain = g_ascii_strdown(word, -1);
	gsize length = strlen(domain);

	while (length > 0 && domain[length - 1] == '.')
		domain[--length] = '\0';
	if (length == 0)
		g_clear_pointer(&domain, g_free);
	return domain;
}

/* "search" and "domain" replace each other: the last counts. */
static void line_take(const char *line, GPtrArray *domains)
{
	g_auto(GStrv) words = g_strsplit_set(line, " \t\r", -1);

	if (!words[0] || (strcmp(words[0], "search") != 0 && strcmp(words[0], "domain") != 0))
		return;
	g_ptr_array_set_size(domains, 0);
	for (guint i = 1; words[i] && domains->len < RESOLVCONF_SEARCH_MAX; i++) {
		char *domain = domain_new(words[i]);

		if (domain)
			g_ptr_array_add(domains, domain);
	}
}

char **resolvconf_parse_search(const char *text)
{
	g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func(g_free);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	char **list;

	for (guint i = 0; lines[i]; i++)
		line_take(lines[i], domains);
	list = g_new0(char *, domains->len + 1);
	for (guint i = 0; i < domains->len; i++)
		list[i] = g_strdup(g_ptr_array_index(domains, i));
	return list;
}

char **resolvconf_search(guint32 pid, GError **error)
{
	g_autofree char *root = g_strdup_printf("/proc/%u/root", pid);
	g_autofree char *text = NULL;
	int fd = file_open_in_root(root, "/etc/resolv.conf", error);

	if (fd < 0)
		return NULL;
	text = file_read_fd(fd, RESOLVCONF_BYTES_MAX, NULL, error);
	close(fd);
	return text ? resolvconf_parse_search(text) : NULL;
}
