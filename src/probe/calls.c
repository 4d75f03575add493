/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/calls.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "calls.skel.h"
#include "fsops.skel.h"
#include "kernel/syscalls.h"
#include "probe/fields.h"
#include "probe/filter.h"
#include "probe/fs_types.h"
#include "probe/gather.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/parttime.h"

/* What a system call takes longer while somebody hears of all of them, without what the programs do. */
#define CALLS_DETOUR_NS 100
/* Who watches for ever does not take more than this share of the machine's CPU time from others that way. */
#define CALLS_SHARE 0.001
#define CALLS_EVENT_ROWS 64 /* the table is not used then */
#define CALLS_SYSCALL_ROWS 8192 /* as many system calls and errors as there are, for some hundred containers */

struct calls_run {
	struct calls_bpf *kernel; /* one of the two */
	struct fsops_bpf *fsops;
	struct gather gather;
	const struct gather_setup *setup; /* while opening */
	const struct rung *rung;
	char *why_not; /* better rungs that did not work; NULL: none */
	enum calls_mode mode;
	struct parttime *calls; /* NULL: heard all the time */
	struct bpf_link *asleep; /* of calls_asleep, with `calls` */
	int fd;
};

static const struct rung calls_rungs[] = {
	{ .name = "tp_btf/sys_enter+exit",
	  .misses = "calls that had begun before; what io_uring does; 32-bit programs' calls by their own names" },
	{ 0 },
};
static const struct rung fs_rungs[] = {
	{ .name = "fentry/vfs_*",
	  .misses = "files in memory maps, writing back from the page cache, io_uring, sendfile and splice" },
	{ .name = "tp_btf/sys_enter+exit",
	  .misses = "files in memory maps, writing back from the page cache, io_uring, sendfile and splice; what the "
		    "kernel itself does with files" },
	{ 0 },
};
static const struct rung slow_fs_rungs[] = {
	{ .name = "tp_btf/sys_enter+exit",
	  .misses = "files in memory maps, writing back from the page cache, io_uring, sendfile and splice; what the "
		    "kernel itself does with files" },
	{ 0 },
};

/* ---- system calls by what they are ---- */

static const struct {
	guint32 number;
	enum calls_class class;
} calls_known[] = {
	{ SYS_read, CALLS_READ },
	{ SYS_readv, CALLS_READ },
	{ SYS_pread64, CALLS_PREAD },
	{ SYS_preadv, CALLS_PREAD },
	{ SYS_preadv2, CALLS_PREAD },
	{ SYS_write, CALLS_WRITE },
	{ SYS_writev, CALLS_WRITE },
	{ SYS_pwrite64, CALLS_PWRITE },
	{ SYS_pwritev, CALLS_PWRITE },
	{ SYS_pwritev2, CALLS_PWRITE },
	{ SYS_fsync, CALLS_SYNC },
	{ SYS_fdatasync, CALLS_SYNC },
	{ SYS_sync_file_range, CALLS_FILE }, /* it begins to write, and waits for nothing */
	{ SYS_openat, CALLS_OPEN },
	{ SYS_openat2, CALLS_OPEN },
#ifdef SYS_open
	{ SYS_open, CALLS_OPEN },
	{ SYS_creat, CALLS_OPEN },
	{ SYS_getdents, CALLS_FILE },
	{ SYS_poll, CALLS_WAIT },
	{ SYS_select, CALLS_WAIT },
	{ SYS_pause, CALLS_WAIT },
	{ SYS_epoll_wait, CALLS_WAIT },
#endif
	{ SYS_getdents64, CALLS_FILE },
	{ SYS_ftruncate, CALLS_FILE },
	{ SYS_fallocate, CALLS_FILE },
	{ SYS_fstat, CALLS_FILE },
	{ SYS_flock, CALLS_FILE },
	{ SYS_fcntl, CALLS_FILE },
	{ SYS_ioctl, CALLS_FILE },
	{ SYS_close, CALLS_OTHER }, /* the file is gone by then */
	{ SYS_futex, CALLS_FUTEX },
	{ SYS_nanosleep, CALLS_WAIT },
	{ SYS_clock_nanosleep, CALLS_WAIT },
	{ SYS_ppoll, CALLS_WAIT },
	{ SYS_pselect6, CALLS_WAIT },
	{ SYS_epoll_pwait, CALLS_WAIT },
	{ SYS_epoll_pwait2, CALLS_WAIT },
	{ SYS_wait4, CALLS_WAIT },
	{ SYS_waitid, CALLS_WAIT },
	{ SYS_rt_sigtimedwait, CALLS_WAIT },
	{ SYS_rt_sigsuspend, CALLS_WAIT },
	{ SYS_restart_syscall, CALLS_WAIT },
	{ SYS_io_getevents, CALLS_WAIT },
};

