/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long system calls take, seen at their entry and exit; and through the file behind their descriptor how long file
 * operations take, by file system. At the entry there is nothing but a stamp, and that only for calls and tasks that
 * were asked for. */
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "calls.h"
#define TABLE_CLASSES 1
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/event.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/path.bpf.h"
#include "bpf/syscall.bpf.h"
#include "bpf/table.bpf.h"
#include "fs_types.h"

#define S_IFMT 0170000 /* include/uapi/linux/stat.h */
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define MAX_ERRNO 4095
#define TASK_INTERRUPTIBLE 1 /* include/linux/sched.h */
#define TASK_UNINTERRUPTIBLE 2
#define CALL_STAMP_NS 10000000 /* the scheduler's clock may stand still for a tick */

const volatile __u32 calls_mode = CALLS_SYSCALL;
const volatile __u32 openat_number = 0, openat2_number = 0; /* their path is argument 1 */
const volatile __u64 calls_over_ns = 0; /* slow: only what takes this long */
__u64 calls_heard_ns = 0; /* since then without a break: names the stretch of time that is heard now */
const volatile __u8 calls_classes[CALLS_NUMBERS] = {}; /* enum calls_class by number */

/* A thread's call in progress, and what was found out about the file of its last one: most go to the same file again,
 * and every pointer followed costs. */
struct call {
	u64 start_ns; /* 0: none */
	u64 heard_ns; /* calls_heard_ns then: in another stretch its end may not have been heard, and this is another call */
	u64 number;
	s64 offset; /* of the file, before; only for slow */
	struct file *file;
	struct inode *inode; /* of `file`: when it is another, `file` is another file at the same address */
	u64 label; /* CALLS_LABEL_FS without the operation */
	u32 mode;
	u32 many; /* calls it stands for */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct calls_record);
} calls_scratches SEC(".maps");

static __always_inline u32 call_class(u64 number)
{
	return number < CALLS_NUMBERS ? calls_classes[number & (CALLS_NUMBERS - 1)] : CALLS_OTHER;
}

static __always_inline bool call_is_slow_mode(void)
{
	return calls_mode == CALLS_SLOW_SYSCALL || calls_mode == CALLS_SLOW_FS || calls_mode == CALLS_SLOW_FUTEX;
}

/* Does this run want calls of the class at all? */
static __always_inline bool call_matters(u32 class)
{
	switch (calls_mode) {
	case CALLS_SYSCALL:
		return true;
	case CALLS_FS:
	case CALLS_SLOW_FS:
		return (class >= CALLS_READ && class <= CALLS_SYNC) || class == CALLS_OPEN;
	case CALLS_SLOW_FUTEX:
	case CALLS_FUTEX_WAITS:
		return class == CALLS_FUTEX;
	default:
		return class != CALLS_WAIT && class != CALLS_FUTEX;
	}
}

static __always_inline bool call_has_file(u32 class)
{
	return class >= CALLS_READ && class <= CALLS_FILE;
}

static __always_inline void call_begins(struct pt_regs *regs, long number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 class = call_class(number);
	struct call *call;
	u32 many;

	if (!call_matters(class))
		return;
	many = call_is_slow_mode() ? 1 : budget_pick();
	if (!many)
		return;
	if (filter_on && !filter_wants(task, cgroup_key_current()))
		return;
	call = bpf_task_storage_get(&calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call) {
		loss_add(LOSS_STORAGE, 1, 0);
		return;
	}
	call->number = number;
	call->many = many;
	call->heard_ns = calls_heard_ns;
	if (call_is_slow_mode()) {
		struct file *file = NULL;

		if (class == CALLS_READ || class == CALLS_WRITE)
			file = path_file(task, syscall_argument(regs, 0));
		call->offset = file ? BPF_CORE_READ(file, f_pos) : -1;
	}
	call->start_ns = bpf_ktime_get_ns();
}

SEC("btf_tp/sys_enter")
int BPF_PROG(calls_enter, struct pt_regs *regs, long number)
{
	u64 since_ns = pace_begin(0);

	call_begins(regs, number);
	pace_end(0, since_ns);
	return 0;
}

