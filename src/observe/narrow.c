/* SPDX-License-Identifier: Apache-2.0 */
/* A thread's CPU time and run-queue wait are those of its schedstat. A connection counts as unread when bytes wait in it and
 * its owner has read others since the last look, or when it is new: what lies in a connection that nobody reads any more (a
 * peer's farewell in a pool of idle ones) waits for nobody. */
#include "observe/narrow.h"

#include <dirent.h>
#include <netinet/in.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "kernel/procfs.h"
#include "kernel/sockdiag.h"

#define NARROW_FILE_BYTES_MAX 4096u
#define NARROW_THREADS_MAX 2048 /* of a container; of more nothing is said */
#define NARROW_SOCKETS_MAX 8192 /* likewise; and they are not listed again for a while */
#define NARROW_SOCKETS_PAUSE 30 /* readings */
#define NARROW_TURN_SHARE 0.1 /* of a CPU: a thread that uses less takes no turns */

/* Interpreters whose lock lets one thread run at a time, by how their programs' names begin. */
static const struct {
	const char *program, *name;
} interpreters[] = { { "python", "Python" }, { "pypy", "PyPy" }, { "ruby", "Ruby" } };

struct thread_time {
	guint64 run_ns, delay_ns;
	guint32 serial;
};

/* What was read of a connection until the last look. */
struct reading {
	guint64 bytes;
	guint32 serial;
};

struct busy {
	guint64 cpu_ns, at_ns; /* of the container, at the last reading */
	guint64 threads_ns; /* when its threads were read last; 0: not since it is busy */
	GHashTable *threads; /* tid → struct thread_time */
	GHashTable *sockets; /* inode → struct reading */
	guint sockets_pause; /* readings in which they are not listed: there were too many */
	guint32 serial; /* of the last reading that saw it */
};

struct narrow {
	struct registry *registry;
	const char *root;
	GHashTable *containers; /* cgroup key → struct busy */
	guint32 serial;
};

/* The busiest process of a container. */
struct busiest {
	guint32 pid, tid;
	guint64 process_ns; /* CPU time of its threads since the last look */
	guint64 thread_run_ns, thread_delay_ns; /* of the busiest of them */
	guint turns; /* threads that had a turn */
};

static void busy_free(gpointer data)
{
	struct busy *busy = data;

	g_hash_table_unref(busy->threads);
	g_hash_table_unref(busy->sockets);
	g_free(busy);
}

struct narrow *narrow_new(struct registry *registry)
{
	struct narrow *narrow = g_new0(struct narrow, 1);

	narrow->registry = registry;
	narrow->root = registry_root(registry);
	narrow->containers = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, busy_free);
	return narrow;
}

void narrow_free(struct narrow *narrow)
{
	if (!narrow)
		return;
	g_hash_table_unref(narrow->containers);
	g_free(narrow);
}

static struct busy *busy_of(struct narrow *narrow, guint64 key)
{
	struct busy *busy = g_hash_table_lookup(narrow->containers, &key);

	if (busy)
		return busy;
	busy = g_new0(struct busy, 1);
	busy->threads = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	busy->sockets = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	g_hash_table_insert(narrow->containers, g_memdup2(&key, sizeof(key)), busy);
	return busy;
}

/* ---- threads ---- */

/* "on-CPU run-delay timeslices", nanoseconds. */
static gboolean thread_read(int directory, const char *tid, struct thread_time *time)
{
	g_autofree char *name = g_strdup_printf("%s/schedstat", tid);
	g_autofree char *text = file_read_at(directory, name, NARROW_FILE_BYTES_MAX, NULL, NULL);
	char *end;

	if (!text)
		return FALSE;
	time->run_ns = g_ascii_strtoull(text, &end, 10);
	time->delay_ns = g_ascii_strtoull(end, NULL, 10);
	return TRUE;
}

/* What a thread did since the last look. FALSE where it was not there then, or is another of the same number. */
static gboolean thread_since(struct narrow *narrow, struct busy *busy, guint32 tid, const struct thread_time *now,
			     struct thread_time *since)
{
	struct thread_time *before = g_hash_table_lookup(busy->threads, GUINT_TO_POINTER(tid));
	gboolean known = before && now->run_ns >= before->run_ns && now->delay_ns >= before->delay_ns;

	if (!before) {
		before = g_new0(struct thread_time, 1);
		g_hash_table_insert(busy->threads, GUINT_TO_POINTER(tid), before);
	}
	*since = (struct thread_time){ now->run_ns - before->run_ns, now->delay_ns - before->delay_ns, 0 };
	*before = *now;
	before->serial = narrow->serial;
	return known;
}

