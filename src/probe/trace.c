/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/trace.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "probe/eventring.h"
#include "probe/fields.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "trace.skel.h"

#define TRACE_RING_BYTES (4 << 20)
#define TRACE_RING_BYTES_FRUGAL (256 << 10)
#define TRACE_PROGRAMS 4

#define OOM_READ 512 /* records read at once */
#define OOM_ROWS 10 /* processes shown with a kill */
#define OOM_PENDING_MAX 4096
#define OOM_MOMENTS 8 /* remembered: the oldest is asked for when it is 5 to 7 s old */
#define OOM_EVERY_NS NS_PER_S
#define OOM_EVERY_FRUGAL_NS (1800 * NS_PER_MS) /* at every second tick: all threads are walked over */
#define OOM_PROCESSES_MAX 65536 /* remembered of a moment */

/* Resident memory of every process at one moment. */
struct oom_moment {
	guint64 time_ns; /* 0: not yet */
	GArray *pages; /* of struct trace_memory, by tgid */
};

struct trace_run {
	struct trace_bpf *kernel;
	struct eventring *ring;
	struct bpf_link *links[TRACE_PROGRAMS];
	const struct trace_what *what;
	/* OOM kills */
	struct bpf_link *iterator;
	GArray *pending; /* of struct trace_oom_process: heard of since the last kill */
	struct oom_moment moments[OOM_MOMENTS]; /* a ring */
	guint moment; /* the newest */
	guint64 moments_every_ns;
};

struct trace_what {
	enum trace_kind kind;
	const struct rung *rungs;
	const char *programs[TRACE_PROGRAMS + 1];
	gboolean (*decode)(struct trace_run *run, struct eventring *ring, const struct event_head *head, gsize bytes);
};

static const struct rung exec_rungs[] = {
	{ .name = "tp_btf/sched_process_exec",
	  .misses = "an exec that fails (fathom slow syscall shows those that take long)" },
	{ 0 },
};
static const struct rung exit_rungs[] = { { .name = "tp_btf/sched_process_exit" }, { 0 } };
static const struct rung signal_rungs[] = {
	{ .name = "tp_btf/signal_generate", .misses = "SIGCHLD, which is left out" },
	{ 0 },
};
static const struct rung open_rungs[] = {
	{ .name = "tp_btf/sys_exit", .misses = "files opened by io_uring, by 32-bit programs, and by name handle" },
	{ 0 },
};

static const struct rung oom_rungs[] = {
	{ .name = "raw_tp/mark_victim", .misses = "processes of less than 64 KiB, and all beyond the 512th" },
	{ 0 },
};
static const struct rung throttle_rungs[] = {
	{ .name = "tp_btf/sched_switch",
	  .misses = "how long a queue stays throttled with nobody left who wants to run" },
	{ 0 },
};

/* ---- records → events ---- */

static gboolean decode_exec(struct trace_run *run, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_exec *record = (const void *)head;
	gsize start = G_STRUCT_OFFSET(struct trace_exec, arguments);
	g_autofree char *program = NULL, *parent = NULL, *file = NULL;
	struct fields fields = { 0 };

	(void)run;
	if (bytes < start || bytes - start > TRACE_ARGUMENTS)
		return FALSE;
	program = eventring_path(&record->program, sizeof(record->program.text));
	parent = g_strndup(record->parent, STACK_COMM);
	file = g_strndup(record->file, TRACE_FILE);
	field_text(&fields, "file", file);
	field_text(&fields, "program", program);
	field_text(&fields, "parent", parent);
	field_number(&fields, "parent_pid", EVENT_COUNT, record->parent_tgid);
	field_number(&fields, "argument_count", EVENT_COUNT, record->count);
	if (bytes > start) {
		struct probe_field *arguments = field_add(&fields, "arguments", EVENT_LIST);

		arguments->field.text = record->arguments;
		arguments->field.number = bytes - start;
		if (record->argument_bytes > bytes - start)
			field_number(&fields, "arguments_cut", EVENT_BYTES, record->argument_bytes - (bytes - start));
	}
	eventring_tell(ring, head, "exec", fields.each, fields.count);
	return TRUE;
}

