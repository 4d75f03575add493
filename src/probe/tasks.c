/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/tasks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernel/syscalls.h"
#include "probe/births.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/losses.h"
#include "probe/mapread.h"
#include "tasks.skel.h"

#define TASKS_READ_BYTES (64 << 10)

struct tasks {
	struct tasks_bpf *kernel;
	struct births *births;
	struct bpf_link *exit, *walk, *list;
};

/* Calls that wait, and for what; all others are TASKS_WAIT_OTHER. */
static const struct {
	const char *call;
	guint8 wait;
} calls[] = {
	{ "futex", TASKS_WAIT_FUTEX },
	{ "futex_wait", TASKS_WAIT_FUTEX },
	{ "futex_waitv", TASKS_WAIT_FUTEX },
	{ "semop", TASKS_WAIT_FUTEX },
	{ "semtimedop", TASKS_WAIT_FUTEX },
	{ "nanosleep", TASKS_WAIT_SLEEP },
	{ "clock_nanosleep", TASKS_WAIT_SLEEP },
	{ "pause", TASKS_WAIT_SLEEP },
	{ "rt_sigsuspend", TASKS_WAIT_SLEEP },
	{ "rt_sigtimedwait", TASKS_WAIT_SLEEP },
	{ "poll", TASKS_WAIT_POLL },
	{ "ppoll", TASKS_WAIT_POLL },
	{ "select", TASKS_WAIT_POLL },
	{ "pselect6", TASKS_WAIT_POLL },
	{ "epoll_wait", TASKS_WAIT_POLL },
	{ "epoll_pwait", TASKS_WAIT_POLL },
	{ "epoll_pwait2", TASKS_WAIT_POLL },
	{ "io_uring_enter", TASKS_WAIT_POLL },
	{ "accept", TASKS_WAIT_NET },
	{ "accept4", TASKS_WAIT_NET },
	{ "connect", TASKS_WAIT_NET },
	{ "recvfrom", TASKS_WAIT_NET },
	{ "recvmsg", TASKS_WAIT_NET },
	{ "recvmmsg", TASKS_WAIT_NET },
	{ "sendto", TASKS_WAIT_NET },
	{ "sendmsg", TASKS_WAIT_NET },
	{ "sendmmsg", TASKS_WAIT_NET },
	{ "read", TASKS_WAIT_BY_FILE },
	{ "readv", TASKS_WAIT_BY_FILE },
	{ "write", TASKS_WAIT_BY_FILE },
	{ "writev", TASKS_WAIT_BY_FILE },
	{ "sendfile", TASKS_WAIT_BY_FILE },
	{ "splice", TASKS_WAIT_BY_FILE },
	{ "pread64", TASKS_WAIT_IO },
	{ "preadv", TASKS_WAIT_IO },
	{ "preadv2", TASKS_WAIT_IO },
	{ "pwrite64", TASKS_WAIT_IO },
	{ "pwritev", TASKS_WAIT_IO },
	{ "pwritev2", TASKS_WAIT_IO },
	{ "io_getevents", TASKS_WAIT_IO },
	{ "io_pgetevents", TASKS_WAIT_IO },
	{ "fsync", TASKS_WAIT_IO },
	{ "fdatasync", TASKS_WAIT_IO },
	{ "sync", TASKS_WAIT_IO },
	{ "syncfs", TASKS_WAIT_IO },
	{ "sync_file_range", TASKS_WAIT_IO },
	{ "msync", TASKS_WAIT_IO },
	{ "fallocate", TASKS_WAIT_IO },
	{ "truncate", TASKS_WAIT_IO },
	{ "ftruncate", TASKS_WAIT_IO },
	{ "readahead", TASKS_WAIT_IO },
	{ "getdents", TASKS_WAIT_IO },
	{ "getdents64", TASKS_WAIT_IO },
	{ "openat2", TASKS_WAIT_IO },
	{ "stat", TASKS_WAIT_IO },
	{ "lstat", TASKS_WAIT_IO },
	{ "newfstatat", TASKS_WAIT_IO },
	{ "statx", TASKS_WAIT_IO },
	{ "unlink", TASKS_WAIT_IO },
	{ "unlinkat", TASKS_WAIT_IO },
	{ "rename", TASKS_WAIT_IO },
	{ "renameat", TASKS_WAIT_IO },
	{ "renameat2", TASKS_WAIT_IO },
	{ "mkdir", TASKS_WAIT_IO },
	{ "mkdirat", TASKS_WAIT_IO },
	{ "rmdir", TASKS_WAIT_IO },
};

static guint8 wait_of_call(const char *name)
{
	for (guint i = 0; name && i < G_N_ELEMENTS(calls); i++)
		if (strcmp(calls[i].call, name) == 0)
			return calls[i].wait;
	return TASKS_WAIT_OTHER;
}

