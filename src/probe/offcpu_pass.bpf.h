/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The passes over all tasks: stacks of who has been blocked since before the start, and at the end every open interval. Behind
   the accounting of offcpu.bpf.c, which they add to. */
#pragma once

/* The user walk of the first pass; one reader at a time. */
struct pass {
	u64 frame;
	u64 start, end; /* of memory that can be read without anybody's help; both 0: none */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct pass);
} passes SEC(".maps");

/* Only anonymous memory: reading a file's page may wait for whoever serves the file, for ever. */
static long pass_vma_found(struct task_struct *task, struct vm_area_struct *vma, struct pass **pass)
{
	if (vma->vm_file)
		return 0;
	if (bpf_core_field_exists(vma->vm_userfaultfd_ctx.ctx) && vma->vm_userfaultfd_ctx.ctx)
		return 0;
	(*pass)->start = vma->vm_start;
	(*pass)->end = vma->vm_end;
	return 0;
}

struct pass_walk {
	struct task_struct *task;
	u8 *to; /* copies: where to, from where in the task, how much */
	u64 from;
	u32 wanted;
	struct stack_record *record;
	struct pass *pass;
};

/* One step of the frame-pointer walk of print_user, of another task. */
static long pass_frame(u32 i, struct pass_walk *walk)
{
	struct stack_record *record = walk->record;
	struct pass *pass = walk->pass;
	u64 pair[2], frame = pass->frame;
	u32 at;

	if (frame < USER_TEXT_LOW || frame > USER_TEXT_HIGH)
		return 1;
	if (record->user_count >= stack_depth) {
		record->flags |= STACK_USER_TRUNCATED;
		return 1;
	}
	if (frame < pass->start || frame + USER_FRAME > pass->end) {
		pass->start = pass->end = 0;
		bpf_find_vma(walk->task, frame, pass_vma_found, &walk->pass, 0);
		if (frame < pass->start || frame + USER_FRAME > pass->end)
			return 1;
	}
	if (bpf_copy_from_user_task(pair, sizeof(pair), (void *)frame, walk->task, 0) || !user_text(pair[1]))
		return 1;
	at = record->kernel_count + record->user_count;
	if (at >= 2 * STACK_DEPTH)
		return 1;
	record->frames[at] = pair[1];
	record->user_count++;
	pass->frame = pair[0];
	return 0;
}

/* bpf_loop callback: one page more of another task's stack, into record->copy_bytes (as stack_copy_page). */
static long pass_page(u32 i, struct pass_walk *walk)
{
	struct pass *pass = walk->pass;
	u32 done = walk->record->copy_bytes, wanted = walk->wanted;
	u64 from = walk->from + done;
	u32 part = STACK_COPY_PAGE - (from & (STACK_COPY_PAGE - 1));

	if (done >= wanted || done > STACK_COPY_BYTES_MAX)
		return 1;
	if (part > wanted - done)
		part = wanted - done;
	asm volatile("" : "+r"(part)); /* the bound is clear to clang, but not to Linux 6.1 */
	if (part > STACK_COPY_PAGE)
		return 1;
	if (from < pass->start || from + part > pass->end) {
		pass->start = pass->end = 0;
		bpf_find_vma(walk->task, from, pass_vma_found, &walk->pass, 0);
		if (from < pass->start || from + part > pass->end)
			return 1;
	}
	if (bpf_copy_from_user_task(walk->to + done, part, (void *)from, walk->task, 0))
		return 1;
	walk->record->copy_bytes = done + part;
	return 0;
}