static const char *const calls_operations[CALLS_OPERATIONS] = { "read", "write", "open", "fsync" };

/* NULL: none of those in the list. */
static const char *fs_type_name(guint32 type)
{
	switch (type) {
#define FS_NAME(index, magic, name)                                                                                    \
	case index:                                                                                                    \
		return name;
		FS_TYPES(FS_NAME)
#undef FS_NAME
	default:
		return NULL;
	}
}

/* ---- histograms ---- */

static gboolean syscall_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	guint32 error = (guint32)owner->key.label;

	(void)which;
	values[0].number = owner->key.label >> 32;
	values[1].text = error ? strerrorname_np((int)error) : NULL;
	if (error && !values[1].text)
		values[1].text = error >= 512 && error < 530 ? "interrupted" : "other error"; /* ERESTARTSYS … */
	return TRUE;
}

static gboolean fs_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	const char *type = fs_type_name(owner->key.label >> 8 & 0xffff);
	guint32 operation = owner->key.label & 0xff;

	(void)which;
	values[0].text = type ? type : "other";
	values[1].number = owner->key.label >> 32;
	values[2].text = operation < CALLS_OPERATIONS ? calls_operations[operation] : NULL;
	return TRUE;
}

/* A wait for a lock is told from one for a condition by what glibc's mutexes hold; other libraries may differ. */
static gboolean futex_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	static const struct {
		int error;
		const char *name;
	} ends[] = { { 0, "woken" }, { ETIMEDOUT, "timed out" }, { EAGAIN, "did not wait" }, { EINTR, "interrupted" } };
	guint32 error = (guint32)owner->key.label;

	(void)which;
	values[0].text = owner->key.label >> 32 ? "likely a lock" : "likely a condition";
	values[1].text = "other error";
	for (gsize i = 0; i < G_N_ELEMENTS(ends); i++)
		if ((guint32)ends[i].error == error)
			values[1].text = ends[i].name;
	return TRUE;
}

static const struct table_ops futex_table_ops = { .classes = 1, .values = 2, .values_of = futex_values };
static const struct probe_label futex_labels[] = {
	{ "wait", PROBE_LABEL_TEXT },
	{ "end", PROBE_LABEL_TEXT },
	{ 0 },
};
static const struct table_ops syscall_table_ops = { .classes = 1, .values = 2, .values_of = syscall_values };
static const struct table_ops fs_table_ops = { .classes = 1, .values = 3, .values_of = fs_values };

static const struct probe_label syscall_labels[] = {
	{ "syscall", PROBE_LABEL_SYSCALL },
	{ "error", PROBE_LABEL_TEXT },
	{ 0 },
};
static const struct probe_label fs_labels[] = {
	{ "type", PROBE_LABEL_TEXT },
	{ "device", PROBE_LABEL_DEVICE },
	{ "operation", PROBE_LABEL_TEXT },
	{ 0 },
};

/* ---- events ---- */

static void fields_result(struct fields *fields, const struct calls_record *record, char **error)
{
	if (record->result < 0 && record->result >= -4095) {
		*error = name_errno((int)-record->result);
		field_text(fields, "error", *error);
	} else if (record->class >= CALLS_READ && record->class <= CALLS_PWRITE) {
		field_number(fields, "size", EVENT_BYTES, (guint64)record->result);
	}
}

