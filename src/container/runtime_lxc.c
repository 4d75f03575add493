/* SPDX-License-Identifier: Apache-2.0 */
/* LXC (and Incus, Proxmox, which use liblxc): cgroup lxc.payload.NAME, lxc.payload/NAME or lxc/NAME. The minding
 * process calls itself "[lxc monitor] PATH NAME"; PATH (default /var/lib/lxc) has NAME/config. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "container/runtime.h"

#define LXC_PAYLOAD "lxc.payload."

static const char *lxc_name(const struct evidence *evidence)
{
	g_autofree char *above = g_path_get_dirname(evidence->path);

	if (g_str_has_prefix(evidence->base, LXC_PAYLOAD))
		return evidence->base + strlen(LXC_PAYLOAD);
	if (g_str_has_suffix(above, "/lxc") || g_str_has_suffix(above, "/lxc.payload"))
		return evidence->base;
	return NULL;
}

static gboolean lxc_has_config(const struct evidence *evidence, const char *name)
{
	g_autofree char *path = g_build_filename("/var/lib/lxc", name, "config", NULL);
	int fd = machine_file(evidence->machine, evidence->machine->state_root, path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static gboolean lxc_is_minded(struct evidence *evidence)
{
	const struct monitor *monitor = evidence_monitor(evidence);
	const char *title = monitor->arguments ? monitor->arguments[0] : NULL;

	return g_str_has_prefix(monitor->comm, "lxc-") || g_str_has_prefix(monitor->comm, "[lxc monitor]") ||
	       (title && g_str_has_prefix(title, "[lxc monitor]"));
}

static enum verdict lxc_identify(struct evidence *evidence, struct identity *identity)
{
	const char *name = lxc_name(evidence);
	gboolean sure;

	if (!name || !*name)
		return VERDICT_NOT_MINE;
	sure = lxc_is_minded(evidence) || (evidence->trusted_place && lxc_has_config(evidence, name));
	if (!sure && !evidence->trusted_place)
		return VERDICT_NOT_MINE;
	identity->id = g_strdup(name);
	identity->name = g_strdup(name);
	return sure ? VERDICT_CONFIRMED : VERDICT_LOOKS_LIKE;
}

const struct runtime runtime_lxc = { .kind = RUNTIME_LXC, .identify = lxc_identify };
