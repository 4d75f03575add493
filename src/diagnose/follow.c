/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for whom: a container whose threads wait at sockets while the one it calls has a finding waits for that one's
 * sake. Followed from server to server until there is none further: a → b → c, "c is capped". */
#include <string.h>

#include "diagnose/finding.h"

#define FOLLOW_DEPTH_MAX 16

struct follow {
	struct diagnosis *diagnosis;
	const struct edges *edges;
	guint own; /* findings that were there before */
	GHashTable *bottoms; /* subject → const struct finding * at the end of its chain */
	const struct subject *path[FOLLOW_DEPTH_MAX];
	guint depth;
};

/* What is worst of a container itself; NULL when nothing is. */
static const struct finding *own_finding(const struct follow *follow, const struct subject *subject)
{
	for (guint i = 0; i < follow->own; i++) {
		const struct finding *finding = g_ptr_array_index(follow->diagnosis->findings, i);

		if (finding->subject == subject)
			return finding;
	}
	return NULL;
}

static guint64 counter(const struct edges *edges, const struct edge *edge, const char *name)
{
	int at = edges_counter(edges, name);

	return at < 0 ? 0 : edge->counters[at];
}

/* The container at the other end of an edge that was used; NULL when there is none. */
static const struct subject *called(const struct follow *follow, guint32 row, const struct subject *caller)
{
	const struct edge *edge = g_ptr_array_index(follow->edges->rows, row);
	struct edge_end source = edges_source(follow->edges, row), target = edges_target(follow->edges, row);

	if (source.kind != EDGE_END_CONTAINER || target.kind != EDGE_END_CONTAINER ||
	    strcmp(source.name, caller->name) != 0 || strcmp(target.name, caller->name) == 0)
		return NULL;
	if (counter(follow->edges, edge, "sent_bytes") + counter(follow->edges, edge, "received_bytes") +
		    counter(follow->edges, edge, "opens") ==
	    0)
		return NULL;
	return facts_by_name(follow->diagnosis->facts, target.name);
}

static gboolean on_path(const struct follow *follow, const struct subject *subject)
{
	for (guint i = 0; i < follow->depth; i++)
		if (follow->path[i] == subject)
			return TRUE;
	return FALSE;
}

static gboolean waits_for_sockets(const struct follow *follow, const struct subject *subject)
{
	double waits;

	return fact_get(subject, FACT_NETWORK_WAIT, &waits) &&
	       waits >= follow->diagnosis->config.thresholds[THRESHOLD_NETWORK_WAIT];
}

/* The finding at the bottom of what `subject` waits for, deepest first; `names` gets the way there. NULL: none. */
static const struct finding *bottom_of(struct follow *follow, const struct subject *subject, GPtrArray *names)
{
	const struct finding *found = NULL;

	if (follow->depth >= FOLLOW_DEPTH_MAX || !waits_for_sockets(follow, subject))
		return NULL;
	follow->path[follow->depth++] = subject;
	for (guint32 i = 0; i < follow->edges->rows->len; i++) {
		const struct subject *next = called(follow, i, subject);
		g_autoptr(GPtrArray) further = g_ptr_array_new_with_free_func(g_free);
		const struct finding *finding;

		if (!next || on_path(follow, next))
			continue;
		finding = bottom_of(follow, next, further);
		if (!finding)
			finding = own_finding(follow, next);
		if (!finding || (found && finding->score <= found->score))
			continue;
		found = finding;
		g_ptr_array_set_size(names, 0);
		g_ptr_array_add(names, g_strdup(next->name));
		for (guint j = 0; j < further->len; j++)
			g_ptr_array_add(names, g_strdup(g_ptr_array_index(further, j)));
	}
	follow->depth--;
	return found;
}

static void follow_one(struct follow *follow, const struct subject *subject)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	const struct finding *bottom = bottom_of(follow, subject, names);
	struct finding *finding;
	GString *way;
	double waits = 0, active = 0;

	if (!bottom) {
		g_ptr_array_unref(names);
		return;
	}
	fact_get(subject, FACT_NETWORK_WAIT, &waits);
	fact_get(subject, FACT_ACTIVE, &active);
	g_ptr_array_insert(names, 0, g_strdup(subject->name));
	way = g_string_new(NULL);
	for (guint i = 0; i < names->len; i++)
		g_string_append_printf(way, "%s%s", i ? " → " : "", (char *)g_ptr_array_index(names, i));
	finding = diagnosis_add(follow->diagnosis, subject);
	finding->name = "waits for a peer";
	finding->resource = "network";
	finding->fault = FAULT_PEER;
	finding->culprit = g_strdup(g_ptr_array_index(names, names->len - 1));
	finding->score = waits / (waits + active);
	finding->rank = waits / MAX(waits + active, 1);
	finding->confidence = MIN(bottom->confidence, CONFIDENCE_MEDIUM);
	finding->chain = names;
	finding->sentence =
		g_strdup_printf("waits for answers: %s, and %s: %s", way->str, finding->culprit, bottom->sentence);
	finding->disproof = g_strdup_printf("mend %s first: if this one is as slow then, the wait has another reason",
					    finding->culprit);
	finding->advice = g_strdup_printf("see to %s: %s", finding->culprit, bottom->advice);
	finding->more = rule_text("fathom connections -d 10 {container}", subject, TRUE);
	g_array_append_val(finding->evidence,
			   ((struct evidence){
				   .fact = FACT_NETWORK_WAIT,
				   .value = waits,
				   .op = AT_LEAST,
				   .threshold = THRESHOLD_NETWORK_WAIT,
				   .limit = follow->diagnosis->config.thresholds[THRESHOLD_NETWORK_WAIT],
			   }));
	g_ptr_array_add(finding->doubts,
			g_strdup("that it waits for these answers, not for work to come, is likely only"));
	g_string_free(way, TRUE);
}

void diagnosis_follow(struct diagnosis *diagnosis, const struct snapshot *snapshot)
{
	struct follow follow = { .diagnosis = diagnosis, .own = diagnosis->findings->len };

	for (guint i = 0; i < snapshot->shapes->len; i++) {
		const struct shape *shape = g_ptr_array_index(snapshot->shapes, i);

		if (shape->kind == SHAPE_EDGES && strcmp(shape->probe, "connections") == 0)
			follow.edges = shape->edges;
	}
	for (guint i = 0; follow.edges && i < diagnosis->facts->subjects->len; i++)
		follow_one(&follow, g_ptr_array_index(diagnosis->facts->subjects, i));
}
