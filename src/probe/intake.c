/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/intake.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "probe/births.h"
#include "probe/bpf/hash.h"
#include "probe/bpf/shared.h"
#include "probe/copyplan.h"
#include "probe/delta.h"
#include "probe/keynumbers.h"
#include "probe/ringread.h"
#include "probe/scripts.h"
#include "probe/sideband.h"
#include "probe/userpath.h"

#define INTAKE_HOARD_BYTES_MAX (32u << 20)
#define INTAKE_TURN_NS (50 * NS_PER_MS) /* so that whoever asks for an end is heard */
#define INTAKE_MOMENTS_MAX (1u << 20)
#define INTAKE_MOMENT_KERNEL (1u << 31) /* the id is the kernel's */
#define INTAKE_CALM_NS NS_PER_S
#define INTAKE_STACK_IDS_MAX (1 << 24) /* ids beyond this are nonsense */

G_STATIC_ASSERT(STACK_DEPTH == PROBE_STACK_DEPTH && STACK_COMM == PROBE_COMM);
G_STATIC_ASSERT(sizeof(struct stack_task) == sizeof(struct probe_task));
G_STATIC_ASSERT(G_STRUCT_OFFSET(struct stack_task, thread_comm) == G_STRUCT_OFFSET(struct probe_task, thread_comm));

/* By tid: threads on other CPUs tell theirs in between. A clash costs one stack its outer end. */
#define INTAKE_TAILS 32

/* The outer end of a thread's stack, told before the inner. */
struct intake_tail {
	guint32 tid; /* 0: none */
	guint64 address;
	gsize length;
	guint8 bytes[2 * STACK_COPY_TAIL];
};

struct intake {
	struct probe_listener listener;
	struct ringread *stacks;
	struct sideband *sideband; /* NULL when not wanted or refused */
	struct scripts *scripts; /* NULL when the kernel half follows no interpreters */
	struct births *births; /* NULL when refused */
	GArray *ids; /* of guint32: kernel's stack id → ours */
	GPtrArray *tasks; /* of const struct probe_task *, by our id; owned by `known_tasks` */
	GHashTable *known_tasks; /* set of struct probe_task *: few tasks have many stacks */
	guint64 copies, copied_bytes, copy_records_bytes; /* the latter: of the records they came in, all told */
	struct delta *delta; /* NULL until one is needed */
	struct delta_same same; /* of the copy being looked at */
	struct intake_tail *tails; /* INTAKE_TAILS; NULL until one is told */
	struct copyplan *plan; /* NULL when the kernel half makes no copies */
	struct keynumbers *copied_keys; /* of stacks sent without an id */
	GArray *copied; /* of struct intake_copied, by number of the key */
	struct stack_key seed;
	struct userpath *paths; /* NULL: the kernel half does not recognise user stacks */
	GArray *walks; /* of guint64, by our id: hash of the user addresses; 0: not known for good */
	struct intake_audit audit;
	struct probe_basis basis; /* while a copy is walked */
	guint64 unwound[PROBE_UNWOUND_DEPTH];
	GPtrArray *hoard; /* of GBytes: records taken out of the ring, not looked at yet */
	gsize hoard_bytes;
	gboolean is_hoarding;
	guint64 until_ns; /* the ring is read no longer than that */
	guint64 collected_ns; /* the side-band is collected up to here */
	gboolean followed; /* what the listener was told last */
	gboolean by_number; /* nobody's stacks are wanted but of processes asked for by number */
	guint64 news_ns; /* when something was last told of a process */
	GArray *moments; /* of struct intake_moment; NULL: not asked for */
	guint malformed;
	GPtrArray *notes; /* of char *: what could not be opened */
	int epoll_fd;
};

struct intake_copied {
	guint32 stack;
	guint64 events, weight;
};

struct intake_moment {
	guint64 time_ns;
	guint32 id;
};

