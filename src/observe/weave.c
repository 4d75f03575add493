/* SPDX-License-Identifier: Apache-2.0 */
/* A stack becomes a path of frame ids as soon as it is seen, and is kept as a node: of the result itself where all that
 * stands in front of it is known by then (profile), or of a tree of paths, from where a weight copies it behind the frames of
 * its owner and cause. So what stacks have in common is there once.
 *
 * Order of a path, from the root:
 *   profile   container, [process, [thread,]] functions …
 *   offcpu    container, [process, [thread,]] cause, functions …  [woken by, functions of the waker, innermost first]
 *   walltime  container, cause, [process, [thread,]] functions … */
#include "observe/weave.h"

#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/units.h"
#include "observe/splice.h"
#include "probe/cause.h"
#include "symbol/language.h"

/* In a path of `paths`: not a frame id, but the `later` of an address whose names come at the end. */
#define WEAVE_LATER 0x80000000u
#define WEAVE_SLEEP_FRAMES 6 /* innermost ones of a blocked stack that may belong to the kernel's ways to sleep */
#define WEAVE_HOOK_FRAMES 8 /* innermost kernel frames looked at for the scheduler's own */

/* There may be hundreds of thousands. */
struct weave_stack {
	guint64 asleep_in; /* taken of a sleeper: its innermost kernel address; 0 otherwise */
	guint32 above, last; /* nodes: the path lies below the one and ends in the other */
	guint32 weighed; /* where it ends in the tree: last weighed there; the root: not weighed yet */
	guint32 owner_frame; /* container of the task, for wakers */
	guint32 comm_frame;
	guint32 tgid;
	guint16 advice; /* a saying: how to get names the process does not give */
	guint16 missing; /* a saying: what the user half lacks to be complete; 0: no more to say than `user_end` does */
	guint8 cause; /* enum cause */
	guint8 user_end; /* enum stack_end */
	guint8 in_tree : 1; /* its path is one of `tree`, not of `paths` */
	guint8 has_kernel : 1;
	guint8 truncated : 1;
	guint8 unresolved : 1;
	guint8 exited : 1;
	guint8 has_later : 1;
};

struct weave {
	struct registry *registry;
	struct symbolizer *symbolizer;
	struct splice *splice;
	struct shape *shape;
	struct calltree *tree;
	enum observe_by by;
	gboolean cause_first; /* walltime: the cause stands before the process */
	gboolean with_cause;
	GArray *stacks; /* of struct weave_stack, by probe's stack id */
	struct calltree *paths; /* its nodes' frames are ids of `tree`'s, or WEAVE_LATER | later */
	GArray *path; /* of guint32: the one being made, root first */
	GPtrArray *sayings; /* of const char *, by number; 0: NULL. Few: what processes and files lack */
	GHashTable *saying_numbers; /* const char *, as it is → number */
	GStringChunk *sentences; /* of sayings */
	GHashTable *addresses; /* weave_address → frame id, or WEAVE_LATER | later */
	GHashTable *named; /* tgids that occur in it, as a set: most processes of a machine do not */
	GHashTable *
		sleeps; /* kernel address → guint32[]: how many, then frame ids of what was called from there to sleep */
	guint64 epoch_ns; /* realtime of monotonic 0 */
	guint32 settled; /* stacks whose late names have been taken */
	struct probe_listener listener;
	struct unwind_basis basis; /* while a stack is walked */
	GHashTable *walks; /* tid → struct weave_walk */
};

#define WEAVE_WALKS 4096 /* threads whose last walk is remembered; more, and all are forgotten */
#define WEAVE_ADDRESSES (1u << 17) /* addresses whose frames are remembered, likewise: processes come and go */

/* A thread's last walk. */
struct weave_walk {
	guint64 number; /* of the copy */
	struct unwind_memo *memo;
};

G_STATIC_ASSERT(UNWIND_BASIS_MAX == PROBE_BASIS_MAX);

struct weave_address {
	guint64 address;
	guint32 tgid; /* 0: kernel */
	guint32 is_caller;
};

static guint weave_address_hash(gconstpointer key)
{
	return bytes_hash(key, sizeof(struct weave_address));
}

static gboolean weave_address_equal(gconstpointer left, gconstpointer right)
{
	return memcmp(left, right, sizeof(struct weave_address)) == 0;
}