/* What a file is called that has no name. */
static const char *file_kind(guint32 mode)
{
	switch (mode) {
	case S_IFIFO:
		return "[pipe]";
	case S_IFSOCK:
		return "[socket]";
	case 0:
		return NULL;
	default:
		return "[no name]";
	}
}

static void tell_fs(struct eventring *ring, const struct calls_record *record, const char *path)
{
	static const char *const operations[] = {
		[CALLS_READ] = "read",	  [CALLS_WRITE] = "write", [CALLS_PREAD] = "read",
		[CALLS_PWRITE] = "write", [CALLS_SYNC] = "fsync",  [CALLS_OPEN] = "open",
	};
	g_autofree char *error = NULL;
	struct fields fields = { 0 };

	if (record->class < G_N_ELEMENTS(operations))
		field_text(&fields, "operation", operations[record->class]);
	field_text(&fields, "type", fs_type_name(record->type));
	field_number(&fields, "latency", EVENT_NANOSECONDS, record->latency_ns);
	fields_result(&fields, record, &error);
	if (record->offset >= 0)
		field_number(&fields, "offset", EVENT_BYTES, (guint64)record->offset);
	field_text(&fields, "file", path ? path : file_kind(record->mode));
	eventring_tell(ring, &record->head, "slow", fields.each, fields.count);
}

static void tell_syscall(struct eventring *ring, const struct calls_record *record, const char *path)
{
	g_autofree char *number = g_strdup_printf("%u", record->number);
	g_autofree char *error = NULL;
	struct fields fields = { 0 };

	field_text(&fields, "syscall", syscall_name(record->number) ? syscall_name(record->number) : number);
	field_number(&fields, "latency", EVENT_NANOSECONDS, record->latency_ns);
	fields_result(&fields, record, &error);
	field_text(&fields, "file", path ? path : file_kind(record->mode));
	eventring_tell(ring, &record->head, "slow", fields.each, fields.count);
}

static void tell_futex(struct eventring *ring, const struct calls_record *record)
{
	static const struct {
		guint32 command;
		const char *name;
	} names[] = {
		{ 0, "wait" }, { 6, "lock pi" }, { 9, "wait bitset" }, { 11, "wait requeue" }, { 13, "lock pi" }
	};
	g_autofree char *address = g_strdup_printf("0x%" G_GINT64_MODIFIER "x", (guint64)record->arguments[0]);
	guint32 command = (guint32)record->arguments[1] & FUTEX_CMD_MASK;
	gboolean contended = command == 0 && (guint32)record->arguments[2] == FUTEX_CONTENDED;
	g_autofree char *error = NULL;
	struct fields fields = { 0 };

	for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
		if (names[i].command == command)
			field_text(&fields, "operation", names[i].name);
	field_number(&fields, "latency", EVENT_NANOSECONDS, record->latency_ns);
	field_text(&fields, "address", address);
	field_text(&fields, "likely", contended || command == 6 || command == 13 ? "lock" : "condition");
	fields_result(&fields, record, &error);
	eventring_tell(ring, &record->head, "slow", fields.each, fields.count);
}

/* eventring_decode_fn */
static gboolean calls_decode(void *user, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct calls_run *run = user;
	const struct calls_record *record = (const void *)head;
	gsize start = G_STRUCT_OFFSET(struct calls_record, path.text);
	g_autofree char *path = NULL;

	if (bytes < start)
		return FALSE;
	path = eventring_path(&record->path, bytes - start);
	if (!path && record->class == CALLS_OPEN && record->path.bytes > 0 && bytes > start)
		path = g_strndup(record->path.text, bytes - start);
	if (run->mode == CALLS_SLOW_FS)
		tell_fs(ring, record, path);
	else if (run->mode == CALLS_SLOW_FUTEX)
		tell_futex(ring, record);
	else
		tell_syscall(ring, record, path);
	return TRUE;
}

/* ---- running ---- */

