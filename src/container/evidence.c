/* SPDX-License-Identifier: Apache-2.0 */
#include "container/evidence.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/root.h"
#include "base/units.h"
#include "container/runtime.h"

#define EVIDENCE_ELDEST_MAX 64
#define EVIDENCE_PARENTS_MAX 64
#define HEX_ID_LENGTH 64
#define PID_FILE_MAX 64
#define DOCKER_ROOT "/var/lib/docker"
#define MACHINE_FILES_NS (100 * NS_PER_MS)

/* ---- machine ---- */

static guint64 own_mnt_namespace(const char *root)
{
	g_autofree char *path = g_build_filename(root, "proc/self/ns/mnt", NULL);
	g_autofree char *text = g_file_read_link(path, NULL);
	const char *number = text ? strchr(text, '[') : NULL;

	return number ? g_ascii_strtoull(number + 1, NULL, 10) : 0;
}

struct machine *machine_new(const char *root, const struct cgroupfs *cgroupfs)
{
	struct machine *machine = g_new0(struct machine, 1);
	g_autofree char *init_root = g_build_filename(root, "proc/1/root", NULL);

	machine->root = g_strdup(root);
	machine->cgroupfs = cgroupfs;
	machine->own_mnt_namespace = own_mnt_namespace(root);
	machine->host_mnt_namespace = procfs_host_namespace(root, NAMESPACE_MNT);
	machine->host_pid_namespace = procfs_host_namespace(root, NAMESPACE_PID);
	machine->state_root = machine->host_mnt_namespace && machine->own_mnt_namespace &&
					      machine->host_mnt_namespace != machine->own_mnt_namespace &&
					      access(init_root, R_OK) == 0
				      ? g_steal_pointer(&init_root)
				      : g_strdup(root);
	machine->docker_roots = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(machine->docker_roots, g_strdup(DOCKER_ROOT));
	return machine;
}

void machine_refresh(struct machine *machine)
{
	machine->dockerd_sought = FALSE;
	g_clear_pointer(&machine->oci_states, g_ptr_array_unref);
	g_clear_pointer(&machine->files, file_root_close);
	machine->boot_realtime_ns = 0;
}

guint64 machine_start_realtime_ns(struct machine *machine, guint64 start_ticks)
{
	if (!machine->boot_realtime_ns)
		machine->boot_realtime_ns = procfs_start_realtime_ns(machine->root, 0);
	return machine->boot_realtime_ns ? machine->boot_realtime_ns + procfs_ticks_ns(start_ticks) : 0;
}

/* Files of dozens of containers are read one after the other: one list of mounts, of a moment ago, will do for all. */
int machine_file(struct machine *machine, const char *state_root, const char *path)
{
	guint64 now_ns = clock_monotonic_ns();

	if (!machine->files || now_ns - machine->files_since_ns > MACHINE_FILES_NS ||
	    strcmp(file_root_path(machine->files), state_root) != 0) {
		g_clear_pointer(&machine->files, file_root_close);
		machine->files = file_root_open(state_root, NULL);
		machine->files_since_ns = now_ns;
	}
	return machine->files ? file_root_file(machine->files, path, NULL) : -1;
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	machine_refresh(machine);
	g_ptr_array_unref(machine->docker_roots);
	g_free(machine->root);
	g_free(machine->state_root);
	g_free(machine);
}

/* ---- processes ---- */

void evidence_init(struct evidence *evidence, struct machine *machine, const struct cgroup_hierarchy *hierarchy,
		   const char *path, gboolean trusted_place)
{
	const char *slash = strrchr(path, '/');

	*evidence = (struct evidence){
		.machine = machine,
		.hierarchy = hierarchy,
		.path = path,
		.base = slash ? slash + 1 : path,
		.trusted_place = trusted_place,
	};
}

void evidence_clear(struct evidence *evidence)
{
	g_clear_pointer(&evidence->direct, g_array_unref);
	g_clear_pointer(&evidence->below, g_array_unref);
	g_clear_pointer(&evidence->monitor.arguments, g_strfreev);
	g_clear_pointer(&evidence->monitor.cwd, g_free);
	g_clear_pointer(&evidence->monitor.state_root, g_free);
}

static const GArray *evidence_pids(struct evidence *evidence, GArray **pids, gboolean below)
{
	if (!*pids) {
		*pids = g_array_new(FALSE, FALSE, sizeof(guint32));
		cgroup_hierarchy_pids(evidence->hierarchy, evidence->path, below, *pids);
	}
	return *pids;
}

const GArray *evidence_direct(struct evidence *evidence)
{
	return evidence_pids(evidence, &evidence->direct, FALSE);
}

const GArray *evidence_below(struct evidence *evidence)
{
	return evidence_pids(evidence, &evidence->below, TRUE);
}

guint32 evidence_eldest(struct evidence *evidence)
{
	const GArray *pids = evidence_below(evidence);
	guint64 eldest_ticks = G_MAXUINT64;
	guint32 eldest = 0;

	for (guint i = 0; i < MIN(pids->len, (guint)EVIDENCE_ELDEST_MAX); i++) {
		guint32 pid = g_array_index(pids, guint32, i);
		struct procfs_stat stat;

		if (!procfs_stat_read(evidence->machine->root, pid, &stat, NULL))
			continue;
		if (stat.start_ticks < eldest_ticks || (stat.start_ticks == eldest_ticks && pid < eldest)) {
			eldest_ticks = stat.start_ticks;
			eldest = pid;
		}
	}
	if (eldest)
		evidence->eldest_ticks = eldest_ticks;
	return eldest;
}