/* `text` lives as long as the weave, and is always the same for the same words. */
static guint16 weave_saying(struct weave *weave, const char *text)
{
	guint number = text ? GPOINTER_TO_UINT(g_hash_table_lookup(weave->saying_numbers, text)) : 0;

	if (!text || number || weave->sayings->len > G_MAXUINT16)
		return (guint16)number;
	g_hash_table_insert(weave->saying_numbers, (gpointer)text, GUINT_TO_POINTER(weave->sayings->len));
	g_ptr_array_add(weave->sayings, (gpointer)text);
	return (guint16)(weave->sayings->len - 1);
}

static guint32 weave_resolve(struct weave *weave, guint32 tgid, guint64 address, gboolean is_caller)
{
	struct weave_address key = { .address = address, .tgid = tgid, .is_caller = (guint32)is_caller };
	gpointer known;
	struct symbol symbol = { 0 };
	guint32 frame;

	if (g_hash_table_lookup_extended(weave->addresses, &key, NULL, &known))
		return GPOINTER_TO_UINT(known);
	if (tgid)
		symbolizer_user(weave->symbolizer, tgid, address, is_caller, &symbol);
	else
		symbolizer_kernel(weave->symbolizer, address, is_caller, &symbol);
	if (symbol.later && !splice_is_evaluation(symbol.name)) /* those give way to what they interpret */
		frame = WEAVE_LATER | symbol.later;
	else
		frame = calltree_frame(weave->tree, symbol.kind, symbol.name, -1, symbol.module);
	if (g_hash_table_size(weave->addresses) >= WEAVE_ADDRESSES) {
		g_hash_table_remove_all(weave->addresses);
		g_hash_table_remove_all(weave->named);
	}
	g_hash_table_insert(weave->addresses, g_memdup2(&key, sizeof(key)), GUINT_TO_POINTER(frame));
	g_hash_table_add(weave->named, GUINT_TO_POINTER(tgid));
	return frame;
}

/* The frame of the container a cgroup belongs to; G_MAXUINT32 when nobody is known. */
static guint32 weave_owner(struct weave *weave, guint64 cgroup_key)
{
	const struct container *owner = registry_by_cgroup(weave->registry, cgroup_key);

	return owner ? calltree_frame(weave->tree, FRAME_CONTAINER, owner->name, -1, NULL) : G_MAXUINT32;
}

static guint32 weave_comm(struct weave *weave, const char *comm)
{
	return calltree_frame(weave->tree, FRAME_PROCESS, comm[0] ? comm : "[no name]", -1, NULL);
}

/* A stack taken at a scheduler's tracepoint ends in the scheduler and in our own program: the same for all, and not
 * what the thread was doing. Returns how many innermost frames of `names` that are. */
static guint32 weave_hook_frames(const char *const *names, guint32 count)
{
	static const char *const hooks[] = { "__schedule", "schedule", "try_to_wake_up" };
	guint32 at = 0, last = 0;

	while (at < count && at < WEAVE_HOOK_FRAMES && !g_str_has_prefix(names[at], "bpf_trace_run"))
		at++;
	if (at == count || at == WEAVE_HOOK_FRAMES)
		return 0;
	for (guint32 i = at; i < count && i < at + WEAVE_HOOK_FRAMES; i++)
		for (guint hook = 0; hook < G_N_ELEMENTS(hooks); hook++)
			if (strcmp(names[i], hooks[hook]) == 0)
				last = i + 1;
	return MAX(last, at + 1);
}

/* The kernel hands out the stack of a sleeper without the functions that put it to sleep (__sched), a hook's stack with them.
 * So that the same sleep is not two towers, they are learned from hooks' stacks: which functions lie inside of the call
 * that returns to an address. A sleeper's innermost address has nothing but such functions inside of it. */
static void weave_learn_sleep(struct weave *weave, const struct probe_stack *stack, guint32 hook_frames)
{
	guint32 end = MIN(stack->kernel_count, hook_frames + WEAVE_SLEEP_FRAMES);

	for (guint32 i = hook_frames; i < end; i++) {
		guint32 *inner;

		if (g_hash_table_contains(weave->sleeps, &stack->kernel[i]))
			continue;
		inner = g_new(guint32, i - hook_frames + 1);
		inner[0] = i - hook_frames;
		for (guint32 n = 1; n <= inner[0]; n++) /* outermost first */
			inner[n] = weave_resolve(weave, 0, stack->kernel[i - n], TRUE);
		g_hash_table_insert(weave->sleeps, g_memdup2(&stack->kernel[i], sizeof(guint64)), inner);
	}
}

/* What was learned of a sleeper's innermost functions, below `node`. */
static guint32 weave_sleep_path(struct weave *weave, const struct weave_stack *stack, guint32 node)
{
	const guint32 *inner = stack->asleep_in ? g_hash_table_lookup(weave->sleeps, &stack->asleep_in) : NULL;

	for (guint32 n = 1; inner && n <= inner[0]; n++)
		node = calltree_child(weave->tree, node, inner[n]);
	return node;
}

