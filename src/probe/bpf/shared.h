/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both halves of a probe must agree on: records, map values, loss counters. */
#pragma once
#include <linux/types.h>

#define STACK_DEPTH 127 /* = PROBE_STACK_DEPTH */
#define STACK_COMM 16

/* Counters of what a kernel half could not keep, = enum ledger_item of the lost kinds and a few more.
 * Stored per CPU; the user half adds them to the ledger (losses.c). */
enum loss {
	LOSS_RING = 0,
	LOSS_MAP = 1,
	LOSS_STACK = 2,
	LOSS_STORAGE = 3,
	LOSS_MISSED = 4,
	LOSS_UNATTRIBUTED = 5,
	LOSS_BIRTHS = 6, /* births and deaths of cgroups not told; (the ledger's 6 to 8 are found in user space) */
	LOSS_BELOW_THRESHOLD = 9,
	LOSS_OUT_OF_ORDER = 10,
	LOSS_FLOOD = 11, /* more of one container than its share */
	LOSS_SEEN = 12, /* not a loss: everything that happened to the target */
	LOSS_COUNT = 13,
};

struct loss_line {
	__u64 events;
	__u64 weight;
};

/* Controllers whose v1 hierarchy may name a task's cgroup; see filter.bpf.h. */
enum v1_controller {
	V1_NONE = 0,
	V1_MEMORY = 1,
	V1_PIDS = 2,
	V1_CPU = 3,
	V1_CPUACCT = 4,
	V1_DEVICES = 5,
	V1_FREEZER = 6,
};

#define CGROUP_V1_BIT (1ULL << 63) /* = CGROUP_KEY_V1 of container.h */

struct stack_task { /* = struct probe_task */
	__u64 cgroup_key;
	__u32 tgid, tid;
	char comm[STACK_COMM];
	char thread_comm[STACK_COMM];
};

/* Copies of the top of the user stack (copy.bpf.h). */
#define STACK_COPY_BYTES_MIN 2048
/* Of a process nothing is known of, unless we know how deep the stack is: then all of it. */
#define STACK_COPY_BYTES_FIRST 16384
#define STACK_COPY_BYTES_MAX 131072 /* clang has deeper stacks than the 64 KiB perf copies at most */
#define STACK_COPY_TAIL 8192 /* Ruby keeps a megabyte in a frame of each thread, a few frames from its start */
#define STACK_COPY_RED_ZONE 128 /* bytes below the stack pointer that are in use, too (psABI) */
#define STACK_NAMED_PLANS 4096 /* names of processes whose last need is what the next one of that name begins with */
#define STACK_PLANS 16384 /* processes whose needs are remembered; the others are as if new */

/* What user space wants to see of a process's stacks. */
struct stack_plan {
	__u32 bytes; /* length of a copy */
	__u32 one_in; /* of so many stacks one is copied, the others are told by their frame pointers */
	__u32 tail; /* bytes at the thread's first frame that are copied besides: between lies a frame too large to copy */
	__u32 is_go; /* of the others stack_record::at_sp is told, too */
};

/* Where in Go's code the return address lies above RSP, and RBP may be the caller's. */
struct stack_place {
	__u64 ip;
	__u32 tgid;
	__u32 pad;
};

#define STACK_PLACES 1024 /* remembered */
#define STACK_AT_SP_BITS 48 /* … of which the word (0: nothing that could be); above, how many words above RSP it lay */

/* Flags of a record besides enum probe_stack_flags, for user space's intake alone. */
#define STACK_COPIED (1 << 16) /* registers and a copy instead of user frames */
#define STACK_COPY_ENDS (1 << 17) /* the copy is shorter than asked for: memory ends there */
#define STACK_AUDIT (1 << 18) /* of a stack recognised by its hash: is it really the one sent with this id? */
#define STACK_DELTA (1 << 20) /* of the copy only what its reader does not know (delta.h) */
#define STACK_TAIL (1 << 21) /* no stack: a copy of the outer end of the one in the thread's next record */
#define STACK_GO (1 << 22) /* by frame pointers, of a Go process */
#define STACK_EACH (1 << 19) /* the id is this one event's, whose stack may have been sent before */

struct stack_registers { /* user space's */
	__u64 ip, sp, bp, r10, bx, di;
	__u64 copied_from; /* address of the copy's first byte */
	__u64 holes; /* bit i: the copy's i-th page (of memory; the first may be cut) is not resident: zeros in the copy */
};

struct stack_name {
	char comm[STACK_COMM]; /* zeros behind the NUL */
};

#define STACK_NO_ID 0xffffffffu /* of a record that was sent without being looked up in `stacks` */

struct stack_key {
	__u64 hash[2];
};

/* A distinct stack and whose it is, as it travels through the ring. Everything from `task` on is hashed, so all of
 * it must be set, padding included. Frames: kernel first, user after, each innermost first.
 * With a copy there are no user frames; behind the kernel's come struct stack_registers and `copy_bytes` bytes, or, with
 * STACK_DELTA, what tells them (delta.h). */
struct stack_record {
	__u64 time_ns; /* of the first event; CLOCK_MONOTONIC */
	__u64 weight; /* of the event, where each is sent: STACK_NO_ID, STACK_EACH */
	__u32 id; /* unique within the run, not dense when an insert raced */
	__u32 tail_bytes; /* behind the copy, with STACK_COPIED: address and bytes of the stack's outer end; 0: not sent */
	struct stack_task task;
	__u64 script[2]; /* fingerprint of the interpreter's frames (script.h); 0, 0: none */
	__u64 at_sp; /* STACK_GO: what its innermost function returns to if it has no frame of its own, … */
	__s32 syscall; /* -1: none or not known */
	__u32 flags; /* enum probe_stack_flags */
	__u16 kernel_count, user_count;
	__u32 copy_bytes; /* 0 without STACK_COPIED */
	__u64 frames[2 * STACK_DEPTH];
	struct stack_key key; /* while it is made; does not travel */
};

/* When a stack was seen that is counted under `id`: travels through the ring of stacks, too, told apart by its length. */
struct stack_moment {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 id;
	__u32 pad;
};

/* `sent`: the record reached the ring. While it is 0 the next event with this stack tries again; what is still 0 at the
 * end is lost by name (LEDGER_LOST_RING), with its weight. */
struct stack_value {
	__u32 id;
	__u32 sent;
	__u64 events;
	__u64 weight;
	__u64 max;
};

/* A cgroup came or went (births.bpf.h). `path` is cut at the limit and NUL-terminated. */
#define BIRTH_PATH 1024
struct birth_record {
	__u64 time_ns;
	__u64 key;
	__u32 died;
	__u32 path_bytes; /* NUL included */
	char path[BIRTH_PATH];
};
