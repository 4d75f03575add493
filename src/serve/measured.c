/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/measured.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/units.h"
#include "import/import.h"

/* What is always sampled has the same samples already: together they would count twice. */
static gboolean is_sampled_anyway(const struct measured *measured, const struct shape *shape)
{
	return strcmp(shape->probe, "profile") == 0 && live_part(measured->live, LIVE_PROFILE)->state == LIVE_ON;
}

static void measured_tell(const struct measured *measured, const struct job *job, guint64 start_ns)
{
	const struct event_field fields[] = {
		{ .name = "what", .unit = EVENT_TEXT, .text = job->kind },
		{ .name = "duration", .unit = EVENT_NANOSECONDS, .number = job->seconds * NS_PER_S },
	};
	const struct event event = {
		.realtime_ns = start_ns,
		.container = strcmp(job->container, JOBS_ALL) == 0 ? NULL : job->container,
		.kind = MEASURED_EVENT,
		.fields = fields,
		.field_count = G_N_ELEMENTS(fields),
	};

	live_note(measured->live, &event);
}

void measured_keep(void *user, const struct job *job, const char *capture)
{
	const struct measured *measured = user;
	g_autoptr(snapshot_t) snapshot = NULL;
	const struct shape *shape;
	guint64 start_ns, end_ns;
	GStatBuf status;

	if (g_stat(capture, &status) != 0 || status.st_size > MEASURED_BYTES_MAX)
		return;
	snapshot = import_file(capture, NULL, NULL);
	shape = snapshot ? snapshot_find(snapshot, SHAPE_CALLTREE) : NULL;
	if (!shape || shape->calltree->node_count <= 1 || !snapshot->start_realtime_ns ||
	    is_sampled_anyway(measured, shape))
		return;
	/* The stacks alone: what else a command tells has no history here. */
	for (guint i = snapshot->shapes->len; i-- > 0;)
		if (g_ptr_array_index(snapshot->shapes, i) != shape)
			g_ptr_array_remove_index(snapshot->shapes, i);
	start_ns = snapshot->start_realtime_ns;
	end_ns = start_ns + snapshot->duration_ns;
	reel_add(measured->stacks, (gint64)(end_ns / NS_PER_MS), g_steal_pointer(&snapshot));
	measured_tell(measured, job, start_ns);
}
