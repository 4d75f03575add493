/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts as a process sees it (hosts(5)): names of addresses, written by whoever owns the container. */
#pragma once
#include <glib.h>

#define HOSTS_BYTES_MAX (256 << 10)
#define HOSTS_ENTRIES_MAX 4096

/* Address, as inet_ntop writes it → the first name its first line gives it, as it stands there. Owned by the caller; NULL and `error`
 * when the file cannot be read. */
GHashTable *hosts_load(guint32 pid, GError **error);
/* The same from the file's text. */
GHashTable *hosts_parse(const char *text);
