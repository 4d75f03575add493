/* SPDX-License-Identifier: Apache-2.0 */
/* Where the allocators of observed processes are: the files they have mapped are asked for malloc and its kind by their symbol
 * tables. The files belong to containers: they are read by image.h, from descriptors of the very files that are mapped. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "probe/probe.h"

#define ALLOCATORS_SITES_MAX 256 /* breakpoints; beyond it files are left out (told) */
#define ALLOCATORS_PROCESSES_MAX 4096 /* looked at */

struct allocators {
	GArray *sites; /* of struct probe_site */
	GPtrArray *files; /* of char *: paths, as their processes name them (hostile) */
	GArray *fds; /* of int, owned */
	guint processes, without; /* how many were looked at; in how many of them nothing was found */
	gboolean is_cut; /* a limit was reached */
};

/* Of all processes of `targets` that run now. Never NULL. */
struct allocators *allocators_find(struct registry *registry, const GPtrArray *targets);
void allocators_free(struct allocators *allocators);