/* As copy_behind, of another task. */
static __always_inline void pass_behind(struct stack_copy_room *copies, struct pass_walk *walk)
{
	u64 end = stack_copy_far_end(walk->task, walk->from), behind = end - STACK_COPY_TAIL;
	u8 *to = end ? stack_copy_end(copies) : NULL;

	if (!to)
		return;
	walk->pass->start = walk->pass->end = 0;
	bpf_find_vma(walk->task, behind, pass_vma_found, &walk->pass, 0);
	if (behind < walk->pass->start || end > walk->pass->end ||
	    bpf_copy_from_user_task(to + sizeof(behind), STACK_COPY_TAIL, (void *)behind, walk->task, 0))
		return;
	__builtin_memcpy(to, &behind, sizeof(behind));
	copies->record.tail_bytes = sizeof(behind) + STACK_COPY_TAIL;
}

/* Copies the user half of `task` behind the record's kernel frames: as stack_copy_take. */
static __always_inline void pass_copy(struct stack_copy_room *copies, struct task_struct *task, struct pt_regs *regs)
{
	struct pass_walk walk = { .task = task, .record = &copies->record };
	struct stack_record *record = walk.record;
	u32 kernel = record->kernel_count, zero = 0;
	struct stack_registers registers;
	u8 *to;

	walk.pass = bpf_map_lookup_elem(&passes, &zero);
	if (!walk.pass)
		return;
	registers.ip = regs_ip(regs);
	registers.sp = regs_stack(regs);
	registers.bp = regs_frame(regs);
	registers.r10 = regs_scratch(regs);
	registers.bx = regs_kept(regs);
	registers.di = regs_first(regs);
	registers.copied_from = registers.sp - STACK_COPY_RED_ZONE;
	registers.holes = 0;
	asm volatile("" : "+r"(kernel)); /* or clang drops the mask, which the verifier needs to see */
	to = (u8 *)&record->frames[kernel & STACK_DEPTH_MASK];
	__builtin_memcpy(to, &registers, sizeof(registers));
	to += sizeof(registers);
	walk.pass->start = walk.pass->end = 0;
	walk.to = to;
	walk.from = registers.copied_from;
	walk.wanted = user_copy_bytes(task, registers.copied_from);
	bpf_loop(STACK_COPY_PAGES, pass_page, &walk, 0);
	/* All there is says nothing of how much other stacks of the process need. */
	if (record->copy_bytes < walk.wanted || walk.wanted == stack_depth_bytes(task, registers.copied_from))
		record->flags |= STACK_COPY_ENDS;
	if (record->copy_bytes)
		record->flags |= STACK_COPIED;
	else
		record->flags |= STACK_NO_USER;
	pass_behind(copies, &walk);
}

static __always_inline void pass_user(struct stack_record *record, struct task_struct *task, struct pt_regs *regs)
{
	struct pass_walk walk = { .task = task, .record = record };
	u32 zero = 0;

	walk.pass = bpf_map_lookup_elem(&passes, &zero);
	if (!walk.pass)
		return;
	walk.pass->frame = regs_frame(regs);
	walk.pass->start = walk.pass->end = 0;
	record->frames[record->kernel_count & STACK_DEPTH_MASK] = regs_ip(regs);
	record->user_count = 1;
	bpf_loop(STACK_DEPTH, pass_frame, &walk, 0);
}

static __always_inline void pass_kernel(struct stack_record *record, struct task_struct *task)
{
	long got;

	record->flags |= STACK_NO_SCHED;
	if (BPF_CORE_READ_BITFIELD(task, in_iowait))
		record->flags |= STACK_IOWAIT;
	if (!stack_kernel)
		return;
	got = bpf_get_task_stack(task, record->frames, STACK_DEPTH * 8, 0);
	if (got > 0 && got <= STACK_DEPTH * 8)
		record->kernel_count = (u32)got / 8;
}