static void process_read(struct narrow *narrow, struct busy *busy, guint32 pid, guint64 elapsed_ns, struct busiest *one)
{
	g_autofree char *path = g_strdup_printf("%s/proc/%u/task", narrow->root, pid);
	DIR *directory = opendir(path);
	const struct dirent *entry;

	*one = (struct busiest){ .pid = pid };
	while (directory && g_hash_table_size(busy->threads) < NARROW_THREADS_MAX && (entry = readdir(directory))) {
		guint32 tid = (guint32)g_ascii_strtoull(entry->d_name, NULL, 10);
		struct thread_time now, since;

		if (!tid || !thread_read(dirfd(directory), entry->d_name, &now) ||
		    !thread_since(narrow, busy, tid, &now, &since))
			continue;
		one->process_ns += since.run_ns;
		one->turns += (double)since.run_ns >= NARROW_TURN_SHARE * (double)elapsed_ns;
		if (since.run_ns <= one->thread_run_ns)
			continue;
		one->tid = tid;
		one->thread_run_ns = since.run_ns;
		one->thread_delay_ns = since.delay_ns;
	}
	if (directory)
		closedir(directory);
}

static gboolean thread_is_gone(gpointer tid G_GNUC_UNUSED, gpointer value, gpointer serial)
{
	return ((const struct thread_time *)value)->serial != GPOINTER_TO_UINT(serial);
}

static guint64 per_second(guint64 ns, guint64 elapsed_ns)
{
	return (guint64)((double)ns * (double)NS_PER_S / (double)elapsed_ns);
}

/* ---- who that is ---- */

static const char *interpreter_of(const struct narrow *narrow, guint32 pid)
{
	g_autofree char *exe = procfs_link_read(narrow->root, pid, "exe");
	g_autofree char *program = exe ? g_path_get_basename(exe) : NULL;

	for (guint i = 0; program && i < G_N_ELEMENTS(interpreters); i++)
		if (g_str_has_prefix(program, interpreters[i].program))
			return interpreters[i].name;
	return NULL;
}

static void row_set_names(const struct narrow *narrow, struct gauges *gauges, struct gauge_row *row, guint32 pid)
{
	struct procfs_status status;
	struct procfs_stat stat;
	char inner[16];

	gauges_set_text(gauges, row, GAUGE_TEXT_INTERPRETER, interpreter_of(narrow, pid));
	if (procfs_stat_read(narrow->root, pid, &stat, NULL))
		gauges_set_text(gauges, row, GAUGE_TEXT_BUSIEST, stat.comm);
	if (!procfs_status_read(narrow->root, pid, &status, NULL) || !status.levels)
		return;
	g_snprintf(inner, sizeof(inner), "%u", status.inner_pid[status.levels - 1]);
	gauges_set_text(gauges, row, GAUGE_TEXT_BUSIEST_PID, inner);
}

static void row_set_threads(struct narrow *narrow, struct busy *busy, struct gauges *gauges, struct gauge_row *row,
			    const GArray *pids)
{
	guint64 now_ns = clock_monotonic_ns(), elapsed_ns = busy->threads_ns ? now_ns - busy->threads_ns : 0;
	struct busiest busiest = { 0 }, one;

	for (guint i = 0; i < pids->len; i++) {
		process_read(narrow, busy, g_array_index(pids, guint32, i), elapsed_ns, &one);
		if (one.process_ns > busiest.process_ns)
			busiest = one;
	}
	g_hash_table_foreach_remove(busy->threads, thread_is_gone, GUINT_TO_POINTER(narrow->serial));
	busy->threads_ns = now_ns;
	if (!elapsed_ns || !busiest.pid || g_hash_table_size(busy->threads) >= NARROW_THREADS_MAX)
		return;
	gauge_set(row, GAUGE_THREAD_CPU, per_second(busiest.thread_run_ns, elapsed_ns));
	gauge_set(row, GAUGE_THREAD_READY, per_second(busiest.thread_run_ns + busiest.thread_delay_ns, elapsed_ns));
	gauge_set(row, GAUGE_PROCESS_CPU, per_second(busiest.process_ns, elapsed_ns));
	gauge_set(row, GAUGE_PROCESS_TURNS, busiest.turns);
	row_set_names(narrow, gauges, row, busiest.pid);
}

/* ---- connections ---- */

struct unread {
	struct narrow *narrow;
	const struct container *container;
	struct busy *busy;
	gboolean is_shared; /* its network namespace is somebody else's, too */
	guint count;
};

/* On a v1 host sockets are the root's. */
static gboolean unread_is_own(const struct unread *unread, const struct sockdiag_socket *socket)
{
	const struct container *owner =
		socket->cgroup ? registry_by_cgroup(unread->narrow->registry, socket->cgroup) : NULL;

	if (!owner || owner->runtime == RUNTIME_HOST)
		return !unread->is_shared;
	return owner == unread->container;
}

