/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The stack of the thread that blocks, or wakes another: recognised where that is possible, taken where not.
 *
 * Unwinding costs ten times more than all of the accounting, so a blocked stack is recognised without it.
 * - User half: walked in user space from registers and a copy of the top of the stack (copy.bpf.h). Whoever walked a copy
 *   says in which places the words lie that decided about the walk; a `user_path` keeps those places and a hash of what
 *   they held. A thread that blocks with the same RIP and RSP and the same words in these places has the same stack,
 *   whatever else lies there. Until a path is known the hash is taken over all words of the top of the stack that
 *   could be addresses (nothing else can be code or a frame): it may tell one stack apart into several, never take
 *   two for one. Only a new hash is copied. Where nobody walks copies: a hash over the return addresses of the
 *   frame-pointer chain, the walk bpf_get_stack does.
 * - Kernel half: our context lies on the kernel stack of the thread that blocks, so the words above it hold all its
 *   return addresses, among left-overs of earlier calls (and behind a gap of random size in system calls). When a
 *   stack is first seen it is unwound, and a `path` is kept: at which distances from us its return addresses lie.
 *   Walking a stack is deterministic: the frame of a return address has one size, which leads to the next. So when
 *   all words of a path are in their places, the walk would find the same stack. Where an address was found twice,
 *   the path asks for both (never too little, at worst too much), and meeting the same stack again takes away
 *   the places that were chance.
 * Only a stack that no path recognises is unwound. One recognition in AUDIT_EVERY unwinds too and compares. */
#pragma once

#define PATHS 65536
#define PATH_WORDS 40 /* places a path may ask for; a stack that has more is unwound every time */
#define PATH_VARIANTS 4 /* kernel paths kept for one user stack, owner and system call */
#define KERNEL_WORDS 512 /* words of kernel stack looked at; a deeper stack is unwound every time */
#define USER_WINDOW 256 /* bytes of user stack read at once: the frame-pointer chain, */
#define USER_SPAN 512 /* the words of a user path, */
#define SCAN_SPAN 256 /* and all words */
#define USER_FRAME 16 /* saved frame pointer, return address */
/* Bytes copied of what lies behind a first thread's stack: the frame of its first function. */
#define USER_STACK_SPARE 64
#define AUDIT_EVERY 1024 /* a power of two */

/* Return addresses of kernel and modules: the top 2 GiB, without small negative numbers. */
#define KERNEL_TEXT_LOW 0xffffffff80000000ULL
#define KERNEL_TEXT_SIZE 0x7f000000ULL
/* What can be a return address in user space; a frame-pointer chain that leads elsewhere ends. */
#define USER_TEXT_LOW 0x10000ULL
#define USER_TEXT_HIGH (1ULL << 56)
#define USER_ADDRESS_END (1ULL << 47)
#define USER32_CS 0x23

#define SLOT_HOOK 0
#define SLOT_PASS 1
#define SLOT_TICK 2

#define HOOK_SWITCH 0
#define HOOK_WAKING 1
#define HOOKS 2
#define HOOK_FRAMES 8 /* a power of two; of our own on top of a stack, at most */
#define HOOK_WORDS 32 /* a power of two; from our context to the first return address beyond it, at most */

#define STACK_MAX_BYTES 16384 /* a kernel stack is no larger */
#define INTERRUPT_WORDS 128 /* of an interrupt's own stack looked at */

/* Places on the kernel stack, in words from our context, ascending, and the lower halves of what lies there (the upper
 * halves are all the same). */
struct path {
	u32 stack; /* id */
	u16 count;
	u16 extent; /* words from our context to the last place */
	u32 low[PATH_WORDS];
	u16 at[PATH_WORDS];
};

/* What decides about walks of one user stack. Written by user space (userpath.c). Key: hash of thread group, RIP and RSP,
 * plus the variant's number. Variants are without gaps. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, USER_PATHS);
	__type(key, struct stack_key);
	__type(value, struct user_path);
} user_paths SEC(".maps");

/* Key: hash of the owner, system call and user stack, plus the variant's number. Variants are without gaps. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, PATHS);
	__type(key, struct stack_key);
	__type(value, struct path);
} paths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, INTERVAL_SLOTS);
	__type(key, u32);
	__type(value, struct interval_sum);
} intervals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct print_stats);
} print_stats SEC(".maps");

/* What is known of the current task before its stack is taken. */
struct sight {
	u64 cgroup_key;
	s32 syscall;
	u32 flags;
	struct stack_key print; /* owner, system call, user stack */
	u32 words; /* to look at on the kernel stack; 0: cannot be recognised */
	u32 known, audit; /* `audit`: recognised as `known`, which is to be checked */
	u32 interrupt; /* it is not the current task that acts, but an interrupt of it */
	u32 frames; /* of the kernel half, as bpf_get_stack found it: in the record already */
	u32 copy_bytes; /* its user half is walked from a copy of this length; 0: by frame pointers, or there is none */
	struct stack_key user; /* then: the user half's hash */
	u64 script[2]; /* fingerprint of the interpreter's frames */
};

