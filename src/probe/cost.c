/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/cost.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "probe/bpf/pace.h"
#include "probe/probe.h"

#define COST_FDINFO_BYTES 4096
#define COST_MAPS_MAX 64 /* of one program: the kernel's own limit */
#define COST_LINK_BYTES 64
#define COST_BUDGET_MAP "budget_one_in" /* bpf/budget.bpf.h */

int cost_enable(GError **error)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (fd < 0)
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot turn on BPF statistics: %s",
			    g_strerror(errno));
	return fd;
}

/* ---- one program ---- */

/* A number behind `name` in the fdinfo of a descriptor; 0 when it is not there. */
static guint64 fdinfo_number(const char *directory, const char *fd, const char *name)
{
	g_autofree char *path = g_build_filename(directory, fd, NULL);
	g_autofree char *text = file_read(path, COST_FDINFO_BYTES, NULL, NULL);
	const char *line = text ? strstr(text, name) : NULL;

	return line ? g_ascii_strtoull(line + strlen(name), NULL, 10) : 0;
}

static guint64 own_memory_bytes(int fd)
{
	char number[16];

	g_snprintf(number, sizeof(number), "%d", fd);
	return fdinfo_number("/proc/self/fdinfo", number, "\nmemlock:");
}

/* The name of the program's first function, from its types; FALSE when it carries none. */
static gboolean program_full_name(int fd, const struct bpf_prog_info *short_info, char name[COST_NAME_BYTES])
{
	struct bpf_func_info function = { 0 };
	struct bpf_prog_info info = { .nr_func_info = 1,
				      .func_info_rec_size = sizeof(function),
				      .func_info = (guintptr)&function };
	__u32 size = sizeof(info);
	const struct btf_type *type;
	struct btf *btf;
	const char *full;

	if (short_info->btf_id == 0 || short_info->nr_func_info == 0 || bpf_obj_get_info_by_fd(fd, &info, &size) != 0)
		return FALSE;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	type = btf ? btf__type_by_id(btf, function.type_id) : NULL;
	full = type ? btf__name_by_offset(btf, type->name_off) : NULL;
	if (full && *full)
		g_strlcpy(name, full, COST_NAME_BYTES);
	btf__free(btf);
	return full && *full;
}

static gboolean program_info(int fd, struct bpf_prog_info *info)
{
	__u32 size = sizeof(*info);

	return bpf_obj_get_info_by_fd(fd, info, &size) == 0;
}

static void program_take(const struct bpf_prog_info *info, struct cost_program *program)
{
	const char *type = libbpf_bpf_prog_type_str(info->type);

	program->id = info->id;
	program->type = type ? type : "?";
	program->run_count = info->run_cnt;
	program->run_time_ns = info->run_time_ns;
	program->missed_count = info->recursion_misses;
	g_strlcpy(program->name, info->name, sizeof(program->name));
}

int cost_hold(guint32 program_id)
{
	return bpf_prog_get_fd_by_id(program_id);
}

gboolean cost_read(guint32 program_id, struct cost_program *program)
{
	struct bpf_prog_info info = { 0 };
	int fd = cost_hold(program_id);
	gboolean ok;

	*program = (struct cost_program){ 0 };
	if (fd < 0)
		return FALSE;
	ok = program_info(fd, &info);
	close(fd);
	program_take(&info, program);
	return ok;
}

gboolean cost_is_loaded(guint32 program_id)
{
	struct cost_program program;

	return cost_read(program_id, &program);
}

static gint cost_compare(gconstpointer a, gconstpointer b)
{
	const struct cost_program *left = a, *right = b;

	return left->id < right->id ? -1 : left->id > right->id;
}

/* ---- a process's ---- */

GArray *cost_programs(guint32 pid, GError **error)
{
	g_autofree char *directory = g_strdup_printf("/proc/%u/fdinfo", pid);
	g_autoptr(GDir) fds = g_dir_open(directory, 0, error);
	g_autoptr(GHashTable) known = g_hash_table_new(NULL, NULL);
	g_autoptr(GArray) programs = g_array_new(FALSE, FALSE, sizeof(struct cost_program));
	const char *name;

	while (fds && (name = g_dir_read_name(fds))) {
		guint32 id = (guint32)fdinfo_number(directory, name, "\nprog_id:");
		struct cost_program program;

		if (id == 0 || !g_hash_table_add(known, GUINT_TO_POINTER(id)))
			continue;
		if (cost_read(id, &program))
			g_array_append_val(programs, program);
	}
	if (!fds)
		return NULL;
	g_array_sort(programs, cost_compare);
	return g_steal_pointer(&programs);
}

