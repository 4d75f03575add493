/* SPDX-License-Identifier: Apache-2.0 */
/* Names in perf maps as people wrote them.
 *
 * Runtimes decorate: V8 says how far it optimised ("JS:*turn /app/x.js:13:14"), which would show one function as several;
 * HotSpot adds types and, for code it makes up, addresses that differ from run to run. */
#pragma once
#include <glib.h>

/* The function of the map's `raw` name, owned by the caller; `*module` becomes its source ("x.js:13", owned by the caller) or
 * NULL. Names of no known form stay as they are. */
char *jitname_read(const char *raw, char **module);
