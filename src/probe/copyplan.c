/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/copyplan.h"

#include <bpf/bpf.h>

#include "probe/bpf/shared.h"
#include "probe/ladder.h"

#define COPYPLAN_SPARE(bytes) ((bytes) + (bytes) / 4) /* frames differ from stack to stack */

struct copyplan {
	int map_fd, named_fd, places_fd;
	GHashTable *needs; /* tgid → struct copyplan_need */
	gboolean is_recognised;
};

void copyplan_need_init(struct copyplan_need *need, gboolean is_recognised)
{
	*need = (struct copyplan_need){
		.bytes = STACK_COPY_BYTES_FIRST, .one_in = 1, .trust = COPYPLAN_TRUST, .is_recognised = is_recognised
	};
}

/* The next power of two within the limits. */
static guint32 copyplan_round(gsize bytes)
{
	guint32 rounded = STACK_COPY_BYTES_MIN;

	while (rounded < bytes && rounded < STACK_COPY_BYTES_MAX)
		rounded *= 2;
	return rounded;
}

gboolean copyplan_leads_away(const struct probe_unwound *unwound)
{
	return unwound->end == STACK_END_SHORT && unwound->frame_pointers_do &&
	       unwound->wanted_bytes > unwound->used_bytes + COPYPLAN_FRAME_BYTES_MAX;
}

/* TRUE when it is news. */
static gboolean need_learn_tail(struct copyplan_need *need)
{
	if (need->tail)
		return FALSE;
	need->tail = STACK_COPY_TAIL;
	return TRUE;
}

/* A stack that was cut short is known by what was copied of it: were copies to shrink to that length again, it would be taken
 * for known, and stay cut short. */
static void need_learn_least(struct copyplan_need *need, gsize bytes)
{
	if (need->is_recognised)
		need->least_bytes = MAX(need->least_bytes, MIN(copyplan_round(bytes), STACK_COPY_BYTES_FIRST));
}

/* TRUE when the kernel half must be told (again). */
static gboolean need_learn_length(struct copyplan_need *need, const struct probe_copy *copy,
				  const struct probe_unwound *unwound)
{
	guint32 before = need->bytes;

	if (!need->is_known && copy->is_all) /* all there was, of how much it would have been we do not know */
		need->bytes = before = MAX(need->bytes, copyplan_round(copy->length));
	else if (!need->is_known) /* it began with what others of its name needed */
		need->bytes = before = copyplan_round(copy->length);
	need->is_known |= !copy->is_all;
	if (unwound->end == STACK_END_SHORT && !copyplan_leads_away(unwound)) {
		need->peak_bytes = STACK_COPY_BYTES_MAX; /* no shrinking before a whole window without this */
		need->stacks = 0;
		/* A frame lies between that is larger than any copy, or has many pages that were never touched. */
		if (unwound->wanted_bytes > STACK_COPY_BYTES_MAX + STACK_COPY_TAIL)
			return need_learn_tail(need);
		if (copy->is_all || unwound->wanted_bytes <= copy->length)
			return FALSE; /* longer would not help */
		if (copy->length >= need->bytes) /* else it was made before the plan was heard of */
			need->bytes = copyplan_round(MAX(unwound->wanted_bytes, copy->length * 2));
		need_learn_least(need, unwound->wanted_bytes);
		return need->bytes != before || copy->length < need->bytes;
	}
	need->peak_bytes = MAX(need->peak_bytes, (guint32)MIN(unwound->used_bytes, (gsize)STACK_COPY_BYTES_MAX));
	need_learn_least(need, COPYPLAN_SPARE(unwound->used_bytes));
	if (++need->stacks < COPYPLAN_WINDOW)
		return FALSE;
	need->bytes = MIN(need->bytes, MAX(copyplan_round(COPYPLAN_SPARE(need->peak_bytes)), need->least_bytes));
	need->peak_bytes = need->stacks = 0;
	return need->bytes != before;
}

static void need_learn_frames(struct copyplan_need *need, const struct probe_unwound *unwound)
{
	if (unwound->end == STACK_END_SHORT && !unwound->frame_pointers_do)
		return; /* says nothing */
	if (unwound->frame_pointers_do) {
		need->equal++;
		if (need->equal >= need->trust)
			need->one_in = COPYPLAN_AUDIT;
		return;
	}
	if (need->one_in > 1)
		need->trust = MIN(need->trust * 4, (guint32)COPYPLAN_TRUST_MAX);
	need->one_in = 1;
	need->equal = 0;
}