static void intake_tell(void *user, const struct sideband_record *record)
{
	struct intake *intake = user;
	const struct probe_listener *listener = &intake->listener;

	intake->news_ns = clock_monotonic_ns();
	switch (record->kind) {
	case SIDEBAND_MAPPED:
		if (listener->mapped)
			listener->mapped(listener->user, record->tgid, &record->mapping);
		break;
	case SIDEBAND_FORKED:
		if (listener->forked)
			listener->forked(listener->user, record->parent_tgid, record->tgid);
		break;
	case SIDEBAND_EXECED:
		copyplan_forget(intake->plan, record->tgid);
		userpath_forget(intake->paths, record->tgid);
		if (listener->execed)
			listener->execed(listener->user, record->tgid);
		break;
	case SIDEBAND_EXITED:
		copyplan_forget(intake->plan, record->tgid);
		userpath_forget(intake->paths, record->tgid);
		if (listener->exited)
			listener->exited(listener->user, record->tgid);
		break;
	case SIDEBAND_OTHER:
	case SIDEBAND_LOST:
		break;
	}
}

static guint intake_task_hash(gconstpointer pointer)
{
	return bytes_hash(pointer, sizeof(struct probe_task));
}

static gboolean intake_task_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct probe_task)) == 0;
}

static const struct probe_task *intake_keep_task(struct intake *intake, const struct probe_task *task)
{
	struct probe_task *kept = g_hash_table_lookup(intake->known_tasks, task);

	if (!kept) {
		kept = g_memdup2(task, sizeof(*task));
		g_hash_table_add(intake->known_tasks, kept);
		intake->news_ns = clock_monotonic_ns();
	}
	return kept;
}

static void intake_grow_ids(struct intake *intake, guint32 kernel_id)
{
	static const guint32 none = PROBE_NO_STACK;

	while (intake->ids->len <= kernel_id)
		g_array_append_val(intake->ids, none);
}

/* Gives the kernel's id a number of ours. FALSE when it has one already (two CPUs sent the same stack). */
static gboolean intake_number(struct intake *intake, guint32 kernel_id, const struct probe_task *task)
{
	intake_grow_ids(intake, kernel_id);
	if (g_array_index(intake->ids, guint32, kernel_id) != PROBE_NO_STACK)
		return FALSE;
	g_array_index(intake->ids, guint32, kernel_id) = intake->tasks->len;
	g_ptr_array_add(intake->tasks, (gpointer)intake_keep_task(intake, task));
	return TRUE;
}

static void intake_tell_stack(struct intake *intake, const struct probe_stack *stack)
{
	if (intake->listener.stack)
		intake->listener.stack(intake->listener.user, stack);
}

/* A stack of its own for each distinct one: as in bpf/stack.bpf.h, but of what the walk gave. */
static struct stack_key intake_copied_key(const struct intake *intake, const struct probe_stack *stack)
{
	struct stack_key key = intake->seed;
	guint64 words[sizeof(stack->task) / 8];

	memcpy(words, &stack->task, sizeof(words));
	for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
		stack_hash_word(&key, words[i]);
	stack_hash_word(&key, (guint64)stack->flags << 32 | stack->user_end);
	stack_hash_word(&key, stack->script[0]);
	stack_hash_word(&key, stack->script[1]);
	stack_hash_word(&key, (guint64)stack->kernel_count << 32 | stack->user_count);
	for (guint i = 0; i < stack->kernel_count; i++)
		stack_hash_word(&key, stack->kernel[i]);
	for (guint i = 0; i < stack->user_count; i++)
		stack_hash_word(&key, stack->user[i]);
	return key;
}

static void intake_note_moment(struct intake *intake, guint64 time_ns, guint32 id)
{
	const struct intake_moment moment = { .time_ns = time_ns, .id = id };

	if (intake->moments && intake->moments->len < INTAKE_MOMENTS_MAX)
		g_array_append_val(intake->moments, moment);
}

