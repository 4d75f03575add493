/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The few kernel types our programs read, each with only the fields read. Offsets here mean nothing: libbpf
 * rewrites every access from the running kernel's BTF (preserve_access_index), so no generated vmlinux.h is
 * needed and the build is the same everywhere. Add a field only together with its reader. */
#pragma once
#include <linux/types.h>

typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
#ifndef __cplusplus
typedef _Bool bool;
#define true 1
#define false 0
#endif
#define NULL ((void *)0)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	const char *name;
	u64 id;
};
/* The same pointer under its older and its newer name. */
struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
};
struct kernfs_node___since_6_15 {
	struct kernfs_node *__parent;
};

struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup_root {
	unsigned int subsys_mask; /* controllers of the hierarchy */
	int hierarchy_id; /* 0: the unified one */
};

struct cgroup {
	struct cgroup_root *root;
	struct cgroup_subsys_state self;
	int level; /* 0: the root of its hierarchy */
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1]; /* really CGROUP_SUBSYS_COUNT: index by hand */
	struct cgroup *dfl_cgrp; /* in the unified hierarchy */
};

struct rq {
	int cpu;
	u64 clock; /* ns, sched_clock(); advanced at every scheduling event of this CPU */
	u64 clock_pelt, lost_idle_time; /* the clock of cfs_rq->throttled_clock_pelt is their difference */
};

struct cfs_rq {
	struct rq *rq;
	struct task_group *tg;
	u32 throttled : 1; /* its own quota is used up */
	int throttle_count; /* > 0: this queue or one above it has used up its quota */
	u64 throttled_clock_pelt, throttled_clock_pelt_time;
	u64 throttled_clock_self, throttled_clock_self_time; /* since 6.6 */
};

struct sched_entity {
	u64 sum_exec_runtime; /* ns on a CPU, up to the last scheduling event or tick */
	struct sched_entity *parent;
	struct cfs_rq *cfs_rq;
	unsigned char sched_delayed; /* since 6.12: it sleeps, but is still queued */
};

struct sched_info {
	unsigned long pcount; /* times this thread got a CPU */
	unsigned long long run_delay; /* ns it waited for one, all told */
	unsigned long long last_arrival; /* rq->clock when it last got a CPU */
	unsigned long long last_queued; /* rq->clock when it became runnable; 0 when not waiting */
};

struct list_head {
	struct list_head *next;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
	struct file_system_type *s_type;
};

struct inode {
	u16 i_mode;
	struct super_block *i_sb;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path___kernel {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	struct path___kernel f_path;
	s64 f_pos;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path___kernel root;
};

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1]; /* level + 1 of them: index by hand */
};

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic_long_t;

struct signal_struct {
	atomic_t live; /* threads that have not ended */
	int group_exit_code;
	unsigned int flags;
	short oom_score_adj;
};

struct percpu_counter {
	s64 count;
};

struct mm_struct {
	unsigned long start_stack; /* where the first thread's stack pointer was when the program began */
	unsigned long arg_start, arg_end;
	unsigned long start_code, end_code;
	struct file *exe_file;
	struct percpu_counter rss_stat[4]; /* pages, by kind; exact to a batch a CPU */
};

struct mm_rss_stat {
	atomic_long_t count[4];
};
struct mm_struct___before_6_2 {
	struct mm_rss_stat rss_stat;
};

struct page_counter {
	atomic_long_t usage; /* pages */
	unsigned long max;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
	bool oom_lock; /* it, or one above it, is out of memory and looks for a victim */
};

struct cfs_bandwidth {
	s64 period; /* ns */
	u64 quota; /* ns; ~0: none */
};

struct task_group {
	struct cgroup_subsys_state css;
	struct cfs_bandwidth cfs_bandwidth;
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct blkcg_gq *bi_blkg; /* whom it is accounted to */
};

struct gendisk {
	int major, first_minor;
};

struct request_queue {
	struct gendisk *disk;
};

struct request {
	struct request_queue *q;
	u32 cmd_flags;
	u32 __data_len; /* bytes left to do */
	u64 __sector;
	struct bio *bio;
	u64 start_time_ns; /* when it was made; 0 where nobody asks */
};

struct linux_binprm {
	int argc;
	const char *filename;
};

struct kernel_siginfo {
	int si_code;
};

struct vm_userfaultfd_ctx {
	void *ctx;
};

struct vm_area_struct {
	unsigned long vm_start, vm_end;
	struct file *vm_file;
	struct vm_userfaultfd_ctx vm_userfaultfd_ctx;
};

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase; /* thread pointer */
};
#else
struct thread_struct;
#endif

struct task_struct {
	unsigned int flags;
	unsigned int __state;
	int on_cpu;
	int on_rq; /* 0: no, 1: yes, 2: being moved to another CPU's queue */
	int exit_state;
	int pid, tgid;
	unsigned int in_iowait : 1;
	unsigned int in_memstall : 1; /* with CONFIG_PSI: it waits for memory */
	bool throttled; /* since 6.18: taken off the run queue because of the quota */
	char comm[16];
	u64 start_time; /* ns, CLOCK_MONOTONIC */
	u64 self_exec_id; /* grows with every execve */
	unsigned long sas_ss_sp, sas_ss_size; /* the thread's alternative stack for signal handlers */
	struct sched_entity se;
	struct sched_info sched_info;
	struct list_head tasks; /* of process leaders */
	struct mm_struct *mm;
	int exit_code;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
	struct css_set *cgroups;
#if defined(__TARGET_ARCH_x86)
	struct thread_struct thread;
#endif
};

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};

struct u64_stats {
	u64 v;
};

struct bpf_prog_stats {
	struct u64_stats cnt, nsecs; /* next to each other */
};

struct bpf_prog_aux {
	u32 id;
};

struct bpf_prog {
	struct bpf_prog_stats *stats; /* per CPU */
	struct bpf_prog_aux *aux;
};

struct bpf_iter__bpf_prog {
	struct bpf_prog *prog;
};

struct bpf_array {
	void *pptrs[1];
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long bp, bx, r10, di, orig_ax, ip, sp;
	unsigned short cs;
};
#endif

#pragma clang attribute pop

/* Values come from the running kernel (bpf_core_enum_value); which exist depends on its configuration. */
enum cgroup_subsys_id {
	cpu_cgrp_id = 1,
	cpuacct_cgrp_id = 2,
	memory_cgrp_id = 3,
	devices_cgrp_id = 4,
	freezer_cgrp_id = 5,
	pids_cgrp_id = 6,
	io_cgrp_id = 7,
};

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
#define TASK_DEAD 0x00000080

/* A field of a kernel object in code that all programs share. Directly, through BTF pointers (arguments of tp_btf
 * programs, bpf_get_current_task_btf()): fast when it runs, but Linux 6.18's verifier searches the whole of the
 * kernel's BTF for each pointer followed, some 2 ms. Programs that run rarely define READ_BY_PROBE before including
 * anything: a helper call per field, and pointers of any origin. */
#ifdef READ_BY_PROBE
#define READ(object, field) BPF_CORE_READ(object, field)
#else
#define READ(object, field) ((object)->field)
#endif