/* The user stack while its hash is made. */
struct scan {
	struct stack_key print;
	u64 bp, r10;
	u64 from; /* where a copy begins */
	u64 base, last; /* the window: offset, largest offset of a word in it */
	u64 bytes, read; /* to be looked at; up to where something could be read */
	u64 all; /* all bits: also words that can be no address */
	u32 failed;
	u32 pad;
};

/* The walk of the current task's frame-pointer chain: state between two turns of the loop. */
struct chain {
	struct stack_key print;
	u64 frame;
	u64 base, last; /* the window: address, largest offset of a whole frame; both 0: none */
	u32 depth;
	u32 pad;
};

#define BLOOM_WORDS 4
struct scratch {
	u64 kernel[KERNEL_WORDS];
	u64 user[USER_SPAN / 8];
	u64 marks[KERNEL_WORDS / 64];
	u64 bloom[BLOOM_WORDS];
	struct path path;
	struct sight sight;
	struct chain chain;
	struct scan scan;
	u64 hook_stack; /* address of the hook's context, which lies on the stack we run on */
	u64 stack_top; /* of the registers at its end */
	u32 kept; /* here, because the verifier would follow every value of a counter in a register */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct print_stats *stats_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&print_stats, &zero);
}

static __always_inline struct scratch *scratch_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

static __always_inline bool user_text(u64 address)
{
	return address >= USER_TEXT_LOW && address < USER_TEXT_HIGH;
}

/* ---- registers ---- */

#if defined(__TARGET_ARCH_x86)
static __always_inline s32 regs_syscall(struct pt_regs *regs)
{
	return (s32)regs->orig_ax;
}

static __always_inline u64 regs_ip(struct pt_regs *regs)
{
	return regs->ip;
}

static __always_inline u64 regs_stack(struct pt_regs *regs)
{
	return regs->sp;
}

static __always_inline u64 regs_frame(struct pt_regs *regs)
{
	return regs->bp;
}

static __always_inline u64 regs_scratch(struct pt_regs *regs)
{
	return regs->r10;
}

static __always_inline u64 regs_kept(struct pt_regs *regs)
{
	return regs->bx;
}

static __always_inline u64 regs_first(struct pt_regs *regs)
{
	return regs->di;
}

static __always_inline void regs_scan(struct pt_regs *regs, struct scan *scan)
{
	scan->from = regs->sp - STACK_COPY_RED_ZONE;
	scan->bp = regs->bp;
	scan->r10 = regs->r10;
}

/* The walks here read 64-bit frames. */
static __always_inline bool regs_walkable(struct pt_regs *regs)
{
	return regs->cs != USER32_CS;
}
#else
#error "registers of this architecture are not known"
#endif

/* ---- fingerprints ---- */

/* The frame at `chain->frame` is in the window after this. FALSE: it cannot be read. */
static __always_inline bool chain_read(struct scratch *room, struct chain *chain)
{
	chain->base = chain->frame;
	chain->last = USER_WINDOW - USER_FRAME;
	if (!bpf_probe_read_user(room->user, USER_WINDOW, (void *)chain->frame))
		return true;
	chain->last = 0;
	return !bpf_probe_read_user(room->user, USER_FRAME, (void *)chain->frame);
}

/* bpf_loop callback: one frame. */
static long chain_step(u32 i, struct scratch **at)
{
	struct scratch *room = *at;
	struct chain *chain = &room->chain;
	u64 offset = chain->frame - chain->base, address;

	if (i >= chain->depth || chain->frame < USER_TEXT_LOW) /* nothing is mapped there: spare the fault */
		return 1;
	if (offset > chain->last || !chain->base) {
		if (!chain_read(room, chain))
			return 1;
		offset = 0;
	}
	if (offset > USER_WINDOW - USER_FRAME)
		return 1;
	address = *(u64 *)((void *)room->user + offset + 8);
	if (!user_text(address))
		return 1;
	stack_hash_word(&chain->print, address);
	chain->frame = *(u64 *)((void *)room->user + offset);
	return 0;
}

/* Hashes the return addresses of the current task's frame-pointer chain: the same reads in the same order as the
 * kernel's own walk, several frames at a time. */
static __always_inline void print_user(struct stack_key *print, struct scratch *room, u64 frame)
{
	room->chain.print = *print;
	room->chain.frame = frame;
	room->chain.base = 0;
	room->chain.last = 0;
	room->chain.depth = stack_depth - 1;
	bpf_loop(STACK_DEPTH, chain_step, &room, 0);
	*print = room->chain.print;
}

/* All bits when `word` could be an address of user space, else 0: without a branch, which the verifier would follow twice. */
static __always_inline u64 address_mask(u64 word)
{
	u64 above = word - USER_TEXT_LOW;

	return ((s64)(above - (USER_ADDRESS_END - USER_TEXT_LOW)) >> 63) & ~((s64)above >> 63);
}

