/* SPDX-License-Identifier: Apache-2.0 */
/* runc and crun used by hand. runc: STATE/ID/state.json (cgroup_paths, init_process_pid); crun: STATE/ID/status
 * (cgroup-path, pid). STATE is /run/runc, /run/crun, the same below /run/user/UID, or what a `runc run` that still
 * minds its container was told with --root. A state in a place of root's own is needed for a cgroup in such a place. */
#include <dirent.h>
#include <string.h>

#include "container/runtime.h"

#define OCI_STATES_MAX 4096

struct oci_state {
	enum container_runtime runtime;
	char *id;
	GPtrArray *cgroups; /* paths, with the mount in front (runc) or without (crun) */
	guint32 pid;
	gboolean is_roots;
};

static void oci_state_free(gpointer data)
{
	struct oci_state *state = data;

	g_free(state->id);
	g_ptr_array_unref(state->cgroups);
	g_free(state);
}

static void state_add_cgroup(struct oci_state *state, const char *path)
{
	if (path && *path)
		g_ptr_array_add(state->cgroups, g_strdup(path));
}

static struct oci_state *state_load(struct machine *machine, const char *state_root, const char *directory,
				    const char *id, gboolean is_roots)
{
	g_autofree char *runc = g_build_filename(directory, id, "state.json", NULL);
	g_autofree char *crun = g_build_filename(directory, id, "status", NULL);
	json_t *file = evidence_json(machine, state_root, runc, EVIDENCE_JSON_MAX), *value;
	struct oci_state *state;
	const char *key;

	state = g_new0(struct oci_state, 1);
	state->cgroups = g_ptr_array_new_with_free_func(g_free);
	state->id = g_strdup(id);
	state->is_roots = is_roots;
	if (file) {
		state->runtime = RUNTIME_RUNC;
		state->pid = (guint32)json_integer_value(json_object_get(file, "init_process_pid"));
		json_object_foreach(json_object_get(file, "cgroup_paths"), key, value)
			state_add_cgroup(state, json_string_value(value));
	} else if ((file = evidence_json(machine, state_root, crun, EVIDENCE_JSON_MAX))) {
		state->runtime = RUNTIME_CRUN;
		state->pid = (guint32)json_integer_value(json_object_get(file, "pid"));
		state_add_cgroup(state, evidence_text(file, "cgroup-path", NULL));
	}
	json_decref(file);
	return state;
}

static void states_load(struct machine *machine, GPtrArray *states, const char *state_root, const char *directory,
			gboolean is_roots)
{
	g_autofree char *path = g_build_filename(state_root, directory, NULL);
	DIR *open = opendir(path);
	struct dirent *entry;

	while (open && states->len < OCI_STATES_MAX && (entry = readdir(open)))
		if (entry->d_name[0] != '.')
			g_ptr_array_add(states, state_load(machine, state_root, directory, entry->d_name, is_roots));
	if (open)
		closedir(open);
}

static GPtrArray *oci_states(struct machine *machine)
{
	g_autofree char *users = g_build_filename(machine->state_root, "run/user", NULL);
	struct dirent *entry;
	DIR *directory;

	if (machine->oci_states)
		return machine->oci_states;
	machine->oci_states = g_ptr_array_new_with_free_func(oci_state_free);
	states_load(machine, machine->oci_states, machine->state_root, "/run/runc", TRUE);
	states_load(machine, machine->oci_states, machine->state_root, "/run/crun", TRUE);
	directory = opendir(users);
	while (directory && (entry = readdir(directory))) {
		g_autofree char *runc = g_build_filename("/run/user", entry->d_name, "runc", NULL);
		g_autofree char *crun = g_build_filename("/run/user", entry->d_name, "crun", NULL);

		if (entry->d_name[0] == '.')
			continue;
		states_load(machine, machine->oci_states, machine->state_root, runc, FALSE);
		states_load(machine, machine->oci_states, machine->state_root, crun, FALSE);
	}
	if (directory)
		closedir(directory);
	return machine->oci_states;
}

/* Is `recorded` this cgroup, with the place of one of the mounts in front or nothing? */
static gboolean is_this_cgroup(const struct evidence *evidence, const char *recorded)
{
	gsize whole = strlen(recorded), length = strlen(evidence->path);

	if (whole < length || strcmp(recorded + whole - length, evidence->path) != 0)
		return FALSE;
	if (whole == length)
		return TRUE;
	for (guint i = 0; i < evidence->machine->cgroupfs->hierarchies->len; i++) {
		const struct cgroup_hierarchy *hierarchy =
			g_ptr_array_index(evidence->machine->cgroupfs->hierarchies, i);
		gsize mount = strlen(hierarchy->mount);

		if (mount >= whole - length &&
		    strncmp(hierarchy->mount + mount - (whole - length), recorded, whole - length) == 0)
			return TRUE;
	}
	return FALSE;
}

