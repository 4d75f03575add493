// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Heap allocations: uprobes where an allocator's functions begin and return (heap.h says how calls are chosen).
 *
 * A function that allocates may call another one (musl's calloc calls malloc): only the outermost call counts. It is known by
 * its stack pointer: an inner call has a lower one, and whatever comes at a higher one shows that the outer call has ended.
 *
 * These programs may be interrupted by others of their kind on the same CPU (they can be preempted), so memory of a CPU is
 * taken and given back. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define STACK_SLOTS 4
#define SCRIPT_SLOTS STACK_SLOTS
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/copy.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/loss.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/python.bpf.h"
#include "bpf/stack.bpf.h"
#include "heap.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#if defined(__TARGET_ARCH_x86)
struct pt_regs___function {
	unsigned long di, si, dx, ax, sp;
};
#define FUNCTION_0(regs) ((regs)->di)
#define FUNCTION_1(regs) ((regs)->si)
#define FUNCTION_2(regs) ((regs)->dx)
#define FUNCTION_RESULT(regs) ((regs)->ax)
#define FUNCTION_RETURN_BYTES 8 /* the return address lies on the stack while the function runs */
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs___function {
	u64 regs[31];
	u64 sp;
};
#define FUNCTION_0(r) ((r)->regs[0])
#define FUNCTION_1(r) ((r)->regs[1])
#define FUNCTION_2(r) ((r)->regs[2])
#define FUNCTION_RESULT(r) ((r)->regs[0])
#define FUNCTION_RETURN_BYTES 0
#endif
#pragma clang attribute pop

__u64 heap_ends_lost = 0; /* ends that could not be kept: what those processes had counts as live */
const volatile __u64 sample_bytes = HEAP_SAMPLE_BYTES;

/* The call a thread is in. */
struct heap_pending {
	u64 stack_pointer; /* where it began; 0: in none */
	u64 weight; /* 0: not looked at */
	u64 bytes;
	u64 where; /* posix_memalign: where the address will be written */
	u64 old_address; /* realloc: what was followed and is given up; 0: none */
	struct heap_block old;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct heap_pending);
} heap_pending SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HEAP_LIVE);
	__type(key, struct heap_place);
	__type(value, struct heap_block);
} heap_live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HEAP_ENDS);
	__type(key, struct heap_process);
	__type(value, u8);
} heap_ends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct heap_count);
} heap_counts SEC(".maps");

struct heap_slots {
	u64 taken[STACK_SLOTS];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct heap_slots);
} heap_slots SEC(".maps");

static __always_inline struct heap_process heap_process_of(struct task_struct *task, u64 exec_id)
{
	struct task_struct *leader = READ(task, group_leader);

	return (struct heap_process){ .tgid = READ(task, tgid), .life = (u32)READ(leader, start_time) + (u32)exec_id };
}

static __always_inline struct heap_place heap_place_of(struct task_struct *task, u64 address)
{
	return (struct heap_place){ .address = address, .process = heap_process_of(task, READ(task, self_exec_id)) };
}

static __always_inline void heap_count_call(bool is_free)
{
	u32 zero = 0;
	struct heap_count *count = bpf_map_lookup_elem(&heap_counts, &zero);

	if (count && is_free)
		count->frees++;
	else if (count)
		count->calls++;
}