/* The words of the window, which begins at `offset` from an aligned SCAN_SPAN, but for the first `left_out` bytes of the first.
 * Global, as all that loops: the verifier follows it once, not for every turn of the loop around it. */
__noinline int scan_words(u64 offset, u64 left_out)
{
	struct scratch *room = scratch_get();
	struct stack_key print;
	u64 all;

	if (!room)
		return 0;
	print = room->scan.print;
	all = room->scan.all;
	for (u32 word = 0; word < SCAN_SPAN / 8; word++) {
		u64 value = room->user[word], wanted = (u64)((s64)(left_out - offset - word * 8 - 8) >> 63);

		stack_hash_word(&print, value & (address_mask(value) | all) & wanted);
	}
	stack_hash_word(&print, offset);
	room->scan.print = print;
	return 0;
}

/* bpf_loop callback: the words of one aligned SCAN_SPAN of the stack, those below `from` left out. What cannot be read is
 * passed over, as it is in a copy. */
static long scan_span(u32 i, struct scratch **at)
{
	struct scratch *room = *at;
	struct scan *scan = &room->scan;
	u64 begin = scan->from & (SCAN_SPAN - 1), offset = (u64)i * SCAN_SPAN;

	if (offset >= begin + scan->bytes || offset > scan->read + STACK_COPY_HOLE_MAX)
		return 1;
	if (bpf_probe_read_user(room->user, SCAN_SPAN, (void *)(scan->from - begin + offset)))
		return 0;
	scan_words(offset, begin);
	scan->read = offset + SCAN_SPAN;
	return 0;
}

/* Hash of whatever could decide about a walk of the top of the stack. */
__noinline int scan_all(u32 bytes)
{
	struct scratch *room = scratch_get();
	struct scan *scan;

	if (!room)
		return 0;
	scan = &room->scan;
	scan->bytes = bytes;
	scan->read = 0;
	scan->all = scan->from & 7 ? ~0ULL : 0;
	scan->print.hash[0] = stack_seed[0] ^ bytes;
	scan->print.hash[1] = stack_seed[1];
	stack_hash_word(&scan->print, scan->bp & address_mask(scan->bp));
	stack_hash_word(&scan->print, scan->r10 & address_mask(scan->r10));
	bpf_loop(STACK_COPY_BYTES_MAX / SCAN_SPAN + 1, scan_span, &room, 0);
	return 0;
}

/* bpf_loop callback: the words of one SCAN_SPAN of the outer end, which begins at `scan->bytes`. */
static long scan_behind_span(u32 i, struct scratch **at)
{
	struct scratch *room = *at;
	u64 offset = (u64)i * SCAN_SPAN;

	if (offset >= STACK_COPY_TAIL)
		return 1;
	if (!bpf_probe_read_user(room->user, SCAN_SPAN, (void *)(room->scan.bytes + offset)))
		scan_words(offset, 0);
	return 0;
}

/* Adds the outer end of a stack, which begins at address `behind`, to the hash of its top. */
__noinline int scan_behind(u64 behind)
{
	struct scratch *room = scratch_get();

	if (!room)
		return 0;
	room->scan.bytes = behind;
	room->scan.all = behind & 7 ? ~0ULL : 0;
	stack_hash_word(&room->scan.print, behind);
	bpf_loop(STACK_COPY_TAIL / SCAN_SPAN, scan_behind_span, &room, 0);
	return 0;
}

struct scan_walk {
	struct scratch *room;
	const struct user_path *path;
};

/* bpf_loop callback: the word in one place of a path. */
static long scan_place(u32 i, struct scan_walk *walk)
{
	struct scratch *room = walk->room;
	struct scan *scan = &room->scan;
	u64 place, offset;

	if (i >= walk->path->count || i >= USER_PLACES)
		return 1;
	place = (u64)walk->path->at[i] * 8;
	offset = place - scan->base;
	if (offset > scan->last) {
		scan->base = place;
		scan->last = USER_SPAN - 8;
		offset = 0;
		if (bpf_probe_read_user(room->user, USER_SPAN, (void *)(scan->from + place))) {
			scan->last = 0;
			if (bpf_probe_read_user(room->user, 8, (void *)(scan->from + place))) {
				scan->failed = 1;
				return 1;
			}
		}
	}
	if (offset > USER_SPAN - 8)
		return 1;
	stack_hash_word(&scan->print, *(u64 *)((void *)room->user + offset));
	return 0;
}

/* Is the user stack of `scratch` this path's? Global, so that the verifier follows it once. */
__noinline int user_fits(const struct user_path *path)
{
	struct scan_walk walk = { .room = scratch_get(), .path = path };
	struct scan *scan;

	if (!path || !walk.room)
		return false;
	scan = &walk.room->scan;
	scan->failed = 0;
	scan->print.hash[0] = stack_seed[0];
	scan->print.hash[1] = stack_seed[1];
	if (path->registers & USER_PATH_BP)
		stack_hash_word(&scan->print, scan->bp);
	if (path->registers & USER_PATH_R10)
		stack_hash_word(&scan->print, scan->r10);
	bpf_loop(USER_PLACES, scan_place, &walk, 0);
	return !scan->failed && scan->print.hash[0] == path->print.hash[0] &&
	       scan->print.hash[1] == path->print.hash[1];
}

