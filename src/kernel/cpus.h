/* SPDX-License-Identifier: Apache-2.0 */
/* What each CPU does, from /proc/stat (proc_stat(5)), and lists of CPUs as the kernel writes them ("0-3,8"). */
#pragma once
#include <glib.h>

#define CPUS_MAX 8192 /* what a kernel can be built for */

/* Since boot; the same columns for all of the machine. */
struct cpu_time {
	guint32 number;
	guint64 user_ns, nice_ns, system_ns, idle_ns, iowait_ns, irq_ns, softirq_ns, steal_ns; /* guests are in user */
};

struct cpus {
	GArray *each; /* of struct cpu_time, online ones in order */
	guint64 running, blocked; /* threads: on a CPU or ready; waiting for I/O */
	guint64 switches, interrupts, forks;
};

/* NULL and `error` when it cannot be read. */
struct cpus *cpus_read(const char *root, GError **error);
void cpus_free(struct cpus *cpus);
typedef struct cpus cpus_t; /* for g_autoptr(cpus_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cpus_t, cpus_free)

static inline guint64 cpu_time_idle_ns(const struct cpu_time *time)
{
	return time->idle_ns + time->iowait_ns;
}

static inline guint64 cpu_time_all_ns(const struct cpu_time *time)
{
	return time->user_ns + time->nice_ns + time->system_ns + time->idle_ns + time->iowait_ns + time->irq_ns +
	       time->softirq_ns + time->steal_ns;
}

/* Is `cpu` in the list? An empty list holds all. What is no list holds none. */
gboolean cpus_list_has(const char *list, guint32 cpu);
