/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads with what they did since the last look: differences are made thread by thread, because the
 * kernel forgets most of what a thread had with the thread. */
#pragma once
#include "container/registry.h"
#include "model/gauges.h"
#include "probe/tasks.h"

struct usage_tasks;

struct usage_tasks *usage_tasks_new(struct registry *registry);
void usage_tasks_free(struct usage_tasks *list);
/* See usage_processes; `tasks` NULL: from /proc. */
gboolean usage_tasks_read(struct usage_tasks *list, struct tasks *tasks, guint64 cgroup_key, gboolean threads,
			  struct gauges *changes, GError **error);
void usage_tasks_forget(struct usage_tasks *list);