/* How long a copy of the task's stack that begins at `from` is to be. */
static __always_inline u32 user_copy_bytes(struct task_struct *task, u64 from)
{
	u32 tgid = task->tgid, bytes;
	u64 depth = stack_depth_bytes(task, from);
	struct stack_plan *plan = bpf_map_lookup_elem(&stack_plans, &tgid);

	if (plan)
		bytes = plan->bytes > STACK_COPY_BYTES_MAX ? STACK_COPY_BYTES_MAX : plan->bytes;
	else
		bytes = depth ? STACK_COPY_BYTES_MAX : STACK_COPY_BYTES_FIRST;
	return depth && depth < bytes ? depth : bytes;
}

/* The hash of the user half, into `room->sight`. `key`: of thread group, RIP and RSP. */
static __always_inline void user_print(struct scratch *room, const struct stack_key *start, struct task_struct *task)
{
	struct stack_key key = *start;
	struct print_stats *stats = stats_get();
	u64 end;

	room->scan.base = ~0ULL; /* no window yet */
	room->scan.last = 0;
	room->sight.copy_bytes = STACK_COPY_UNPLANNED; /* found out when needed */
	for (u32 i = 0; i < USER_VARIANTS; i++, key.hash[1]++) {
		struct user_path *path = bpf_map_lookup_elem(&user_paths, &key);

		if (!path)
			break;
		if (user_fits(path)) {
			room->sight.user = path->print;
			return;
		}
	}
	room->sight.copy_bytes = user_copy_bytes(task, room->scan.from);
	scan_all(room->sight.copy_bytes);
	end = stack_copy_far_end(task, room->scan.from);
	if (end)
		scan_behind(end - STACK_COPY_TAIL);
	room->sight.user = room->scan.print;
	if (stats)
		stats->user_misses++;
}

/* Notes which stack we run on. */
static __always_inline void hook_set(const void *ctx)
{
	struct scratch *room = scratch_get();

	if (room)
		room->hook_stack = (u64)ctx;
}

/* What all user stacks of one process at one place share: the same in userpath.c. */
static __always_inline void print_place(struct stack_key *print, u32 tgid, u64 ip, u64 sp)
{
	print->hash[0] = stack_seed[0];
	print->hash[1] = stack_seed[1];
	stack_hash_word(print, tgid);
	stack_hash_word(print, ip);
	stack_hash_word(print, sp);
}

/* What all stacks of one owner, in one system call, share. */
static __always_inline void print_owner(struct stack_key *print, const struct sight *sight, struct task_struct *task)
{
	stack_hash_word(print, (u32)sight->syscall | (u64)sight->flags << 32);
	stack_hash_word(print, task->self_exec_id);
	stack_hash_word(print, sight->cgroup_key);
	if (stack_by_thread) {
		u64 name[2] = {};

		bpf_probe_read_kernel(name, sizeof(name), task->comm);
		stack_hash_word(print, task->pid);
		stack_hash_word(print, name[0]);
		stack_hash_word(print, name[1]);
	}
}

/* ---- paths ---- */

static __always_inline void bloom_add(struct scratch *room, u32 low)
{
	u32 bit = low * 0x9e3779b1U >> 24;

	room->bloom[bit >> 6 & (BLOOM_WORDS - 1)] |= 1ULL << (bit & 63);
}

static __always_inline bool bloom_has(const struct scratch *room, u32 low)
{
	u32 bit = low * 0x9e3779b1U >> 24;

	return room->bloom[bit >> 6 & (BLOOM_WORDS - 1)] >> (bit & 63) & 1;
}

/* Copies `words` words of the stack we run on, from the hook's context on. */
static __always_inline bool path_read(struct scratch *room, u32 words)
{
	u32 bytes = words * 8;

	if (bytes > sizeof(room->kernel))
		return false;
	return bpf_probe_read_kernel(room->kernel, bytes, (void *)room->hook_stack) == 0;
}

/* Is the stack in the scratch memory this path's? Global, so that the verifier follows it once. */
__noinline int path_fits(const struct path *path)
{
	const struct scratch *room = scratch_get();

	if (!path || !room)
		return false;
	for (u32 i = 0; i < PATH_WORDS; i++) {
		if (i >= path->count)
			break;
		if ((u32)room->kernel[path->at[i] & (KERNEL_WORDS - 1)] != path->low[i])
			return false;
	}
	return true;
}

/* Loops of the slow half are callbacks: the verifier follows those once instead of once for every turn. Whatever a
 * turn changes lives in map memory: 6.1 forgets changes on the caller's stack. */
