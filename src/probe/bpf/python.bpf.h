/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The frames of CPython at the moment of a sample.
 *
 * User space says which processes are interpreters and where things lie in them (`python_processes`). The walk starts at
 * the state of the current thread: found by its thread pointer in the runtime's list of threads, remembered, and checked
 * at each use. Then it follows the chain of frames, naming each by a number of the code object behind it. All reads are
 * non-faulting reads of the current process's memory, which may hold anything: what it points to is read, never believed.
 *
 * The code objects themselves are read here, too, the first time each is seen: they are alive at this moment, whereas
 * user space, a moment later, would have to read memory that may have been freed, be behind a FUSE file or userfaultfd
 * (and wait for its owner), or belong to a process that has ended.
 *
 * Functions that are not static are verified once and on their own; inlined, they would be followed again for every way
 * that leads to them, which was most of the time that starting a probe took. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "hash.h"
#include "script.h"

#ifndef SCRIPT_SLOTS
#define SCRIPT_SLOTS 1 /* walks under way per CPU: one per context that may interrupt another */
#endif

#define PYTHON_PROCESSES 16384
#define PYTHON_THREADS 4096 /* whose state is remembered */
#define PYTHON_THREADS_SEARCHED 1024
#define PYTHON_STRANGER_NS 100000000 /* how long a thread that is not Python's is believed to be none */
#define SCRIPT_CODES 8192 /* code objects known at a time */
#define SCRIPT_STACKS 8192
#define SCRIPT_RING_BYTES (512 << 10)
#define SCRIPT_STEPS (2 * SCRIPT_DEPTH) /* frames, and marks of calls from C between them */
#define SCRIPT_DEPTH_MASK 127
#define PYTHON_NO_HASH (~0ULL) /* of a str object that nobody has looked up yet */
#define PYTHON_TAIL 32 /* last bytes of a text that are compared */

const volatile bool script_on = false;
const volatile bool script_lines = false; /* tell instructions apart, so that lines can be named */
const volatile __u64 script_seed[2] = { 0x9e3779b97f4a7c15ULL, 0xc2b2ae3d27d4eb4fULL };

__u32 script_next_code = 1;

struct script_code_key {
	u32 tgid, first_line;
	u64 code, name, lines; /* addresses */
	u64 mark; /* tells the code object from another that took its place */
};

struct script_kept {
	u32 id;
	u32 sent;
};

struct python_thread {
	u64 state; /* address; 0: the thread is not one of Python's */
	u64 until_ns; /* of a stranger: when to look again */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PYTHON_PROCESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct python_process);
} python_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PYTHON_THREADS);
	__type(key, u64); /* tgid and tid */
	__type(value, struct python_thread);
} python_threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SCRIPT_CODES);
	__type(key, struct script_code_key);
	__type(value, struct script_kept);
} script_codes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SCRIPT_STACKS);
	__type(key, struct stack_key);
	__type(value, u32); /* sent */
} script_stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SCRIPT_RING_BYTES);
} script_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRIPT_LOSSES);
	__type(key, u32);
	__type(value, u64);
} script_losses SEC(".maps");

/* Words of a buffer for a power of two and eight bytes behind it: see PYTHON_FIELD. */
#define PYTHON_BUFFER(bytes) ((bytes) / 8 + 1)

struct python_walk {
	struct python_process at;
	u64 thread_mark; /* of the current thread */
	u64 interpreter, thread, frame; /* where the walk is */
	u64 caller; /* the frame that the innermost call from C was made in */
	u64 is_checked; /* the chain leads there */
	u32 tgid;
	u32 found;
	u64 thread_bytes[PYTHON_BUFFER(256)];
	u64 frame_bytes[PYTHON_BUFFER(128)];
	u64 code_bytes[PYTHON_BUFFER(256)];
	u64 text_bytes[PYTHON_BUFFER(64)];
	u64 tail[PYTHON_TAIL / 8];
	struct stack_key key; /* of the script */
	struct script_stack_record script;
	struct script_code_record code;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRIPT_SLOTS);
	__type(key, u32);
	__type(value, struct python_walk);
} python_walks SEC(".maps");

struct python_context { /* on the stack for bpf_loop: on 6.1 only what it points to may change */
	struct python_walk *walk;
};

static __always_inline void script_lose(enum script_loss kind)
{
	u32 index = kind;
	u64 *count = bpf_map_lookup_elem(&script_losses, &index);

	if (count)
		(*count)++;
}

/* A field of a structure that was read, at an offset that user space has checked; the mask shows the verifier that it
 * stays in the buffer. */
