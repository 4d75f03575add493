/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/unlooked.h"

struct example {
	guint32 stack, waker;
	struct interval_sum stands_for;
};

struct kind {
	struct probe_task task; /* as it was called last */
	guint32 length;
	struct interval_sum sum, stands_for;
	GArray *examples; /* of struct example */
};

struct unlooked {
	GHashTable *kinds; /* set of struct kind */
};

static guint kind_hash(gconstpointer pointer)
{
	const struct kind *kind = pointer;

	return ((g_int64_hash(&kind->task.cgroup_key) * 31 + kind->task.tgid) * 31 + kind->task.tid) * 31 +
	       kind->length;
}

static gboolean kind_equal(gconstpointer left, gconstpointer right)
{
	const struct kind *a = left, *b = right;

	return a->task.cgroup_key == b->task.cgroup_key && a->task.tgid == b->task.tgid && a->task.tid == b->task.tid &&
	       a->length == b->length;
}

static void kind_free(gpointer pointer)
{
	struct kind *kind = pointer;

	g_array_free(kind->examples, TRUE);
	g_free(kind);
}

struct unlooked *unlooked_new(void)
{
	struct unlooked *unlooked = g_new0(struct unlooked, 1);

	unlooked->kinds = g_hash_table_new_full(kind_hash, kind_equal, kind_free, NULL);
	return unlooked;
}

void unlooked_free(struct unlooked *unlooked)
{
	if (unlooked)
		g_hash_table_destroy(unlooked->kinds);
	g_free(unlooked);
}

static struct kind *unlooked_kind(struct unlooked *unlooked, const struct probe_task *task, guint32 length)
{
	struct kind wanted = { .task = *task, .length = length };
	struct kind *kind = g_hash_table_lookup(unlooked->kinds, &wanted);

	if (!kind) {
		kind = g_new0(struct kind, 1);
		kind->task = *task;
		kind->length = length;
		kind->examples = g_array_new(FALSE, FALSE, sizeof(struct example));
		g_hash_table_add(unlooked->kinds, kind);
	}
	return kind;
}

static void sum_add(struct interval_sum *to, const struct interval_sum *more)
{
	to->weight_ns += more->weight_ns;
	to->events += more->events;
	to->max_ns = MAX(to->max_ns, more->max_ns);
}

void unlooked_add(struct unlooked *unlooked, const struct probe_task *task, guint32 length,
		  const struct interval_sum *sum)
{
	sum_add(&unlooked_kind(unlooked, task, length)->sum, sum);
}

void unlooked_add_example(struct unlooked *unlooked, const struct probe_task *task, guint32 length, guint32 stack,
			  guint32 waker, const struct interval_sum *stands_for)
{
	struct kind *kind = unlooked_kind(unlooked, task, length);
	const struct example example = { .stack = stack, .waker = waker, .stands_for = *stands_for };

	g_array_append_val(kind->examples, example);
	sum_add(&kind->stands_for, stands_for);
}

/* `whole` · `part` / `parts`; what rounding leaves is carried to the next. */
static guint64 share_of(guint64 whole, guint64 part, guint64 parts, unsigned __int128 *carried)
{
	guint64 share;

	*carried += (unsigned __int128)whole * part;
	share = (guint64)(*carried / parts);
	*carried %= parts;
	return share;
}

static void kind_share_out(const struct kind *kind, unlooked_fn each, void *user)
{
	unsigned __int128 carried_ns = 0, carried_events = 0;

	if (kind->stands_for.weight_ns == 0 || kind->stands_for.events == 0) {
		each(user, &kind->task, STACK_NONE, STACK_NONE, &kind->sum);
		return;
	}
	for (guint i = 0; i < kind->examples->len; i++) {
		const struct example *example = &g_array_index(kind->examples, struct example, i);
		struct interval_sum share = {
			.weight_ns = share_of(kind->sum.weight_ns, example->stands_for.weight_ns,
					      kind->stands_for.weight_ns, &carried_ns),
			.events = share_of(kind->sum.events, example->stands_for.events, kind->stands_for.events,
					   &carried_events),
		};

		each(user, &kind->task, example->stack, example->waker, &share);
	}
}

void unlooked_share_out(const struct unlooked *unlooked, unlooked_fn each, void *user)
{
	GHashTableIter all;
	gpointer kind;

	g_hash_table_iter_init(&all, unlooked->kinds);
	while (g_hash_table_iter_next(&all, &kind, NULL))
		if (((struct kind *)kind)->sum.events > 0)
			kind_share_out(kind, each, user);
}