static gboolean calls_load(struct calls_run *run, const struct gather_setup *setup, GError **error)
{
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	static const char what[] = "cannot load the system call program";
	struct filter_values values;

	run->kernel = KERNEL_BTF_OPEN(calls, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, setup->request);
	TABLE_SET(run->kernel->rodata, &values, setup->request, setup->rows);
	EVENTRING_SET(run->kernel->rodata, setup->request);
	bpf_program__set_autoload(run->kernel->progs.calls_asleep, setup->request->frugal);
	run->kernel->rodata->calls_mode = run->mode;
	run->kernel->rodata->calls_over_ns = setup->request->threshold_ns;
	run->kernel->rodata->openat_number = SYS_openat;
	run->kernel->rodata->openat2_number = SYS_openat2;
	for (gsize i = 0; i < G_N_ELEMENTS(calls_known); i++)
		if (calls_known[i].number < CALLS_NUMBERS)
			run->kernel->rodata->calls_classes[calls_known[i].number] = calls_known[i].class;
	run->gather.object = run->kernel->obj;
	if (!gather_size(&run->gather, setup, error))
		return FALSE;
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

static gboolean calls_attach_parttime(struct calls_run *run, GError **error)
{
	const struct parttime_setup setup = {
		.programs = { run->kernel->progs.calls_enter, run->kernel->progs.calls_exit },
		.object = run->kernel->obj,
		.detour_ns = CALLS_DETOUR_NS,
		.limit = CALLS_SHARE,
	};

	gather_unmeasured(&run->gather); /* they are on for part of the time instead */
	run->asleep = bpf_program__attach_iter(run->kernel->progs.calls_asleep, NULL);
	if (!run->asleep) {
		ladder_set_error(error, "cannot look at all threads", errno);
		return FALSE;
	}
	run->calls = parttime_new(&setup);
	run->fd = run->calls ? parttime_fd_with(run->calls, gather_fd(&run->gather)) : -1;
	if (run->fd < 0) {
		ladder_set_error(error, "cannot attach to system calls", errno);
		return FALSE;
	}
	table_scale(run->gather.table, run->calls);
	return kernel_btf_iterate(run->asleep, "cannot look at all threads", error);
}

static gboolean calls_attach_calls(struct calls_run *run, GError **error)
{
	if (!calls_load(run, run->setup, error) || !gather_open(&run->gather, run->setup, error))
		return FALSE;
	if (run->setup->request->frugal && run->gather.table)
		return calls_attach_parttime(run, error);
	return gather_attach(&run->gather, run->kernel->progs.calls_enter, error) &&
	       gather_attach(&run->gather, run->kernel->progs.calls_exit, error);
}

/* Leaves out the programs whose function this kernel does not have as one of its own (it may be inlined). */
static gboolean fsops_choose(struct bpf_object *object, GError **error)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	struct bpf_program *program;
	guint found = 0;

	bpf_object__for_each_program(program, object)
	{
		const char *section = bpf_program__section_name(program), *function = strchr(section, '/');
		gboolean there;

		if (!function || !(g_str_has_prefix(section, "fentry/") || g_str_has_prefix(section, "fexit/")))
			continue;
		there = kernel && btf__find_by_name_kind(kernel, function + 1, BTF_KIND_FUNC) > 0;
		bpf_program__set_autoload(program, there);
		found += there;
	}
	btf__free(kernel);
	if (found == 0)
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED,
			    "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
	return found > 0;
}

static gboolean fsops_load(struct calls_run *run, GError **error)
{
	static const char what[] = "cannot watch functions of the kernel";
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	struct filter_values values;

	run->fsops = KERNEL_BTF_OPEN(fsops, btf, what, error);
	if (!run->fsops)
		return FALSE;
	filter_values_init(&values, run->setup->request);
	TABLE_SET(run->fsops->rodata, &values, run->setup->request, run->setup->rows);
	run->gather.object = run->fsops->obj;
	if (!gather_size(&run->gather, run->setup, error) || !fsops_choose(run->fsops->obj, error))
		return FALSE;
	return kernel_btf_load(btf, run->fsops->skeleton, what, error);
}

