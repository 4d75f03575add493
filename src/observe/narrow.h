/* SPDX-License-Identifier: Apache-2.0 */
/* Containers whose work goes through one thread: how busy the busiest thread of their busiest process is, how many threads of
 * it take turns (an interpreter's lock lets only one run), and how many connections hold what nobody has read yet. From files
 * and the kernel's list of sockets; looked at only of containers that use half a CPU and more, so most cost nothing, and of
 * 2,048 threads and 8,192 connections at most. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/gauges.h"

/* CPU time in a second: who uses less is not looked at, and its busiest thread uses no more. */
#define NARROW_CPU_LEAST_NS 500000000

struct narrow;

struct narrow *narrow_new(struct registry *registry);
void narrow_free(struct narrow *narrow);
/* Adds to a reading, whose rows have their cgroups and CPU time, levels of the time since the reading before. What a container
 * did then is known from the second reading on in which it is busy. */
void narrow_add(struct narrow *narrow, struct gauges *gauges);