#define PYTHON_FIELD(type, bytes, offset) (*(type *)((char *)(bytes) + ((offset) & (sizeof(bytes) - 9))))

static __always_inline u64 python_thread_field(const struct python_walk *walk, u32 offset)
{
	return PYTHON_FIELD(u64, walk->thread_bytes, offset);
}

static __always_inline u64 python_frame_field(const struct python_walk *walk, u32 offset)
{
	return PYTHON_FIELD(u64, walk->frame_bytes, offset);
}

static __always_inline u64 python_code_field(const struct python_walk *walk, u32 offset)
{
	return PYTHON_FIELD(u64, walk->code_bytes, offset);
}

static __always_inline bool python_read(void *into, u32 bytes, u64 address)
{
	return bpf_probe_read_user(into, bytes, (const void *)address) == 0;
}

static __always_inline u64 python_pointer(u64 address)
{
	u64 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (const void *)address);
	return value;
}

/* ---- the thread's state ---- */

/* What a thread is known by in the interpreter's list: what pthread_self() returns to it, which on x86 is the thread pointer
 * and survives a fork; elsewhere its tid in its own pid namespace. */
#if defined(__TARGET_ARCH_x86)
#define PYTHON_THREAD_MARK thread_id

static __always_inline u64 python_thread_mark(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread.fsbase);
}
#else
#define PYTHON_THREAD_MARK thread_native_id

static __always_inline u64 python_thread_mark(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	u64 at = (u64)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);
	int tid = 0;

	bpf_probe_read_kernel(&tid, sizeof(tid), (const void *)at);
	return (u64)tid;
}
#endif

/* Reads the state at `address` and tells whether it is the current thread's. */
static __always_inline bool python_thread_check(struct python_walk *walk, u64 address)
{
	return python_read(walk->thread_bytes, PYTHON_THREAD_BYTES, address) &&
	       python_thread_field(walk, walk->at.PYTHON_THREAD_MARK) == walk->thread_mark;
}

static long python_thread_step(u32 index, struct python_context *context)
{
	struct python_walk *walk = context->walk;

	if (!walk->thread) {
		if (!walk->interpreter)
			return 1;
		walk->thread = python_pointer(walk->interpreter + walk->at.interpreter_threads);
		walk->interpreter = python_pointer(walk->interpreter + walk->at.interpreter_next);
		return 0;
	}
	if (python_thread_check(walk, walk->thread)) {
		walk->found = 1;
		return 1;
	}
	walk->thread = python_thread_field(walk, walk->at.thread_next);
	return 0;
}

__noinline int python_thread_search(struct python_walk *walk)
{
	struct python_context context = { walk };

	if (!walk)
		return false;
	walk->found = 0;
	walk->thread = 0;
	walk->interpreter = python_pointer(walk->at.runtime + walk->at.runtime_interpreters);
	bpf_loop(PYTHON_THREADS_SEARCHED, python_thread_step, &context, 0);
	return walk->found;
}

/* The state of the current thread into `thread_bytes`. */
static __always_inline bool python_thread_find(struct python_walk *walk)
{
	u64 id = bpf_get_current_pid_tgid();
	struct python_thread *known = bpf_map_lookup_elem(&python_threads, &id);
	struct python_thread now = { 0 };

	if (known && known->state && python_thread_check(walk, known->state))
		return true;
	if (known && !known->state && bpf_ktime_get_ns() < known->until_ns)
		return false;
	if (python_thread_search(walk))
		now.state = walk->thread;
	else
		now.until_ns = bpf_ktime_get_ns() + PYTHON_STRANGER_NS;
	bpf_map_update_elem(&python_threads, &id, &now, BPF_ANY);
	return now.state != 0;
}

/* ---- code objects ---- */

/* Reads at most `room` - 1 bytes, for a power of two (the mask changes nothing: Linux 6.1 needs to see it). Returns how
 * many were read. */
static __always_inline u32 python_read_some(u8 *into, u64 bytes, u32 room, u64 address)
{
	if (bytes > room - 1)
		bytes = room - 1;
	asm volatile("" : "+r"(bytes)); /* or clang drops the mask */
	bytes &= room - 1;
	return bpf_probe_read_user(into, bytes, (const void *)address) == 0 ? bytes : 0;
}

