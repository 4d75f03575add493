/* SPDX-License-Identifier: Apache-2.0 */
/* One perf event on every CPU that is online. */
#pragma once
#include <glib.h>
#include <linux/perf_event.h>

/* Numbers of the CPUs online now, as an array of int; NULL and `error` when the kernel does not say. */
GArray *percpu_online(GError **error);
/* perf_event_open for all tasks on `cpu`; a descriptor, or a negative errno. */
int percpu_event_open(struct perf_event_attr *attr, int cpu);