static gboolean decode_exit(struct trace_run *run, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_exit *record = (const void *)head;
	g_autofree char *signal = NULL;
	struct fields fields = { 0 };

	(void)run;
	if (bytes < sizeof(*record))
		return FALSE;
	if (WIFSIGNALED(record->status)) {
		signal = name_signal(WTERMSIG(record->status));
		field_text(&fields, "signal", signal);
		if (WCOREDUMP(record->status))
			field_text(&fields, "core", "dumped");
	} else {
		field_number(&fields, "status", EVENT_COUNT, WEXITSTATUS(record->status));
	}
	field_number(&fields, "lifetime", EVENT_NANOSECONDS, record->lifetime_ns);
	eventring_tell(ring, head, "exit", fields.each, fields.count);
	return TRUE;
}

static gboolean decode_signal(struct trace_run *run, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	static const char *const results[] = { "delivered", "ignored", "already pending", "lost: queue full",
					       "delivered without its details: queue full" };
	const struct trace_signal *record = (const void *)head;
	g_autofree char *signal = NULL, *sender = NULL;
	struct fields fields = { 0 };

	(void)run;
	if (bytes < sizeof(*record))
		return FALSE;
	signal = name_signal(record->signal);
	sender = g_strndup(record->sender.comm, STACK_COMM);
	field_text(&fields, "signal", signal);
	if (record->sender.tgid == 0 && record->sender.cgroup_key == 0) {
		field_text(&fields, "sender", "kernel");
	} else {
		struct probe_field *from = field_add(&fields, "from", EVENT_TEXT);

		from->owner = PROBE_OWNER_NAME;
		from->cgroup_key = record->sender.cgroup_key;
		field_text(&fields, "sender", sender);
		field_number(&fields, "sender_pid", EVENT_COUNT, record->sender.tgid);
		if (record->sender_inner_pid)
			field_number(&fields, "sender_inner_pid", EVENT_COUNT, record->sender_inner_pid);
	}
	field_number(&fields, "code", EVENT_SIGNED, (guint64)(gint64)record->code);
	if (record->result >= 0 && record->result < (int)G_N_ELEMENTS(results))
		field_text(&fields, "result", results[record->result]);
	eventring_tell(ring, head, "signal", fields.each, fields.count);
	return TRUE;
}

/* ---- OOM kills ---- */

static guint64 pages_bytes(guint64 pages)
{
	return pages * (guint64)getpagesize();
}

static guint64 process_pages(const struct trace_oom_process *process)
{
	return process->anon + process->file + process->shmem;
}

static gint process_by_pages(gconstpointer left, gconstpointer right)
{
	guint64 a = process_pages(left), b = process_pages(right);

	return (a < b) - (a > b);
}

/* The moment about `seconds` before `time_ns`; NULL when there is none. */
static const struct oom_moment *oom_moment_before(const struct trace_run *run, guint64 time_ns, guint seconds)
{
	for (guint i = 0; i < OOM_MOMENTS; i++) {
		const struct oom_moment *moment = &run->moments[(run->moment + OOM_MOMENTS - i) % OOM_MOMENTS];

		if (moment->time_ns && moment->time_ns + seconds * NS_PER_S <= time_ns)
			return moment->time_ns + (seconds + 2) * NS_PER_S > time_ns ? moment : NULL;
	}
	return NULL;
}

static gint memory_by_tgid(gconstpointer left, gconstpointer right)
{
	guint32 a = ((const struct trace_memory *)left)->tgid, b = ((const struct trace_memory *)right)->tgid;

	return (a > b) - (a < b);
}

/* What the process held then; FALSE when that is not known. */
static gboolean oom_pages_then(const struct oom_moment *moment, guint32 tgid, guint64 start_time, guint64 *pages)
{
	const struct trace_memory wanted = { .tgid = tgid }, *memory;
	guint at;

	if (!moment || !g_array_binary_search(moment->pages, &wanted, memory_by_tgid, &at))
		return FALSE;
	memory = &g_array_index(moment->pages, struct trace_memory, at);
	if (memory->start_time != start_time)
		return FALSE;
	*pages = memory->pages;
	return TRUE;
}

static const struct {
	guint seconds;
	const char *name;
} oom_looks[] = { { 1, "1s_before" }, { 5, "5s_before" } };

