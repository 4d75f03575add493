/* SPDX-License-Identifier: Apache-2.0 */
/* Separate debug files, found as gdb's manual says ("Debugging Information in Separate Files"): by build-id below
 * /usr/lib/debug/.build-id, else by the name in .gnu_debuglink. Looked for on the host first, then in the container.
 * A file counts only when its build-id is the same; without build-ids, when its CRC is the one in .gnu_debuglink. */
#include "symbol/source.h"

#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"

#define DEBUG_DIR "/usr/lib/debug"
#define DEBUGLINK_MAX 4096
#define CRC_BYTES_MAX (256u << 20) /* larger files are not read for their CRC */

struct debuglink {
	char *name; /* base name; NULL when there is none */
	guint32 crc;
};

static void debuglink_read(const struct image *image, struct debuglink *link)
{
	const struct image_section *section = image_find_section(image, ".gnu_debuglink");
	g_autofree char *text = NULL;
	gsize length, name;

	text = section ? image_read_section(image, section, DEBUGLINK_MAX, &length) : NULL;
	if (!text)
		return;
	name = (strlen(text) + 1 + 3) & ~(gsize)3;
	if (name + sizeof(link->crc) > length || text[0] == '\0')
		return;
	memcpy(&link->crc, text + name, sizeof(link->crc));
	link->name = g_path_get_basename(text); /* never a path: the file chooses it */
}

static gboolean crc_matches(const struct image *image, guint32 expected)
{
	g_autofree guint8 *chunk = g_malloc(1 << 16);
	uLong crc = crc32(0, NULL, 0);
	guint64 offset = 0;
	ssize_t n = 0;

	if (image->bytes.size > CRC_BYTES_MAX)
		return FALSE;
	while (offset < CRC_BYTES_MAX && (n = pread(image->bytes.fd, chunk, 1 << 16, (off_t)offset)) > 0) {
		crc = crc32(crc, chunk, (uInt)n);
		offset += (guint64)n;
	}
	return n == 0 && crc == expected;
}

static gboolean belongs(const struct image *debug, const struct image *image, const struct debuglink *link)
{
	if (image->build_id_size)
		return debug->build_id_size == image->build_id_size &&
		       memcmp(debug->build_id, image->build_id, image->build_id_size) == 0;
	return link->name && crc_matches(debug, link->crc);
}

static guint add_from(const char *root, const char *path, const struct source_file *file, const struct debuglink *link,
		      struct symtab_builder *builder)
{
	g_autoptr(image_t) debug = NULL;
	int fd = file_open_in_root(root, path, NULL);
	guint added = 0;

	if (fd < 0)
		return 0;
	debug = image_open_fd(fd, NULL);
	if (debug && belongs(debug, file->image, link))
		added = image_add_symbols(debug, SHT_SYMTAB, builder);
	close(fd);
	return added;
}

static char *build_id_path(const struct image *image)
{
	GString *path = g_string_new(DEBUG_DIR "/.build-id/");

	for (guint i = 0; i < image->build_id_size; i++)
		g_string_append_printf(path, i == 1 ? "/%02x" : "%02x", image->build_id[i]);
	return g_string_free(g_string_append(path, ".debug"), FALSE);
}

static void candidates_add(const struct source_file *file, const struct debuglink *link, GPtrArray *paths)
{
	g_autofree char *directory = file->path ? g_path_get_dirname(file->path) : NULL;

	if (file->image->build_id_size > 1)
		g_ptr_array_add(paths, build_id_path(file->image));
	if (!link->name || !directory || directory[0] != '/')
		return;
	g_ptr_array_add(paths, g_strdup_printf("%s/%s", directory, link->name));
	g_ptr_array_add(paths, g_strdup_printf("%s/.debug/%s", directory, link->name));
	g_ptr_array_add(paths, g_strdup_printf(DEBUG_DIR "%s/%s", directory, link->name));
}

static guint debug_file_add(const struct source_file *file, struct symtab_builder *builder)
{
	const char *roots[] = { "/", file->root };
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	struct debuglink link = { 0 };
	guint added = 0;

	debuglink_read(file->image, &link);
	candidates_add(file, &link, paths);
	for (guint r = 0; r < G_N_ELEMENTS(roots) && !added; r++)
		for (guint p = 0; roots[r] && p < paths->len && !added; p++)
			added = add_from(roots[r], g_ptr_array_index(paths, p), file, &link, builder);
	g_free(link.name);
	return added;
}

const struct source source_debug_file = { .name = "debug file", .is_complete = TRUE, .add = debug_file_add };
