/* SPDX-License-Identifier: Apache-2.0 */
/* containerd, by hand (ctr, nerdctl) or under Kubernetes (CRI). The OCI bundle STATE/io.containerd.runtime.v2.task/
 * NAMESPACE/ID/ has config.json (the cgroup's path, CRI annotations) and init.pid. It is the working directory of the
 * shim, or a neighbour of it when one shim minds a whole pod; without a shim in sight, the default place is looked at.
 * The cgroup may have any path. */
#include <dirent.h>
#include <string.h>

#include "container/runtime.h"

#define CONTAINERD_TASKS "/run/containerd/io.containerd.runtime.v2.task"
#define CONTAINERD_NAMESPACES_MAX 256

static gboolean id_is_safe(const char *id)
{
	return id && *id && strlen(id) <= EVIDENCE_TEXT_MAX && !strchr(id, '/') && strcmp(id, ".") != 0 &&
	       strcmp(id, "..") != 0;
}

static gboolean containerd_bundle(struct evidence *evidence, const char *state_root, const char *bundle, const char *id,
				  struct identity *identity)
{
	g_autofree char *config_path = g_build_filename(bundle, "config.json", NULL);
	g_autofree char *pid_path = g_build_filename(bundle, "init.pid", NULL);
	json_t *config = evidence_json(evidence->machine, state_root, config_path, EVIDENCE_JSON_MAX), *notes;
	guint32 pid = config ? evidence_pid_file(evidence->machine, state_root, pid_path) : 0;
	const char *container, *type;

	if (!config || !evidence_is_cgroups_path(evidence, evidence_text(config, "linux", "cgroupsPath", NULL)) ||
	    (pid && !evidence_has_pid(evidence, pid))) {
		json_decref(config);
		return FALSE;
	}
	notes = json_object_get(config, "annotations");
	container = evidence_text(notes, "io.kubernetes.cri.container-name", NULL);
	type = evidence_text(notes, "io.kubernetes.cri.container-type", NULL);
	if (!container && g_strcmp0(type, "sandbox") == 0)
		container = "pause";
	identity->id = g_strdup(id);
	identity->init_pid = pid;
	identity->image = g_strdup(evidence_text(notes, "io.kubernetes.cri.image-name", NULL));
	identity->name = container ? g_strdup(container) : NULL;
	identity_set_pod(identity, evidence_text(notes, "io.kubernetes.cri.sandbox-name", NULL),
			 evidence_text(notes, "io.kubernetes.cri.sandbox-namespace", NULL), container);
	if (!identity->name && strspn(id, "0123456789abcdef") != strlen(id))
		identity->name = g_strdup(id); /* typed by a person */
	json_decref(config);
	return TRUE;
}

static gboolean containerd_by_shim(struct evidence *evidence, const struct monitor *shim, const char *id,
				   struct identity *identity)
{
	g_autofree char *last = shim->cwd ? g_path_get_basename(shim->cwd) : NULL;
	g_autofree char *tasks = shim->cwd ? g_path_get_dirname(shim->cwd) : NULL;
	g_autofree char *bundle = tasks && id_is_safe(id) ? g_build_filename(tasks, id, NULL) : NULL;

	return bundle && containerd_bundle(evidence, shim->state_root, bundle, id, identity);
}

static gboolean containerd_by_default(struct evidence *evidence, const char *id, struct identity *identity)
{
	g_autofree char *path = g_build_filename(evidence->machine->state_root, CONTAINERD_TASKS, NULL);
	DIR *directory = id_is_safe(id) ? opendir(path) : NULL;
	struct dirent *entry;
	gboolean found = FALSE;

	for (guint i = 0; directory && !found && i < CONTAINERD_NAMESPACES_MAX && (entry = readdir(directory)); i++) {
		g_autofree char *bundle = g_build_filename(CONTAINERD_TASKS, entry->d_name, id, NULL);

		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "moby") != 0)
			found = containerd_bundle(evidence, evidence->machine->state_root, bundle, id, identity);
	}
	if (directory)
		closedir(directory);
	return found;
}

static enum verdict containerd_identify(struct evidence *evidence, struct identity *identity)
{
	const struct monitor *monitor = evidence_monitor(evidence);
	const char *space = monitor_argument(monitor, "-namespace");
	gboolean is_shim = g_str_has_prefix(monitor->comm, "containerd-shim") && g_strcmp0(space, "moby") != 0;
	g_autofree char *hex = evidence_hex_id(evidence->base, "cri-containerd-", FALSE);
	const char *id = hex ? hex : evidence->base;

	if (is_shim && (containerd_by_shim(evidence, monitor, id, identity) ||
			containerd_by_shim(evidence, monitor, monitor_argument(monitor, "-id"), identity)))
		return VERDICT_CONFIRMED;
	if (containerd_by_default(evidence, id, identity))
		return evidence->trusted_place || identity->init_pid ? VERDICT_CONFIRMED : VERDICT_NOT_MINE;
	if (hex && evidence->trusted_place &&
	    (is_shim || g_str_has_prefix(evidence->base, "cri-containerd-") ||
	     (g_str_has_prefix(evidence->path, "/kubepods") && strstr(evidence->path, "/pod")))) {
		identity->id = g_steal_pointer(&hex);
		return VERDICT_LOOKS_LIKE;
	}
	return VERDICT_NOT_MINE;
}

const struct runtime runtime_containerd = { .kind = RUNTIME_CONTAINERD, .identify = containerd_identify };
