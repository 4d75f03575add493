/* SPDX-License-Identifier: Apache-2.0 */
/* All threads of the machine by a BPF iterator: sums per cgroup at each walk, a record each when a table is wanted; and
 * the births and deaths of cgroups meanwhile. A thousand threads cost under a millisecond; /proc would take twenty. */
#pragma once
#include <glib.h>

#include "model/ledger.h"
#include "probe/probe.h"
#include "probe/tasks_record.h"

struct tasks;

/* Loads and attaches. `v1_controller` as in probe_request; of `listener` only cgroup_born and cgroup_died are called.
 * NULL and `error` when the kernel or the rights do not allow it. */
struct tasks *tasks_open(const char *v1_controller, const struct probe_listener *listener, GError **error);
void tasks_close(struct tasks *tasks);
int tasks_fd(const struct tasks *tasks); /* readable: some came or went */
/* Tells the listener which cgroups came and went. */
void tasks_drain(struct tasks *tasks);

/* Walks, and hands out the sums of each cgroup that ever had a thread. A sum whose generation is not that of the walk
 * (`tasks_generation`) has no threads now. */
typedef void (*tasks_sum_fn)(void *user, guint64 cgroup_key, const struct tasks_sum *sum);
gboolean tasks_walk(struct tasks *tasks, tasks_sum_fn each, void *user, GError **error);
guint32 tasks_generation(const struct tasks *tasks);
/* Forgets the sums of a cgroup that is gone. */
void tasks_forget(struct tasks *tasks, guint64 cgroup_key);

/* Hands out every thread. */
typedef void (*tasks_record_fn)(void *user, const struct tasks_record *record);
gboolean tasks_list(struct tasks *tasks, tasks_record_fn each, void *user, GError **error);

/* What could not be kept since the start. */
gboolean tasks_losses(struct tasks *tasks, struct ledger *ledger, GError **error);
