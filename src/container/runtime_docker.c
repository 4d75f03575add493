/* SPDX-License-Identifier: Apache-2.0 */
/* docker: cgroup ROOT/docker/ID (cgroupfs) or docker-ID.scope (systemd), below kubepods under Kubernetes.
 * DATA_ROOT/containers/ID/config.v2.json has name, image, labels and the first process. The data root is found in the
 * mounts of the OCI bundle (the shim's working directory): DATA_ROOT/containers/ID/hostname and the like; else it is
 * the default, one seen before, or one that a running dockerd was told. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "container/runtime.h"

#define DOCKER_ROOTS_MAX 32

static void docker_root_add(struct machine *machine, const char *root, gsize length)
{
	g_autofree char *copy = g_strndup(root, length);

	if (*copy == '/' && machine->docker_roots->len < DOCKER_ROOTS_MAX &&
	    !g_ptr_array_find_with_equal_func(machine->docker_roots, copy, g_str_equal, NULL))
		g_ptr_array_add(machine->docker_roots, g_steal_pointer(&copy));
}

/* Data roots that running daemons were told. Reads every process's name, so only when all else failed. */
static void docker_seek_daemons(struct machine *machine)
{
	g_autofree char *path = g_build_filename(machine->root, "proc", NULL);
	DIR *directory = machine->dockerd_sought ? NULL : opendir(path);
	struct dirent *entry;

	machine->dockerd_sought = TRUE;
	while (directory && (entry = readdir(directory))) {
		guint32 pid = (guint32)strtoul(entry->d_name, NULL, 10);
		struct monitor daemon = { .pid = pid };
		const char *root;
		struct procfs_stat stat;

		if (!pid || !procfs_stat_read(machine->root, pid, &stat, NULL) || strcmp(stat.comm, "dockerd") != 0 ||
		    procfs_namespace(machine->root, pid, NAMESPACE_MNT) != machine->host_mnt_namespace)
			continue;
		daemon.arguments = procfs_arguments_read(machine->root, pid);
		if ((root = monitor_argument(&daemon, "--data-root")) || (root = monitor_argument(&daemon, "-g")))
			docker_root_add(machine, root, strlen(root));
		g_strfreev(daemon.arguments);
	}
	if (directory)
		closedir(directory);
}

static json_t *docker_config_at(struct machine *machine, const char *state_root, const char *data_root, const char *id)
{
	g_autofree char *path = g_build_filename(data_root, "containers", id, "config.v2.json", NULL);
	json_t *config = evidence_json(machine, state_root, path, EVIDENCE_JSON_MAX);

	if (config && g_strcmp0(evidence_text(config, "ID", NULL), id) != 0)
		g_clear_pointer(&config, json_decref);
	return config;
}

/* From the bundle: one of docker's own files is mounted into the container. */
static json_t *docker_config_of_bundle(struct evidence *evidence, const struct monitor *monitor, const char *id)
{
	g_autofree char *path = g_build_filename(monitor->cwd, "config.json", NULL);
	g_autofree char *mark = g_strdup_printf("/containers/%s/", id);
	json_t *bundle = evidence_json(evidence->machine, monitor->state_root, path, EVIDENCE_JSON_MAX), *mount,
	       *config = NULL;
	gsize i;

	json_array_foreach(json_object_get(bundle, "mounts"), i, mount) {
		const char *source = evidence_text(mount, "source", NULL);
		const char *at = source ? strstr(source, mark) : NULL;
		g_autofree char *data_root = at ? g_strndup(source, (gsize)(at - source)) : NULL;

		if (!at || !(config = docker_config_at(evidence->machine, monitor->state_root, data_root, id)))
			continue;
		if (strcmp(monitor->state_root, evidence->machine->root) == 0)
			docker_root_add(evidence->machine, data_root, strlen(data_root));
		break;
	}
	json_decref(bundle);
	return config;
}

static json_t *docker_config_known(struct machine *machine, const char *id)
{
	json_t *config = NULL;

	for (guint i = 0; !config && i < machine->docker_roots->len; i++)
		config =
			docker_config_at(machine, machine->state_root, g_ptr_array_index(machine->docker_roots, i), id);
	return config;
}

static json_t *docker_config(struct evidence *evidence, const struct monitor *shim, const char *id)
{
	json_t *config = shim && shim->cwd ? docker_config_of_bundle(evidence, shim, id) : NULL;

	if (!config)
		config = docker_config_known(evidence->machine, id);
	if (!config) {
		docker_seek_daemons(evidence->machine);
		config = docker_config_known(evidence->machine, id);
	}
	return config;
}

static void docker_fill(struct identity *identity, const json_t *config)
{
	const json_t *labels = json_object_get(json_object_get(config, "Config"), "Labels");
	const char *name = evidence_text(config, "Name", NULL);

	if (name)
		identity->name = g_strdup(name[0] == '/' ? name + 1 : name);
	identity->image = g_strdup(evidence_text(config, "Config", "Image", NULL));
	identity_set_pod(identity, evidence_text(labels, "io.kubernetes.pod.name", NULL),
			 evidence_text(labels, "io.kubernetes.pod.namespace", NULL),
			 evidence_text(labels, "io.kubernetes.container.name", NULL));
}

static const struct monitor *docker_shim(struct evidence *evidence, const char *id)
{
	const struct monitor *monitor = evidence_monitor(evidence);
	g_autofree char *last = monitor->cwd ? g_path_get_basename(monitor->cwd) : NULL;

	if (!g_str_has_prefix(monitor->comm, "containerd-shim") && !g_str_has_prefix(monitor->comm, "docker-containe"))
		return NULL;
	if (g_strcmp0(monitor_argument(monitor, "-namespace"), "moby") != 0)
		return NULL;
	return g_strcmp0(monitor_argument(monitor, "-id"), id) == 0 || g_strcmp0(last, id) == 0 ? monitor : NULL;
}

static enum verdict docker_identify(struct evidence *evidence, struct identity *identity)
{
	g_autofree char *above = g_path_get_dirname(evidence->path),
			*id = evidence_hex_id(evidence->base, "docker-", FALSE);
	const struct monitor *shim = id ? docker_shim(evidence, id) : NULL;
	gboolean named_so = g_str_has_suffix(above, "/docker") || g_str_has_prefix(evidence->base, "docker-");
	enum verdict verdict = shim ? VERDICT_CONFIRMED : VERDICT_NOT_MINE;
	json_t *config;
	guint32 pid;

	if (!id || (!shim && !named_so))
		return VERDICT_NOT_MINE;
	config = docker_config(evidence, shim, id);
	pid = (guint32)json_integer_value(json_object_get(json_object_get(config, "State"), "Pid"));
	if (pid && evidence_has_pid(evidence, pid)) {
		verdict = VERDICT_CONFIRMED;
		identity->init_pid = pid;
	} else if (pid && evidence_below(evidence)->len > 0) {
		/* That id's first process is elsewhere: somebody else's name. A shim may be ahead of the file. */
		g_clear_pointer(&config, json_decref);
	}
	if (verdict == VERDICT_NOT_MINE && evidence->trusted_place)
		verdict = VERDICT_LOOKS_LIKE;
	if (verdict != VERDICT_NOT_MINE) {
		docker_fill(identity, config);
		identity->id = g_steal_pointer(&id);
	}
	json_decref(config);
	return verdict;
}

const struct runtime runtime_docker = { .kind = RUNTIME_DOCKER, .identify = docker_identify };