gboolean copyplan_need_learn(struct copyplan_need *need, const struct probe_copy *copy,
			     const struct probe_unwound *unwound)
{
	guint32 one_in = need->one_in, is_go = need->is_go;
	gboolean is_news = need_learn_length(need, copy, unwound);

	is_news |= unwound->used_tail && need_learn_tail(need);
	need_learn_frames(need, unwound);
	need->is_go |= unwound->is_go;
	return is_news || need->one_in != one_in || need->is_go != is_go;
}

gboolean copyplan_size(struct bpf_object *object, guint slots, GError **error)
{
	struct bpf_map *copies = bpf_object__find_map_by_name(object, "stack_copies");
	struct bpf_map *deltas = bpf_object__find_map_by_name(object, "stack_deltas");
	int cpus = libbpf_num_possible_cpus(), result = cpus;

	if (copies && cpus > 0)
		result = bpf_map__set_max_entries(copies, (guint32)cpus * slots);
	if (deltas && result >= 0)
		result = bpf_map__set_max_entries(deltas, (guint32)cpus);
	if (result >= 0)
		return TRUE;
	ladder_set_error(error, "cannot make room for copies of stacks", -result);
	return FALSE;
}

struct copyplan *copyplan_new(struct bpf_object *object)
{
	int map_fd = bpf_object__find_map_fd_by_name(object, "stack_plans");
	struct copyplan *plan;

	if (map_fd < 0)
		return NULL;
	plan = g_new0(struct copyplan, 1);
	plan->map_fd = map_fd;
	plan->is_recognised = bpf_object__find_map_by_name(object, "user_paths") != NULL;
	plan->named_fd = bpf_object__find_map_fd_by_name(object, "stack_named_plans");
	plan->places_fd = bpf_object__find_map_fd_by_name(object, "stack_places");
	plan->needs = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return plan;
}

void copyplan_free(struct copyplan *plan)
{
	if (!plan)
		return;
	g_hash_table_destroy(plan->needs);
	g_free(plan);
}

static struct copyplan_need *copyplan_need(struct copyplan *plan, guint32 tgid)
{
	struct copyplan_need *need = g_hash_table_lookup(plan->needs, GUINT_TO_POINTER(tgid));

	if (need)
		return need;
	if (g_hash_table_size(plan->needs) >= STACK_PLANS) /* exits were missed: learn anew */
		g_hash_table_remove_all(plan->needs);
	need = g_new(struct copyplan_need, 1);
	copyplan_need_init(need, plan->is_recognised);
	g_hash_table_insert(plan->needs, GUINT_TO_POINTER(tgid), need);
	return need;
}

/* Lengths that were not enough, only: what a process needs later says little of what the next begins with, and whether frame pointers do is a matter of the program. */
static void copyplan_learn_name(struct copyplan *plan, const char *comm, guint32 bytes)
{
	struct stack_plan told = { .bytes = bytes, .one_in = 1 };
	struct stack_name name = { 0 };

	g_strlcpy(name.comm, comm, sizeof(name.comm));
	bpf_map_update_elem(plan->named_fd, &name, &told, BPF_ANY);
}

void copyplan_learn(struct copyplan *plan, const struct probe_task *task, const struct probe_copy *copy,
		    const struct probe_unwound *unwound)
{
	struct copyplan_need *need = copyplan_need(plan, task->tgid);
	guint32 before = need->bytes;
	struct stack_plan told;

	if (!copyplan_need_learn(need, copy, unwound))
		return;
	told = (struct stack_plan){
		.bytes = need->bytes, .one_in = need->one_in, .tail = need->tail, .is_go = need->is_go
	};
	/* When this fails the kernel half goes on as it did: longer or shorter copies than needed, none wrong. */
	bpf_map_update_elem(plan->map_fd, &task->tgid, &told, BPF_ANY);
	if (need->bytes > before)
		copyplan_learn_name(plan, task->comm, need->bytes);
}

void copyplan_learn_place(struct copyplan *plan, guint32 tgid, guint64 ip, guint32 depth)
{
	struct stack_place place = { .ip = ip, .tgid = tgid };

	if (plan && plan->places_fd >= 0)
		bpf_map_update_elem(plan->places_fd, &place, &depth, BPF_ANY); /* else that caller is lacking again */
}

void copyplan_forget(struct copyplan *plan, guint32 tgid)
{
	if (plan && g_hash_table_remove(plan->needs, GUINT_TO_POINTER(tgid)))
		bpf_map_delete_elem(plan->map_fd, &tgid);
}
