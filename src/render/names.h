/* SPDX-License-Identifier: Apache-2.0 */
/* Names of functions where there is little room; assets/names.js is the same for who zooms. */
#pragma once
#include <glib.h>

/* A function's name that does not fit into `columns`, without what stands between the brackets of templates and of parameters:
 * "ns::Cache<…>::get(…)". What was left out is not the part that tells functions apart. May still be too long. Owned by the
 * caller. */
char *name_brief(const char *name, guint columns);