gboolean evidence_has_pid(struct evidence *evidence, guint32 pid)
{
	g_autoptr(GArray) cgroups = pid ? procfs_cgroups_read(evidence->machine->root, pid, NULL) : NULL;
	gsize length = strlen(evidence->path);

	for (guint i = 0; cgroups && i < cgroups->len; i++) {
		const struct procfs_cgroup *cgroup = &g_array_index(cgroups, struct procfs_cgroup, i);

		/* The same hierarchy: another one's path of that name would say nothing. */
		if (strcmp(cgroup->controllers, evidence->hierarchy->controllers) == 0 &&
		    strncmp(cgroup->path, evidence->path, length) == 0 &&
		    (cgroup->path[length] == '/' || cgroup->path[length] == '\0'))
			return TRUE;
	}
	return FALSE;
}

static void monitor_fill(struct evidence *evidence, guint32 pid, const struct procfs_stat *stat)
{
	const struct machine *machine = evidence->machine;
	struct monitor *monitor = &evidence->monitor;
	guint64 namespace = procfs_namespace(machine->root, pid, NAMESPACE_MNT);
	struct procfs_status status;

	monitor->pid = pid;
	monitor->uid = procfs_status_read(machine->root, pid, &status, NULL) ? status.uid : G_MAXUINT32;
	memcpy(monitor->comm, stat->comm, sizeof(monitor->comm));
	monitor->arguments = procfs_arguments_read(machine->root, pid);
	monitor->cwd = procfs_link_read(machine->root, pid, "cwd");
	/* Rootless runtimes live in mounts of their own. */
	monitor->state_root = namespace && namespace != machine->own_mnt_namespace
				      ? g_strdup_printf("%s/proc/%u/root", machine->root, pid)
				      : g_strdup(machine->root);
}

const struct monitor *evidence_monitor(struct evidence *evidence)
{
	guint32 pid;
	struct procfs_stat stat;

	if (evidence->monitor_sought)
		return &evidence->monitor;
	evidence->monitor_sought = TRUE;
	pid = evidence_eldest(evidence);
	for (guint i = 0; pid && i < EVIDENCE_PARENTS_MAX; i++) {
		if (!procfs_stat_read(evidence->machine->root, pid, &stat, NULL))
			return &evidence->monitor;
		if (!evidence_has_pid(evidence, pid)) {
			monitor_fill(evidence, pid, &stat);
			return &evidence->monitor;
		}
		pid = stat.ppid;
	}
	return &evidence->monitor;
}

const char *monitor_argument(const struct monitor *monitor, const char *name)
{
	gsize length = strlen(name);

	for (guint i = 0; monitor->arguments && monitor->arguments[i]; i++) {
		const char *argument = monitor->arguments[i];

		if (strcmp(argument, name) == 0)
			return monitor->arguments[i + 1];
		if (strncmp(argument, name, length) == 0 && argument[length] == '=')
			return argument + length + 1;
	}
	return NULL;
}

/* ---- names ---- */

char *evidence_hex_id(const char *base, const char *prefix, gboolean prefix_needed)
{
	gboolean has_prefix = g_str_has_prefix(base, prefix);
	const char *id = has_prefix ? base + strlen(prefix) : base;

	if ((prefix_needed && !has_prefix) || strspn(id, "0123456789abcdef") != HEX_ID_LENGTH)
		return NULL;
	if (id[HEX_ID_LENGTH] != '\0' && strcmp(id + HEX_ID_LENGTH, ".scope") != 0)
		return NULL;
	return g_strndup(id, HEX_ID_LENGTH);
}

gboolean evidence_is_cgroups_path(const struct evidence *evidence, const char *spec)
{
	g_auto(GStrv) part = NULL;
	g_autofree char *scope = NULL, *ending = NULL;

	if (!spec || !*spec)
		return FALSE;
	if (spec[0] == '/' || !strchr(spec, ':')) {
		ending = g_strconcat("/", spec[0] == '/' ? spec + 1 : spec, NULL);
		return g_str_has_suffix(evidence->path, ending);
	}
	part = g_strsplit(spec, ":", 3);
	if (g_strv_length(part) != 3)
		return FALSE;
	scope = *part[1] ? g_strdup_printf("%s-%s.scope", part[1], part[2]) : g_strdup_printf("%s.scope", part[2]);
	return strcmp(evidence->base, scope) == 0;
}

/* ---- files ---- */

static char *state_read(struct machine *machine, const char *state_root, const char *path, gsize limit, gsize *length)
{
	int fd = machine_file(machine, state_root, path);
	char *text;

	if (fd < 0)
		return NULL;
	text = file_read_fd(fd, limit, length, NULL);
	close(fd);
	return text;
}

json_t *evidence_json(struct machine *machine, const char *state_root, const char *path, gsize limit)
{
	gsize length = 0;
	g_autofree char *text = state_read(machine, state_root, path, limit, &length);

	return text ? json_loadb(text, length, 0, NULL) : NULL;
}

guint32 evidence_pid_file(struct machine *machine, const char *state_root, const char *path)
{
	g_autofree char *text = state_read(machine, state_root, path, PID_FILE_MAX, NULL);

	return text ? (guint32)strtoul(text, NULL, 10) : 0;
}

const char *evidence_text(const json_t *object, ...)
{
	const char *key, *text;
	va_list keys;

	va_start(keys, object);
	while ((key = va_arg(keys, const char *)))
		object = json_object_get(object, key);
	va_end(keys);
	text = json_string_value(object);
	return text && *text && strlen(text) <= EVIDENCE_TEXT_MAX ? text : NULL;
}
