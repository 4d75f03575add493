/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both halves of the task walk agree on. */
#pragma once
#include <linux/types.h>

/* What a thread off its CPU, and not waiting for one, waits for. Explicit values: the order of the gauges (model/gauges.h). */
enum tasks_wait {
	TASKS_WAIT_OTHER = 0, /* a child, a terminal, a lock of a file; what could not be told */
	TASKS_WAIT_FUTEX = 1, /* locks, conditions, semaphores of user space */
	TASKS_WAIT_IO = 2, /* files and disks */
	TASKS_WAIT_NET = 3, /* a socket */
	TASKS_WAIT_POLL = 4, /* whatever comes next on many files: poll, select, epoll */
	TASKS_WAIT_SLEEP = 5, /* time, or a signal */
	TASKS_WAIT_PIPE = 6,
	TASKS_WAIT_PAGEFAULT = 7, /* memory that is not there yet */
	TASKS_WAITS = 8, /* a power of two */
	TASKS_WAIT_BY_FILE = 255, /* in the table of calls: the kind of its file tells */
};
#define TASKS_CALLS 512 /* a power of two; numbers of system calls that are told apart */

/* Sums over the threads of one cgroup. The counters hold what was added since the programs were loaded. */
struct tasks_sum {
	__u64 run_delay_ns; /* ready, without a CPU */
	__u64 disk_delay_ns; /* 0 where delay accounting is off */
	__u64 voluntary, involuntary; /* context switches */
	__u64 ended; /* threads that ended */
	/* Off the CPU and not waiting for one. The whole is exact (a thread's time less its CPU time and its run delay); all
	 * that a thread waited between two walks counts as what the later one finds it waiting for. */
	__u64 offcpu_ns[TASKS_WAITS];
	/* of the walk `generation` */
	__u32 generation;
	__u32 threads, processes;
	__u32 running, blocked; /* on a run queue or a CPU; in uninterruptible sleep */
	__u32 pad;
};

#define TASKS_UNKNOWN (~0ULL) /* a source other than the kernel's walk may not know everything */

/* One thread, as it was when the walk came by. */
struct tasks_record {
	__u64 cgroup_key;
	__u64 start_ns; /* CLOCK_MONOTONIC: with the tid, a thread for good */
	__u64 cpu_ns; /* exact */
	__u64 user_ns, system_ns; /* by ticks: only their ratio is good */
	__u64 run_delay_ns, disk_delay_ns;
	__u64 voluntary, involuntary;
	__u64 faults, major_faults; /* the first includes the second */
	__u64 read_bytes, write_bytes; /* block I/O */
	__u64 rss_bytes; /* of the process */
	/* of the process's threads that have ended: only in the record of the thread whose tid is the tgid */
	__u64 ended_cpu_ns, ended_user_ns, ended_system_ns, ended_faults, ended_major_faults, ended_read_bytes,
		ended_write_bytes, ended_voluntary, ended_involuntary;
	__u32 tgid, tid;
	__u32 inner_tid; /* in the pid namespace it was born in */
	char state; /* R S D T Z I as ps shows them */
	char pad[3];
	char comm[16];
};
