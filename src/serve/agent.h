/* SPDX-License-Identifier: Apache-2.0 */
/* The agent: one process on GLib's main loop that reads once a second, remembers, and answers. */
#pragma once
#include "serve/config.h"

struct agent;

/* Opens everything. `reload` (may be NULL) is asked for new settings at SIGHUP: NULL and `error` keeps the old ones. Of
 * those only the budget's bounds take effect without a restart, and the log says so. */
typedef struct config *(*agent_reload_fn)(void *user, GError **error);
struct agent *agent_new(const struct config *config, const char *version, agent_reload_fn reload, void *user,
			GError **error);
void agent_free(struct agent *agent);
/* Until SIGTERM or SIGINT. FALSE and `error` when it could not go on. */
gboolean agent_run(struct agent *agent, GError **error);
/* The address with the token as its fragment, which browsers keep to themselves; NULL without TCP. Owned by the
 * caller. */
char *agent_link(const struct agent *agent);
/* Sentences about what is missing, for people; of char *. Owned by the agent. */
const GPtrArray *agent_notes(const struct agent *agent);