/* Copies a str object: its head's bits and as many bytes as fit (characters of 1, 2 or 4 bytes). */
static __always_inline void python_text(struct python_walk *walk, u64 address, struct script_text *text, u8 *bytes,
					u32 room)
{
	const struct python_process *at = &walk->at;
	u32 state, width, length;

	text->state = 0;
	text->length = 0;
	if (!python_read(walk->text_bytes, PYTHON_TEXT_BYTES, address))
		return;
	state = PYTHON_FIELD(u32, walk->text_bytes, at->text_state);
	length = PYTHON_FIELD(u32, walk->text_bytes, at->text_length);
	width = (state >> 2) & 7;
	if (length > room)
		length = room;
	address += state & 0x40 ? at->text_ascii : at->text_wide;
	length = python_read_some(bytes, (u64)length * width, room, address);
	if (width == 0 || length == 0)
		return;
	text->state = state;
	text->length = length / width;
}

static __always_inline u64 python_mix(u64 mark, u64 word)
{
	mark = (mark ^ word) * 0x9fb21c651e98df25ULL;
	return mark ^ (mark >> 29);
}

/* A str object's length and its hash, or, where that has not been asked for, its end: texts that differ hardly agree in
 * both. */
__noinline u64 python_text_mark(struct python_walk *walk, u64 address, u64 mark)
{
	const struct python_process *at = &walk->at;
	u64 size, hash, from;
	u32 state;

	if (!walk || !python_read(walk->text_bytes, PYTHON_TEXT_BYTES, address))
		return mark;
	state = PYTHON_FIELD(u32, walk->text_bytes, at->text_state);
	size = (u64)PYTHON_FIELD(u32, walk->text_bytes, at->text_length) * ((state >> 2) & 7);
	hash = PYTHON_FIELD(u64, walk->text_bytes, at->text_length + 8); /* follows */
	mark = python_mix(python_mix(mark, size << 32 | state), hash);
	if (hash != PYTHON_NO_HASH)
		return mark;
	from = address + (state & 0x40 ? at->text_ascii : at->text_wide);
	walk->tail[0] = walk->tail[1] = walk->tail[2] = walk->tail[3] = 0;
	if (size >= PYTHON_TAIL)
		python_read(walk->tail, PYTHON_TAIL, from + size - PYTHON_TAIL);
	else
		python_read_some((u8 *)walk->tail, size, PYTHON_TAIL, from);
	for (u32 i = 0; i < PYTHON_TAIL / 8; i++)
		mark = python_mix(mark, walk->tail[i]);
	return mark;
}

/* Code objects made by eval() and the like come and go, and the next one may lie at the same addresses throughout. */
static __always_inline u64 python_code_mark(struct python_walk *walk, u64 name)
{
	u64 file = python_code_field(walk, walk->at.code_file);

	if (walk->at.code_version != PYTHON_NO_VERSION)
		return PYTHON_FIELD(u32, walk->code_bytes, walk->at.code_version);
	return python_text_mark(walk, file, python_text_mark(walk, name, 0));
}

static __always_inline void python_lines(struct python_walk *walk, u64 address)
{
	u32 length = 0;

	walk->code.lines_bytes = 0;
	if (script_lines && python_read(&length, sizeof(length), address + walk->at.bytes_length))
		walk->code.lines_bytes =
			python_read_some(walk->code.lines, length, SCRIPT_LINES, address + walk->at.bytes_data);
}

/* TRUE when it went out. */
__noinline int python_code_send(struct python_walk *walk, u32 id, u32 first_line)
{
	struct script_code_record *record;
	u64 bytes;

	if (!walk)
		return false;
	record = &walk->code;
	record->kind = SCRIPT_RECORD_CODE;
	record->tgid = walk->tgid;
	record->id = id;
	record->first_line = first_line;
	record->pad = 0;
	python_text(walk, python_code_field(walk, walk->at.code_name), &record->name, record->name_bytes, SCRIPT_NAME);
	python_text(walk, python_code_field(walk, walk->at.code_file), &record->file, record->file_bytes, SCRIPT_FILE);
	python_lines(walk, python_code_field(walk, walk->at.code_lines));
	bytes = __builtin_offsetof(struct script_code_record, lines) + record->lines_bytes;
	return record->name.state != 0 && bytes <= sizeof(*record) &&
	       bpf_ringbuf_output(&script_ring, record, bytes, 0) == 0;
}