static void fields_memory(struct fields *fields, guint64 anon, guint64 file, guint64 shmem, guint64 swap)
{
	field_number(fields, "resident", EVENT_BYTES, pages_bytes(anon + file + shmem));
	field_number(fields, "anon", EVENT_BYTES, pages_bytes(anon));
	field_number(fields, "file", EVENT_BYTES, pages_bytes(file));
	field_number(fields, "shmem", EVENT_BYTES, pages_bytes(shmem));
	field_number(fields, "swap", EVENT_BYTES, pages_bytes(swap));
}

/* One row of the table of processes; its time is the kill's, so that it stands beside it. */
static void oom_tell_process(struct trace_run *run, struct eventring *ring, const struct trace_oom *kill,
			     const struct trace_oom_process *process)
{
	struct event_head head = process->head;
	struct fields fields = { 0 };

	head.time_ns = kill->head.time_ns;
	fields_memory(&fields, process->anon, process->file, process->shmem, process->swap);
	for (gsize i = 0; i < G_N_ELEMENTS(oom_looks); i++) {
		const struct oom_moment *moment = oom_moment_before(run, kill->head.time_ns, oom_looks[i].seconds);
		guint64 pages;

		if (oom_pages_then(moment, head.task.tgid, process->start_time, &pages))
			field_number(&fields, oom_looks[i].name, EVENT_BYTES, pages_bytes(pages));
	}
	field_text(&fields, "killed", head.task.tgid == kill->head.task.tgid ? "yes" : "no");
	eventring_tell(ring, &head, "oom process", fields.each, fields.count);
}

/* What all processes in reach held in the seconds before. */
static void fields_history(struct fields *fields, const struct trace_run *run, const struct trace_oom *kill)
{
	for (gsize i = 0; i < G_N_ELEMENTS(oom_looks); i++) {
		const struct oom_moment *moment = oom_moment_before(run, kill->head.time_ns, oom_looks[i].seconds);
		guint64 sum = 0, pages;

		for (guint at = 0; moment && at < run->pending->len; at++) {
			const struct trace_oom_process *process =
				&g_array_index(run->pending, struct trace_oom_process, at);

			if (oom_pages_then(moment, process->head.task.tgid, process->start_time, &pages))
				sum += pages;
		}
		if (moment)
			field_number(fields, oom_looks[i].name, EVENT_BYTES, pages_bytes(sum));
	}
}

static void oom_tell(struct trace_run *run, struct eventring *ring, const struct trace_oom *kill, const char *path)
{
	g_autofree char *trigger = g_strndup(kill->trigger.comm, STACK_COMM);
	struct fields fields = { 0 };
	guint64 sum = 0;

	for (guint i = 0; i < run->pending->len; i++)
		sum += process_pages(&g_array_index(run->pending, struct trace_oom_process, i));
	field_owner(&fields, "scope", PROBE_OWNER_SCOPE, kill->cgroup_key, path);
	if (kill->cgroup_key) {
		field_owner(&fields, "culprit", PROBE_OWNER_NAME, kill->cgroup_key, path);
		field_number(&fields, "usage", EVENT_BYTES, pages_bytes(kill->usage));
		field_number(&fields, "limit", EVENT_BYTES, pages_bytes(kill->limit));
	}
	if (kill->known)
		fields_memory(&fields, kill->anon, kill->file, kill->shmem, kill->swap);
	field_number(&fields, "score_adjust", EVENT_SIGNED, (guint64)(gint64)kill->score_adjust);
	field_number(&fields, "processes", EVENT_COUNT, kill->processes);
	field_number(&fields, "processes_resident", EVENT_BYTES, pages_bytes(sum));
	fields_history(&fields, run, kill);
	field_text(&fields, "trigger", trigger);
	field_number(&fields, "trigger_pid", EVENT_COUNT, kill->trigger.tgid);
	if (path)
		field_text(&fields, "cgroup", path);
	eventring_tell(ring, &kill->head, "oom", fields.each, fields.count);
}