/* An interrupt (a waker without a process) lies on the stack of whomever it interrupted, who has nothing to do with it:
 * its own frames end with the entry code. */
static guint32 weave_kernel_end(struct weave *weave, const struct probe_stack *stack)
{
	if (stack->task.tgid != 0 || (stack->flags & PROBE_STACK_KTHREAD) == 0)
		return stack->kernel_count;
	for (guint32 i = 0; i < stack->kernel_count; i++) {
		guint32 frame = weave_resolve(weave, 0, stack->kernel[i], i > 0);

		if (g_str_has_prefix(weave->tree->frames[frame].name, "asm_"))
			return i + 1;
	}
	return stack->kernel_count;
}

/* Cause of a stack, and where its kernel half begins to be the thread's own. */
static guint32 weave_kernel_names(struct weave *weave, const struct probe_stack *stack, struct weave_stack *kept)
{
	const char *names[PROBE_STACK_DEPTH] = { NULL };
	guint32 count = MIN(stack->kernel_count, PROBE_STACK_DEPTH);

	for (guint32 i = 0; i < count; i++) {
		guint32 frame = weave_resolve(weave, 0, stack->kernel[i], i > 0);

		names[i] = weave->tree->frames[frame].name;
	}
	kept->cause = (guint8)cause_classify(names, count, stack->syscall, stack->flags);
	return weave_hook_frames(names, count);
}

/* Where a thread begins: of frame pointers that lead there we know that they were complete. */
static gboolean weave_is_first(const char *name)
{
	static const char *const names[] = {
		"_start",	    "clone",
		"__clone",	    "clone3",
		"__clone3",	    "start_thread",
		"runtime.goexit",   "runtime.goexit.abi0",
		"runtime.mstart",   "runtime.mstart.abi0",
		"runtime.mcall", /* Go's scheduler, on a thread's own stack: the goroutine it left is another's affair */
		"runtime.rt0_go",   "runtime.rt0_go.abi0",
		"_rt0_amd64_linux",
	};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		if (strcmp(name, names[i]) == 0)
			return TRUE;
	return FALSE;
}

/* A method its compiler made, named or not; some of the routines a runtime is born with keep no frame pointers whatever one asks. */
static gboolean weave_is_jit(enum frame_kind kind, const char *name)
{
	return (kind == FRAME_JIT && !g_str_has_prefix(name, "StubRoutines")) ||
	       (kind == FRAME_UNRESOLVED && g_str_has_prefix(name, "[jit"));
}

/* What is said of a user half that ends in a function before the thread's first. */
static const char *weave_missing(struct weave *weave, const struct weave_stack *kept, const char *name,
				 const char *module, gboolean is_jit)
{
	const char *advice = is_jit ? symbolizer_stacks_advice(weave->symbolizer, kept->tgid) : NULL;
	g_autofree char *text = NULL;

	switch ((enum stack_end)kept->user_end) {
	case STACK_END_NO_TABLE:
		if (advice)
			return advice;
		text = g_strdup_printf("%s has no unwind table and keeps no frame pointers", module ? module : name);
		break;
	case STACK_END_UNSUPPORTED:
	case STACK_END_BROKEN:
		text = g_strdup_printf("the frames of %s in %s cannot be followed", name, module ? module : "?");
		break;
	default:
		return NULL;
	}
	return g_string_chunk_insert_const(weave->sentences, text);
}

static void weave_judge(struct weave *weave, struct weave_stack *kept, const char *name, const char *module,
			gboolean is_jit)
{
	if (kept->user_end == STACK_END_UNCHECKED)
		kept->user_end = weave_is_first(name) ? STACK_END_FIRST : STACK_END_NO_TABLE;
	else if (g_str_has_prefix(name, "runtime.") && weave_is_first(name)) /* no frame pointer says so */
		kept->user_end = STACK_END_FIRST;
	kept->missing = weave_saying(weave, weave_missing(weave, kept, name, module, is_jit));
	kept->truncated |= kept->user_end >= STACK_END_SHORT;
}

