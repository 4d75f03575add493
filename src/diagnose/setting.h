/* SPDX-License-Identifier: Apache-2.0 */
/* What to change where a verdict says so: a flag of docker, a field of a pod, a property of a unit, a file of a cgroup. */
#pragma once
#include <glib.h>

#include "diagnose/fact.h"

/* Of the setting of this name (cpu_setting, memory_setting …): "docker update --cpus 1.4 web", "resources.limits.cpu in
 * pod shop/cart", "cpu.max of /limited.slice" where that sets the limit. NULL: there is no such setting, or its manager
 * has none. Owned by the caller. */
char *setting_text(const char *name, gsize length, const struct subject *subject);