static gboolean decode_oom(struct trace_run *run, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_oom *kill = (const void *)head;
	gsize start = G_STRUCT_OFFSET(struct trace_oom, path.text);
	g_autofree char *path = NULL;

	if (head->kind == TRACE_OOM_PROCESS) {
		if (bytes < sizeof(struct trace_oom_process))
			return FALSE;
		if (run->pending->len < OOM_PENDING_MAX)
			g_array_append_vals(run->pending, head, 1);
		return TRUE;
	}
	if (bytes < start)
		return FALSE;
	path = eventring_path(&kill->path, bytes - start);
	g_array_sort(run->pending, process_by_pages);
	oom_tell(run, ring, kill, path);
	for (guint i = 0; i < run->pending->len && i < OOM_ROWS; i++)
		oom_tell_process(run, ring, kill, &g_array_index(run->pending, struct trace_oom_process, i));
	g_array_set_size(run->pending, 0);
	return TRUE;
}

/* The kernel goes through processes by their numbers (kernel/bpf/task_iter.c). */
static void oom_moment_read(struct oom_moment *moment, int fd)
{
	struct trace_memory memory[OOM_READ];
	gssize bytes;

	/* It hands out whole records, as many as fit. */
	while (moment->pages->len < OOM_PROCESSES_MAX && (bytes = read(fd, memory, sizeof(memory))) > 0)
		g_array_append_vals(moment->pages, memory, (guint)((gsize)bytes / sizeof(memory[0])));
}

/* Every second or so: what every process holds. */
static void oom_remember(struct trace_run *run)
{
	guint64 now_ns = clock_monotonic_ns();
	struct oom_moment *moment;
	int fd;

	if (!run->iterator || now_ns < run->moments[run->moment].time_ns + run->moments_every_ns)
		return;
	fd = bpf_iter_create(bpf_link__fd(run->iterator));
	if (fd < 0)
		return;
	run->moment = (run->moment + 1) % OOM_MOMENTS;
	moment = &run->moments[run->moment];
	moment->time_ns = now_ns;
	if (!moment->pages)
		moment->pages = g_array_new(FALSE, FALSE, sizeof(struct trace_memory));
	g_array_set_size(moment->pages, 0);
	oom_moment_read(moment, fd);
	close(fd);
}

static void oom_start(struct trace_run *run)
{
	run->pending = g_array_new(FALSE, FALSE, sizeof(struct trace_oom_process));
	run->iterator = bpf_program__attach_iter(run->kernel->progs.trace_memory, NULL);
	oom_remember(run);
}

static void oom_stop(struct trace_run *run)
{
	bpf_link__destroy(run->iterator);
	for (guint i = 0; i < OOM_MOMENTS; i++)
		g_clear_pointer(&run->moments[i].pages, g_array_unref);
	if (run->pending)
		g_array_unref(run->pending);
}

/* ---- throttling ---- */

static gboolean decode_throttle(struct trace_run *run, struct eventring *ring, const struct event_head *head,
				gsize bytes)
{
	const struct trace_throttle *record = (const void *)head;
	gsize start = G_STRUCT_OFFSET(struct trace_throttle, path.text);
	g_autofree char *path = NULL;
	struct fields fields = { 0 };

	(void)run;
	if (bytes < start)
		return FALSE;
	path = eventring_path(&record->path, bytes - start);
	field_number(&fields, "duration", EVENT_NANOSECONDS, record->duration_ns);
	field_number(&fields, "cpu", EVENT_COUNT, record->cpu);
	field_number(&fields, "quota", EVENT_NANOSECONDS, record->quota_ns);
	field_number(&fields, "period", EVENT_NANOSECONDS, record->period_ns);
	field_owner(&fields, "limit_of", PROBE_OWNER_NAME, record->cgroup_key, path);
	field_owner(&fields, "scope", PROBE_OWNER_SCOPE, record->cgroup_key, path);
	if (path)
		field_text(&fields, "cgroup", path);
	eventring_tell(ring, head, "throttle", fields.each, fields.count);
	return TRUE;
}