/* Which allocations are looked at, and what each stands for: heap.h. 0: this one is not. */
static __always_inline u64 heap_weight(u64 bytes)
{
	u64 every = sample_bytes * budget_now(), dice;

	if (!every)
		every = sample_bytes;
	if (bytes >= every)
		return bytes;
	dice = (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
	return dice % every < bytes ? every : 0;
}

static __always_inline void heap_forget_old(struct task_struct *task, struct heap_pending *pending, u64 address)
{
	struct heap_place place = heap_place_of(task, address);
	struct heap_block *block = address ? bpf_map_lookup_elem(&heap_live, &place) : NULL;

	pending->old_address = 0;
	if (!block)
		return;
	pending->old = *block;
	pending->old_address = address;
	bpf_map_delete_elem(&heap_live, &place);
}

/* The second half of heap_enter: arguments are read. */
static __always_inline void heap_begin(struct pt_regs___function *ctx, u64 call, u64 bytes)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct heap_pending *pending = bpf_task_storage_get(&heap_pending, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 stack_pointer = ctx->sp;

	if (!pending) {
		loss_add(LOSS_STORAGE, 1, bytes);
		return;
	}
	if (pending->stack_pointer > stack_pointer)
		return; /* inside of another one */
	pending->stack_pointer = stack_pointer;
	pending->bytes = bytes;
	pending->weight = heap_weight(bytes);
	pending->where = call == HEAP_POSIX_MEMALIGN ? FUNCTION_0(ctx) : 0;
	if (call == HEAP_REALLOC)
		heap_forget_old(task, pending, FUNCTION_0(ctx));
	else
		pending->old_address = 0;
}

static __always_inline int enter_look(struct pt_regs___function *ctx)
{
	u64 call = bpf_get_attach_cookie(ctx), bytes;
	struct task_struct *task = bpf_get_current_task_btf();

	if (call == HEAP_TRY)
		return 0;
	heap_count_call(false);
	if (!filter_wants(task, cgroup_key_current()))
		return 0;
	switch (call) {
	case HEAP_MALLOC:
		bytes = FUNCTION_0(ctx);
		break;
	case HEAP_CALLOC:
		bytes = FUNCTION_0(ctx) * FUNCTION_1(ctx);
		break;
	case HEAP_REALLOC:
	case HEAP_ALIGNED:
		bytes = FUNCTION_1(ctx);
		break;
	default:
		bytes = FUNCTION_2(ctx);
		break;
	}
	heap_begin(ctx, call, bytes);
	return 0;
}

SEC("uprobe")
int heap_enter(struct pt_regs___function *ctx)
{
	return PACED(0, enter_look(ctx));
}

/* Memory of this CPU to make a record in; STACK_SLOTS: there is none. */
static __always_inline u32 heap_slot_take(struct heap_slots *slots)
{
	for (u32 i = 0; i < STACK_SLOTS; i++)
		if (__sync_val_compare_and_swap(&slots->taken[i], 0, 1) == 0)
			return i;
	return STACK_SLOTS;
}

static __always_inline bool heap_send_copy(struct stack_copy_room *room, struct task_struct *task, u64 key, u32 slot,
					   u64 weight, u32 id, u32 bytes)
{
	stack_record_begin(&room->record, task, key);
	room->record.weight = weight;
	script_of_current(slot, room->record.script);
	if (!stack_copy_take(room, bytes))
		return false;
	room->record.flags |= STACK_EACH;
	return stack_copy_send(room, id);
}

static __always_inline bool heap_send_plain(struct pt_regs___function *ctx, struct task_struct *task, u64 key, u32 slot,
					    u64 weight, u32 id, u32 flags)
{
	struct stack_record *record = stack_record_get(slot);
	u64 bytes;

	if (!record)
		return false;
	stack_record_begin(record, task, key);
	record->weight = weight;
	script_of_current(slot, record->script);
	stack_record_user(record, ctx);
	record->flags |= STACK_EACH | flags;
	record->time_ns = bpf_ktime_get_ns();
	record->id = id;
	bytes = __builtin_offsetof(struct stack_record, task) + (u64)stack_record_words(record) * 8;
	return bytes <= sizeof(*record) && bpf_ringbuf_output(&stack_ring, record, bytes, stack_wakeup(record)) == 0;
}

static __always_inline bool heap_send(struct pt_regs___function *ctx, struct task_struct *task, u32 slot, u64 weight,
				      u32 id)
{
	u64 key = cgroup_key_current();
	u32 wanted = stack_copy_wanted(task);
	struct stack_copy_room *room = wanted ? stack_copy_room_get(slot) : NULL;

	if (room && heap_send_copy(room, task, key, slot, weight, id, wanted))
		return true;
	return heap_send_plain(ctx, task, key, slot, weight, id, room ? STACK_NO_COPY : 0);
}

/* An allocation that is looked at got its address. */
static __always_inline void heap_take(struct pt_regs___function *ctx, struct task_struct *task, u64 address, u64 weight)
{
	struct heap_place place = heap_place_of(task, address);
	struct heap_block block = { .id = __sync_fetch_and_add(&stack_next_id, 1), .weight = weight };
	u32 zero = 0, slot;
	struct heap_slots *slots = bpf_map_lookup_elem(&heap_slots, &zero);

	if (!slots)
		return;
	if (bpf_map_update_elem(&heap_live, &place, &block, BPF_ANY)) {
		loss_add(LOSS_MAP, 1, weight);
		return;
	}
	slot = heap_slot_take(slots);
	if (slot >= STACK_SLOTS) {
		loss_add(LOSS_STORAGE, 1, weight);
		bpf_map_delete_elem(&heap_live, &place);
		return;
	}
	if (!heap_send(ctx, task, slot, weight, block.id)) {
		loss_add(LOSS_RING, 1, weight);
		bpf_map_delete_elem(&heap_live, &place);
	}
	slots->taken[slot] = 0;
}

static __always_inline u64 heap_result(u64 result, const struct heap_pending *pending)
{
	u64 address = 0;

	if (!pending->where)
		return result;
	if ((u32)result != 0)
		return 0;
	bpf_probe_read_user(&address, sizeof(address), (void *)pending->where);
	return address;
}

static __always_inline int return_look(struct pt_regs___function *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct heap_pending *pending;
	u64 address, result = FUNCTION_RESULT(ctx), stack_pointer = ctx->sp;

	asm volatile("" : "+r"(result), "+r"(stack_pointer)); /* or clang reads them through a pointer of its own */
	if (bpf_get_attach_cookie(ctx) == HEAP_TRY)
		return 0;
	pending = bpf_task_storage_get(&heap_pending, task, 0, 0);
	/* By now the return address is off the stack. */
	if (!pending || !pending->stack_pointer || pending->stack_pointer + FUNCTION_RETURN_BYTES != stack_pointer)
		return 0;
	pending->stack_pointer = 0;
	address = heap_result(result, pending);
	if (!address) {
		if (pending->old_address && pending->bytes) { /* it failed: the old one stays */
			struct heap_place place = heap_place_of(task, pending->old_address);

			bpf_map_update_elem(&heap_live, &place, &pending->old, BPF_ANY);
		}
		return 0;
	}
	loss_add(LOSS_SEEN, 1, pending->bytes);
	if (pending->weight)
		heap_take(ctx, task, address, pending->weight);
	return 0;
}

SEC("uretprobe")
int heap_return(struct pt_regs___function *ctx)
{
	return PACED(1, return_look(ctx));
}

static __always_inline int free_look(struct pt_regs___function *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 address = FUNCTION_0(ctx);
	struct heap_place place;

	heap_count_call(true);
	if (!address)
		return 0;
	place = heap_place_of(task, address);
	bpf_map_delete_elem(&heap_live, &place);
	return 0;
}

SEC("uprobe")
int heap_free(struct pt_regs___function *ctx)
{
	return PACED(2, free_look(ctx));
}

static __always_inline void heap_end(struct heap_process process)
{
	u8 one = 1;

	if (bpf_map_update_elem(&heap_ends, &process, &one, BPF_ANY))
		__sync_fetch_and_add(&heap_ends_lost, 1);
}

static __always_inline int exec_look(struct task_struct *task)
{
	if (filter_wants(task, cgroup_key_current()))
		heap_end(heap_process_of(task, READ(task, self_exec_id) - 1)); /* it has grown already */
	return 0;
}

SEC("btf_tp/sched_process_exec")
int BPF_PROG(heap_exec, struct task_struct *task)
{
	return PACED(3, exec_look(task));
}

static __always_inline int exit_look(struct task_struct *task)
{
	struct signal_struct *signal = READ(task, signal);

	if (BPF_CORE_READ(signal, live.counter) == 0 && filter_wants(task, cgroup_key_current()))
		heap_end(heap_process_of(task, READ(task, self_exec_id)));
	return 0;
}

SEC("btf_tp/sched_process_exit")
int BPF_PROG(heap_exit, struct task_struct *task)
{
	return PACED(3, exit_look(task));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
