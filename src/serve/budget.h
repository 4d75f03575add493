/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent itself takes, and keeping that within bounds: CPU time of the process and of its children, but for what answers
 * take, resident memory, memory of its kernel maps. When a bound is passed for a minute, the dearest part is shed; when there is
 * room again, it comes back. What the kernel refused, or what broke off, is tried again: soon at first, then ever more seldom.
 * Every such step is remembered, so that people see why something is missing. */
#pragma once
#include <glib.h>

#include "base/units.h"
#include "serve/live.h"

#define BUDGET_NOTES_MAX 32

/* When a part is tried again after so many attempts in vain since it was on for long. */
#define BUDGET_RETRY_FIRST_NS (10 * NS_PER_S)
#define BUDGET_RETRY_LAST_NS (3600 * NS_PER_S)
guint64 budget_retry_wait_ns(guint attempts);

struct budget_limits {
	double cpu_cores; /* of one core: 0.01; 0: no bound, and so below */
	guint64 resident_bytes;
	guint64 map_bytes;
};

struct budget_usage {
	double cpu_cores; /* over the last minute, or since the start */
	double answers_cores; /* of that, for who asked over HTTP: no bound applies to it */
	guint64 cpu_ns; /* since the start, with that of children that look for us */
	guint64 resident_bytes, resident_peak_bytes; /* of the agent's own process */
	guint64 children_resident_bytes; /* 0: none has ended yet */
	guint64 map_bytes; /* locked by BPF maps, as the kernel counts it */
	guint map_count, descriptors;
	guint64 uptime_ns;
};

struct budget;

struct budget *budget_new(const struct budget_limits *limits);
void budget_free(struct budget *budget);
void budget_set_limits(struct budget *budget, const struct budget_limits *limits);
const struct budget_limits *budget_limits(const struct budget *budget);
/* CPU time of children that look for us, since the start: counts as ours. And what the last ones held at their most, which no bound
 * applies to: they come and go. */
void budget_count_children(struct budget *budget, guint64 cpu_ns, guint64 resident_bytes);
/* CPU time of answers, since the start. Shedding parts would not make it less, so it is no reason to. */
void budget_count_answers(struct budget *budget, guint64 cpu_ns);
/* Once a tick: measures, and sheds or restores parts of `live`. */
void budget_tick(struct budget *budget, struct live *live);
const struct budget_usage *budget_usage(const struct budget *budget);
/* Sentences of what was done, the latest last; of char *. */
const GPtrArray *budget_notes(const struct budget *budget);