struct walk {
	struct scratch *room;
	struct stack_record *record;
	const struct path *earlier;
	u32 hook;
};

static long walk_frame(u32 i, struct walk *walk)
{
	if (i >= walk->record->kernel_count)
		return 1;
	bloom_add(walk->room, (u32)walk->record->frames[i & STACK_DEPTH_MASK]);
	return 0;
}

static long walk_word(u32 i, struct walk *walk)
{
	struct scratch *room = walk->room;
	struct path *path = &room->path;
	u64 word;
	u32 at;

	if (i >= room->sight.words)
		return 1;
	word = room->kernel[i & (KERNEL_WORDS - 1)];
	if (word - KERNEL_TEXT_LOW >= KERNEL_TEXT_SIZE || !bloom_has(room, (u32)word))
		return 0;
	at = path->count;
	if (at >= PATH_WORDS) {
		room->kept = 0;
		return 1;
	}
	path->low[at] = (u32)word;
	path->at[at] = i;
	path->count = at + 1;
	path->extent = i + 1;
	return 0;
}

/* The path of the stack in `room`, unwound as `record`: every place that holds one of its return addresses (or, by
 * chance, something like it). FALSE when there are too many. */
static __always_inline bool path_make(struct scratch *room, struct stack_record *record, u32 id)
{
	struct walk walk = { .room = room, .record = record };

	__builtin_memset(room->bloom, 0, sizeof(room->bloom));
	room->path.stack = id;
	room->path.count = 0;
	room->path.extent = 0;
	room->kept = 1;
	bpf_loop(STACK_DEPTH, walk_frame, &walk, 0);
	bpf_loop(KERNEL_WORDS, walk_word, &walk, 0);
	return room->kept;
}

static long walk_earlier(u32 i, struct walk *walk)
{
	struct scratch *room = walk->room;
	u32 at, low;

	if (i >= walk->earlier->count || i >= PATH_WORDS)
		return 1;
	at = walk->earlier->at[i] & (KERNEL_WORDS - 1);
	low = walk->earlier->low[i];
	if ((u32)room->kernel[at] == low) {
		room->marks[at >> 6] |= 1ULL << (at & 63);
		bloom_add(room, low);
	}
	return 0;
}

static long walk_covered(u32 i, struct walk *walk)
{
	struct scratch *room = walk->room;

	if (i >= room->path.count || i >= PATH_WORDS)
		return 1;
	if (!bloom_has(room, room->path.low[i]))
		room->kept = 0;
	return 0;
}

static long walk_drop(u32 i, struct walk *walk)
{
	struct scratch *room = walk->room;
	struct path *path = &room->path;
	u32 at, to = room->kept;

	if (i >= path->count || i >= PATH_WORDS || to >= PATH_WORDS)
		return 1;
	at = path->at[i] & (KERNEL_WORDS - 1);
	if (room->marks[at >> 6] >> (at & 63) & 1) {
		path->low[to] = path->low[i];
		path->at[to] = at;
		path->extent = at + 1;
		room->kept = to + 1;
	}
	return 0;
}

/* Takes out of `room->path` the places that an earlier path of the same stack does not ask for. FALSE, and nothing
 * taken out, when an address would be left without any place. */
static __always_inline bool path_narrow(struct scratch *room, const struct path *earlier)
{
	struct walk walk = { .room = room, .earlier = earlier };

	__builtin_memset(room->marks, 0, sizeof(room->marks));
	__builtin_memset(room->bloom, 0, sizeof(room->bloom));
	room->kept = 1;
	bpf_loop(PATH_WORDS, walk_earlier, &walk, 0);
	bpf_loop(PATH_WORDS, walk_covered, &walk, 0);
	if (!room->kept)
		return false;
	room->kept = 0;
	bpf_loop(PATH_WORDS, walk_drop, &walk, 0);
	room->path.count = room->kept;
	return true;
}

/* Keeps `room->path` as a variant of `print`. */
static __always_inline void path_keep(struct scratch *room, const struct stack_key *print)
{
	struct stack_key key = *print;

	for (u32 i = 0; i < PATH_VARIANTS; i++) {
		struct path *earlier;

		key.hash[1] = print->hash[1] + i;
		earlier = bpf_map_lookup_elem(&paths, &key);
		if (!earlier || (earlier->stack == room->path.stack && path_narrow(room, earlier))) {
			bpf_map_update_elem(&paths, &key, &room->path, BPF_ANY);
			return;
		}
	}
	key.hash[1] = print->hash[1] + room->path.stack % PATH_VARIANTS;
	bpf_map_update_elem(&paths, &key, &room->path, BPF_ANY);
}

/* The frames on top of every stack of one hook, which are ours: see record_own_frames. */
__u64 own_frames[HOOKS * HOOK_FRAMES] = {};

