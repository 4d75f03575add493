/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's units as cgroups: the outermost service or scope, not counting slices and users' managers
 * (user@UID.service), which only hold units. What a service makes below itself is its own business. */
#include <string.h>

#include "container/runtime.h"

static const char *const unit_suffixes[] = { ".service", ".scope", ".socket", ".mount", ".swap" };

static gboolean is_unit(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(unit_suffixes); i++)
		if (g_str_has_suffix(name, unit_suffixes[i]))
			return TRUE;
	return FALSE;
}

static gboolean holds_units(const char *name)
{
	return g_str_has_suffix(name, ".slice") ||
	       (g_str_has_prefix(name, "user@") && g_str_has_suffix(name, ".service"));
}

char *systemd_unit_path(const char *path)
{
	g_auto(GStrv) part = g_strsplit(path, "/", 0); /* the first is empty */
	g_autoptr(GString) unit = g_string_new(NULL);

	for (guint i = 1; part[i] && *part[i]; i++) {
		if (!holds_units(part[i]) && !is_unit(part[i]))
			break;
		g_string_append_printf(unit, "/%s", part[i]);
		if (!holds_units(part[i]))
			break;
	}
	return unit->len > 0 ? g_string_free(g_steal_pointer(&unit), FALSE) : NULL;
}