static void weave_judge_user(struct weave *weave, const struct probe_stack *stack, guint32 outermost,
			     struct weave_stack *kept)
{
	kept->user_end = (guint8)(stack->flags & PROBE_STACK_NO_COPY	      ? STACK_END_SHORT
				  : stack->flags & PROBE_STACK_USER_TRUNCATED ? STACK_END_DEEP
									      : stack->user_end);
	if (!(outermost & WEAVE_LATER))
		weave_judge(weave, kept, weave->tree->frames[outermost].name, weave->tree->frames[outermost].module,
			    weave_is_jit(weave->tree->frames[outermost].kind, weave->tree->frames[outermost].name));
	else if (kept->user_end != STACK_END_UNCHECKED) /* else its name will tell */
		kept->truncated |= kept->user_end >= STACK_END_SHORT;
}

/* The user half, root first. Where code was compiled without frame pointers, the chain leads through whatever the
 * register held to addresses where no code is: from there outwards nothing can be believed, so it is left out, and
 * the stack counts as cut short. */
static void weave_user(struct weave *weave, const struct probe_stack *stack, struct weave_stack *kept)
{
	guint32 frames[SPLICE_FRAMES_MAX];
	guint count = MIN(stack->user_count, PROBE_UNWOUND_DEPTH);

	for (guint i = 0; i < count; i++) {
		const struct calltree_frame *frame;

		frames[i] = weave_resolve(weave, stack->task.tgid, stack->user[i], i > 0);
		if (frames[i] & WEAVE_LATER) {
			kept->has_later = TRUE;
			continue;
		}
		frame = &weave->tree->frames[frames[i]];
		if (i > 0 && frame->kind == FRAME_UNRESOLVED && g_str_has_prefix(frame->name, SYMBOL_UNMAPPED)) {
			kept->truncated = TRUE;
			count = i;
			break;
		}
		kept->unresolved |= frame->kind == FRAME_UNRESOLVED;
	}
	if (count > 0)
		weave_judge_user(weave, stack, frames[count - 1], kept);
	if (stack->script[0])
		count = splice_frames(weave->splice, stack->script, frames, count);
	while (count-- > 0)
		g_array_append_val(weave->path, frames[count]);
}

static void weave_walk_free(gpointer pointer)
{
	struct weave_walk *walk = pointer;

	unwind_memo_free(walk->memo);
	g_free(walk);
}

/* The memo of the thread's last walk, which is this one's from now on; NULL when copies are not told apart. */
static struct unwind_memo *weave_memo(struct weave *weave, const struct probe_copy *copy)
{
	struct weave_walk *walk;

	if (!copy->number || copy->basis)
		return NULL;
	walk = g_hash_table_lookup(weave->walks, GUINT_TO_POINTER(copy->tid));
	if (!walk) {
		if (g_hash_table_size(weave->walks) >= WEAVE_WALKS)
			g_hash_table_remove_all(weave->walks);
		walk = g_new0(struct weave_walk, 1);
		walk->memo = unwind_memo_new();
		g_hash_table_insert(weave->walks, GUINT_TO_POINTER(copy->tid), walk);
	}
	if (walk->number != copy->since)
		unwind_memo_forget(walk->memo);
	walk->number = copy->number;
	if (copy->tail) { /* which may have changed, too */
		unwind_memo_forget(walk->memo);
		return NULL;
	}
	return walk->memo;
}

static void weave_unwind(void *user, guint32 tgid, const struct probe_copy *copy, guint64 *addresses, guint capacity,
			 struct probe_unwound *unwound)
{
	struct weave *weave = user;
	struct unwind_registers registers = {
		.ip = copy->ip, .sp = copy->sp, .bp = copy->bp, .r10 = copy->r10, .bx = copy->bx, .di = copy->di
	};
	struct unwind_stack stack = {
		.bytes = copy->bytes,
		.pages = copy->pages,
		.length = copy->length,
		.address = copy->address,
		.holes = copy->holes,
		.basis = copy->basis ? &weave->basis : NULL,
		.memo = weave_memo(weave, copy),
		.tail = copy->tail,
		.tail_length = copy->tail_length,
		.tail_address = copy->tail_address,
		.same_from = copy->same_from,
	};
	struct symbolizer_walk walk;

	symbolizer_unwind(weave->symbolizer, tgid, &registers, &stack, addresses, capacity, &walk);
	*unwound = (struct probe_unwound){
		.count = walk.result.depth,
		.end = walk.end,
		.used_bytes = walk.result.used_bytes,
		.wanted_bytes = walk.result.wanted_bytes,
		.used_tail = walk.result.used_tail,
		.frame_pointers_do = walk.frame_pointers_do,
		.is_go = walk.result.is_go,
		.is_final = !walk.is_preliminary,
	};
	if (!copy->basis)
		return;
	memcpy(copy->basis->at, weave->basis.at, weave->basis.count * sizeof(weave->basis.at[0]));
	copy->basis->count = weave->basis.count;
	copy->basis->has_bp = weave->basis.has_bp;
	copy->basis->has_r10 = weave->basis.has_r10;
	copy->basis->overflow = weave->basis.overflow;
}