/* A stack that is walked from a copy: one for every thread, as it is not hashed. */
static __always_inline struct stack_value *pass_send_copy(struct stack_copy_room *copies, struct task_struct *task)
{
	struct stack_record *record = &copies->record;
	u32 kernel = record->kernel_count;
	struct stack_value *value;
	struct stack_key behind = record->key; /* the copy is there already, and longer than the frames */
	u64 saved[2];

	asm volatile("" : "+r"(kernel));
	kernel &= STACK_DEPTH_MASK;
	saved[0] = record->frames[kernel];
	saved[1] = record->frames[kernel + 1];
	record->frames[kernel] = task->pid;
	record->frames[kernel + 1] = task->start_time;
	record->user_count = 2;
	value = stack_record_find(record);
	record->user_count = 0;
	record->frames[kernel] = saved[0];
	record->frames[kernel + 1] = saved[1];
	record->key = behind;
	if (!value || value->sent || __sync_val_compare_and_swap(&value->sent, 0, 1) != 0)
		return value;
	if (!stack_copy_send(copies, value->id))
		value->sent = 0;
	return value;
}

/* The stack of a thread that is blocked. */
static __always_inline struct stack_value *pass_take(struct task_struct *task, u64 key, bool user)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	bool in_kernel = task->flags & (PF_KTHREAD | PF_IO_WORKER);
	bool copying = stack_copying && stack_user && user && !in_kernel && regs_walkable(regs);
	struct stack_copy_room *copies = stack_copy_room_get(SLOT_PASS);
	struct stack_record *record = copying && copies ? &copies->record : stack_record_get(SLOT_PASS);

	if (!record || !copies)
		return NULL;
	stack_record_begin(record, task, key);
	pass_kernel(record, task);
	if (!in_kernel) {
		record->syscall = regs_syscall(regs);
		if (copying) {
			pass_copy(copies, task, regs);
			return pass_send_copy(copies, task);
		}
		if (stack_user && user && regs_walkable(regs))
			pass_user(record, task, regs);
		else if (stack_user)
			record->flags |= STACK_NO_USER;
	}
	return stack_record_intern(record);
}

/* Notes the stack of a thread that is blocked already. TRUE: there is one more. */
static __always_inline bool pass_first(struct task_struct *task, bool user)
{
	u32 runs = task->sched_info.pcount;
	struct stack_value *value;
	struct thread *thread;
	u64 key;

	if (!task->pid || task->exit_state)
		return false;
	if (!walltime && (!task->__state || task->on_cpu))
		return false;
	key = cgroup_key_of(task);
	if (!filter_wants(task, key))
		return false;
	thread = thread_new(task, key);
	if (!thread || !task->__state || task->on_cpu)
		return false;
	if (asleep_stamped(task))
		thread->moved_asleep = 1;
	value = pass_take(task, key, user);
	if (!value || task->on_cpu || (u32)task->sched_info.pcount != runs)
		return value != NULL; /* it has run meanwhile: what we took is no stack */
	thread->first_stack = value->id;
	barrier();
	thread->first_runs = runs + 1;
	return true;
}

/* A byte for every stack: so that who reads the iterator can look at the ring before it is full. */
static __always_inline void pass_tell(struct bpf_iter__task *ctx)
{
	static const char stack = 's';

	bpf_seq_write(ctx->meta->seq, &stack, sizeof(stack));
}

SEC("btf_iter.s/task")
int offcpu_first(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && pass_first(task, true))
		pass_tell(ctx);
	return 0;
}

SEC("btf_iter/task")
int offcpu_first_kernel(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && pass_first(task, false))
		pass_tell(ctx);
	return 0;
}

SEC("btf_iter/task")
int offcpu_last(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *thread;
	u64 key;

	if (!task || !task->pid)
		return 0;
	thread = bpf_task_storage_get(&threads, task, 0, 0);
	if (!thread) { /* did not switch since the start, and the first pass did not see it */
		if (!walltime || task->exit_state || task->start_time >= stopped_ns)
			return 0;
		key = cgroup_key_of(task);
		if (!filter_wants(task, key))
			return 0;
		thread = thread_new(task, key);
		if (!thread)
			return 0;
	}
	return thread_end(thread, task);
}