static const struct oci_state *state_find(const struct evidence *evidence, const GPtrArray *states)
{
	for (guint i = 0; i < states->len; i++) {
		const struct oci_state *state = g_ptr_array_index(states, i);

		if (evidence->trusted_place && !state->is_roots)
			continue;
		for (guint j = 0; j < state->cgroups->len; j++)
			if (is_this_cgroup(evidence, g_ptr_array_index(state->cgroups, j)))
				return state;
	}
	return NULL;
}

static enum verdict oci_accept(struct evidence *evidence, const GPtrArray *states, struct identity *identity)
{
	const struct oci_state *state = state_find(evidence, states);

	if (!state || (state->pid && !evidence_has_pid(evidence, state->pid)))
		return VERDICT_NOT_MINE;
	identity->runtime = state->runtime;
	identity->id = g_strdup(state->id);
	identity->name = g_strdup(state->id);
	identity->init_pid = state->pid;
	return VERDICT_CONFIRMED;
}

/* `runc --root STATE run ID` names its container. */
static void states_load_named(struct machine *machine, GPtrArray *states, const struct monitor *monitor,
			      const char *directory)
{
	for (char **word = monitor->arguments; *word; word++)
		if (**word && **word != '-' && **word != '.' && !strchr(*word, '/'))
			g_ptr_array_add(states,
					state_load(machine, monitor->state_root, directory, *word, monitor->uid == 0));
}

/* Those that somebody keeps in a place of their own. The one that is named first: each is long, and where there are many each
 * that is born would have all of them read. */
static enum verdict oci_accept_private(struct evidence *evidence, const struct monitor *monitor, const char *directory,
				       struct identity *identity)
{
	g_autoptr(GPtrArray) states = g_ptr_array_new_with_free_func(oci_state_free);
	enum verdict verdict;

	states_load_named(evidence->machine, states, monitor, directory);
	verdict = oci_accept(evidence, states, identity);
	if (verdict == VERDICT_CONFIRMED)
		return verdict;
	g_ptr_array_set_size(states, 0);
	states_load(evidence->machine, states, monitor->state_root, directory, monitor->uid == 0);
	return oci_accept(evidence, states, identity);
}

static enum verdict oci_identify(struct evidence *evidence, struct identity *identity)
{
	enum verdict verdict = oci_accept(evidence, oci_states(evidence->machine), identity);
	const struct monitor *monitor;
	const char *directory;

	if (verdict == VERDICT_CONFIRMED)
		return verdict;
	monitor = evidence_monitor(evidence);
	directory = monitor_argument(monitor, "--root");
	if (directory && (strcmp(monitor->comm, "runc") == 0 || strcmp(monitor->comm, "crun") == 0))
		verdict = oci_accept_private(evidence, monitor, directory, identity);
	return verdict;
}

const struct runtime runtime_oci = { .kind = RUNTIME_RUNC, .identify = oci_identify };

/* ---- a runtime that left no trace we know ---- */

/* Processes with a pid and a mount namespace of their own, directly in a cgroup that is no systemd unit: a container
 * to any person, whoever made it (a runtime with a private state directory, say). */
static enum verdict other_identify(struct evidence *evidence, struct identity *identity)
{
	const struct machine *machine = evidence->machine;
	g_autofree char *unit = systemd_unit_path(evidence->path);
	guint32 pid = evidence_direct(evidence)->len > 0 ? g_array_index(evidence_direct(evidence), guint32, 0) : 0;
	guint64 pid_namespace = pid ? procfs_namespace(machine->root, pid, NAMESPACE_PID) : 0;
	guint64 mnt_namespace = pid ? procfs_namespace(machine->root, pid, NAMESPACE_MNT) : 0;

	if (unit || !pid_namespace || !mnt_namespace || pid_namespace == machine->host_pid_namespace ||
	    mnt_namespace == machine->host_mnt_namespace)
		return VERDICT_NOT_MINE;
	identity->id = g_strdup(evidence->path);
	identity->name = g_strdup(evidence->base);
	return VERDICT_LOOKS_LIKE;
}

const struct runtime runtime_other = { .kind = RUNTIME_OTHER, .identify = other_identify };
