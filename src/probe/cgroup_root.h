/* SPDX-License-Identifier: Apache-2.0 */
/* The root of the unified cgroup hierarchy, to attach programs for all sockets to. */
#pragma once
#include <glib.h>

/* A descriptor owned by the caller, -1 and `error` when there is no such hierarchy to be had. Where none is mounted, one
 * is mounted that only this descriptor knows. */
int cgroup_root_open(GError **error);
