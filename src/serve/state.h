/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's state directory: 0700, ours alone, with the tokens in it. */
#pragma once
#include <glib.h>

#define STATE_ERROR (state_error_quark())
GQuark state_error_quark(void);
enum state_error {
	STATE_ERROR_DIRECTORY = 1,
};

/* Makes `path` (0700) where it is missing. FALSE and `error` when it is somebody else's, open to others, or no
 * directory: what is in there must not be readable, or replaced, by anybody else. */
gboolean state_open(const char *path, GError **error);
/* The token kept in the file `name` there, made (0600) when it is missing; owned by the caller. */
char *state_token(const char *path, const char *name, GError **error);