static void intake_count_copied(struct intake *intake, struct probe_stack *stack, guint64 weight)
{
	struct stack_key key = intake_copied_key(intake, stack);
	guint32 index = keynumbers_add(intake->copied_keys, &key);
	struct intake_copied *copied;

	if (index == intake->copied->len) {
		struct intake_copied fresh = { .stack = intake->tasks->len };

		stack->id = fresh.stack;
		g_ptr_array_add(intake->tasks, (gpointer)intake_keep_task(intake, &stack->task));
		g_array_append_val(intake->copied, fresh);
		intake_tell_stack(intake, stack);
	}
	copied = &g_array_index(intake->copied, struct intake_copied, index);
	copied->events++;
	copied->weight += weight;
	stack->id = copied->stack;
}

/* One event that user space must know again by the kernel's id. */
static void intake_count_each(struct intake *intake, const struct stack_record *record, struct probe_stack *stack)
{
	intake_count_copied(intake, stack, record->weight);
	intake_grow_ids(intake, record->id);
	g_array_index(intake->ids, guint32, record->id) = stack->id;
}

/* Of addresses that would come out the same at any time; 0 otherwise. */
static guint64 intake_walk_hash(const struct probe_stack *stack, const struct probe_unwound *unwound)
{
	struct stack_key key = { { 1, 1 } };

	if (!unwound->is_final || unwound->end == STACK_END_SHORT || unwound->end == STACK_END_GONE)
		return 0;
	for (guint i = 0; i < stack->user_count; i++)
		stack_hash_word(&key, stack->user[i]);
	return MAX(key.hash[0], 1);
}

static void intake_learn(struct intake *intake, const struct probe_task *task, const struct probe_copy *copy,
			 const struct probe_unwound *unwound)
{
	if (intake->plan)
		copyplan_learn(intake->plan, task, copy, unwound);
	if (!intake->paths || !unwound->is_final || unwound->end == STACK_END_GONE)
		return;
	/* A longer copy will tell more, so the stack must not be recognised before there is one. */
	if (unwound->end == STACK_END_SHORT && !copy->is_all && copy->length < STACK_COPY_BYTES_MAX &&
	    !copyplan_leads_away(unwound))
		return;
	userpath_learn(intake->paths, task->tgid, copy, &intake->basis);
}

/* NULL when none was told. */
static struct intake_tail *intake_tail(struct intake *intake, guint32 tid)
{
	struct intake_tail *tail = intake->tails && tid ? &intake->tails[tid % INTAKE_TAILS] : NULL;

	return tail && tail->tid == tid ? tail : NULL;
}

/* The user half from the copy behind the record's kernel frames → hash of its addresses (intake_walk_hash). */
static guint64 intake_unwind(struct intake *intake, const struct stack_record *record, struct probe_stack *stack)
{
	const guint8 *behind = (const guint8 *)(record->frames + record->kernel_count);
	struct probe_unwound unwound = { .end = STACK_END_NO_TABLE };
	struct probe_copy copy = {
		.bytes = behind + sizeof(struct stack_registers),
		.length = record->copy_bytes,
		.is_all = (record->flags & STACK_COPY_ENDS) != 0,
		.basis = intake->paths ? &intake->basis : NULL,
	};
	struct intake_tail *tail;
	struct stack_registers registers;

	memcpy(&registers, behind, sizeof(registers));
	copy.ip = registers.ip;
	copy.sp = registers.sp;
	copy.bp = registers.bp;
	copy.r10 = registers.r10;
	copy.bx = registers.bx;
	copy.di = registers.di;
	copy.address = registers.copied_from;
	copy.holes = registers.holes;
	copy.tid = intake->same.tid;
	copy.number = intake->same.number;
	copy.since = intake->same.since;
	copy.same_from = MIN(intake->same.from, copy.length);
	if (copy.number) {
		copy.bytes = NULL;
		copy.pages = delta_pages(intake->delta);
	}
	tail = intake_tail(intake, copy.number ? copy.tid : 0);
	if (record->tail_bytes && copy.bytes) {
		memcpy(&copy.tail_address, copy.bytes + copy.length, sizeof(copy.tail_address));
		copy.tail = copy.bytes + copy.length + sizeof(copy.tail_address);
		copy.tail_length = record->tail_bytes - sizeof(copy.tail_address);
	} else if (tail) {
		copy.tail = tail->bytes;
		copy.tail_length = tail->length;
		copy.tail_address = tail->address;
		tail->tid = 0; /* of this one record */
	}
	stack->flags &= ~(guint32)(STACK_COPIED | STACK_COPY_ENDS);
	if (intake->listener.unwind) {
		intake->listener.unwind(intake->listener.user, stack->task.tgid, &copy, intake->unwound,
					G_N_ELEMENTS(intake->unwound), &unwound);
		intake_learn(intake, &stack->task, &copy, &unwound);
	}
	stack->user = intake->unwound;
	stack->user_count = (guint16)unwound.count;
	stack->user_end = unwound.end;
	if (unwound.count == 0)
		stack->flags |= PROBE_STACK_NO_USER;
	return intake_walk_hash(stack, &unwound);
}