/* The number of the code object at `address`; 0 when it cannot be read. Its bytes are left in `code_bytes`. */
__noinline u32 python_code(struct python_walk *walk, u64 address)
{
	struct script_code_key key = { .code = address };
	struct script_kept *kept;

	if (!walk)
		return 0;
	key.tgid = walk->tgid;
	if (!python_read(walk->code_bytes, PYTHON_CODE_BYTES, address))
		return 0;
	key.first_line = PYTHON_FIELD(u32, walk->code_bytes, walk->at.code_first_line);
	key.name = python_code_field(walk, walk->at.code_name);
	key.lines = python_code_field(walk, walk->at.code_lines);
	key.mark = python_code_mark(walk, key.name);
	kept = bpf_map_lookup_elem(&script_codes, &key);
	if (!kept) {
		struct script_kept fresh = { .id = __sync_fetch_and_add(&script_next_code, 1) };

		bpf_map_update_elem(&script_codes, &key, &fresh, BPF_NOEXIST);
		kept = bpf_map_lookup_elem(&script_codes, &key);
		if (!kept)
			return 0;
	}
	if (!kept->sent && __sync_val_compare_and_swap(&kept->sent, 0, 1) == 0 && /* else another CPU is at it */
	    !python_code_send(walk, kept->id, key.first_line)) {
		kept->sent = 0;
		script_lose(SCRIPT_LOSS_CODE);
	}
	return kept->id;
}

/* ---- frames ---- */

static __always_inline u64 python_instruction(const struct python_walk *walk, u64 code)
{
	u64 first = code + walk->at.code_instructions;
	u64 at = python_frame_field(walk, walk->at.frame_instruction);

	if (!script_lines || at < first || (at - first) / 2 >= SCRIPT_NO_INSTRUCTION)
		return SCRIPT_NO_INSTRUCTION;
	return (at - first) / 2;
}

static __always_inline void python_mark_entry(struct script_stack_record *script)
{
	u32 last = script->count - 1;

	if (script->count > 0)
		script->words[last & SCRIPT_DEPTH_MASK] |= SCRIPT_ENTRY;
}

static __always_inline void python_frame_take(struct python_walk *walk, bool is_entry)
{
	struct script_stack_record *script = &walk->script;
	u64 code = python_frame_field(walk, walk->at.frame_code);
	u64 word = (u64)python_code(walk, code) << 32 | python_instruction(walk, code);
	u32 at = script->count;

	script->words[at & SCRIPT_DEPTH_MASK] = is_entry ? word | SCRIPT_ENTRY : word;
	script->count = at + 1;
}

/* A call from C that has just begun (3.11, 3.12) is in the thread's state before it says which frame is its own: in its
 * place is what lay on the C stack, often a frame of long ago. A chain from there does not come to the caller's frame, and
 * nothing of it is believed. FALSE: so it is. */
static __always_inline bool python_frame_check(struct python_walk *walk, bool comes_to_caller)
{
	if (walk->is_checked || comes_to_caller) {
		walk->is_checked = true;
		return true;
	}
	walk->script.count = 0;
	walk->script.flags |= SCRIPT_BROKEN;
	return false;
}

static long python_frame_step(u32 index, struct python_context *context)
{
	struct python_walk *walk = context->walk;
	struct script_stack_record *script = &walk->script;
	bool is_entry, is_mark;
	u64 previous;
	u8 owner;

	if (!walk->frame) {
		python_frame_check(walk, !walk->caller);
		return 1;
	}
	if (script->count >= SCRIPT_DEPTH) {
		script->flags |= SCRIPT_CUT;
		return 1;
	}
	if (!python_read(walk->frame_bytes, PYTHON_FRAME_BYTES, walk->frame)) {
		script->flags |= SCRIPT_BROKEN;
		python_frame_check(walk, false);
		return 1;
	}
	owner = PYTHON_FIELD(u8, walk->frame_bytes, walk->at.frame_owner);
	is_mark = owner == walk->at.owner_entry;
	is_entry = is_mark || (walk->at.owner_entry == PYTHON_OWNER_ANY && owner != 0);
	previous = python_frame_field(walk, walk->at.frame_previous);
	if (is_entry && !python_frame_check(walk, previous == walk->caller))
		return 1;
	if (is_mark)
		python_mark_entry(script);
	else
		python_frame_take(walk, is_entry);
	walk->frame = previous;
	return 0;
}

/* Where the walk begins, and how it is to go on: behind the frame of struct _PyCFrame is a pointer to the one before. */
static __always_inline void python_frames_begin(struct python_walk *walk)
{
	u64 cframe[2] = { 0, 0 };

	walk->frame = python_thread_field(walk, walk->at.thread_frame);
	walk->caller = 0;
	walk->is_checked = true;
	if (!walk->frame || walk->at.cframe_frame == PYTHON_DIRECT)
		return;
	python_read(cframe, sizeof(cframe), walk->frame + walk->at.cframe_frame);
	walk->frame = cframe[0];
	if (cframe[1]) {
		walk->caller = python_pointer(cframe[1] + walk->at.cframe_frame);
		walk->is_checked = false;
	}
}