static gboolean tasks_load(struct tasks *tasks, const char *v1_controller, GError **error)
{
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	static const char what[] = "cannot load the task iterator";
	struct probe_request request = { .v1_controller = v1_controller };
	struct filter_values values;

	tasks->kernel = KERNEL_BTF_OPEN(tasks, btf, what, error);
	if (!tasks->kernel)
		return FALSE;
	filter_values_init(&values, &request);
	tasks->kernel->rodata->v1_controller = values.v1_controller;
	tasks->kernel->rodata->page_bytes = (guint32)sysconf(_SC_PAGESIZE);
	tasks->kernel->rodata->loaded_ns = clock_monotonic_ns();
	for (guint i = 0; i < TASKS_CALLS; i++)
		tasks->kernel->rodata->waits_of_call[i] = wait_of_call(syscall_name(i));
	return kernel_btf_load(btf, tasks->kernel->skeleton, what, error);
}

static struct bpf_link *tasks_attach(struct bpf_program *program, gboolean iterator, GError **error)
{
	struct bpf_link *link;

	ladder_log_start();
	link = iterator ? bpf_program__attach_iter(program, NULL) : kernel_btf_attach(program);
	if (!link)
		ladder_set_error(error, "cannot attach the task iterator", errno);
	return link;
}

struct tasks *tasks_open(const char *v1_controller, const struct probe_listener *listener, GError **error)
{
	struct tasks *tasks = g_new0(struct tasks, 1);

	if (tasks_load(tasks, v1_controller, error) &&
	    (tasks->births = births_open(tasks->kernel->obj, listener, error)) &&
	    (tasks->exit = tasks_attach(tasks->kernel->progs.tasks_exit, FALSE, error)) &&
	    (tasks->walk = tasks_attach(tasks->kernel->progs.tasks_walk, TRUE, error)) &&
	    (tasks->list = tasks_attach(tasks->kernel->progs.tasks_list, TRUE, error)))
		return tasks;
	tasks_close(tasks);
	return NULL;
}

void tasks_close(struct tasks *tasks)
{
	if (!tasks)
		return;
	bpf_link__destroy(tasks->list);
	bpf_link__destroy(tasks->walk);
	bpf_link__destroy(tasks->exit);
	births_close(tasks->births);
	tasks_bpf__destroy(tasks->kernel);
	g_free(tasks);
}

int tasks_fd(const struct tasks *tasks)
{
	return births_fd(tasks->births);
}

void tasks_drain(struct tasks *tasks)
{
	births_drain(tasks->births);
}

/* Runs an iterator once and hands out what it wrote, in whole records (all begin at a multiple of their size: aligned). */
static gboolean tasks_run(struct bpf_link *link, tasks_record_fn each, void *user, GError **error)
{
	int fd = bpf_iter_create(bpf_link__fd(link));
	g_autofree char *buffer = g_malloc(TASKS_READ_BYTES);
	gsize have = 0;
	gssize got;

	if (fd < 0) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot look at all threads: %s", g_strerror(-fd));
		return FALSE;
	}
	while ((got = read(fd, buffer + have, TASKS_READ_BYTES - have)) != 0) {
		gsize at = 0;

		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			break;
		have += (gsize)got;
		for (; have - at >= sizeof(struct tasks_record); at += sizeof(struct tasks_record)) {
			struct tasks_record *record = (struct tasks_record *)(buffer + at);

			record->comm[sizeof(record->comm) - 1] = '\0';
			if (each)
				each(user, record);
		}
		memmove(buffer, buffer + at, have - at);
		have -= at;
	}
	if (got < 0)
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot look at all threads: %s",
			    g_strerror(errno));
	close(fd);
	return got == 0;
}

struct tasks_sums {
	tasks_sum_fn each;
	void *user;
};

static void tasks_take_sum(void *user, const void *key, const void *value)
{
	struct tasks_sums *sums = user;
	struct tasks_sum sum;
	guint64 cgroup_key;

	memcpy(&cgroup_key, key, sizeof(cgroup_key));
	memcpy(&sum, value, sizeof(sum));
	sums->each(sums->user, cgroup_key, &sum);
}

gboolean tasks_walk(struct tasks *tasks, tasks_sum_fn each, void *user, GError **error)
{
	struct tasks_sums sums = { .each = each, .user = user };

	tasks->kernel->bss->generation++;
	tasks->kernel->bss->walk_ns = clock_monotonic_ns();
	return tasks_run(tasks->walk, NULL, NULL, error) &&
	       mapread_each(bpf_map__fd(tasks->kernel->maps.sums), sizeof(guint64), sizeof(struct tasks_sum),
			    tasks_take_sum, &sums, error);
}

guint32 tasks_generation(const struct tasks *tasks)
{
	return tasks->kernel->bss->generation;
}

void tasks_forget(struct tasks *tasks, guint64 cgroup_key)
{
	bpf_map_delete_elem(bpf_map__fd(tasks->kernel->maps.sums), &cgroup_key);
}

gboolean tasks_list(struct tasks *tasks, tasks_record_fn each, void *user, GError **error)
{
	return tasks_run(tasks->list, each, user, error);
}

gboolean tasks_losses(struct tasks *tasks, struct ledger *ledger, GError **error)
{
	return losses_read(bpf_map__fd(tasks->kernel->maps.losses), ledger, error);
}
