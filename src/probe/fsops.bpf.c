/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* File operations inside the kernel, where its functions can be watched: whoever calls them, a program or the kernel
 * itself. One operation may go through another (a file of an overlay is opened by opening the one below it): only the
 * outermost counts, it is what was waited for. Keys and labels are calls.h's. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "calls.h"
#define TABLE_CLASSES 1
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/table.bpf.h"
#include "fs_types.h"

#define S_IFMT 0170000 /* include/uapi/linux/stat.h */
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define MAX_ERRNO 4095

struct fsop {
	u64 start_ns;
	u32 depth; /* operations that have begun and not ended */
	u32 many; /* how many the outermost stands for; 0: it is not looked at */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fsop);
} fsops SEC(".maps");

static __always_inline int fsop_enter(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fsop *op;

	if (filter_on && !filter_wants(task, cgroup_key_current()))
		return 0;
	op = bpf_task_storage_get(&fsops, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!op) {
		loss_add(LOSS_STORAGE, 1, 0);
		return 0;
	}
	if (op->depth++ > 0)
		return 0;
	op->many = budget_pick();
	if (op->many)
		op->start_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int fsop_exit(struct file *file, u32 operation)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fsop *op = bpf_task_storage_get(&fsops, task, 0, 0);
	struct super_block *sb;
	struct inode *inode;
	struct table_key key;
	u64 ns;
	u32 mode;

	if (!op || op->depth == 0 || --op->depth > 0 || !op->many)
		return 0;
	ns = bpf_ktime_get_ns() - op->start_ns;
	if (!file || (u64)file >= (u64)-MAX_ERRNO)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	mode = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	if (mode != S_IFREG && mode != S_IFDIR)
		return 0;
	sb = BPF_CORE_READ(inode, i_sb);
	table_key_init(&key, task, cgroup_key_current(),
		       CALLS_LABEL_FS(BPF_CORE_READ(sb, s_dev), fs_type_of(BPF_CORE_READ(sb, s_magic)), operation));
	table_add_ns_many(table_row(task, &key), 0, ns, op->many);
	return 0;
}

/* `function` has the file as its first argument. */
#define FSOP(function, operation)                                                                                      \
	SEC("fentry/" #function)                                                                                       \
	int fsop_enter_##function(void *ctx)                                                                           \
	{                                                                                                              \
		return PACED(0, fsop_enter());                                                                         \
	}                                                                                                              \
	SEC("fexit/" #function)                                                                                        \
	int fsop_exit_##function(u64 *ctx)                                                                             \
	{                                                                                                              \
		return PACED(1, fsop_exit((struct file *)ctx[0], operation));                                          \
	}

FSOP(vfs_read, CALLS_OPERATION_READ)
FSOP(vfs_write, CALLS_OPERATION_WRITE)
FSOP(vfs_readv, CALLS_OPERATION_READ)
FSOP(vfs_writev, CALLS_OPERATION_WRITE)
FSOP(vfs_fsync_range, CALLS_OPERATION_SYNC)

/* struct file *do_filp_open(int dfd, struct filename *, const struct open_flags *): with the search for the name. */
SEC("fentry/do_filp_open")
int fsop_enter_do_filp_open(void *ctx)
{
	return PACED(0, fsop_enter());
}

SEC("fexit/do_filp_open")
int fsop_exit_do_filp_open(u64 *ctx)
{
	return PACED(1, fsop_exit((struct file *)ctx[3], CALLS_OPERATION_OPEN));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