static gboolean weave_go_depth(void *user, guint32 tgid, guint64 address, guint32 *depth)
{
	return symbolizer_go_depth(((struct weave *)user)->symbolizer, tgid, address, depth);
}

static guint32 weave_owner_path(struct weave *weave, const struct probe_task *task, guint32 node)
{
	g_autofree char *process = NULL, *thread = NULL;

	if (weave->by == OBSERVE_BY_CONTAINER)
		return node;
	if (weave->by == OBSERVE_BY_PROCESS)
		return calltree_child(weave->tree, node, weave_comm(weave, task->comm));
	process = g_strdup_printf("%s (%u)", task->comm, task->tgid);
	thread = g_strdup_printf("%s (%u)", task->thread_comm, task->tid);
	node = calltree_child(weave->tree, node, calltree_frame(weave->tree, FRAME_PROCESS, process, -1, NULL));
	return calltree_child(weave->tree, node, calltree_frame(weave->tree, FRAME_THREAD, thread, -1, NULL));
}

/* Keeps the path that was made. */
static void weave_keep(struct weave *weave, const struct probe_task *task, struct weave_stack *kept)
{
	kept->in_tree = !weave->with_cause && !kept->has_later && kept->owner_frame != G_MAXUINT32;
	kept->above = CALLTREE_ROOT;
	if (kept->in_tree)
		kept->above =
			weave_owner_path(weave, task, calltree_child(weave->tree, CALLTREE_ROOT, kept->owner_frame));
	kept->last = kept->above;
	for (guint i = 0; i < weave->path->len; i++)
		kept->last = calltree_child(kept->in_tree ? weave->tree : weave->paths, kept->last,
					    g_array_index(weave->path, guint32, i));
}

/* Makes `path` what was kept. */
static void weave_recall(struct weave *weave, const struct weave_stack *kept)
{
	const struct calltree *from = kept->in_tree ? weave->tree : weave->paths;
	guint32 count = 0, node;

	for (node = kept->last; node != kept->above; node = from->parent[node])
		count++;
	g_array_set_size(weave->path, count);
	for (node = kept->last; count > 0; node = from->parent[node])
		g_array_index(weave->path, guint32, --count) = from->frame[node];
}

static void weave_stack(void *user, const struct probe_stack *stack)
{
	struct weave *weave = user;
	struct weave_stack kept = { .has_kernel = stack->kernel_count > 0, .tgid = stack->task.tgid };
	gboolean seen = stack->user_count == 0 || symbolizer_see(weave->symbolizer, stack->task.tgid);
	guint32 hook_frames = 0;

	g_array_set_size(weave->path, 0);
	if (stack->user_count > 0) {
		splice_see(weave->splice, stack->task.tgid);
		kept.advice = weave_saying(weave, symbolizer_advice(weave->symbolizer, stack->task.tgid));
	}
	if (weave->with_cause)
		hook_frames = weave_kernel_names(weave, stack, &kept);
	kept.owner_frame = weave_owner(weave, stack->task.cgroup_key);
	kept.comm_frame = weave_comm(weave, stack->task.comm);
	kept.truncated = (stack->flags & (PROBE_STACK_USER_TRUNCATED | PROBE_STACK_KERNEL_TRUNCATED)) != 0;
	kept.exited = !seen;
	weave_user(weave, stack, &kept);
	if (stack->flags & PROBE_STACK_NO_USER) {
		guint32 frame = calltree_frame(weave->tree, FRAME_UNRESOLVED, "[user stack not readable]", -1, NULL);

		kept.unresolved = TRUE;
		g_array_append_val(weave->path, frame);
	}
	for (guint i = weave_kernel_end(weave, stack); i-- > hook_frames;) {
		guint32 frame = weave_resolve(weave, 0, stack->kernel[i], i > 0);

		kept.unresolved |= weave->tree->frames[frame].kind == FRAME_UNRESOLVED;
		g_array_append_val(weave->path, frame);
	}
	if (stack->flags & PROBE_STACK_NO_SCHED)
		kept.asleep_in = stack->kernel_count > 0 ? stack->kernel[0] : 0;
	else if (hook_frames > 0)
		weave_learn_sleep(weave, stack, hook_frames);
	weave_keep(weave, &stack->task, &kept);
	if (stack->id >= weave->stacks->len)
		g_array_set_size(weave->stacks, stack->id + 1);
	g_array_index(weave->stacks, struct weave_stack, stack->id) = kept;
}