/* "read", "write,create,truncate" … */
static char *open_flags(guint32 flags)
{
	static const struct {
		guint32 flag;
		const char *name;
	} names[] = {
		{ O_CREAT, "create" },	      { O_EXCL, "exclusive" }, { O_TRUNC, "truncate" }, { O_APPEND, "append" },
		{ O_DIRECTORY, "directory" }, { O_DIRECT, "direct" },  { O_DSYNC, "dsync" },	{ O_PATH, "path" },
	};
	static const char *const modes[] = { "read", "write", "read,write", "none" };
	GString *text = g_string_new(modes[flags & O_ACCMODE]);

	for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
		if (flags & names[i].flag)
			g_string_append_printf(text, ",%s", names[i].name);
	return g_string_free(text, FALSE);
}

static gboolean decode_open(struct trace_run *run, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_open *record = (const void *)head;
	gsize start = G_STRUCT_OFFSET(struct trace_open, path.text);
	g_autofree char *path = NULL, *asked = NULL, *flags = NULL, *error = NULL;
	struct fields fields = { 0 };

	(void)run;
	if (bytes < start)
		return FALSE;
	path = eventring_path(&record->path, bytes - start);
	asked = record->asked ? g_strndup(record->file, TRACE_FILE) : NULL;
	flags = open_flags(record->flags);
	if (record->result < 0) {
		error = name_errno((int)-record->result);
		field_text(&fields, "error", error);
	} else {
		field_number(&fields, "descriptor", EVENT_COUNT, (guint64)record->result);
	}
	field_text(&fields, "flags", flags);
	field_text(&fields, "file", path ? path : asked);
	if (path && asked && strcmp(path, asked) != 0)
		field_text(&fields, "asked", asked);
	eventring_tell(ring, head, "open", fields.each, fields.count);
	return TRUE;
}

static const struct trace_what trace_whats[TRACE_KINDS] = {
	[TRACE_EXEC] = { TRACE_EXEC, exec_rungs, { "trace_exec" }, decode_exec },
	[TRACE_EXIT] = { TRACE_EXIT, exit_rungs, { "trace_exit" }, decode_exit },
	[TRACE_SIGNAL] = { TRACE_SIGNAL, signal_rungs, { "trace_signal" }, decode_signal },
	[TRACE_OOM] = { TRACE_OOM, oom_rungs, { "trace_oom", "trace_oom_cgroup", "trace_oom_machine" }, decode_oom },
	[TRACE_THROTTLE] = { TRACE_THROTTLE, throttle_rungs, { "trace_throttle" }, decode_throttle },
	[TRACE_OPEN] = { TRACE_OPEN, open_rungs, { "trace_open" }, decode_open },
};

/* ---- running ---- */

/* eventring_decode_fn */
static gboolean trace_decode(void *user, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_run *run = user;

	return run->what->decode((struct trace_run *)run, ring, head, bytes);
}

static gboolean trace_uses(const struct trace_what *what, const char *program)
{
	return g_str_has_prefix(program, "births_") ||
	       (what->kind == TRACE_OOM && strcmp(program, "trace_memory") == 0) ||
	       g_strv_contains(what->programs, program);
}

static struct trace_system_calls trace_calls(void)
{
	struct trace_system_calls calls = { .open = -1, .openat = SYS_openat, .openat2 = SYS_openat2, .creat = -1 };

#ifdef SYS_open
	calls.open = SYS_open;
	calls.creat = SYS_creat;
#endif
	return calls;
}

static gboolean trace_load(struct trace_run *run, const struct probe_request *request, GError **error)
{
	static const char what[] = "cannot load the tracing program";
	struct trace_system_calls calls = trace_calls();
	struct filter_values values;
	struct bpf_program *program;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	run->kernel = KERNEL_BTF_OPEN(trace, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, request);
	FILTER_SET(run->kernel->rodata, &values);
	EVENTRING_SET(run->kernel->rodata, request);
	run->kernel->rodata->trace_arguments = request->arguments;
	memcpy((void *)&run->kernel->rodata->system_calls, &calls, sizeof(calls));
	bpf_object__for_each_program(program, run->kernel->obj)
		bpf_program__set_autoload(program, trace_uses(run->what, bpf_program__name(program)));
	bpf_map__set_max_entries(run->kernel->maps.event_ring,
				 request->frugal ? TRACE_RING_BYTES_FRUGAL : TRACE_RING_BYTES);
	if (!filter_size(run->kernel->obj, request, error))
		return FALSE;
	if (!kernel_btf_load(btf, run->kernel->skeleton, what, error))
		return FALSE;
	return filter_fill(run->kernel->obj, request, error);
}