/* All programs whose sections begin so, of those that were loaded. */
static gboolean fsops_attach(struct calls_run *run, const char *prefix, GError **error)
{
	struct bpf_program *program;

	bpf_object__for_each_program(
		program, run->fsops->obj) if (bpf_program__autoload(program) &&
					      g_str_has_prefix(bpf_program__section_name(program), prefix) &&
					      !gather_attach(&run->gather, program, error)) return FALSE;
	return TRUE;
}

/* Ends before beginnings: an operation whose end was not heard would never be over. */
static gboolean calls_attach_fsops(struct calls_run *run, GError **error)
{
	return fsops_load(run, error) && gather_open(&run->gather, run->setup, error) &&
	       fsops_attach(run, "fexit/", error) && fsops_attach(run, "fentry/", error);
}

static void calls_unload(struct calls_run *run)
{
	gather_close(&run->gather);
	g_clear_pointer(&run->calls, parttime_free);
	bpf_link__destroy(g_steal_pointer(&run->asleep));
	g_clear_pointer(&run->kernel, calls_bpf__destroy);
	g_clear_pointer(&run->fsops, fsops_bpf__destroy);
}

/* ladder_try_fn */
static gboolean calls_attach(void *user, const struct rung *rung, GError **error)
{
	struct calls_run *run = user;

	if (rung == &fs_rungs[0] ? calls_attach_fsops(run, error) : calls_attach_calls(run, error))
		return TRUE;
	calls_unload(run);
	return FALSE;
}

static void calls_close(struct probe_run *opaque)
{
	struct calls_run *run = (struct calls_run *)opaque;

	if (!run)
		return;
	calls_unload(run);
	g_free(run->why_not);
	g_free(run);
}

static guint32 calls_rows(enum calls_mode mode, const struct probe_request *request)
{
	guint32 rows = table_rows_for(request, 1);

	if (mode != CALLS_SYSCALL && mode != CALLS_FS && mode != CALLS_FUTEX_WAITS)
		return CALLS_EVENT_ROWS;
	return mode == CALLS_SYSCALL ? MAX(rows, CALLS_SYSCALL_ROWS) : rows;
}

static const struct rung *calls_rungs_of(enum calls_mode mode)
{
	return mode == CALLS_FS ? fs_rungs : mode == CALLS_SLOW_FS ? slow_fs_rungs : calls_rungs;
}

static struct probe_run *calls_start(enum calls_mode mode, const struct probe_request *request,
				     const struct probe_listener *listener, GError **error)
{
	struct calls_run *run = g_new0(struct calls_run, 1);
	gboolean events = mode != CALLS_SYSCALL && mode != CALLS_FS && mode != CALLS_FUTEX_WAITS;
	struct gather_setup setup = {
		.request = request,
		.listener = listener,
		.table = mode == CALLS_FS	     ? &fs_table_ops
			 : mode == CALLS_FUTEX_WAITS ? &futex_table_ops
						     : &syscall_table_ops,
		.decode = events ? calls_decode : NULL,
		.user = run,
		.rows = calls_rows(mode, request),
	};

	run->mode = mode;
	run->setup = &setup;
	run->rung = ladder_climb(calls_rungs_of(mode), request->rung, calls_attach, run, &run->why_not, error);
	run->setup = NULL;
	if (run->rung)
		return (struct probe_run *)run;
	calls_close((struct probe_run *)run);
	return NULL;
}

static int calls_fd(struct probe_run *run)
{
	const struct calls_run *calls = (const struct calls_run *)run;

	return calls->calls ? calls->fd : gather_fd(&calls->gather);
}

