/* SPDX-License-Identifier: Apache-2.0 */
#include "model/waits.h"

const struct waits_class waits_classes[WAITS_CLASSES] = {
	{ "running", GAUGE_CPU, FALSE },
	{ "waiting for CPU", GAUGE_RUNQUEUE_WAIT, FALSE },
	{ "blocked: lock", GAUGE_OFFCPU_FUTEX, TRUE },
	{ "blocked: disk", GAUGE_OFFCPU_IO, TRUE },
	{ "blocked: network", GAUGE_OFFCPU_NET, TRUE },
	{ "blocked: poll", GAUGE_OFFCPU_POLL, TRUE },
	{ "blocked: sleep", GAUGE_OFFCPU_SLEEP, TRUE },
	{ "blocked: pipe", GAUGE_OFFCPU_PIPE, TRUE },
	{ "blocked: page fault", GAUGE_OFFCPU_PAGEFAULT, TRUE },
	{ "blocked: other", GAUGE_OFFCPU_OTHER, TRUE },
};

/* The rest of the host's time: `of_containers` is what containers had of it. */
static void row_add(struct calltree *tree, const struct gauge_row *row, gboolean all, const guint64 *of_containers)
{
	for (guint i = 0; i < WAITS_CLASSES; i++) {
		guint32 place;
		guint64 ns;

		if (!gauge_get(row, waits_classes[i].gauge, &ns))
			continue;
		if (row->resource == GAUGE_RESOURCE_HOST)
			ns -= MIN(ns, of_containers[i]);
		if (!ns || (!all && !waits_classes[i].is_blocked))
			continue;
		place = calltree_child(tree, CALLTREE_ROOT, calltree_frame(tree, FRAME_CONTAINER, row->name, -1, NULL));
		place = calltree_child(tree, place, calltree_frame(tree, FRAME_CAUSE, waits_classes[i].name, -1, NULL));
		calltree_add(tree, place, ns);
	}
}

static void row_count(const struct gauge_row *row, guint64 *of_containers)
{
	for (guint i = 0; i < WAITS_CLASSES; i++)
		of_containers[i] +=
			gauge_is_known(row, waits_classes[i].gauge) ? row->values[waits_classes[i].gauge] : 0;
}

void waits_add(struct calltree *tree, const struct gauges *changes, gboolean all, waits_wants_fn wants, void *user)
{
	guint64 of_containers[WAITS_CLASSES] = { 0 };

	for (guint32 i = changes->rows->len; i-- > 0;) { /* the host is the first */
		const struct gauge_row *row = gauges_row(changes, i);

		if (row->dead || (row->resource != GAUGE_RESOURCE_CONTAINER && row->resource != GAUGE_RESOURCE_HOST))
			continue;
		if (row->resource == GAUGE_RESOURCE_CONTAINER)
			row_count(row, of_containers);
		if (wants(user, row->name))
			row_add(tree, row, all, of_containers);
	}
}
