/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads with what they did since the last look: differences are made thread by thread, because the
 * kernel forgets most of what a thread had with the thread. */
#pragma once
#include "container/registry.h"
#include "model/gauges.h"
#include "probe/tasks.h"

struct usage_tasks;

/* `wanted` (const struct container *, NULL: all) must outlive it. */
struct usage_tasks *usage_tasks_new(struct registry *registry, const GPtrArray *wanted);
void usage_tasks_free(struct usage_tasks *list);
/* See usage_processes; `tasks` NULL: from /proc. */
gboolean usage_tasks_read(struct usage_tasks *list, struct tasks *tasks, guint64 cgroup_key, gboolean threads,
			  struct gauges *changes, GError **error);
void usage_tasks_forget(struct usage_tasks *list);

/* What usage_tasks_read is made of: begin, a record of each thread (of a process its leader's first), end. */
void usage_tasks_begin(struct usage_tasks *list, guint64 cgroup_key, gboolean threads, struct gauges *changes);
void usage_tasks_take(void *list, const struct tasks_record *record);
void usage_tasks_end(struct usage_tasks *list);