static gboolean is_object(const char *descriptor, const char *what)
{
	g_autofree char *path = g_build_filename("/proc/self/fd", descriptor, NULL);
	g_autofree char *target = g_file_read_link(path, NULL);

	return g_strcmp0(target, what) == 0;
}

/* Our descriptors of such objects, of int. */
static GArray *own_objects(const char *what)
{
	g_autoptr(GDir) fds = g_dir_open("/proc/self/fd", 0, NULL);
	GArray *own = g_array_new(FALSE, FALSE, sizeof(int));
	const char *name;

	while (fds && (name = g_dir_read_name(fds))) {
		int fd = (int)g_ascii_strtoull(name, NULL, 10);

		if (is_object(name, what))
			g_array_append_val(own, fd);
	}
	return own;
}

GArray *cost_own(void)
{
	g_autoptr(GArray) fds = own_objects("anon_inode:bpf-prog");
	GArray *programs = g_array_new(FALSE, FALSE, sizeof(struct cost_own));

	for (guint i = 0; i < fds->len; i++) {
		struct cost_own own = { .fd = g_array_index(fds, int, i) };
		struct bpf_prog_info info = { 0 };

		if (!program_info(own.fd, &info))
			continue;
		program_take(&info, &own.program);
		g_array_append_val(programs, own);
	}
	return programs;
}

/* Its number; 0: it is another map. */
static guint32 paces_id(int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0 || strcmp(info.name, PACE_MAP) != 0 ||
	    info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(struct pace) || info.max_entries != PACE_CPUS)
		return 0;
	return info.id;
}

GArray *cost_own_paces(void)
{
	g_autoptr(GArray) fds = own_objects("anon_inode:bpf-map");
	GArray *all = g_array_new(FALSE, FALSE, sizeof(struct cost_paces));

	for (guint i = 0; i < fds->len; i++) {
		struct cost_paces paces = { .fd = g_array_index(fds, int, i) };

		paces.id = paces_id(paces.fd);
		if (paces.id)
			g_array_append_val(all, paces);
	}
	return all;
}

gboolean cost_times_itself(int fd, const GArray *paces)
{
	guint32 ids[COST_MAPS_MAX] = { 0 };
	struct bpf_prog_info info = { .nr_map_ids = COST_MAPS_MAX, .map_ids = (guintptr)ids };
	gboolean does = FALSE;

	if (!program_info(fd, &info))
		return FALSE;
	for (guint map = 0; map < MIN(info.nr_map_ids, (guint)COST_MAPS_MAX); map++)
		for (guint i = 0; i < paces->len; i++)
			does |= g_array_index(paces, struct cost_paces, i).id == ids[map];
	return does;
}

gboolean cost_read_own(int fd, struct cost_program *program)
{
	struct bpf_prog_info info = { 0 };

	if (!program_info(fd, &info) || info.id != program->id)
		return FALSE;
	program_take(&info, program);
	return TRUE;
}

/* ---- the machine's ---- */

GArray *cost_all_programs(GError **error)
{
	g_autoptr(GArray) programs = g_array_new(FALSE, FALSE, sizeof(struct cost_program));
	__u32 id = 0;

	errno = 0;
	while (programs->len < COST_PROGRAMS_MAX && bpf_prog_get_next_id(id, &id) == 0) {
		struct cost_program program = { 0 };
		struct bpf_prog_info info = { 0 };
		int fd = cost_hold(id);

		if (fd < 0)
			continue; /* gone a moment ago */
		if (program_info(fd, &info)) {
			program_take(&info, &program);
			program_full_name(fd, &info, program.name);
			program.memory_bytes = own_memory_bytes(fd);
			g_array_append_val(programs, program);
		}
		close(fd);
	}
	if (errno == EPERM) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_PERMISSION,
			    "cannot list BPF programs: it needs CAP_SYS_ADMIN (run it as root)");
		return NULL;
	}
	g_array_sort(programs, cost_compare);
	return g_steal_pointer(&programs);
}

