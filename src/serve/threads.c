/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/threads.h"

#include <math.h>
#include <microhttpd.h>
#include <string.h>

#include "base/units.h"
#include "model/waits.h"
#include "serve/past.h"

struct threads_question {
	struct past_range range;
	const char *container;
	guint64 *sums_ns; /* by step and class */
	guint64 *covered_ns; /* of each step */
	guint64 known; /* a bit for each class */
};

static void threads_row(struct threads_question *question, guint32 step, const struct gauge_row *row)
{
	for (guint i = 0; i < WAITS_CLASSES; i++) {
		guint64 ns;

		if (!gauge_get(row, waits_classes[i].gauge, &ns))
			continue;
		question->sums_ns[(gsize)step * WAITS_CLASSES + i] += ns;
		question->known |= G_GUINT64_CONSTANT(1) << i;
	}
}

/* reel_fn */
static void threads_frame(void *user, gint64 time_ms, struct snapshot *snapshot)
{
	struct threads_question *question = user;
	const struct shape *shape = snapshot_find(snapshot, SHAPE_GAUGES);
	gint64 step = (time_ms - 1 - question->range.from_ms) / question->range.step_ms;
	gboolean is_there = FALSE;

	if (!shape || step < 0 || step >= question->range.steps)
		return;
	for (guint32 i = 0; i < shape->gauges->rows->len; i++) {
		const struct gauge_row *row = gauges_row(shape->gauges, i);

		if (row->resource != GAUGE_RESOURCE_CONTAINER || strcmp(row->name, question->container) != 0)
			continue;
		threads_row(question, (guint32)step, row);
		is_there = TRUE;
	}
	if (is_there)
		question->covered_ns[step] += snapshot->duration_ns;
}

/* "offcpu_futex_ns" → "offcpu_futex" */
static void class_write(const struct threads_question *question, struct json_writer *json, guint class)
{
	g_autofree char *name = g_strdup(gauge_metrics[waits_classes[class].gauge].name);

	if (g_str_has_suffix(name, "_ns"))
		name[strlen(name) - strlen("_ns")] = '\0';
	json_begin_array(json, name);
	for (guint32 step = 0; step < question->range.steps; step++)
		json_double(json, NULL,
			    question->covered_ns[step]
				    ? (double)question->sums_ns[(gsize)step * WAITS_CLASSES + class] /
					      (double)question->covered_ns[step]
				    : (double)NAN);
	json_end_array(json);
}

void threads_answer(struct api *api, const struct http_request *request, struct http_reply *reply)
{
	struct threads_question question = { 0 };
	const char *wrong = past_range(request, 300, &question.range);
	enum history_resolution resolution;
	struct json_writer json;
	GString *out;

	if (!wrong && (!past_container(api, request, &question.container) || !question.container))
		wrong = "whose threads? series=7 or container=NAME";
	if (wrong) {
		past_error(reply, MHD_HTTP_BAD_REQUEST, wrong);
		return;
	}
	question.sums_ns = g_new0(guint64, (gsize)question.range.steps * WAITS_CLASSES);
	question.covered_ns = g_new0(guint64, question.range.steps);
	resolution = reel_each(api->reel, question.range.from_ms, question.range.to_ms, (guint)question.range.step_ms,
			       threads_frame, &question);
	json = past_begin(&question.range, &out);
	json_int(&json, "step_ms", question.range.step_ms);
	json_uint(&json, "steps", question.range.steps);
	json_uint(&json, "resolution_ms", history_resolution_ms[resolution]);
	json_begin_object(&json, "values");
	for (guint i = 0; i < WAITS_CLASSES; i++)
		if (question.known >> i & 1)
			class_write(&question, &json, i);
	json_end_object(&json);
	past_end(reply, &json);
	g_free(question.sums_ns);
	g_free(question.covered_ns);
}
