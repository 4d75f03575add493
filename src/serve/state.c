/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/state.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "serve/guard.h"

#define TOKEN_FILE_BYTES 256

G_DEFINE_QUARK(state - error - quark, state_error)

static gboolean state_fail(GError **error, const char *path, const char *why)
{
	g_set_error(error, STATE_ERROR, STATE_ERROR_DIRECTORY, "the state directory %s %s", path, why);
	return FALSE;
}

gboolean state_open(const char *path, GError **error)
{
	struct stat status;

	if (g_mkdir_with_parents(path, 0700) < 0 || lstat(path, &status) < 0)
		return state_fail(error, path, g_strerror(errno));
	if (!S_ISDIR(status.st_mode))
		return state_fail(error, path, "is no directory (a symbolic link is not followed)");
	if (status.st_uid != geteuid())
		return state_fail(error, path, "belongs to somebody else: choose another with --state");
	if (status.st_mode & 077)
		return state_fail(error, path, "is open to others: chmod 0700 it, or choose another with --state");
	return TRUE;
}

static gboolean token_write(const char *path, const char *token, GError **error)
{
	g_autofree char *line = g_strdup_printf("%s\n", token);

	return g_file_set_contents_full(path, line, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
}

char *state_token(const char *path, const char *name, GError **error)
{
	g_autofree char *file = g_build_filename(path, name, NULL);
	g_autofree char *token = NULL;

	if (g_file_test(file, G_FILE_TEST_EXISTS)) {
		token = file_read(file, TOKEN_FILE_BYTES, NULL, error);
		if (!token)
			return NULL;
		g_strstrip(token);
		if (strlen(token) >= GUARD_TOKEN_CHARACTERS)
			return g_steal_pointer(&token);
		g_free(token); /* torn or emptied: a new one */
	}
	token = guard_token_new(error);
	if (!token || !token_write(file, token, error))
		return NULL;
	return g_steal_pointer(&token);
}