static void calls_account(const struct calls_run *run, struct ledger *ledger)
{
	if (!ledger->rung)
		ledger->rung = g_strdup(run->rung->name);
	if (!ledger->misses)
		ledger->misses = g_strdup(run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
}

static void calls_listen_when_due(struct calls_run *run)
{
	if (!run->calls || !parttime_step(run->calls))
		return;
	__atomic_store_n(&run->kernel->bss->calls_heard_ns, clock_monotonic_ns(), __ATOMIC_RELEASE);
	if (parttime_turn(run->calls) && parttime_is_on(run->calls))
		kernel_btf_iterate(run->asleep, "cannot look at all threads", NULL); /* then long ones are missed */
}

static gboolean calls_drain(struct probe_run *opaque, GError **error)
{
	struct calls_run *run = (struct calls_run *)opaque;

	calls_listen_when_due(run);
	return gather_drain(&run->gather, error);
}

static gboolean calls_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct calls_run *run = (struct calls_run *)opaque;

	calls_listen_when_due(run);
	if (run->calls) {
		parttime_take(run->calls);
		parttime_account(run->calls, "file operations (one that had begun before from when it last slept)",
				 ledger);
	}
	calls_account(run, ledger);
	return gather_collect(&run->gather, ledger, error);
}

static gboolean calls_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct calls_run *run = (struct calls_run *)opaque;

	if (run->calls) {
		parttime_stop(run->calls);
		parttime_take(run->calls);
	}
	calls_account(run, ledger);
	return gather_finish(&run->gather, ledger, error);
}

#define CALLS_OPEN_OF(what, mode)                                                                                      \
	static struct probe_run *calls_open_##what(const struct probe_request *request,                                \
						   const struct probe_listener *listener, GError **error)              \
	{                                                                                                              \
		return calls_start(mode, request, listener, error);                                                    \
	}
CALLS_OPEN_OF(syscall, CALLS_SYSCALL)
CALLS_OPEN_OF(fs, CALLS_FS)
CALLS_OPEN_OF(slow_syscall, CALLS_SLOW_SYSCALL)
CALLS_OPEN_OF(slow_fs, CALLS_SLOW_FS)
CALLS_OPEN_OF(slow_futex, CALLS_SLOW_FUTEX)
CALLS_OPEN_OF(futex, CALLS_FUTEX_WAITS)

const struct probe probe_syscall = {
	.name = "syscall",
	.shows = "system calls: how many, how long, which errors",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = calls_rungs,
	.labels = syscall_labels,
	.open = calls_open_syscall,
	.fd = calls_fd,
	.drain = calls_drain,
	.collect = calls_collect,
	.finish = calls_finish,
	.close = calls_close,
};

const struct probe probe_futex = {
	.name = "futex",
	.shows = "waits for user-space locks and conditions",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = calls_rungs,
	.labels = futex_labels,
	.open = calls_open_futex,
	.fd = calls_fd,
	.drain = calls_drain,
	.collect = calls_collect,
	.finish = calls_finish,
	.close = calls_close,
};

const struct probe probe_fs = {
	.name = "fs",
	.shows = "file operations: read, write, open, fsync, by file system",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = fs_rungs,
	.labels = fs_labels,
	.open = calls_open_fs,
	.fd = calls_fd,
	.drain = calls_drain,
	.collect = calls_collect,
	.finish = calls_finish,
	.close = calls_close,
};

#define CALLS_SLOW_PROBE(what, text, those_rungs)                                                                      \
	const struct probe probe_slow_##what = {                                                                       \
		.name = "slow " #what,                                                                                 \
		.shows = text,                                                                                         \
		.shape = SHAPE_EVENTS,                                                                                 \
		.unit = UNIT_COUNT,                                                                                    \
		.rungs = those_rungs,                                                                                  \
		.open = calls_open_slow_##what,                                                                        \
		.fd = calls_fd,                                                                                        \
		.drain = calls_drain,                                                                                  \
		.finish = calls_finish,                                                                                \
		.close = calls_close,                                                                                  \
	};
CALLS_SLOW_PROBE(syscall, "system calls that take long, but for those that are there to wait", calls_rungs)
CALLS_SLOW_PROBE(fs, "file operations that take long", slow_fs_rungs)
CALLS_SLOW_PROBE(futex, "waits for locks and conditions of programs that take long", calls_rungs)