static void trace_detach(struct trace_run *run)
{
	for (guint i = 0; i < TRACE_PROGRAMS; i++)
		g_clear_pointer(&run->links[i], bpf_link__destroy);
}

/* ladder_try_fn */
static gboolean trace_attach(void *user, const struct rung *rung, GError **error)
{
	struct trace_run *run = user;

	(void)rung;
	for (guint i = 0; run->what->programs[i]; i++) {
		struct bpf_program *program =
			bpf_object__find_program_by_name(run->kernel->obj, run->what->programs[i]);

		run->links[i] = kernel_btf_attach(program);
		if (!run->links[i]) {
			ladder_set_error(error, "cannot attach", errno);
			trace_detach(run);
			return FALSE;
		}
	}
	return TRUE;
}

static void trace_close(struct probe_run *opaque)
{
	struct trace_run *run = (struct trace_run *)opaque;

	if (!run)
		return;
	trace_detach(run);
	oom_stop(run);
	eventring_close(run->ring);
	trace_bpf__destroy(run->kernel);
	g_free(run);
}

static struct probe_run *trace_open(enum trace_kind kind, const struct probe_request *request,
				    const struct probe_listener *listener, GError **error)
{
	struct trace_run *run = g_new0(struct trace_run, 1);

	run->what = &trace_whats[kind];
	run->moments_every_ns = request->frugal ? OOM_EVERY_FRUGAL_NS : OOM_EVERY_NS;
	if (trace_load(run, request, error))
		run->ring = eventring_open(run->kernel->obj, listener, trace_decode, run, error);
	if (!run->ring || !ladder_climb(run->what->rungs, request->rung, trace_attach, run, NULL, error)) {
		trace_close((struct probe_run *)run);
		return NULL;
	}
	if (kind == TRACE_OOM)
		oom_start(run);
	return (struct probe_run *)run;
}

static int trace_fd(struct probe_run *opaque)
{
	return eventring_fd(((struct trace_run *)opaque)->ring);
}

static gboolean trace_drain(struct probe_run *opaque, GError **error)
{
	struct trace_run *run = (struct trace_run *)opaque;
	gboolean ok = eventring_drain(run->ring, error);

	oom_remember(run);
	return ok;
}

static gboolean trace_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct trace_run *run = (struct trace_run *)opaque;

	trace_detach(run);
	ledger->rung = g_strdup(run->what->rungs->name);
	ledger->misses = g_strdup(run->what->rungs->misses);
	return eventring_drain(run->ring, error) && eventring_account(run->ring, ledger, error);
}

#define TRACE_PROBE(what, kind, text)                                                                                  \
	static struct probe_run *trace_open_##what(const struct probe_request *request,                                \
						   const struct probe_listener *listener, GError **error)              \
	{                                                                                                              \
		return trace_open(kind, request, listener, error);                                                     \
	}                                                                                                              \
	const struct probe probe_trace_##what = {                                                                      \
		.name = "trace " #what,                                                                                \
		.shows = text,                                                                                         \
		.shape = SHAPE_EVENTS,                                                                                 \
		.unit = UNIT_COUNT,                                                                                    \
		.rungs = what##_rungs,                                                                                 \
		.open = trace_open_##what,                                                                             \
		.fd = trace_fd,                                                                                        \
		.drain = trace_drain,                                                                                  \
		.finish = trace_finish,                                                                                \
		.close = trace_close,                                                                                  \
	};

TRACE_PROBE(exec, TRACE_EXEC, "programs that start")
TRACE_PROBE(exit, TRACE_EXIT, "processes that end, with their status or signal")
TRACE_PROBE(signal, TRACE_SIGNAL, "signals: who sent which to whom")
TRACE_PROBE(oom, TRACE_OOM, "processes killed because memory ran out: whose limit, who held what")
TRACE_PROBE(throttle, TRACE_THROTTLE, "CPU quota used up: when, for how long, whose")
TRACE_PROBE(open, TRACE_OPEN, "files opened, or not")
