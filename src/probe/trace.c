/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/trace.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "probe/eventring.h"
#include "probe/filter.h"
#include "probe/ladder.h"
#include "trace.skel.h"

#define TRACE_RING_BYTES (4 << 20)
#define TRACE_PROGRAMS 3

struct trace_run {
	struct trace_bpf *kernel;
	struct eventring *ring;
	struct bpf_link *links[TRACE_PROGRAMS];
	const struct trace_what *what;
};

struct trace_what {
	enum trace_kind kind;
	const struct rung *rungs;
	const char *programs[TRACE_PROGRAMS + 1];
	gboolean (*decode)(struct eventring *ring, const struct event_head *head, gsize bytes);
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

/* ---- fields ---- */

struct fields {
	struct probe_field each[EVENT_FIELDS_MAX];
	guint count;
};

static struct probe_field *field_add(struct fields *fields, const char *name, enum event_unit unit)
{
	struct probe_field *field = &fields->each[fields->count++];

	*field = (struct probe_field){ .field = { .name = name, .unit = unit } };
	return field;
}

static void field_text(struct fields *fields, const char *name, const char *text)
{
	if (text)
		field_add(fields, name, EVENT_TEXT)->field.text = text;
}

static void field_number(struct fields *fields, const char *name, enum event_unit unit, guint64 number)
{
	field_add(fields, name, unit)->field.number = number;
}

/* "ENOENT", "SIGKILL"; the number when it has no name. Owned by the caller. */
static char *name_errno(int number)
{
	const char *name = strerrorname_np(number);

	return name ? g_strdup(name) : g_strdup_printf("%d", number);
}

static char *name_signal(int number)
{
	const char *name = sigabbrev_np(number);

	if (name)
		return g_strdup_printf("SIG%s", name);
	if (number >= SIGRTMIN && number <= SIGRTMAX)
		return g_strdup_printf("SIGRTMIN+%d", number - SIGRTMIN);
	return g_strdup_printf("%d", number);
}

/* ---- records → events ---- */

static gboolean decode_exec(struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_exec *record = (const void *)head;
	gsize start = G_STRUCT_OFFSET(struct trace_exec, arguments);
	g_autofree char *program = NULL, *parent = NULL, *file = NULL;
	struct fields fields = { 0 };

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

static gboolean decode_exit(struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_exit *record = (const void *)head;
	g_autofree char *signal = NULL;
	struct fields fields = { 0 };

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

static gboolean decode_signal(struct eventring *ring, const struct event_head *head, gsize bytes)
{
	static const char *const results[] = { "delivered", "ignored", "already pending", "lost: queue full",
					       "delivered without its details: queue full" };
	const struct trace_signal *record = (const void *)head;
	g_autofree char *signal = NULL, *sender = NULL;
	struct fields fields = { 0 };

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

static gboolean decode_open(struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_open *record = (const void *)head;
	gsize start = G_STRUCT_OFFSET(struct trace_open, path.text);
	g_autofree char *path = NULL, *asked = NULL, *flags = NULL, *error = NULL;
	struct fields fields = { 0 };

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
	[TRACE_OPEN] = { TRACE_OPEN, open_rungs, { "trace_open" }, decode_open },
};

/* ---- running ---- */

/* eventring_decode_fn */
static gboolean trace_decode(void *user, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct trace_run *run = user;

	return run->what->decode(ring, head, bytes);
}

static gboolean trace_uses(const struct trace_what *what, const char *program)
{
	return g_str_has_prefix(program, "births_") || g_strv_contains(what->programs, program);
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
	int result;

	ladder_log_start();
	run->kernel = trace_bpf__open();
	if (!run->kernel) {
		ladder_set_error(error, what, errno);
		return FALSE;
	}
	filter_values_init(&values, request);
	FILTER_SET(run->kernel->rodata, &values);
	EVENTRING_SET(run->kernel->rodata, request);
	run->kernel->rodata->trace_arguments = request->arguments;
	memcpy((void *)&run->kernel->rodata->system_calls, &calls, sizeof(calls));
	bpf_object__for_each_program(program, run->kernel->obj)
		bpf_program__set_autoload(program, trace_uses(run->what, bpf_program__name(program)));
	bpf_map__set_max_entries(run->kernel->maps.event_ring, TRACE_RING_BYTES);
	if (!filter_size(run->kernel->obj, request, error))
		return FALSE;
	result = trace_bpf__load(run->kernel);
	if (result != 0) {
		ladder_set_error(error, what, -result);
		return FALSE;
	}
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

		run->links[i] = bpf_program__attach(program);
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
	eventring_close(run->ring);
	trace_bpf__destroy(run->kernel);
	g_free(run);
}

static struct probe_run *trace_open(enum trace_kind kind, const struct probe_request *request,
				    const struct probe_listener *listener, GError **error)
{
	struct trace_run *run = g_new0(struct trace_run, 1);

	run->what = &trace_whats[kind];
	if (trace_load(run, request, error))
		run->ring = eventring_open(run->kernel->obj, listener, trace_decode, run, error);
	if (!run->ring || !ladder_climb(run->what->rungs, request->rung, trace_attach, run, NULL, error)) {
		trace_close((struct probe_run *)run);
		return NULL;
	}
	return (struct probe_run *)run;
}

static int trace_fd(struct probe_run *opaque)
{
	return eventring_fd(((struct trace_run *)opaque)->ring);
}

static gboolean trace_drain(struct probe_run *opaque, GError **error)
{
	return eventring_drain(((struct trace_run *)opaque)->ring, error);
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
TRACE_PROBE(open, TRACE_OPEN, "files opened, or not")