/* A stack that the kernel half recognised by hash as `record->id`, copied all the same: is it the same? */
static void intake_take_audit(struct intake *intake, const struct stack_record *record, struct probe_stack *stack)
{
	guint32 id = intake_stack(intake, record->id);
	guint64 known = id < intake->walks->len ? g_array_index(intake->walks, guint64, id) : 0;
	guint64 found = record->copy_bytes ? intake_unwind(intake, record, stack) : 0;

	if (known == 0 || found == 0)
		return;
	intake->audit.checked++;
	intake->audit.wrong += found != known;
}

/* Adds the caller of a function of Go that has no frame, where the kernel half looked for it at the right place; else it is told
 * where to look the next time. */
static void intake_take_go(struct intake *intake, const struct stack_record *record, struct probe_stack *stack)
{
	guint64 word = record->at_sp & ((G_GUINT64_CONSTANT(1) << STACK_AT_SP_BITS) - 1);
	guint32 told = (guint32)(record->at_sp >> STACK_AT_SP_BITS) * (guint32)sizeof(word), depth;

	if (!stack->user_count || !intake->listener.go_depth ||
	    !intake->listener.go_depth(intake->listener.user, stack->task.tgid, stack->user[0], &depth))
		return;
	if (depth != told) {
		copyplan_learn_place(intake->plan, stack->task.tgid, stack->user[0], depth);
	} else if (word) {
		memcpy(intake->unwound + 2, stack->user + 1, (stack->user_count - 1u) * sizeof(word));
		intake->unwound[0] = stack->user[0];
		intake->unwound[1] = word;
		stack->user = intake->unwound;
		stack->user_count++;
	}
}

static void intake_take_record(struct intake *intake, const struct stack_record *record)
{
	struct probe_stack stack = {
		.kernel = (const guint64 *)record->frames,
		.user = (const guint64 *)record->frames + record->kernel_count,
		.kernel_count = record->kernel_count,
		.user_count = record->user_count,
		.syscall = record->syscall,
		.flags = record->flags,
		.user_end = record->user_count ? STACK_END_UNCHECKED : STACK_END_NONE,
		.script = { record->script[0], record->script[1] },
	};
	guint64 walk = 0;
	gboolean is_counted;

	memcpy(&stack.task, &record->task, sizeof(stack.task));
	stack.task.comm[PROBE_COMM - 1] = '\0';
	stack.task.thread_comm[PROBE_COMM - 1] = '\0';
	if (record->flags & STACK_AUDIT) {
		intake_take_audit(intake, record, &stack);
		return;
	}
	is_counted = record->id != STACK_NO_ID && !(record->flags & STACK_EACH);
	if (is_counted) {
		stack.id = intake->tasks->len;
		if (!intake_number(intake, record->id, &stack.task))
			return;
	}
	intake->copies += record->copy_bytes > 0;
	intake->copied_bytes += record->copy_bytes;
	if (record->copy_bytes)
		walk = intake_unwind(intake, record, &stack);
	else if (record->flags & STACK_GO)
		intake_take_go(intake, record, &stack);
	stack.flags &= ~(guint32)(STACK_EACH | STACK_GO);
	if (intake->paths && is_counted) {
		g_array_set_size(intake->walks, stack.id + 1);
		g_array_index(intake->walks, guint64, stack.id) = walk;
	}
	if (record->id == STACK_NO_ID) {
		intake_count_copied(intake, &stack, record->weight);
		intake_note_moment(intake, record->time_ns, stack.id);
	} else if (!is_counted) {
		intake_count_each(intake, record, &stack);
	} else {
		intake_tell_stack(intake, &stack);
	}
}

