/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/resolv.conf as a process sees it (resolv.conf(5)): written by whoever owns the container. */
#pragma once
#include <glib.h>

#define RESOLVCONF_BYTES_MAX (64 << 10)
#define RESOLVCONF_SEARCH_MAX 64 /* domains looked at */

/* The domains that are tried behind a short name, in lower case, without dots at their ends; an empty list when there
 * are none. NULL and `error` when the file cannot be read. Owned by the caller (g_strfreev). */
char **resolvconf_search(guint32 pid, GError **error);
/* The same from the file's text. */
char **resolvconf_parse_search(const char *text);
