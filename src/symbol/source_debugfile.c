/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/debugfile.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/root.h"

#define DEBUG_DIR "/usr/lib/debug"
#define DWZ_DIR "/.dwz/"
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
	return link && link->name && crc_matches(debug, link->crc);
}

static gboolean try_one(struct file_root *root, const char *path, const struct source_file *file,
			const struct debuglink *link, debug_file_take_fn take, void *user)
{
	g_autoptr(image_t) debug = NULL;
	int fd = file_root_file(root, path, NULL);
	gboolean taken;

	if (fd < 0)
		return FALSE;
	debug = image_open_fd(fd, NULL);
	taken = debug && belongs(debug, file->image, link) && take(user, fd, debug);
	close(fd);
	return taken;
}

static gboolean try_downloaded(const struct source_file *file, debug_file_take_fn take, void *user)
{
	g_autoptr(image_t) debug = file->downloaded ? image_open_fd(file->downloaded, NULL) : NULL;

	return debug && file->image->build_id_size && belongs(debug, file->image, NULL) &&
	       take(user, file->downloaded, debug);
}

static char *build_id_path(const guint8 *build_id, gsize size)
{
	GString *path = g_string_new(DEBUG_DIR "/.build-id/");

	for (gsize i = 0; i < size; i++)
		g_string_append_printf(path, i == 1 ? "/%02x" : "%02x", build_id[i]);
	return g_string_free(g_string_append(path, ".debug"), FALSE);
}

static void candidates_add(const struct source_file *file, const struct debuglink *link, GPtrArray *paths)
{
	g_autofree char *directory = file->path ? g_path_get_dirname(file->path) : NULL;

	if (file->image->build_id_size > 1)
		g_ptr_array_add(paths, build_id_path(file->image->build_id, file->image->build_id_size));
	if (!link->name || !directory || directory[0] != '/')
		return;
	g_ptr_array_add(paths, g_strdup_printf("%s/%s", directory, link->name));
	g_ptr_array_add(paths, g_strdup_printf("%s/.debug/%s", directory, link->name));
	g_ptr_array_add(paths, g_strdup_printf(DEBUG_DIR "%s/%s", directory, link->name));
}

/* The process's own view of files, and ours where it is another; either may be NULL. */
static void roots_open(const char *path, struct file_root *roots[2])
{
	roots[0] = path ? file_root_open(path, NULL) : NULL;
	roots[1] = file_root_open("/", NULL);
	if (roots[0] && roots[1] && file_root_equal(roots[0], roots[1]))
		g_clear_pointer(&roots[0], file_root_close);
}

gboolean debug_file_each(const struct source_file *file, debug_file_take_fn take, void *user)
{
	struct file_root *roots[2] = { NULL, NULL };
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	struct debuglink link = { 0 };
	gboolean taken = FALSE;

	debuglink_read(file->image, &link);
	candidates_add(file, &link, paths);
	if (paths->len)
		roots_open(file->root, roots);
	for (guint r = 0; r < G_N_ELEMENTS(roots) && !taken; r++)
		for (guint p = 0; roots[r] && p < paths->len && !taken; p++)
			taken = try_one(roots[r], g_ptr_array_index(paths, p), file, &link, take, user);
	for (guint r = 0; r < G_N_ELEMENTS(roots); r++)
		file_root_close(roots[r]);
	g_free(link.name);
	return taken || try_downloaded(file, take, user);
}

static gboolean take_symbols(void *user, int fd G_GNUC_UNUSED, const struct image *debug)
{
	return image_add_symbols(debug, SHT_SYMTAB, user) > 0;
}

static guint debug_file_add(const struct source_file *file, struct symtab_builder *builder)
{
	guint before = symtab_builder_count(builder);

	return debug_file_each(file, take_symbols, builder) ? symtab_builder_count(builder) - before : 0;
}

const struct source source_debug_file = { .name = "debug file", .is_complete = TRUE, .add = debug_file_add };

/* ---- DWARF ---- */

static gboolean has_dwarf(const struct image *image)
{
	const struct image_section *section = image_find_section(image, ".debug_info");

	return section && section->type != SHT_NOBITS && section->size;
}

static gboolean take_dwarf(void *user, int fd, const struct image *debug)
{
	int *kept = user;

	if (has_dwarf(debug))
		*kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *kept >= 0;
}

static int open_with_id(const char *root, const char *path, const guint8 *id, gsize size)
{
	g_autoptr(image_t) image = NULL;
	int fd = file_open_in_root(root, path, NULL);

	if (fd < 0)
		return -1;
	image = image_open_fd(fd, NULL);
	if (image && image->build_id_size == size && memcmp(image->build_id, id, size) == 0)
		return fd;
	close(fd);
	return -1;
}

/* .gnu_debugaltlink: a path, a NUL, and the build-id of the file meant. The path is the file's choice: of it counts what lies
 * below the directory distributions keep such files in. */
static int open_alt(const struct image *dwarf, const char *root)
{
	const struct image_section *section = image_find_section(dwarf, ".gnu_debugaltlink");
	const char *roots[] = { root, "/" };
	g_autofree char *text = NULL, *by_id = NULL, *by_name = NULL;
	const char *below;
	const guint8 *id;
	gsize length, size;
	int fd = -1;

	text = section ? image_read_section(dwarf, section, DEBUGLINK_MAX, &length) : NULL;
	if (!text || strlen(text) + 1 + 2 > length)
		return -1;
	id = (const guint8 *)text + strlen(text) + 1;
	size = length - strlen(text) - 1;
	below = strstr(text, DWZ_DIR);
	by_id = build_id_path(id, size);
	by_name = below && !strstr(below, "..") ? g_strconcat(DEBUG_DIR, below, NULL) : NULL;
	for (guint r = 0; r < G_N_ELEMENTS(roots) && fd < 0; r++) {
		if (roots[r])
			fd = open_with_id(roots[r], by_id, id, size);
		if (roots[r] && by_name && fd < 0)
			fd = open_with_id(roots[r], by_name, id, size);
	}
	return fd;
}

gboolean debug_file_dwarf(const struct source_file *file, int fd, struct debug_fds *fds)
{
	g_autoptr(image_t) dwarf = NULL;

	*fds = (struct debug_fds){ -1, -1 };
	if (has_dwarf(file->image))
		fds->dwarf = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	else
		debug_file_each(file, take_dwarf, &fds->dwarf);
	if (fds->dwarf < 0)
		return FALSE;
	dwarf = image_open_fd(fds->dwarf, NULL);
	if (dwarf)
		fds->alt = open_alt(dwarf, file->root);
	return TRUE;
}
