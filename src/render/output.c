/* SPDX-License-Identifier: Apache-2.0 */
/* Where results go. A result may be written by root into a directory others write to (/tmp): the temporary file is
 * made with O_EXCL under a random name, and the rename replaces a planted symbolic link instead of following it. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "render/render.h"

#define OUTPUT_BUFFER_BYTES (256u << 10)
#define OUTPUT_NAME_TRIES 16

static gboolean output_fail(const char *path, const char *why, GError **error)
{
	g_autofree char *shown = g_utf8_make_valid(path, -1);

	g_set_error(error, RENDER_ERROR, RENDER_ERROR_OUTPUT, "cannot write %s: %s", shown, why);
	return FALSE;
}

/* Devices, pipes and the like (also /dev/stdout, which may lead to a regular file) cannot be replaced by a rename. */
static gboolean output_is_in_place(const char *path)
{
	struct stat st;

	if (g_str_has_prefix(path, "/dev/") || g_str_has_prefix(path, "/proc/"))
		return g_access(path, F_OK) == 0;
	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* Makes a new file beside `path`; its descriptor, and its name in `*temporary` (caller frees); -1 with errno. */
static int output_open_temporary(const char *path, char **temporary)
{
	g_autofree char *directory = g_path_get_dirname(path);
	g_autofree char *base = g_path_get_basename(path);

	base[g_utf8_validate(base, -1, NULL) ? strnlen(base, 100) : 0] = '\0';
	for (guint try = 0; try < OUTPUT_NAME_TRIES; try++) {
		g_autofree char *name =
			g_strdup_printf("%s/.%s.%08x%08x", directory, base, g_random_int(), g_random_int());
		int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);

		if (fd >= 0) {
			*temporary = g_steal_pointer(&name);
			return fd;
		}
		if (errno != EEXIST)
			break;
	}
	return -1;
}

gboolean render_output_check(const char *path, GError **error)
{
	g_autofree char *temporary = NULL;
	struct stat st;
	int fd;

	if (strcmp(path, "-") == 0)
		return TRUE;
	if (!path[0])
		return output_fail("\"\"", "the name is empty", error);
	if (path[strlen(path) - 1] == '/' || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		return output_fail(path, "it is a directory; name a file in it", error);
	if (g_access(path, F_OK) == 0 && g_access(path, W_OK) != 0)
		return output_fail(path, g_strerror(errno), error);
	if (output_is_in_place(path))
		return TRUE;
	fd = output_open_temporary(path, &temporary);
	if (fd < 0)
		return output_fail(path, g_strerror(errno), error);
	close(fd);
	g_unlink(temporary);
	return TRUE;
}

/* Writes everything and closes `file`, whatever happens. */
static gboolean output_finish(FILE *file, const struct snapshot *snapshot, const struct render_format *format,
			      const struct render_options *options, const char *path, GError **error)
{
	gboolean written = format->write(snapshot, options, file, error);
	gboolean failed;

	errno = 0;
	failed = fflush(file) != 0 || ferror(file);
	if (failed && written)
		output_fail(path, errno ? g_strerror(errno) : "not everything could be written", error);
	if (fclose(file) != 0 && written && !failed) {
		failed = TRUE;
		output_fail(path, g_strerror(errno), error);
	}
	return written && !failed;
}

static gboolean output_write_fd(int fd, const struct snapshot *snapshot, const struct render_format *format,
				const struct render_options *options, const char *path, GError **error)
{
	g_autofree char *buffer = g_malloc(OUTPUT_BUFFER_BYTES);
	FILE *file = fdopen(fd, "wb");

	if (!file) {
		close(fd);
		return output_fail(path, g_strerror(errno), error);
	}
	setvbuf(file, buffer, _IOFBF, OUTPUT_BUFFER_BYTES);
	return output_finish(file, snapshot, format, options, path, error);
}

gboolean render_write_file(const struct snapshot *snapshot, const struct render_format *format,
			   const struct render_options *options, const char *path, GError **error)
{
	g_autofree char *temporary = NULL;
	int fd;

	if (strcmp(path, "-") == 0) {
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		fflush(stdout);
		if (fd < 0)
			return output_fail("standard output", g_strerror(errno), error);
		return output_write_fd(fd, snapshot, format, options, "standard output", error);
	}
	if (!render_output_check(path, error))
		return FALSE;
	if (output_is_in_place(path)) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return output_fail(path, g_strerror(errno), error);
		return output_write_fd(fd, snapshot, format, options, path, error);
	}
	fd = output_open_temporary(path, &temporary);
	if (fd < 0)
		return output_fail(path, g_strerror(errno), error);
	if (!output_write_fd(fd, snapshot, format, options, path, error)) {
		g_unlink(temporary);
		return FALSE;
	}
	if (g_rename(temporary, path) != 0) {
		int saved = errno;

		g_unlink(temporary);
		return output_fail(path, g_strerror(saved), error);
	}
	return TRUE;
}

char *render_write_string(const struct snapshot *snapshot, const struct render_format *format,
			  const struct render_options *options, gsize *length, GError **error)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	char *copy;

	if (!file) {
		output_fail("memory", g_strerror(errno), error);
		return NULL;
	}
	if (!output_finish(file, snapshot, format, options, "memory", error)) {
		free(text);
		return NULL;
	}
	copy = g_malloc(size + 1);
	memcpy(copy, text, size);
	copy[size] = '\0';
	free(text);
	if (length)
		*length = size;
	return copy;
}
