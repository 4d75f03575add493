/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/cost.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "probe/probe.h"

#define COST_FDINFO_BYTES 4096

int cost_enable(GError **error)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (fd < 0)
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot turn on BPF statistics: %s",
			    g_strerror(errno));
	return fd;
}

/* The program behind one descriptor (of a program or a link); 0 when it is neither. */
static guint32 cost_fdinfo_program(const char *directory, const char *name)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);
	g_autofree char *text = file_read(path, COST_FDINFO_BYTES, NULL, NULL);
	const char *line = text ? strstr(text, "\nprog_id:") : NULL;

	return line ? g_ascii_strtoull(line + strlen("\nprog_id:"), NULL, 10) : 0;
}

static gboolean cost_program_read(guint32 id, struct cost_program *program)
{
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);
	int result;

	if (fd < 0)
		return FALSE;
	result = bpf_obj_get_info_by_fd(fd, &info, &size);
	close(fd);
	*program = (struct cost_program){ .id = id, .run_count = info.run_cnt, .run_time_ns = info.run_time_ns };
	g_strlcpy(program->name, info.name, sizeof(program->name));
	return result == 0;
}

static gint cost_compare(gconstpointer a, gconstpointer b)
{
	const struct cost_program *left = a, *right = b;

	return left->id < right->id ? -1 : left->id > right->id;
}

GArray *cost_programs(guint32 pid, GError **error)
{
	g_autofree char *directory = g_strdup_printf("/proc/%u/fdinfo", pid);
	g_autoptr(GDir) fds = g_dir_open(directory, 0, error);
	g_autoptr(GHashTable) known = g_hash_table_new(NULL, NULL);
	g_autoptr(GArray) programs = g_array_new(FALSE, FALSE, sizeof(struct cost_program));
	const char *name;

	while (fds && (name = g_dir_read_name(fds))) {
		guint32 id = cost_fdinfo_program(directory, name);
		struct cost_program program;

		if (id == 0 || !g_hash_table_add(known, GUINT_TO_POINTER(id)))
			continue;
		if (cost_program_read(id, &program))
			g_array_append_val(programs, program);
	}
	if (!fds)
		return NULL;
	g_array_sort(programs, cost_compare);
	return g_steal_pointer(&programs);
}

gboolean cost_is_loaded(guint32 program_id)
{
	struct cost_program program;

	return cost_program_read(program_id, &program);
}