static __always_inline void python_frames(struct python_walk *walk)
{
	struct python_context context = { walk };

	walk->script.count = 0;
	walk->script.flags = 0;
	python_frames_begin(walk);
	if (bpf_loop(SCRIPT_STEPS, python_frame_step, &context, 0) == SCRIPT_STEPS)
		walk->script.flags |= SCRIPT_CUT;
	python_mark_entry(&walk->script); /* whoever called the outermost, it was not Python */
	if (walk->script.flags & SCRIPT_BROKEN)
		script_lose(SCRIPT_LOSS_READ);
}

/* ---- the script ---- */

/* bpf_loop callback: one word into walk->key. */
static long script_hash_word(u32 i, struct python_context *context)
{
	struct python_walk *walk = context->walk;

	if (i >= walk->script.count || i >= SCRIPT_DEPTH)
		return 1;
	stack_hash_word(&walk->key, walk->script.words[i]);
	return 0;
}

static __always_inline void script_hash(struct python_walk *walk)
{
	struct python_context context = { walk };

	walk->key.hash[0] = script_seed[0];
	walk->key.hash[1] = script_seed[1];
	stack_hash_word(&walk->key, (u64)walk->tgid << 32 | walk->script.flags);
	bpf_loop(SCRIPT_DEPTH, script_hash_word, &context, 0);
	walk->key.hash[0] |= 1; /* never all zero: that says there is none */
}

static __always_inline void script_send(struct python_walk *walk)
{
	u64 bytes = __builtin_offsetof(struct script_stack_record, words) + 8 * (u64)walk->script.count;
	struct stack_key key = walk->key;
	u32 *sent = bpf_map_lookup_elem(&script_stacks, &key), one = 1;

	if (sent)
		return;
	walk->script.kind = SCRIPT_RECORD_STACK;
	walk->script.tgid = walk->tgid;
	walk->script.hash[0] = key.hash[0];
	walk->script.hash[1] = key.hash[1];
	if (bytes > sizeof(walk->script) || bpf_ringbuf_output(&script_ring, &walk->script, bytes, 0) != 0)
		script_lose(SCRIPT_LOSS_RING);
	else
		bpf_map_update_elem(&script_stacks, &key, &one, BPF_ANY);
}

/* What is known of the task's process; of one that was forked a moment ago, what is known of its parent. */
static __always_inline struct python_process *python_process_of(struct task_struct *task)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct python_process *process = bpf_map_lookup_elem(&python_processes, &tgid);
	struct task_struct *parent;

	if (process)
		return process;
	parent = BPF_CORE_READ(task, group_leader, real_parent);
	tgid = BPF_CORE_READ(parent, tgid);
	process = bpf_map_lookup_elem(&python_processes, &tgid);
	if (process && BPF_CORE_READ(parent, self_exec_id) == BPF_CORE_READ(task, self_exec_id))
		return process;
	return NULL;
}

/* Walks the current thread's frames of Python → TRUE when it has any: their fingerprint is in the slot's `key`. */
__noinline int script_walk(u32 slot)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct python_process *process = python_process_of(task);
	struct python_walk *walk;

	if (!process)
		return false;
	walk = bpf_map_lookup_elem(&python_walks, &slot);
	if (!walk)
		return false;
	walk->at = *process;
	walk->tgid = bpf_get_current_pid_tgid() >> 32;
	walk->thread_mark = python_thread_mark(task);
	script_lose(SCRIPT_SEEN);
	if (!python_thread_find(walk)) {
		script_lose(SCRIPT_LOSS_THREAD);
		return false;
	}
	python_frames(walk);
	if (walk->script.count == 0)
		return false;
	script_hash(walk);
	script_send(walk);
	return true;
}

/* The fingerprint of the current thread's frames of Python into `hash`; zero when it has none. */
static __always_inline void script_of_current(u32 slot, u64 *hash)
{
	struct python_walk *walk;

	hash[0] = 0;
	hash[1] = 0;
	if (!script_on || !script_walk(slot))
		return;
	walk = bpf_map_lookup_elem(&python_walks, &slot);
	if (!walk)
		return;
	hash[0] = walk->key.hash[0];
	hash[1] = walk->key.hash[1];
}
