/* SPDX-License-Identifier: Apache-2.0 */
#include "import/import.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import/readers.h"

#define IMPORT_PEEK_BYTES 4096

G_DEFINE_QUARK(fathom - import - error - quark, import_error)

typedef struct snapshot *(*import_reader)(struct input *input, const struct import_options *options, GError **error);

const char *const import_format_names[] = { "folded", "perf-script", "pprof", "json", NULL };
static const import_reader import_readers[] = { import_folded, import_perf_script, import_pprof, import_capture };

struct snapshot *import_snapshot(const char *probe, enum unit unit, struct shape **shape)
{
	struct snapshot *snapshot = snapshot_new(NULL);

	g_clear_pointer(&snapshot->host, g_free); /* not this host's */
	*shape = shape_new(SHAPE_CALLTREE, probe, unit);
	g_ptr_array_add(snapshot->shapes, *shape);
	return snapshot;
}

gboolean import_finish(struct shape *shape, guint64 events, GError **error)
{
	const struct calltree *tree = shape->calltree;
	guint64 total = 0;

	for (guint32 i = 0; i < tree->node_count; i++) {
		if (tree->self[i] > G_MAXINT64 - total) {
			g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_TOO_LARGE,
				    "the weights add up to more than 2^63");
			return FALSE;
		}
		total += tree->self[i];
	}
	if (!total) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_EMPTY, "there is no stack in it");
		return FALSE;
	}
	shape->ledger.seen.events += events;
	shape->ledger.seen.weight += total;
	return TRUE;
}

gboolean import_fail_line(const struct input *input, GError **error, const char *format, ...)
{
	g_autofree char *what = NULL;
	va_list args;

	va_start(args, format);
	what = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_MALFORMED, "line %" G_GUINT64_FORMAT ": %s",
		    input_line_number(input), what);
	return FALSE;
}

/* A profile begins with its first sample type: field 1, a short length, and in it field 1, a varint. */
static gboolean looks_like_pprof(const char *bytes, gsize length)
{
	return length >= 4 && bytes[0] == 0x0a && bytes[1] >= 2 && bytes[1] <= 24 &&
	       (bytes[2] == 0x08 || bytes[2] == 0x10);
}

/* The first line that is neither empty nor a comment, in [*line, returned end). */
static const char *first_line(const char *bytes, const char *end, const char **line)
{
	while (bytes < end) {
		const char *newline = memchr(bytes, '\n', (gsize)(end - bytes));
		const char *stop = newline ? newline : end;

		if (stop > bytes && *bytes != '#' && *bytes != '\r') {
			*line = bytes;
			return stop;
		}
		bytes = stop + 1;
	}
	*line = end;
	return end;
}

/* A header of `perf script` ends in "event:" and is followed by an indented frame; or everything is on one line. */
static gboolean looks_like_perf_script(const char *bytes, gsize length)
{
	const char *end = bytes + length, *line, *stop = first_line(bytes, end, &line);

	while (stop > line && g_ascii_isspace(stop[-1]))
		stop--;
	if (stop - line < 4 || g_ascii_isdigit(stop[-1]))
		return FALSE;
	return stop[-1] == ':' || (stop[-1] == ')' && g_strstr_len(line, stop - line, ": "));
}

/* Index into import_readers. */
#define IMPORT_FOLDED 0
#define IMPORT_PERF_SCRIPT 1
#define IMPORT_PPROF 2
#define IMPORT_CAPTURE 3

static guint import_guess(const char *bytes, gsize length)
{
	gsize at = 0;

	if (looks_like_pprof(bytes, length))
		return IMPORT_PPROF;
	while (at < length && g_ascii_isspace(bytes[at]))
		at++;
	if (at < length && bytes[at] == '{')
		return IMPORT_CAPTURE;
	return looks_like_perf_script(bytes, length) ? IMPORT_PERF_SCRIPT : IMPORT_FOLDED;
}

static struct snapshot *import_input(struct input *input, const struct import_options *options, GError **error)
{
	const char *bytes;
	gssize length = input_peek(input, &bytes, IMPORT_PEEK_BYTES, error);

	if (length < 0)
		return NULL;
	if (length == 0) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_EMPTY, "it is empty");
		return NULL;
	}
	if (!options->format) {
		guint guess = import_guess(bytes, (gsize)length);

		if (guess != IMPORT_PPROF && memchr(bytes, 0, (gsize)length)) {
			g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_FORMAT,
				    "this is neither text (folded, perf script, JSON) nor, it seems, a pprof profile: "
				    "give its format if it is one");
			return NULL;
		}
		return import_readers[guess](input, options, error);
	}
	for (guint i = 0; import_format_names[i]; i++)
		if (strcmp(import_format_names[i], options->format) == 0)
			return import_readers[i](input, options, error);
	g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_FORMAT,
		    "no input format is called \"%s\": choose folded, perf-script, pprof or json", options->format);
	return NULL;
}

struct snapshot *import_bytes(const void *data, gsize length, const struct import_options *options, GError **error)
{
	static const struct import_options defaults = { 0 };
	g_autoptr(input_t) input = input_new(-1, data, length);

	return import_input(input, options ? options : &defaults, error);
}

static struct snapshot *import_fd(int fd, const struct import_options *options, GError **error)
{
	static const struct import_options defaults = { 0 };
	g_autoptr(input_t) input = input_new(fd, NULL, 0);

	return import_input(input, options ? options : &defaults, error);
}

struct snapshot *import_file(const char *path, const struct import_options *options, GError **error)
{
	struct snapshot *snapshot;
	struct stat st;
	int fd;

	if (strcmp(path, "-") == 0) {
		snapshot = import_fd(STDIN_FILENO, options, error);
		if (!snapshot)
			g_prefix_error(error, "cannot read standard input: ");
		return snapshot;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
		g_set_error(error, IMPORT_ERROR, IMPORT_ERROR_OPEN, "cannot read %s: %s", path,
			    fd < 0 ? g_strerror(errno) : "it is a directory");
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	snapshot = import_fd(fd, options, error);
	close(fd);
	if (!snapshot)
		g_prefix_error(error, "cannot read %s: ", path);
	return snapshot;
}