/* The first frame that returns to beyond our context. One turn for every frame and word. */
static long walk_own(u32 i, struct walk *walk)
{
	struct scratch *room = walk->room;
	u32 frame = i / HOOK_WORDS, word = i & (HOOK_WORDS - 1);

	if (frame >= walk->record->kernel_count || frame >= HOOK_FRAMES)
		return 1;
	if (room->kernel[word] != walk->record->frames[frame])
		return 0;
	room->kept = frame;
	return 1;
}

static long walk_own_named(u32 i, struct walk *walk)
{
	volatile __u64 *first;
	u32 at = walk->hook * HOOK_FRAMES + i;

	if (i >= walk->room->kept || i >= HOOK_FRAMES)
		return 1;
	asm volatile("" : "+r"(at)); /* the bound is clear to clang, but not to Linux 6.1 */
	first = &own_frames[at & (HOOKS * HOOK_FRAMES - 1)];
	if (!*first)
		*first = walk->record->frames[i];
	walk->record->frames[i] = *first; /* what another CPU may have put there */
	return 0;
}

/* The innermost frames, from our program out to the function that holds our context, are the same for all stacks of a hook,
 * but for the addresses: the kernel calls a program from another place while it counts how long programs take. They
 * lie below our context, where no path looks, and are no part of what a thread does: all stacks get the first one's. */
static __always_inline void record_own_frames(struct stack_record *record, struct scratch *room, u32 hook)
{
	struct walk walk = { .room = room, .record = record, .hook = hook };

	if (!path_read(room, HOOK_WORDS))
		return;
	room->kept = 0;
	bpf_loop(HOOK_FRAMES * HOOK_WORDS, walk_own, &walk, 0);
	bpf_loop(HOOK_FRAMES, walk_own_named, &walk, 0);
}

static long walk_user(u32 i, struct walk *walk)
{
	struct stack_record *record = walk->record;
	u32 at = record->kernel_count + i + 1;

	if (i + 1 >= record->user_count || at >= 2 * STACK_DEPTH)
		return 1;
	if (user_text(record->frames[at]))
		return 0;
	record->user_count = i + 1;
	record->flags &= ~STACK_USER_TRUNCATED;
	return 1;
}

/* The kernel's walk goes on through whatever a frame pointer points at; ours ends where no code can be. */
static __always_inline void record_trim_user(struct stack_record *record)
{
	struct walk walk = { .record = record };

	bpf_loop(STACK_DEPTH, walk_user, &walk, 0);
}

/* For the ledger: how good the stack is. */
static __always_inline void stack_flags_note(u32 id, u32 flags)
{
	struct interval_sum *sum = bpf_map_lookup_elem(&intervals, &id);

	if (sum)
		sum->flags = flags;
}

/* The current task's, by frame pointers; after the kernel's. */
static __always_inline void record_user(struct stack_record *record)
{
	u32 kernel = record->kernel_count;

	if (!stack_user || (record->flags & STACK_KTHREAD))
		return;
	asm volatile("" : "+r"(kernel)); /* or clang drops the mask, which the verifier needs to see */
	stack_record_user_got(record,
			      bpf_get_task_stack(bpf_get_current_task_btf(), &record->frames[kernel & STACK_DEPTH_MASK],
						 STACK_DEPTH * 8, BPF_F_USER_STACK));
	record_trim_user(record);
}

/* Nobody's: the interrupted task has nothing to do with it. */
static __always_inline void record_of_interrupt(struct stack_record *record)
{
	__builtin_memset(&record->task, 0, sizeof(record->task));
	__builtin_memcpy(record->task.comm, OFFCPU_INTERRUPT, sizeof(OFFCPU_INTERRUPT));
	record->flags |= STACK_KTHREAD;
}

/* Reads from `from` to `end`, at most STACK_COPY_TAIL, to where a copy ends. */
static __always_inline bool behind_read(struct stack_copy_room *copies, u64 from, u64 end)
{
	u32 bytes = end - from;
	u8 *to = stack_copy_end(copies);

	asm volatile("" : "+r"(bytes)); /* the bound is clear to clang, but not to Linux 6.1 */
	if (!to || bytes > STACK_COPY_TAIL || bpf_probe_read_user(to + sizeof(from), bytes, (void *)from))
		return false;
	__builtin_memcpy(to, &from, sizeof(from));
	copies->record.tail_bytes = sizeof(from) + bytes;
	return true;
}

/* Puts the outer end of the current task's stack, or what of it was ever touched, behind the copy, when it is wanted. Global:
 * verified once. */
__noinline int copy_behind(struct stack_copy_room *copies)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	u64 end, last_page;

	if (!copies)
		return false;
	end = stack_copy_far_end(bpf_get_current_task_btf(), regs_stack(regs) - STACK_COPY_RED_ZONE);
	if (!end)
		return false;
	last_page = (end - 1) & ~(u64)(STACK_COPY_PAGE - 1);
	return behind_read(copies, end - STACK_COPY_TAIL, end) ||
	       behind_read(copies, last_page - STACK_COPY_PAGE, end) || behind_read(copies, last_page, end);
}

