/* SPDX-License-Identifier: Apache-2.0 */
/* podman (root and rootless) and CRI-O: both let conmon mind the container and keep it in containers/storage.
 * Cgroups: libpod-ID(.scope), libpod-payload-ID, crio-ID(.scope), the processes often in a child of it. conmon's
 * arguments: -c ID -n NAME -b BUNDLE -p PIDFILE; BUNDLE is …/DRIVER-containers/ID/userdata with config.json (CRI-O's
 * annotations), and …/DRIVER-containers/containers.json lists names and images. */
#include <string.h>

#include "container/runtime.h"

static const char *const storage_lists[] = { "containers.json", "volatile-containers.json" };
static const char *const default_storages[] = {
	"/var/lib/containers/storage/overlay-containers", "/var/lib/containers/storage/vfs-containers",
	"/var/lib/containers/storage/btrfs-containers",	  "/var/lib/containers/storage/zfs-containers",
	"/run/containers/storage/overlay-containers",	  "/run/containers/storage/vfs-containers",
};

static const struct monitor *conmon_of(struct evidence *evidence, const char *id)
{
	const struct monitor *monitor = evidence_monitor(evidence);

	if (!g_str_has_prefix(monitor->comm, "conmon"))
		return NULL;
	return g_strcmp0(monitor_argument(monitor, "-c"), id) == 0 ||
			       g_strcmp0(monitor_argument(monitor, "--cid"), id) == 0
		       ? monitor
		       : NULL;
}

/* …/DRIVER-containers of a path …/DRIVER-containers/ID/userdata[/file]; NULL when it has another form. */
static char *storage_of(const char *path, const char *id)
{
	g_autofree char *mark = g_strdup_printf("/%s/", id);
	const char *at = path ? strstr(path, mark) : NULL;

	return at ? g_strndup(path, (gsize)(at - path)) : NULL;
}

static const json_t *list_find(const json_t *list, const char *id)
{
	const json_t *item;
	gsize i;

	json_array_foreach(list, i, item) {
		if (g_strcmp0(evidence_text(item, "id", NULL), id) == 0)
			return item;
	}
	return NULL;
}

/* Name and image from the lists of one storage directory. */
static gboolean storage_fill(struct machine *machine, const char *state_root, const char *storage, const char *id,
			     struct identity *identity)
{
	gboolean found = FALSE;

	for (guint i = 0; storage && !found && i < G_N_ELEMENTS(storage_lists); i++) {
		g_autofree char *path = g_build_filename(storage, storage_lists[i], NULL);
		json_t *list = evidence_json(machine, state_root, path, EVIDENCE_LIST_MAX);
		const json_t *item = list_find(list, id);
		const char *name = json_string_value(json_array_get(json_object_get(item, "names"), 0));
		const char *metadata = json_string_value(json_object_get(item, "metadata"));
		json_t *more = metadata ? json_loads(metadata, 0, NULL) : NULL;

		if (item && !identity->name && name && strlen(name) <= EVIDENCE_TEXT_MAX)
			identity->name = g_strdup(name);
		if (item && !identity->image)
			identity->image = g_strdup(evidence_text(more, "image-name", NULL));
		found = item != NULL;
		json_decref(more);
		json_decref(list);
	}
	return found;
}

static gboolean conmon_fill(struct machine *machine, const struct monitor *conmon, const char *id,
			    struct identity *identity)
{
	const char *const files[] = { monitor_argument(conmon, "-b"), monitor_argument(conmon, "-p") };
	const char *name = monitor_argument(conmon, "-n");
	gboolean found = FALSE;

	if (name && *name && strlen(name) <= EVIDENCE_TEXT_MAX)
		identity->name = g_strdup(name);
	if (files[1])
		identity->init_pid = evidence_pid_file(machine, conmon->state_root, files[1]);
	for (guint i = 0; !found && i < G_N_ELEMENTS(files); i++) {
		g_autofree char *storage = storage_of(files[i], id);

		found = storage_fill(machine, conmon->state_root, storage, id, identity);
	}
	return found;
}

static void defaults_fill(struct machine *machine, const char *id, struct identity *identity)
{
	for (guint i = 0; i < G_N_ELEMENTS(default_storages); i++)
		if (storage_fill(machine, machine->state_root, default_storages[i], id, identity))
			return;
}

static enum verdict podman_identify(struct evidence *evidence, struct identity *identity)
{
	g_autofree char *plain = evidence_hex_id(evidence->base, "libpod-", TRUE);
	g_autofree char *id =
		plain ? g_steal_pointer(&plain) : evidence_hex_id(evidence->base, "libpod-payload-", TRUE);
	const struct monitor *conmon = id ? conmon_of(evidence, id) : NULL;

	if (!id || (!conmon && !evidence->trusted_place))
		return VERDICT_NOT_MINE;
	if (!conmon || !conmon_fill(evidence->machine, conmon, id, identity))
		defaults_fill(evidence->machine, id, identity);
	identity->id = g_steal_pointer(&id);
	return conmon ? VERDICT_CONFIRMED : VERDICT_LOOKS_LIKE;
}

const struct runtime runtime_podman = { .kind = RUNTIME_PODMAN, .identify = podman_identify };

/* ---- CRI-O ---- */

static gboolean crio_bundle(struct machine *machine, const char *state_root, const char *bundle,
			    struct identity *identity)
{
	g_autofree char *path = g_build_filename(bundle, "config.json", NULL);
	json_t *config = evidence_json(machine, state_root, path, EVIDENCE_JSON_MAX);
	const json_t *notes = json_object_get(config, "annotations");
	const char *container = evidence_text(notes, "io.kubernetes.container.name", NULL);

	if (g_strcmp0(evidence_text(notes, "io.kubernetes.cri-o.ContainerType", NULL), "sandbox") == 0)
		container = "pause";
	identity->image = g_strdup(evidence_text(notes, "io.kubernetes.cri-o.ImageName", NULL));
	identity_set_pod(identity, evidence_text(notes, "io.kubernetes.pod.name", NULL),
			 evidence_text(notes, "io.kubernetes.pod.namespace", NULL), container);
	json_decref(config);
	return config != NULL;
}

static enum verdict crio_identify(struct evidence *evidence, struct identity *identity)
{
	g_autofree char *id = evidence_hex_id(evidence->base, "crio-", TRUE);
	const struct monitor *conmon = id ? conmon_of(evidence, id) : NULL;
	gboolean found = FALSE;

	if (!id || (!conmon && !evidence->trusted_place))
		return VERDICT_NOT_MINE;
	if (conmon && monitor_argument(conmon, "-b"))
		found = crio_bundle(evidence->machine, conmon->state_root, monitor_argument(conmon, "-b"), identity);
	for (guint i = 0; !found && i < G_N_ELEMENTS(default_storages); i++) {
		g_autofree char *bundle = g_build_filename(default_storages[i], id, "userdata", NULL);

		found = crio_bundle(evidence->machine, evidence->machine->state_root, bundle, identity);
	}
	if (!identity->name && conmon)
		identity->name = g_strdup(monitor_argument(conmon, "-n"));
	identity->id = g_steal_pointer(&id);
	return conmon ? VERDICT_CONFIRMED : VERDICT_LOOKS_LIKE;
}

const struct runtime runtime_crio = { .kind = RUNTIME_CRIO, .identify = crio_identify };
