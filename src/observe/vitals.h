/* SPDX-License-Identifier: Apache-2.0 */
/* What a diagnosis wants to know of containers beside what usage.h reads: how idle the CPUs are that each may run on, what
 * its network namespace counts, how near its processes are to their limit of files, limits of I/O, how much goes through one
 * thread (observe/narrow.h); and, where kernel
 * programs are refused, how long its threads waited for a CPU. Read rarely: at both ends of an observation. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/gauges.h"

struct vitals;

struct vitals *vitals_new(struct registry *registry);
void vitals_free(struct vitals *vitals);
/* Adds to the rows of a reading what it finds of each. */
void vitals_add(struct vitals *vitals, struct gauges *gauges);
/* Run-queue waits of threads (schedstat), for readings that have none: only between two calls is anything known. */
void vitals_add_waits(struct vitals *vitals, struct gauges *gauges);