static const struct weave_stack *weave_stack_find(struct weave *weave, guint32 id)
{
	return id < weave->stacks->len ? &g_array_index(weave->stacks, struct weave_stack, id) : NULL;
}

/* The calltree's frames of one id in the pool, from the root's side, below `node`. */
static guint32 weave_later_path(struct weave *weave, guint32 later, gboolean innermost_first, guint32 node)
{
	const struct symbol *symbols;
	guint count = symbolizer_answer(weave->symbolizer, later, &symbols);

	for (guint i = 0; i < count; i++) {
		const struct symbol *symbol = &symbols[innermost_first ? i : count - 1 - i];
		guint32 frame = calltree_frame(weave->tree, symbol->kind, symbol->name, -1, symbol->module);

		node = calltree_child(weave->tree, node, frame);
	}
	return node;
}

/* The same of an entry of `path`. */
static guint32 weave_path_part(struct weave *weave, guint32 at, gboolean innermost_first, guint32 node)
{
	guint32 id = g_array_index(weave->path, guint32, at);

	if (id & WEAVE_LATER)
		return weave_later_path(weave, id & ~WEAVE_LATER, innermost_first, node);
	return calltree_child(weave->tree, node, id);
}

/* The path of a stack below `node`, root first. */
static guint32 weave_path(struct weave *weave, const struct weave_stack *stack, guint32 node)
{
	if (stack->in_tree && stack->above == node)
		return stack->last;
	weave_recall(weave, stack);
	for (guint32 i = 0; i < weave->path->len; i++)
		node = weave_path_part(weave, i, FALSE, node);
	return node;
}

/* The names a stack was waiting for. */
static void weave_settle_stack(struct weave *weave, struct weave_stack *stack)
{
	weave_recall(weave, stack);
	for (guint32 i = 0; i < weave->path->len; i++) {
		guint32 id = g_array_index(weave->path, guint32, i);
		const struct symbol *symbols;
		guint count = id & WEAVE_LATER ? symbolizer_answer(weave->symbolizer, id & ~WEAVE_LATER, &symbols) : 0;

		if (count == 0)
			continue;
		stack->unresolved |= symbols[0].kind == FRAME_UNRESOLVED;
		if (i == 0 && stack->user_end > STACK_END_FIRST)
			weave_judge(weave, stack, symbols[count - 1].name, symbols[count - 1].module,
				    weave_is_jit(symbols[count - 1].kind, symbols[count - 1].name));
	}
}

/* The names that were missing when their stacks were seen. */
static void weave_settle(struct weave *weave)
{
	guint32 first = weave->settled;

	weave->settled = weave->stacks->len;
	while (first < weave->stacks->len && !g_array_index(weave->stacks, struct weave_stack, first).has_later)
		first++;
	if (first == weave->stacks->len)
		return;
	symbolizer_settle(weave->symbolizer);
	for (guint32 i = first; i < weave->stacks->len; i++) {
		struct weave_stack *stack = &g_array_index(weave->stacks, struct weave_stack, i);

		if (stack->has_later)
			weave_settle_stack(weave, stack);
	}
}

static guint32 weave_cause_frame(struct weave *weave, const struct probe_weight *weight,
				 const struct weave_stack *stack)
{
	g_autofree char *blocked = NULL;
	const char *name = NULL;

	switch (weight->state) {
	case PROBE_STATE_RUNNING:
		name = !stack ? "running: not sampled" : stack->has_kernel ? "running: kernel" : "running: user";
		break;
	case PROBE_STATE_WAIT_WOKEN:
		name = "waiting for CPU: woken";
		break;
	case PROBE_STATE_WAIT_PREEMPTED:
		name = "waiting for CPU: preempted";
		break;
	case PROBE_STATE_WAIT_THROTTLED:
		name = "waiting for CPU: throttled";
		break;
	case PROBE_STATE_ALLOCATED:
		name = "still allocated";
		break;
	case PROBE_STATE_FREED:
		name = "freed again";
		break;
	case PROBE_STATE_ENDED:
		name = "not freed before its process ended";
		break;
	case PROBE_STATE_BLOCKED:
	case PROBE_STATES:
		blocked = g_strdup_printf("blocked: %s",
					  stack ? cause_name((enum cause)stack->cause) : "stack not known");
		name = blocked;
		break;
	}
	return calltree_frame(weave->tree, FRAME_CAUSE, name, -1, NULL);
}