static guint64 map_bytes(guint32 id)
{
	int fd = bpf_map_get_fd_by_id(id);
	guint64 bytes;

	if (fd < 0)
		return 0;
	bytes = own_memory_bytes(fd);
	close(fd);
	return bytes;
}

void cost_add_maps(GArray *programs)
{
	g_autoptr(GHashTable) known = g_hash_table_new(NULL, NULL);

	for (guint i = 0; i < programs->len; i++) {
		struct cost_program *program = &g_array_index(programs, struct cost_program, i);
		guint32 ids[COST_MAPS_MAX] = { 0 };
		struct bpf_prog_info info = { .nr_map_ids = COST_MAPS_MAX, .map_ids = (guintptr)ids };
		int fd = cost_hold(program->id);

		if (fd >= 0 && program_info(fd, &info))
			for (guint map = 0; map < MIN(info.nr_map_ids, (guint)COST_MAPS_MAX); map++)
				if (g_hash_table_add(known, GUINT_TO_POINTER(ids[map])))
					program->map_bytes += map_bytes(ids[map]);
		if (fd >= 0)
			close(fd);
	}
}

static guint32 map_one_in(guint32 id)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info), zero = 0, value = 0;
	int fd = bpf_map_get_fd_by_id(id);
	gboolean ours = fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
			strcmp(info.name, COST_BUDGET_MAP) == 0 && info.type == BPF_MAP_TYPE_ARRAY &&
			info.key_size == sizeof(zero) && info.value_size == sizeof(value);

	if (ours && bpf_map_lookup_elem(fd, &zero, &value) == 0)
		value = MAX(value, 1);
	if (fd >= 0)
		close(fd);
	return value;
}

guint32 cost_one_in(guint32 program_id)
{
	guint32 ids[COST_MAPS_MAX] = { 0 }, one_in = 0;
	struct bpf_prog_info info = { .nr_map_ids = COST_MAPS_MAX, .map_ids = (guintptr)ids };
	int fd = cost_hold(program_id);

	if (fd >= 0 && program_info(fd, &info))
		for (guint map = 0; map < MIN(info.nr_map_ids, (guint)COST_MAPS_MAX) && !one_in; map++)
			one_in = map_one_in(ids[map]);
	if (fd >= 0)
		close(fd);
	return one_in;
}

/* ---- who holds them ---- */

static gboolean fd_is_bpf(const char *directory, const char *name)
{
	char path[PATH_MAX], link[COST_LINK_BYTES];
	ssize_t bytes;

	g_snprintf(path, sizeof(path), "%s/%s", directory, name);
	bytes = readlink(path, link, sizeof(link) - 1);
	if (bytes <= 0)
		return FALSE;
	link[bytes] = '\0';
	return strstr(link, "bpf-prog") || strstr(link, "bpf_link") || strstr(link, "bpf-link");
}

static void holders_of_process(GHashTable *holders, guint32 pid)
{
	g_autofree char *links = g_strdup_printf("/proc/%u/fd", pid);
	g_autofree char *infos = g_strdup_printf("/proc/%u/fdinfo", pid);
	g_autoptr(GDir) fds = g_dir_open(links, 0, NULL);
	const char *name;

	while (fds && (name = g_dir_read_name(fds))) {
		guint32 id = fd_is_bpf(links, name) ? (guint32)fdinfo_number(infos, name, "\nprog_id:") : 0;

		if (id && !g_hash_table_contains(holders, GUINT_TO_POINTER(id)))
			g_hash_table_insert(holders, GUINT_TO_POINTER(id), GUINT_TO_POINTER(pid));
	}
}

GHashTable *cost_holders(void)
{
	GHashTable *holders = g_hash_table_new(NULL, NULL);
	g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
	const char *name;

	while (proc && (name = g_dir_read_name(proc)))
		if (g_ascii_isdigit(name[0]))
			holders_of_process(holders, (guint32)g_ascii_strtoull(name, NULL, 10));
	return holders;
}