static void intake_follow(struct intake *intake, gboolean all)
{
	if (all != intake->followed && intake->listener.followed)
		intake->listener.followed(intake->listener.user, all);
	intake->followed = all;
}

/* Everything of the side-band that happened before `time_ns`. */
static void intake_catch_up(struct intake *intake, guint64 time_ns)
{
	if (!intake->sideband)
		return;
	if (time_ns > intake->collected_ns) {
		intake->collected_ns = clock_monotonic_ns();
		sideband_collect(intake->sideband);
		if (sideband_lost(intake->sideband) > 0)
			intake_follow(intake, FALSE);
	}
	sideband_dispatch(intake->sideband, time_ns, intake_tell, intake);
}

static gboolean intake_record_is_sound(const struct stack_record *record, gsize bytes)
{
	gsize need = G_STRUCT_OFFSET(struct stack_record, frames);

	if (bytes < need || record->kernel_count > STACK_DEPTH || record->user_count > STACK_DEPTH ||
	    record->copy_bytes > STACK_COPY_BYTES_MAX)
		return FALSE;
	need += 8 * (gsize)(record->kernel_count + record->user_count);
	if (record->tail_bytes && (!record->copy_bytes || record->flags & STACK_DELTA ||
				   record->tail_bytes <= sizeof(guint64) || record->tail_bytes > bytes))
		return FALSE;
	if (record->copy_bytes)
		need += sizeof(struct stack_registers) + record->tail_bytes +
			(record->flags & STACK_DELTA ? 0 : record->copy_bytes);
	if (record->copy_bytes && record->user_count)
		return FALSE;
	return bytes >= need && (record->id < INTAKE_STACK_IDS_MAX || record->id == STACK_NO_ID);
}

/* NULL when it is damaged. */
static const struct stack_record *intake_whole(struct intake *intake, const struct stack_record *record, gsize bytes)
{
	intake->copy_records_bytes += record->copy_bytes ? bytes : 0;
	intake->same = (struct delta_same){ 0 };
	if (!(record->flags & STACK_DELTA) || !record->copy_bytes)
		return record;
	if (!intake->delta)
		intake->delta = delta_new();
	return delta_read(intake->delta, record, bytes, &intake->same);
}

static void intake_take_tail(struct intake *intake, const struct stack_record *record)
{
	const guint8 *behind = (const guint8 *)(record->frames + record->kernel_count);
	struct stack_registers registers;
	struct intake_tail *tail;

	memcpy(&registers, behind, sizeof(registers));
	if (!intake->same.number || record->copy_bytes > sizeof(tail->bytes))
		return;
	if (!intake->tails)
		intake->tails = g_new0(struct intake_tail, INTAKE_TAILS);
	tail = &intake->tails[intake->same.tid % INTAKE_TAILS];
	tail->tid = intake->same.tid;
	tail->address = registers.copied_from;
	tail->length = record->copy_bytes;
	delta_copy_out(intake->delta, record, tail->bytes);
}