static __always_inline u32 fs_operation(u32 class)
{
	switch (class) {
	case CALLS_READ:
	case CALLS_PREAD:
		return CALLS_OPERATION_READ;
	case CALLS_WRITE:
	case CALLS_PWRITE:
		return CALLS_OPERATION_WRITE;
	case CALLS_SYNC:
		return CALLS_OPERATION_SYNC;
	default:
		return CALLS_OPERATION_OPEN;
	}
}

/* The file the call worked on, if it is one of a file system: regular, or a directory. */
static __always_inline struct file *fs_file(struct task_struct *task, struct pt_regs *regs, u32 class, long result,
					    struct super_block **sb, u32 *mode)
{
	struct file *file = NULL;
	struct inode *inode;

	if (call_has_file(class))
		file = path_file(task, syscall_argument(regs, 0));
	else if (class == CALLS_OPEN && result >= 0)
		file = path_file(task, result);
	if (!file)
		return NULL;
	inode = BPF_CORE_READ(file, f_inode);
	*mode = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	*sb = BPF_CORE_READ(inode, i_sb);
	return file;
}

static __always_inline void calls_count(struct task_struct *task, u64 label, u64 ns, u32 many)
{
	struct table_key key;
	u32 row;

	table_key_init(&key, task, cgroup_key_current(), label);
	row = table_row(task, &key);
	table_add_ns_many(row, 0, ns, many);
}

/* The same as path_file, for the current task: without a helper for each pointer. */
static __always_inline struct file *call_file(struct task_struct *task, u32 fd)
{
	struct fdtable *table = task->files->fdt;
	struct file *file = NULL;

	if (fd < table->max_fds)
		bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return file;
}

static __always_inline void fs_learn(struct call *call, struct file *file, struct inode *inode)
{
	struct super_block *sb = BPF_CORE_READ(inode, i_sb);

	call->file = file;
	call->inode = inode;
	call->mode = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	call->label = CALLS_LABEL_FS(BPF_CORE_READ(sb, s_dev), fs_type_of(BPF_CORE_READ(sb, s_magic)), 0);
}

static __always_inline void fs_count(struct task_struct *task, struct call *call, struct pt_regs *regs, u32 class,
				     long result, u64 ns)
{
	struct inode *inode = NULL;
	struct file *file;

	if (class == CALLS_OPEN && result < 0)
		return;
	file = call_file(task, class == CALLS_OPEN ? (u64)result : syscall_argument(regs, 0));
	if (!file)
		return;
	bpf_probe_read_kernel(&inode, sizeof(inode), (void *)file + bpf_core_field_offset(struct file, f_inode));
	if (call->file != file || call->inode != inode)
		fs_learn(call, file, inode);
	if (call->mode == S_IFREG || call->mode == S_IFDIR)
		calls_count(task, call->label | fs_operation(class), ns, call->many);
}

static __always_inline bool futex_waits(struct pt_regs *regs)
{
	switch (syscall_argument(regs, 1) & FUTEX_CMD_MASK) {
	case 0: /* FUTEX_WAIT */
	case 6: /* FUTEX_LOCK_PI */
	case 9: /* FUTEX_WAIT_BITSET */
	case 11: /* FUTEX_WAIT_REQUEUE_PI */
	case 13: /* FUTEX_LOCK_PI2 */
		return true;
	default:
		return false;
	}
}

