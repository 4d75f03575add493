/* SPDX-License-Identifier: Apache-2.0 */
#include "model/coverage.h"

#include <string.h>

static const struct {
	const char *name;
	const char *phrase;
} stack_ends[STACK_ENDS] = {
	[STACK_END_NONE] = { "none", "no user stack" },
	[STACK_END_FIRST] = { "complete", "complete" },
	[STACK_END_UNCHECKED] = { "unchecked", "walked by frame pointers" },
	[STACK_END_SHORT] = { "truncated", "longer than what was copied" },
	[STACK_END_NO_TABLE] = { "no_table", "code without unwind table and frame pointers" },
	[STACK_END_BROKEN] = { "broken", "stacks that contradict themselves" },
	[STACK_END_DEEP] = { "too_deep", "more frames than are kept" },
	[STACK_END_UNSUPPORTED] = { "unsupported", "code whose frames cannot be followed" },
	[STACK_END_UNREAD] = { "table_unread", "unwind tables that could not be read, or not in time" },
	[STACK_END_GONE] = { "gone", "ended before its mappings were read" },
};

struct coverage {
	GPtrArray *processes; /* of struct coverage_process */
	GHashTable *by_name; /* container, newline, name → struct coverage_process */
};

static void missing_clear(gpointer data)
{
	g_free(((struct coverage_missing *)data)->text);
}

static void process_free(gpointer data)
{
	struct coverage_process *process = data;

	g_free(process->container);
	g_free(process->name);
	g_free(process->advice);
	g_array_unref(process->missing);
	g_free(process);
}

struct coverage *coverage_new(void)
{
	struct coverage *coverage = g_new0(struct coverage, 1);

	coverage->processes = g_ptr_array_new_with_free_func(process_free);
	coverage->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return coverage;
}

void coverage_free(struct coverage *coverage)
{
	if (!coverage)
		return;
	g_hash_table_destroy(coverage->by_name);
	g_ptr_array_unref(coverage->processes);
	g_free(coverage);
}

struct coverage_process *coverage_process(struct coverage *coverage, const char *container, const char *name)
{
	g_autofree char *key = g_strdup_printf("%zu\n%s\n%s", strlen(container), container, name);
	struct coverage_process *process = g_hash_table_lookup(coverage->by_name, key);

	if (process)
		return process;
	if (coverage->processes->len >= COVERAGE_PROCESSES_MAX && strcmp(name, COVERAGE_OTHERS) != 0)
		return coverage_process(coverage, "", COVERAGE_OTHERS);
	process = g_new0(struct coverage_process, 1);
	process->container = g_strdup(container);
	process->name = g_strdup(name);
	process->missing = g_array_new(FALSE, FALSE, sizeof(struct coverage_missing));
	g_array_set_clear_func(process->missing, missing_clear);
	g_ptr_array_add(coverage->processes, process);
	g_hash_table_insert(coverage->by_name, g_steal_pointer(&key), process);
	return process;
}

guint coverage_count(const struct coverage *coverage)
{
	return coverage ? coverage->processes->len : 0;
}

struct coverage_process *coverage_at(const struct coverage *coverage, guint i)
{
	return g_ptr_array_index(coverage->processes, i);
}

void coverage_merge(struct coverage *into, const struct coverage *from)
{
	for (guint i = 0; i < coverage_count(from); i++) {
		const struct coverage_process *process = coverage_at(from, i);
		struct coverage_process *same = coverage_process(into, process->container, process->name);

		for (guint end = 0; end < STACK_ENDS; end++)
			same->weight[end] += process->weight[end];
		for (guint j = 0; j < process->missing->len; j++) {
			const struct coverage_missing *missing =
				&g_array_index(process->missing, struct coverage_missing, j);

			coverage_add_missing(same, missing->text, missing->weight);
		}
		if (process->advice)
			coverage_advise(same, process->advice);
	}
}

void coverage_add_missing(struct coverage_process *process, const char *text, guint64 weight)
{
	struct coverage_missing fresh = { .weight = weight };

	for (guint i = 0; i < process->missing->len; i++) {
		struct coverage_missing *missing = &g_array_index(process->missing, struct coverage_missing, i);

		if (strcmp(missing->text, text) == 0) {
			missing->weight += weight;
			return;
		}
	}
	if (process->missing->len >= COVERAGE_MISSING_MAX)
		return; /* the weights by end still tell */
	fresh.text = g_strdup(text);
	g_array_append_val(process->missing, fresh);
}

void coverage_advise(struct coverage_process *process, const char *advice)
{
	if (process->advice && strcmp(process->advice, advice) == 0)
		return;
	g_free(process->advice);
	process->advice = g_strdup(advice);
}

guint64 coverage_weight(const struct coverage_process *process)
{
	guint64 weight = 0;

	for (guint end = STACK_END_FIRST; end < STACK_ENDS; end++)
		weight += process->weight[end];
	return weight;
}

guint64 coverage_complete(const struct coverage_process *process)
{
	return process->weight[STACK_END_FIRST];
}

const char *stack_end_name(enum stack_end end)
{
	return stack_ends[end].name;
}

const char *stack_end_phrase(enum stack_end end)
{
	return stack_ends[end].phrase;
}