static void intake_take_record_bytes(struct intake *intake, const void *data, gsize bytes)
{
	const struct stack_record *record = data;

	if (bytes == sizeof(struct stack_moment)) {
		const struct stack_moment *moment = data;

		intake_note_moment(intake, moment->time_ns, moment->id | INTAKE_MOMENT_KERNEL);
		return;
	}
	if (intake_record_is_sound(record, bytes))
		record = intake_whole(intake, record, bytes);
	else
		record = NULL;
	if (!record) {
		intake->malformed++;
		return;
	}
	if (record->flags & STACK_TAIL) {
		intake_take_tail(intake, record);
		return;
	}
	intake_catch_up(intake, record->time_ns);
	if (intake->scripts && record->script[0])
		scripts_drain(intake->scripts);
	intake_take_record(intake, record);
}

static void intake_take_hoard(struct intake *intake)
{
	for (guint i = 0; i < intake->hoard->len; i++) {
		GBytes *record = g_ptr_array_index(intake->hoard, i);

		intake_take_record_bytes(intake, g_bytes_get_data(record, NULL), g_bytes_get_size(record));
	}
	g_ptr_array_set_size(intake->hoard, 0);
	intake->hoard_bytes = 0;
}

/* Negative: it is time to look at something else. What was handed over is taken all the same. */
static int intake_take_stack(void *user, void *data, size_t bytes)
{
	struct intake *intake = user;

	if (intake->is_hoarding && intake->hoard_bytes + bytes <= INTAKE_HOARD_BYTES_MAX) {
		g_ptr_array_add(intake->hoard, g_bytes_new(data, bytes));
		intake->hoard_bytes += bytes;
	} else {
		if (intake->is_hoarding) /* no more room: then now, in order */
			intake_take_hoard(intake);
		intake_take_record_bytes(intake, data, bytes);
	}
	return clock_monotonic_ns() < intake->until_ns ? 0 : -EAGAIN;
}

/* Takes what is in the ring, for no longer than INTAKE_TURN_NS unless `all`: what fills it may be faster than we are. */
static gboolean intake_consume(struct intake *intake, gboolean all, GError **error)
{
	int result;

	intake->until_ns = all ? G_MAXUINT64 : clock_monotonic_ns() + INTAKE_TURN_NS;
	result = ringread_consume(intake->stacks);
	if (result >= 0 || result == -EAGAIN)
		return TRUE;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot read the ring of stacks: %s", g_strerror(-result));
	return FALSE;
}

static gboolean intake_poll(struct intake *intake, int fd, GError **error)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(intake->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return TRUE;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot wait for the kernel's news: %s", g_strerror(errno));
	return FALSE;
}

/* Extras: the result is weaker without them, but stands. */
static void intake_open_extras(struct intake *intake, struct bpf_object *object, const struct probe_request *request)
{
	g_autoptr(GError) births_error = NULL, scripts_error = NULL, sideband_error = NULL;

	intake->births = births_open(object, &intake->listener, &births_error);
	if (!intake->births)
		g_ptr_array_add(intake->notes, g_strdup_printf("containers born meanwhile may lack their names: %s",
							       births_error->message));
	if (request->no_user)
		return;
	if (bpf_object__find_map_by_name(object, "script_ring"))
		intake->scripts = scripts_open(object, &intake->listener, &scripts_error);
	if (scripts_error)
		g_ptr_array_add(intake->notes,
				g_strdup_printf("Python functions are not named: %s", scripts_error->message));
	intake->sideband = sideband_open(&sideband_error);
	intake_follow(intake, intake->sideband != NULL);
	if (intake->sideband && intake->by_number)
		sideband_only(intake->sideband, request->tgids, request->tgid_count);
	if (!intake->sideband)
		g_ptr_array_add(intake->notes, g_strdup_printf("processes that end early may lack their functions: %s",
							       sideband_error->message));
}

