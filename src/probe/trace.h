/* SPDX-License-Identifier: Apache-2.0 */
/* Single happenings in the life of processes: what both halves agree on. */
#pragma once
#include "bpf/event.h"

/* Which kind a run watches; also the kind of its records. */
enum trace_kind {
	TRACE_EXEC = 0,
	TRACE_EXIT = 1,
	TRACE_SIGNAL = 2,
	TRACE_OPEN = 3,
	TRACE_OOM = 4,
	TRACE_THROTTLE = 5,
	TRACE_KINDS = 6,
	TRACE_OOM_PROCESS = 6, /* before the TRACE_OOM it belongs to */
};

#define TRACE_FILE 512 /* as asked for: NUL included */
#define TRACE_ARGUMENTS 4096

struct trace_exec {
	struct event_head head;
	__u32 parent_tgid;
	__u32 count; /* of arguments */
	__u32 argument_bytes; /* of all of them; fewer than TRACE_ARGUMENTS are here */
	__u32 pad;
	char parent[STACK_COMM];
	char file[TRACE_FILE];
	struct path_text program; /* the file that runs: for a script, its interpreter */
	char arguments[TRACE_ARGUMENTS]; /* each NUL-terminated; only when asked for */
};

struct trace_exit {
	struct event_head head;
	__u64 lifetime_ns;
	__u32 status; /* as of wait(2) */
	__u32 pad;
};

struct trace_signal {
	struct event_head head; /* of the receiver */
	struct stack_task sender; /* all 0 when the kernel itself sent it */
	__u32 sender_inner_pid;
	__s32 signal;
	__s32 code; /* si_code */
	__s32 result; /* enum of the tracepoint: 0 delivered, 1 ignored, 2 already pending, 3 and 4 queue full */
};

struct trace_open {
	struct event_head head;
	__s64 result; /* descriptor, or negative errno */
	__u32 flags; /* O_… */
	__u32 asked; /* file[] was readable */
	char file[TRACE_FILE]; /* as asked for */
	struct path_text path; /* of what was opened: last, sent as far as it goes */
};

/* A process in the reach of an OOM kill, as it was then. Pages. */
struct trace_oom_process {
	struct event_head head;
	__u64 start_time;
	__u64 anon, file, shmem, swap;
};

struct trace_oom {
	struct event_head head; /* of the victim */
	struct stack_task trigger; /* who asked for memory */
	__u64 start_time; /* of the victim */
	__u64 cgroup_key; /* whose limit was hit; 0: the machine ran out */
	__u64 usage, limit; /* of that cgroup, pages */
	__u64 anon, file, shmem, swap; /* of the victim, pages */
	__u32 trigger_inner_pid;
	__s32 score_adjust;
	__u32 processes; /* looked at, in reach of the limit */
	__u32 known; /* 0: the victim could not be found: only its pid (in head) is known */
	struct path_text path; /* of the cgroup */
};

/* What the iterator says of every process, once a second. */
struct trace_memory {
	__u32 tgid, pad;
	__u64 start_time;
	__u64 pages; /* resident */
};

struct trace_throttle {
	struct event_head head; /* of the thread that found the quota used up */
	__u64 duration_ns;
	__u64 cgroup_key; /* whose quota */
	__u64 quota_ns, period_ns;
	__u32 cpu, pad;
	struct path_text path; /* of the cgroup */
};

struct trace_system_calls { /* numbers on this machine; -1: none */
	__s32 open, openat, openat2, creat;
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_trace_exec, probe_trace_exit, probe_trace_signal, probe_trace_open, probe_trace_oom,
	probe_trace_throttle;
#endif
