/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a container from /proc, for machines where the kernel's walk is refused: some forty times dearer, and
 * without what /proc does not tell of whole processes (run-queue wait). */
#pragma once
#include "container/registry.h"
#include "probe/tasks.h"

/* One record a process, tid = tgid; of all known cgroups when the key is 0. */
void usage_proc_list(struct registry *registry, guint64 cgroup_key, tasks_record_fn each, void *user);