static guint32 weave_waker_path(struct weave *weave, const struct weave_stack *waker, guint32 node)
{
	const char *owner = waker->owner_frame == G_MAXUINT32 ? "?" : weave->tree->frames[waker->owner_frame].name;
	const char *comm = weave->tree->frames[waker->comm_frame].name;
	g_autofree char *name = g_strdup_printf("woken by %s: %s", owner, comm);

	node = calltree_child(weave->tree, node, calltree_frame(weave->tree, FRAME_WAKER, name, -1, NULL));
	weave_recall(weave, waker);
	for (guint32 i = weave->path->len; i-- > 0;)
		node = weave_path_part(weave, i, TRUE, node);
	return node;
}

static void weave_cover(struct weave *weave, guint64 weight, const struct weave_stack *stack, guint32 owner)
{
	struct ledger *ledger = &weave->shape->ledger;
	struct coverage_process *process;

	if (!ledger->coverage)
		ledger->coverage = coverage_new();
	process = coverage_process(ledger->coverage, weave->tree->frames[owner].name,
				   weave->tree->frames[stack->comm_frame].name);
	process->weight[stack->user_end] += weight;
	if (stack->advice)
		coverage_advise(process, g_ptr_array_index(weave->sayings, stack->advice));
	if (stack->missing)
		coverage_add_missing(process, g_ptr_array_index(weave->sayings, stack->missing), weight);
}

static void weave_weight(void *user, const struct probe_weight *weight)
{
	struct weave *weave = user;
	struct ledger *ledger = &weave->shape->ledger;
	const struct weave_stack *stack = weave_stack_find(weave, weight->stack);
	const struct weave_stack *waker = weave_stack_find(weave, weight->waker_stack);
	guint32 owner = weave_owner(weave, weight->task->cgroup_key);
	guint32 node = CALLTREE_ROOT;

	if (weave->settled < weave->stacks->len)
		weave_settle(weave);
	if (owner == G_MAXUINT32) {
		owner = calltree_frame(weave->tree, FRAME_CONTAINER, "[cgroup gone before it was named]", -1, NULL);
		ledger_add(ledger, LEDGER_LOST_UNATTRIBUTED, weight->events, weight->weight);
	}
	node = calltree_child(weave->tree, node, owner);
	if (weave->with_cause && weave->cause_first)
		node = calltree_child(weave->tree, node, weave_cause_frame(weave, weight, stack));
	node = weave_owner_path(weave, weight->task, node);
	if (weave->with_cause && !weave->cause_first)
		node = calltree_child(weave->tree, node, weave_cause_frame(weave, weight, stack));
	if (stack)
		node = weave_sleep_path(weave, stack, weave_path(weave, stack, node));
	if (waker)
		node = weave_waker_path(weave, waker, node);
	calltree_add(weave->tree, node, weight->weight);
	if (stack)
		g_array_index(weave->stacks, struct weave_stack, weight->stack).weighed = node;
	if (stack && stack->user_end != STACK_END_NONE)
		weave_cover(weave, weight->weight, stack, owner);
	if (stack && stack->truncated)
		ledger_add(ledger, LEDGER_TRUNCATED, weight->events, weight->weight);
	if (stack && stack->unresolved)
		ledger_add(ledger, LEDGER_UNRESOLVED, weight->events, weight->weight);
	if (stack && stack->exited)
		ledger_add(ledger, LEDGER_EXITED, weight->events, weight->weight);
}

static void weave_moment(void *user, guint32 stack, guint64 time_ns)
{
	struct weave *weave = user;
	const struct weave_stack *seen = weave_stack_find(weave, stack);

	if (seen && seen->weighed != CALLTREE_ROOT)
		calltree_add_moment(weave->tree, seen->weighed, (gint64)((weave->epoch_ns + time_ns) / NS_PER_MS));
}

static void weave_followed(void *user, gboolean all)
{
	struct weave *weave = user;

	symbolizer_follow(weave->symbolizer, all);
}

static gboolean weave_is_python(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	const struct language *language = slash ? language_of_file(slash + 1) : NULL;

	return language && language->kind == LANGUAGE_PYTHON;
}

static void weave_mapped(void *user, guint32 tgid, const struct probe_mapping *mapping)
{
	struct weave *weave = user;
	struct symbolizer_mapping news = {
		.start = mapping->start,
		.length = mapping->length,
		.file_offset = mapping->file_offset,
		.build_id = mapping->build_id,
		.build_id_size = mapping->build_id_size,
		.path = mapping->path,
	};

	symbolizer_mapped(weave->symbolizer, tgid, &news);
	if (weave_is_python(mapping->path))
		splice_see(weave->splice, tgid);
}

static void weave_script(void *user, const struct script_stack_record *script)
{
	splice_script(((struct weave *)user)->splice, script);
}