static __always_inline void calls_tell(struct task_struct *task, struct pt_regs *regs, u32 class, long result, u64 ns,
				       s64 offset)
{
	struct super_block *sb = NULL;
	struct calls_record *record;
	struct file *file;
	u64 key = cgroup_key_current();
	u32 zero = 0, bytes, mode = 0;

	if (calls_mode == CALLS_SLOW_FUTEX && !futex_waits(regs))
		return;
	file = fs_file(task, regs, class, result, &sb, &mode);
	if (calls_mode == CALLS_SLOW_FS && class != CALLS_OPEN && (!file || (mode != S_IFREG && mode != S_IFDIR)))
		return;
	loss_add(LOSS_SEEN, 1, 1);
	record = bpf_map_lookup_elem(&calls_scratches, &zero);
	if (!record || !event_allowed(key))
		return;
	event_head_fill(&record->head, task, key, calls_mode);
	record->latency_ns = ns;
	record->result = result;
	record->arguments[0] = syscall_argument(regs, 0);
	record->arguments[1] = syscall_argument(regs, 1);
	record->arguments[2] = syscall_argument(regs, 2);
	record->arguments[3] = syscall_argument(regs, 3);
	record->offset = class == CALLS_PREAD || class == CALLS_PWRITE ? (s64)record->arguments[3] : offset;
	record->number = syscall_number(regs);
	record->class = class;
	record->mode = mode;
	record->type = file ? fs_type_of(BPF_CORE_READ(sb, s_magic)) : 0;
	record->path.flags = record->path.bytes = 0;
	if (file) {
		path_of(&record->path, file, task);
	} else if (class == CALLS_OPEN) { /* what it was asked for, as one name */
		long length = bpf_probe_read_user_str(record->path.text, PATH_BYTES,
						      (void *)(record->number == openat_number ||
									       record->number == openat2_number
								       ? record->arguments[1]
								       : record->arguments[0]));

		record->path.bytes = length > 0 ? length : 0;
	}
	bytes = record->path.bytes;
	if (bytes > sizeof(record->path.text))
		bytes = sizeof(record->path.text);
	event_send(record, __builtin_offsetof(struct calls_record, path.text) + bytes);
}

static __always_inline void futex_count(struct task_struct *task, struct pt_regs *regs, long result, u64 ns, u32 many)
{
	u32 command = syscall_argument(regs, 1) & FUTEX_CMD_MASK;
	bool lock =
		command == 6 || command == 13 || (command == 0 && (u32)syscall_argument(regs, 2) == FUTEX_CONTENDED);

	if (futex_waits(regs))
		calls_count(task, CALLS_LABEL_FUTEX(lock, result < 0 ? -result : 0), ns, many);
}

/* When `task`, which sleeps, ran last. The scheduler's clock is no other's; what is between them is seen on this CPU. */
static __always_inline u64 call_slept_since(struct task_struct *task)
{
	u64 now = BPF_CORE_READ(bpf_get_current_task_btf(), se.cfs_rq, rq, clock),
	    arrival = task->sched_info.last_arrival;

	return bpf_ktime_get_ns() - (now > arrival ? now - arrival : 0);
}

/* Who sleeps in a call when hearing begins (again): else long calls would be heard of only when they begin and end in one
 * stretch of it. A stamp of an earlier one is right if the thread has not run since. */
SEC("btf_iter/task")
int calls_asleep(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct pt_regs *regs;
	struct call *call;
	u64 number, since;

	if (!task || task->flags & PF_KTHREAD || !(task->__state & (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)))
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	number = syscall_number(regs);
	if (!call_matters(call_class(number)))
		return 0;
	call = bpf_task_storage_get(&calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call || (call->start_ns && call->heard_ns == calls_heard_ns))
		return 0;
	since = call_slept_since(task);
	if (!call->start_ns || call->number != number || call->start_ns + CALL_STAMP_NS < since) {
		call->number = number;
		call->many = 1;
		call->start_ns = since;
	}
	call->heard_ns = calls_heard_ns;
	return 0;
}

static __always_inline void call_ends(struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 number = syscall_number(regs), ns;
	u32 class = call_class(number);
	struct call *call;

	if (!call_matters(class))
		return;
	call = bpf_task_storage_get(&calls, task, 0, 0);
	if (!call || !call->start_ns || call->number != number || call->heard_ns != calls_heard_ns)
		return;
	ns = bpf_ktime_get_ns() - call->start_ns;
	call->start_ns = 0;
	if (calls_mode == CALLS_SYSCALL)
		calls_count(task, CALLS_LABEL_SYSCALL(number, result < 0 && result >= -MAX_ERRNO ? -result : 0), ns,
			    call->many);
	else if (calls_mode == CALLS_FS)
		fs_count(task, call, regs, class, result, ns);
	else if (calls_mode == CALLS_FUTEX_WAITS)
		futex_count(task, regs, result, ns, call->many);
	else if (ns >= calls_over_ns)
		calls_tell(task, regs, class, result, ns, call->offset);
}

SEC("btf_tp/sys_exit")
int BPF_PROG(calls_exit, struct pt_regs *regs, long result)
{
	u64 since_ns = pace_begin(1);

	call_ends(regs, result);
	pace_end(1, since_ns);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
