/* SPDX-License-Identifier: Apache-2.0 */
/* systemd-nspawn: machine-NAME.scope (escaped as unit names are: "\x2d" for "-"), systemd-nspawn@NAME.service, or,
 * not registered, a child "payload" of whatever cgroup it was started in. machined's /run/systemd/machines/NAME tells
 * a container from a virtual machine; the minding process is systemd-nspawn --machine=NAME --directory=DIR. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "container/runtime.h"

#define MACHINE_FILE_MAX 65536

/* Undoes systemd's escaping of unit names. */
static char *unit_unescape(const char *text, gsize length)
{
	GString *out = g_string_new(NULL);

	for (gsize i = 0; i < length; i++) {
		if (text[i] == '\\' && i + 3 < length && text[i + 1] == 'x' && g_ascii_isxdigit(text[i + 2]) &&
		    g_ascii_isxdigit(text[i + 3])) {
			int byte = g_ascii_xdigit_value(text[i + 2]) * 16 + g_ascii_xdigit_value(text[i + 3]);

			if (byte)
				g_string_append_c(out, (char)byte);
			i += 3;
		} else {
			g_string_append_c(out, text[i] == '-' ? '/' : text[i]);
		}
	}
	return g_string_free(out, FALSE);
}

static char *unit_machine(const char *base)
{
	static const struct {
		const char *prefix, *suffix;
	} forms[] = { { "machine-", ".scope" }, { "systemd-nspawn@", ".service" } };

	for (guint i = 0; i < G_N_ELEMENTS(forms); i++)
		if (g_str_has_prefix(base, forms[i].prefix) && g_str_has_suffix(base, forms[i].suffix) &&
		    strlen(base) > strlen(forms[i].prefix) + strlen(forms[i].suffix))
			return unit_unescape(base + strlen(forms[i].prefix),
					     strlen(base) - strlen(forms[i].prefix) - strlen(forms[i].suffix));
	return NULL;
}

/* What machined says: -1 unknown, 0 something else (a virtual machine), 1 a container of nspawn's. */
static int machined_says(const struct evidence *evidence, const char *name)
{
	g_autofree char *path = g_build_filename("/run/systemd/machines", name, NULL);
	int fd = strchr(name, '/') ? -1 : machine_file(evidence->machine, evidence->machine->state_root, path);
	g_autofree char *text = fd >= 0 ? file_read_fd(fd, MACHINE_FILE_MAX, NULL, NULL) : NULL;

	if (fd >= 0)
		close(fd);
	if (!text)
		return -1;
	return strstr(text, "SERVICE=systemd-nspawn") || strstr(text, "SERVICE=\"systemd-nspawn\"") ||
	       strstr(text, "SERVICE=nspawn");
}

static char *monitor_machine(const struct monitor *monitor)
{
	static const char *const names[] = { "--machine", "-M", "--directory", "-D", "--image", "-i" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		const char *value = monitor_argument(monitor, names[i]);

		if (value && *value)
			return g_path_get_basename(value);
	}
	return NULL;
}

static enum verdict nspawn_identify(struct evidence *evidence, struct identity *identity)
{
	g_autofree char *name = unit_machine(evidence->base);
	gboolean is_payload = strcmp(evidence->base, "payload") == 0;
	int machined = name && evidence->trusted_place ? machined_says(evidence, name) : -1;
	const struct monitor *monitor;

	if ((!name && !is_payload) || machined == 0)
		return VERDICT_NOT_MINE;
	monitor = evidence_monitor(evidence);
	if (machined < 0 && strcmp(monitor->comm, "systemd-nspawn") != 0) {
		/* Started only a moment ago, or a machine of another kind: the scope's name does not say. */
		if (!name || !evidence->trusted_place || !g_str_has_prefix(evidence->base, "systemd-nspawn@"))
			return VERDICT_NOT_MINE;
		identity->id = g_strdup(name);
		identity->name = g_steal_pointer(&name);
		return VERDICT_LOOKS_LIKE;
	}
	if (!name && !(name = monitor_machine(monitor)))
		name = g_strdup(evidence->base);
	identity->id = g_strdup(name);
	identity->name = g_steal_pointer(&name);
	return VERDICT_CONFIRMED;
}

const struct runtime runtime_nspawn = { .kind = RUNTIME_NSPAWN, .identify = nspawn_identify };