static void weave_script_code(void *user, const struct script_code_record *code)
{
	splice_code(((struct weave *)user)->splice, code);
}

static void weave_forked(void *user, guint32 parent_tgid, guint32 child_tgid)
{
	struct weave *weave = user;

	symbolizer_forked(weave->symbolizer, parent_tgid, child_tgid);
	if (parent_tgid != child_tgid)
		splice_fork(weave->splice, parent_tgid, child_tgid);
}

static gboolean weave_address_of_process(gpointer key, gpointer value G_GNUC_UNUSED, gpointer tgid)
{
	return ((const struct weave_address *)key)->tgid == GPOINTER_TO_UINT(tgid);
}

static void weave_execed(void *user, guint32 tgid)
{
	struct weave *weave = user;

	symbolizer_execed(weave->symbolizer, tgid);
	splice_forget(weave->splice, tgid);
	if (g_hash_table_remove(weave->named, GUINT_TO_POINTER(tgid)))
		g_hash_table_foreach_remove(weave->addresses, weave_address_of_process, GUINT_TO_POINTER(tgid));
}

static void weave_exited(void *user, guint32 tgid)
{
	struct weave *weave = user;

	symbolizer_exited(weave->symbolizer, tgid);
	splice_forget(weave->splice, tgid);
}

static void weave_cgroup_born(void *user, guint64 cgroup_key, const char *path)
{
	struct weave *weave = user;

	registry_note_birth(weave->registry, cgroup_key, path);
}

static void weave_cgroup_died(void *user, guint64 cgroup_key)
{
	struct weave *weave = user;

	registry_note_death(weave->registry, cgroup_key);
}

struct weave *weave_new(struct registry *registry, struct symbolizer *symbolizer, struct shape *shape,
			enum observe_by by)
{
	struct weave *weave = g_new0(struct weave, 1);

	weave->registry = registry;
	weave->symbolizer = symbolizer;
	weave->shape = shape;
	weave->tree = shape->calltree;
	weave->by = by;
	weave->cause_first = strcmp(shape->probe, "walltime") == 0 || strcmp(shape->probe, "heap") == 0;
	weave->epoch_ns = clock_realtime_ns() - clock_monotonic_ns();
	weave->with_cause = weave->cause_first || strcmp(shape->probe, "offcpu") == 0;
	weave->splice = splice_new(symbolizer, weave->tree);
	weave->stacks = g_array_new(FALSE, TRUE, sizeof(struct weave_stack));
	weave->paths = calltree_new();
	weave->path = g_array_new(FALSE, FALSE, sizeof(guint32));
	weave->sayings = g_ptr_array_new();
	g_ptr_array_add(weave->sayings, NULL);
	weave->saying_numbers = g_hash_table_new(NULL, NULL);
	weave->sentences = g_string_chunk_new(1024);
	weave->sleeps = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	weave->walks = g_hash_table_new_full(NULL, NULL, NULL, weave_walk_free);
	weave->addresses = g_hash_table_new_full(weave_address_hash, weave_address_equal, g_free, NULL);
	weave->named = g_hash_table_new(NULL, NULL);
	weave->listener = (struct probe_listener){
		.user = weave,
		.unwind = weave_unwind,
		.go_depth = weave_go_depth,
		.stack = weave_stack,
		.weight = weave_weight,
		.moment = weave_moment,
		.script = weave_script,
		.script_code = weave_script_code,
		.followed = weave_followed,
		.mapped = weave_mapped,
		.forked = weave_forked,
		.execed = weave_execed,
		.exited = weave_exited,
		.cgroup_born = weave_cgroup_born,
		.cgroup_died = weave_cgroup_died,
	};
	return weave;
}

void weave_free(struct weave *weave)
{
	if (!weave)
		return;
	g_array_unref(weave->stacks);
	calltree_free(weave->paths);
	g_array_unref(weave->path);
	g_ptr_array_unref(weave->sayings);
	g_hash_table_unref(weave->saying_numbers);
	g_hash_table_unref(weave->addresses);
	g_hash_table_unref(weave->named);
	g_hash_table_unref(weave->sleeps);
	g_hash_table_unref(weave->walks);
	g_string_chunk_free(weave->sentences);
	splice_free(weave->splice);
	g_free(weave);
}

void weave_end(struct weave *weave)
{
	calltree_drop_index(weave->tree);
	calltree_prune(weave->tree);
}

const struct probe_listener *weave_listener(struct weave *weave)
{
	return &weave->listener;
}

struct splice *weave_splice(struct weave *weave)
{
	return weave->splice;
}