static gboolean intake_poll_all(struct intake *intake, GError **error)
{
	intake->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!intake_poll(intake, ringread_fd(intake->stacks), error))
		return FALSE;
	if (intake->births && births_fd(intake->births) >= 0 && !intake_poll(intake, births_fd(intake->births), error))
		return FALSE;
	for (guint i = 0; intake->sideband && i < sideband_cpus(intake->sideband); i++)
		if (!intake_poll(intake, sideband_fd(intake->sideband, i), error))
			return FALSE;
	return TRUE;
}

/* Wakers may be anybody. */
static gboolean intake_is_by_number(const struct probe_request *request)
{
	gboolean is = request->filter && !request->waker;

	for (gsize i = 0; is && i < request->cgroup_count; i++)
		is = !request->cgroups[i].wanted;
	return is;
}

struct intake *intake_open(struct bpf_object *object, const struct probe_request *request,
			   const struct probe_listener *listener, GError **error)
{
	struct intake *intake = g_new0(struct intake, 1);

	intake->listener = *listener;
	intake->epoll_fd = -1;
	intake->by_number = intake_is_by_number(request);
	intake->news_ns = clock_monotonic_ns();
	intake->ids = g_array_new(FALSE, FALSE, sizeof(guint32));
	intake->tasks = g_ptr_array_new();
	intake->known_tasks = g_hash_table_new_full(intake_task_hash, intake_task_equal, g_free, NULL);
	intake->notes = g_ptr_array_new_with_free_func(g_free);
	intake->walks = g_array_new(FALSE, TRUE, sizeof(guint64));
	intake->hoard = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	intake->copied = g_array_new(FALSE, FALSE, sizeof(struct intake_copied));
	intake->copied_keys = keynumbers_new();
	intake->seed = (struct stack_key){ { 0x9e3779b97f4a7c15ULL, 0xc2b2ae3d27d4eb4fULL } };
	if (getrandom(&intake->seed, sizeof(intake->seed), GRND_NONBLOCK) < 0)
		g_debug("no random numbers yet");
	intake->moments = request->moments ? g_array_new(FALSE, FALSE, sizeof(struct intake_moment)) : NULL;
	intake->plan = copyplan_new(object);
	intake->stacks =
		ringread_open(bpf_object__find_map_fd_by_name(object, "stack_ring"), intake_take_stack, intake);
	if (!intake->stacks) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot map the ring of stacks: %s",
			    g_strerror(errno));
		intake_close(intake);
		return NULL;
	}
	intake_open_extras(intake, object, request);
	if (!intake_poll_all(intake, error)) {
		intake_close(intake);
		return NULL;
	}
	return intake;
}

void intake_close(struct intake *intake)
{
	if (!intake)
		return;
	if (intake->epoll_fd >= 0)
		close(intake->epoll_fd);
	ringread_close(intake->stacks);
	sideband_close(intake->sideband);
	births_close(intake->births);
	scripts_close(intake->scripts);
	g_array_free(intake->ids, TRUE);
	g_ptr_array_free(intake->tasks, TRUE);
	g_hash_table_destroy(intake->known_tasks);
	g_ptr_array_free(intake->notes, TRUE);
	keynumbers_free(intake->copied_keys);
	g_array_free(intake->copied, TRUE);
	copyplan_free(intake->plan);
	delta_free(intake->delta);
	userpath_free(intake->paths);
	g_array_free(intake->walks, TRUE);
	g_ptr_array_free(intake->hoard, TRUE);
	if (intake->moments)
		g_array_free(intake->moments, TRUE);
	g_free(intake->tails);
	g_free(intake);
}

int intake_fd(const struct intake *intake)
{
	return intake->epoll_fd;
}

gboolean intake_is_calm(const struct intake *intake)
{
	return intake->by_number && clock_monotonic_ns() - intake->news_ns > INTAKE_CALM_NS;
}

static gboolean intake_take(struct intake *intake, gboolean all, GError **error)
{
	gboolean right;

	if (intake->births)
		births_drain(intake->births);
	intake_take_hoard(intake);
	right = intake_consume(intake, all, error);
	intake_catch_up(intake, G_MAXUINT64);
	return right;
}