/* Sends a copy of the user half behind the record's kernel frames, as stack `id`. FALSE when the ring is full. */
__noinline int copy_send(u32 id, u32 bytes)
{
	struct stack_copy_room *copies = stack_copy_room_get(SLOT_HOOK);

	if (!copies)
		return false;
	if (stack_copy_take(copies, bytes))
		copy_behind(copies);
	else
		record_user(&copies->record);
	return stack_copy_send(copies, id);
}

/* The table entry of a stack whose user half is known by its hash. Sent at first sight, with a copy of `bytes`. */
static __always_inline struct stack_value *copy_intern(struct stack_copy_room *copies, const struct sight *sight,
						       u32 bytes)
{
	struct stack_record *record = &copies->record;
	u32 kernel = record->kernel_count;
	struct stack_value *value;

	asm volatile("" : "+r"(kernel)); /* or clang drops the mask, which the verifier needs to see */
	kernel &= STACK_DEPTH_MASK;
	record->frames[kernel] = sight->user.hash[0];
	record->frames[kernel + 1] = sight->user.hash[1];
	record->user_count = 2;
	value = stack_record_find(record);
	record->user_count = 0;
	if (!value || value->sent || __sync_val_compare_and_swap(&value->sent, 0, 1) != 0)
		return value;
	if (!copy_send(value->id, bytes))
		value->sent = 0;
	return value;
}

/* The kernel hands out no stack while it takes another one on this CPU: such a half stands for itself alone. */
static __always_inline bool record_is_whole(const struct stack_record *record)
{
	return (!stack_kernel || record->kernel_count) && !(record->flags & (STACK_KERNEL_TRUNCATED | STACK_NO_USER));
}

/* What only a program itself can ask for, before stack_take: the kernel half of the stack that was not recognised. */
static __always_inline void stack_take_kernel(void *ctx)
{
	struct stack_copy_room *copies = stack_copy_room_get(SLOT_HOOK);
	struct scratch *room = scratch_get();
	long got = 0;

	if (!copies || !room)
		return;
	if (stack_kernel)
		got = bpf_get_stack(ctx, copies->record.frames, STACK_DEPTH * 8, 0);
	room->sight.frames = got > 0 && got <= STACK_DEPTH * 8 ? (u32)got / 8 : 0;
}

/* The real stack of the current task, of which `room->sight` tells → its id; STACK_NONE when the table is full. Global,
 * as stack_recognise: the verifier follows it on its own, not once for every way to get here. */
__noinline u32 stack_take(u32 hook)
{
	struct stack_copy_room *copies = stack_copy_room_get(SLOT_HOOK);
	struct task_struct *task = bpf_get_current_task_btf();
	struct print_stats *stats = stats_get();
	struct scratch *room = scratch_get();
	struct stack_record *record;
	struct stack_value *value;
	u32 id, bytes = 0;

	if (!copies || !stats || !room)
		return STACK_NONE;
	record = &copies->record;
	stack_record_begin(record, task, room->sight.cgroup_key);
	if (room->sight.interrupt)
		record_of_interrupt(record);
	record->syscall = room->sight.syscall;
	record->flags |= room->sight.flags;
	record->script[0] = room->sight.script[0];
	record->script[1] = room->sight.script[1];
	record->kernel_count = room->sight.frames & STACK_DEPTH_MASK;
	if (record->kernel_count >= stack_depth)
		record->flags |= STACK_KERNEL_TRUNCATED;
	record_own_frames(record, room, hook);
	if (room->sight.copy_bytes) {
		bytes = room->sight.copy_bytes;
		if (bytes == STACK_COPY_UNPLANNED)
			bytes = user_copy_bytes(task, room->scan.from);
	} else {
		record_user(record);
	}
	if (room->sight.audit && !record_is_whole(record))
		return room->sight.known; /* nothing to compare with */
	value = room->sight.copy_bytes ? copy_intern(copies, &room->sight, bytes) : stack_record_intern(record);
	if (!value)
		return STACK_NONE;
	id = value->id;
	if (room->sight.audit) {
		stats->audited++;
		if (room->sight.known == id) {
			if (room->sight.copy_bytes) { /* the user half is checked by who walks it */
				record->flags |= STACK_AUDIT;
				copy_send(id, bytes);
			}
			return id;
		}
		stats->mismatched++;
	}
	stack_flags_note(id, record->flags);
	if (!value->sent)
		return id; /* stays unknown, so that the next one tries again */
	if (room->sight.words && record_is_whole(record) && path_read(room, room->sight.words) &&
	    path_make(room, record, id))
		path_keep(room, &room->sight.print);
	else
		stats->unusable++;
	return id;
}

/* Words on the stack we run on, from the hook's context to the registers at its top; 0: too many, or not that stack. */
static __always_inline u32 stack_words(struct scratch *room, const struct pt_regs *regs)
{
	u64 bytes;

	room->stack_top = (u64)regs;
	barrier(); /* read back it is a number: with a pointer the verifier allows no such subtraction */
	bytes = room->stack_top - room->hook_stack;

	return bytes <= KERNEL_WORDS * 8 ? (u32)bytes / 8 : 0;
}