/* sockdiag_fn */
static void unread_take(void *user, const struct sockdiag_socket *socket)
{
	struct unread *unread = user;
	struct busy *busy = unread->busy;
	guint64 read = socket->received_bytes - MIN(socket->receive_queue, socket->received_bytes);
	struct reading *before = g_hash_table_lookup(busy->sockets, &socket->inode);

	if (!socket->has_tcp || !socket->inode || !unread_is_own(unread, socket))
		return;
	unread->count += socket->receive_queue > 0 && (!before || read != before->bytes);
	if (!before) {
		if (g_hash_table_size(busy->sockets) >= NARROW_SOCKETS_MAX)
			return;
		before = g_new0(struct reading, 1);
		g_hash_table_insert(busy->sockets, g_memdup2(&socket->inode, sizeof(socket->inode)), before);
	}
	before->bytes = read;
	before->serial = unread->narrow->serial;
}

static gboolean reading_is_gone(gpointer inode G_GNUC_UNUSED, gpointer value, gpointer serial)
{
	return ((const struct reading *)value)->serial != GPOINTER_TO_UINT(serial);
}

/* At the first look all connections are new, and of those that hold something nothing is known. */
static void row_set_unread(struct narrow *narrow, struct busy *busy, struct gauge_row *row,
			   const struct container *container, guint32 pid)
{
	struct netns netns = { .inode = (guint32)procfs_namespace(narrow->root, pid, NAMESPACE_NET), .pid = pid };
	struct unread unread = { .narrow = narrow, .container = container, .busy = busy };
	gboolean had_some = g_hash_table_size(busy->sockets) > 0;

	unread.is_shared = row->texts[GAUGE_TEXT_NET_SHARED] != NULL;
	if (busy->sockets_pause) {
		busy->sockets_pause--;
		return;
	}
	if (!sockdiag_each(&netns, IPPROTO_TCP, SOCKDIAG_STATE(SOCKDIAG_ESTABLISHED), TRUE, unread_take, &unread, NULL))
		return;
	g_hash_table_foreach_remove(busy->sockets, reading_is_gone, GUINT_TO_POINTER(narrow->serial));
	if (g_hash_table_size(busy->sockets) >= NARROW_SOCKETS_MAX) {
		busy->sockets_pause = NARROW_SOCKETS_PAUSE;
		g_hash_table_remove_all(busy->sockets);
		return;
	}
	if (had_some || unread.count == 0)
		gauge_set(row, GAUGE_UNREAD, unread.count);
}

/* ---- all ---- */

static void busy_forget(struct busy *busy)
{
	busy->threads_ns = 0;
	g_hash_table_remove_all(busy->threads);
	g_hash_table_remove_all(busy->sockets);
}

/* Has it used enough of a CPU since the last reading? */
static gboolean busy_is_so(struct busy *busy, guint64 cpu_ns)
{
	guint64 now_ns = clock_monotonic_ns(), before_ns = busy->cpu_ns;
	guint64 elapsed_ns = busy->at_ns ? now_ns - busy->at_ns : 0;

	busy->cpu_ns = cpu_ns;
	busy->at_ns = now_ns;
	return elapsed_ns && cpu_ns >= before_ns && per_second(cpu_ns - before_ns, elapsed_ns) >= NARROW_CPU_LEAST_NS;
}

static void row_add(struct narrow *narrow, struct gauges *gauges, struct gauge_row *row, guint64 cpu_ns)
{
	const struct container *container = registry_by_cgroup(narrow->registry, row->key);
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	struct busy *busy = busy_of(narrow, row->key);

	busy->serial = narrow->serial;
	if (!container || !busy_is_so(busy, cpu_ns)) {
		busy_forget(busy);
		return;
	}
	registry_pids(narrow->registry, container, pids);
	row_set_threads(narrow, busy, gauges, row, pids);
	if (pids->len && strcmp(narrow->root, "/") == 0)
		row_set_unread(narrow, busy, row, container, g_array_index(pids, guint32, 0));
}

static gboolean busy_is_gone(gpointer key G_GNUC_UNUSED, gpointer value, gpointer serial)
{
	return ((const struct busy *)value)->serial != GPOINTER_TO_UINT(serial);
}

void narrow_add(struct narrow *narrow, struct gauges *gauges)
{
	narrow->serial++;
	for (guint32 i = 0; i < gauges->rows->len; i++) {
		struct gauge_row *row = gauges_row(gauges, i);
		guint64 cpu_ns;

		if (!row->dead && row->resource == GAUGE_RESOURCE_CONTAINER && gauge_get(row, GAUGE_CPU, &cpu_ns))
			row_add(narrow, gauges, row, cpu_ns);
	}
	g_hash_table_foreach_remove(narrow->containers, busy_is_gone, GUINT_TO_POINTER(narrow->serial));
}