gboolean intake_drain(struct intake *intake, GError **error)
{
	return intake_take(intake, FALSE, error);
}

gboolean intake_drain_rest(struct intake *intake, GError **error)
{
	return intake_take(intake, TRUE, error);
}

gboolean intake_hoard(struct intake *intake, GError **error)
{
	gboolean right;

	intake->is_hoarding = TRUE;
	right = intake_consume(intake, FALSE, error);
	intake->is_hoarding = FALSE;
	return right;
}

guint32 intake_stack(const struct intake *intake, guint32 kernel_id)
{
	return kernel_id < intake->ids->len ? g_array_index(intake->ids, guint32, kernel_id) : PROBE_NO_STACK;
}

const struct probe_task *intake_task(const struct intake *intake, guint32 id)
{
	return id < intake->tasks->len ? g_ptr_array_index(intake->tasks, id) : NULL;
}

void intake_learn_paths(struct intake *intake, int map_fd, const struct stack_key *seed)
{
	intake->paths = userpath_new(map_fd, seed);
}

struct intake_audit intake_audit(const struct intake *intake)
{
	return intake->audit;
}

void intake_take_copied(struct intake *intake, intake_copied_fn each, void *user)
{
	for (guint i = 0; i < intake->copied->len; i++) {
		struct intake_copied *copied = &g_array_index(intake->copied, struct intake_copied, i);

		if (copied->events > 0)
			each(user, copied->stack, copied->events, copied->weight);
		copied->events = 0;
		copied->weight = 0;
	}
}

/* GCompareFunc */
static gint intake_moment_compare(gconstpointer a, gconstpointer b)
{
	const struct intake_moment *left = a, *right = b;

	return (left->time_ns > right->time_ns) - (left->time_ns < right->time_ns);
}

void intake_tell_moments(struct intake *intake)
{
	if (intake->moments)
		g_array_sort(intake->moments, intake_moment_compare);
	for (guint i = 0; intake->moments && i < intake->moments->len; i++) {
		const struct intake_moment *moment = &g_array_index(intake->moments, struct intake_moment, i);
		guint32 id = moment->id & INTAKE_MOMENT_KERNEL
				     ? intake_stack(intake, moment->id & ~INTAKE_MOMENT_KERNEL)
				     : moment->id;

		if (id != PROBE_NO_STACK && intake->listener.moment)
			intake->listener.moment(intake->listener.user, id, moment->time_ns);
	}
}

void intake_teach(struct intake *intake, guint32 tgid, const struct python_process *process)
{
	if (intake->scripts)
		scripts_teach(intake->scripts, tgid, process);
}

void intake_account(struct intake *intake, struct ledger *ledger)
{
	guint64 lost = intake->sideband ? sideband_lost(intake->sideband) : 0;

	for (guint i = 0; i < intake->notes->len; i++)
		ledger_note(ledger, g_strdup(g_ptr_array_index(intake->notes, i)));
	if (lost > 0)
		ledger_note(ledger,
			    g_strdup_printf("%" G_GUINT64_FORMAT " records of mappings, forks and exits were lost",
					    lost));
	if (intake->scripts)
		scripts_account(intake->scripts, ledger);
	if (intake->copies > 0) {
		g_autofree char *all = units_weight(UNIT_BYTES, intake->copied_bytes);
		g_autofree char *each = units_weight(UNIT_BYTES, intake->copied_bytes / intake->copies);
		g_autofree char *moved = units_weight(UNIT_BYTES, intake->copy_records_bytes);

		ledger_note(ledger,
			    g_strdup_printf("%s of user stacks were copied, %s a stack; all that came of them: %s", all,
					    each, moved));
	}
	if (intake->malformed > 0)
		ledger_note(ledger, g_strdup_printf("%u stack records were malformed", intake->malformed));
}
