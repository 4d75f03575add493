/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel programs of each part, and what they take: by their own timing of some calls (probe/pace.h), and by the kernel's statistics
 * where somebody has turned those on (sysctl kernel.bpf_stats_enabled): the agent has given up the right to, and they make every program
 * on the machine slower. */
#pragma once
#include <glib.h>

#include "base/json.h"
#include "probe/pace.h"

#define PROGRAMS_EVERY_S 10

struct programs;

/* Of `parts` parts. Reads below the directory `proc` (NULL: /proc). */
struct programs *programs_new(guint parts, const char *proc);
void programs_free(struct programs *programs);

/* Those that this process has loaded since the last call are `part`'s. Looks at all descriptors of the process: for when one is opened. */
void programs_take(struct programs *programs, guint part);
/* They are gone, or will be at once. */
void programs_drop(struct programs *programs, guint part);
/* About every PROGRAMS_EVERY_S: reads what they took since the last time. */
void programs_tick(struct programs *programs, guint64 now_ns);

/* What a part's programs took since the agent began, up to the last reading, by their own timing. FALSE: it is not known. */
gboolean programs_spent(const struct programs *programs, guint part, struct pace_spent *spent);

/* "statistics": "on" (all of the time between the last two readings), "off" or null (not known yet, or the kernel does not say). */
void programs_write_statistics(struct json_writer *json, const struct programs *programs);
/* "kernel": what a part's programs take: runs a second, nanoseconds a run and cores, all together and each; null what is not known.
 * "measured_by": "kernel", or "itself": then together alone, by estimate, without the programs that do not time themselves, of which
 * there are "untimed"; or null. null for all of it: programs of other processes, or none. */
void programs_write(struct json_writer *json, const struct programs *programs, guint part);