/* Looks for a path that the stack we run on fits → its id; STACK_UNKNOWN: stack_take must be asked. */
static __always_inline u32 sight_recognise(struct scratch *room, const struct stack_key *print, u64 now)
{
	struct print_stats *stats = stats_get();
	struct sight *sight = &room->sight;
	struct stack_key key = *print;
	u32 have = 0;

	if (!stats)
		return STACK_NONE;
	sight->print = *print;
	sight->audit = 0;
	for (u32 i = 0; i < PATH_VARIANTS; i++, key.hash[1]++) {
		struct path *path = bpf_map_lookup_elem(&paths, &key);

		if (!path)
			break;
		if (path->extent > have) {
			have = path->extent;
			if (have > sight->words || !path_read(room, have))
				break;
		}
		if (!path_fits(path))
			continue;
		stats->hits++;
		if (((now >> 4) & (AUDIT_EVERY - 1)) != 0)
			return path->stack;
		sight->known = path->stack;
		sight->audit = 1;
		return STACK_UNKNOWN;
	}
	stats->misses++;
	return STACK_UNKNOWN;
}

/* The user half of `task`, which is the current one, into `print` and `room->sight`. FALSE when it cannot be recognised. */
static __always_inline bool user_recognise(struct scratch *room, struct stack_key *print, struct task_struct *task,
					   struct pt_regs *regs)
{
	if (!regs_walkable(regs))
		return false;
	if (!stack_copying) {
		print_user(print, room, regs_frame(regs));
		return true;
	}
	regs_scan(regs, &room->scan);
	user_print(room, print, task);
	stack_hash_word(print, room->sight.user.hash[0]);
	stack_hash_word(print, room->sight.user.hash[1]);
	return true;
}

/* The stack id of the current task; STACK_UNKNOWN: stack_take must be asked. `hook_set` comes before. */
__noinline u32 stack_recognise(u64 cgroup_key, u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	bool in_kernel = task->flags & (PF_KTHREAD | PF_IO_WORKER);
	struct scratch *room = scratch_get();
	struct stack_key print;
	struct sight *sight;
	bool usable = true;

	if (!room)
		return STACK_NONE;
	sight = &room->sight;
	sight->cgroup_key = cgroup_key;
	sight->flags = BPF_CORE_READ_BITFIELD(task, in_iowait) ? STACK_IOWAIT : 0;
	sight->interrupt = 0;
	sight->copy_bytes = 0;
	sight->script[0] = 0;
	sight->script[1] = 0;
	if (in_kernel || !stack_user) {
		print_place(&print, task->tgid, 0, 0);
	} else {
		print_place(&print, task->tgid, regs_ip(regs), regs_stack(regs));
		usable = user_recognise(room, &print, task, regs);
		script_of_current(SLOT_HOOK, sight->script);
		if (sight->script[0]) {
			stack_hash_word(&print, sight->script[0]);
			stack_hash_word(&print, sight->script[1]);
		}
	}
	sight->syscall = in_kernel ? -1 : regs_syscall(regs);
	print_owner(&print, sight, task);
	sight->words = usable ? stack_words(room, regs) : 0;
	if (sight->words && !in_kernel) {
		/* The outermost address lies below the registers, not at a fixed distance from us: between them, system
		 * calls leave a gap of random size. The number of the system call stands for it. */
		sight->words--;
		if (sight->syscall < 0) {
			u64 outermost = 0;

			bpf_probe_read_kernel(&outermost, sizeof(outermost), (u64 *)regs - 1);
			stack_hash_word(&print, outermost);
		}
	}
	return sight_recognise(room, &print, now);
}

/* The stack id of what wakes somebody up here: the current task, unless an interrupt does. */
static __always_inline u32 waker_recognise(void *ctx, struct task_struct *task, u64 now)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	bool on_own_stack = (u64)regs - (u64)ctx < STACK_MAX_BYTES;
	struct scratch *room = scratch_get();
	struct stack_key print;

	hook_set(ctx);

	/* On the stack of a user task and not in a system call: an interrupt (or, rarely, a page fault). */
	if (on_own_stack && task->pid && (task->flags & PF_KTHREAD || regs_syscall(regs) >= 0))
		return stack_recognise(cgroup_key_current(), now);
	if (!room)
		return STACK_NONE;
	print.hash[0] = stack_seed[0];
	print.hash[1] = stack_seed[1];
	room->sight.cgroup_key = 0;
	room->sight.syscall = -1;
	room->sight.flags = 0;
	room->sight.interrupt = 1;
	room->sight.script[0] = 0;
	room->sight.script[1] = 0;
	room->sight.copy_bytes = 0;
	room->sight.words = on_own_stack ? stack_words(room, regs) : INTERRUPT_WORDS;
	return sight_recognise(room, &print, ~0ULL); /* no audit: the real one holds the interrupted stack, too */
}
