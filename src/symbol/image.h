/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded reader of ELF files (ELF specification, System V gABI), 32 and 64 bit, of this machine's byte order.
 *
 * The files belong to containers: nothing is mapped, nothing is trusted. Only headers and the sections asked for are
 * read, by pread into private memory; every offset is checked against the file's size when it was opened, every size
 * against a named limit. A file that changes underneath gives wrong names, never a fault. */
#pragma once
#include <elf.h>
#include <glib.h>

#include "symbol/symtab.h"

#define IMAGE_FILE_MAX (G_GUINT64_CONSTANT(4) << 30) /* bytes; larger files are refused */
#define IMAGE_SEGMENTS_MAX 64
#define IMAGE_SECTIONS_MAX 16384
#define IMAGE_SECTION_BYTES_MAX (256u << 20) /* of a string table */
#define IMAGE_BUILD_ID_MAX 64

#define IMAGE_ERROR (image_error_quark())
GQuark image_error_quark(void);
enum image_error {
	IMAGE_ERROR_NOT_ELF = 1,
	IMAGE_ERROR_MALFORMED = 2,
	IMAGE_ERROR_TOO_LARGE = 3,
	IMAGE_ERROR_READ = 4,
};

/* Where the bytes come from: an open file, or memory (vDSO, unpacked .gnu_debugdata). Not owned. */
struct image_bytes {
	int fd;
	const guint8 *memory; /* used when not NULL */
	guint64 size;
};

struct image_segment { /* PT_LOAD */
	guint64 offset, address, file_size;
	gboolean executable;
};

struct image_section {
	guint64 flags, address, offset, size, entry_size;
	guint32 name, type, link;
};

struct image {
	struct image_bytes bytes;
	gboolean is_64bit;
	guint16 machine;
	struct image_segment segments[IMAGE_SEGMENTS_MAX];
	guint segment_count;
	struct image_section *sections;
	guint section_count;
	char *section_names; /* NUL-terminated */
	gsize section_names_size;
	guint8 build_id[IMAGE_BUILD_ID_MAX];
	guint build_id_size; /* 0 when it has none */
};

/* Reads the headers. `bytes` must stay readable as long as the image is used. Owned by the caller. */
struct image *image_open(const struct image_bytes *bytes, GError **error);
/* The same for an open regular file. */
struct image *image_open_fd(int fd, GError **error);
void image_free(struct image *image);
typedef struct image image_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(image_t, image_free)

/* NULL when absent. */
const struct image_section *image_find_section(const struct image *image, const char *name);
/* The section's bytes with a NUL behind them, owned by the caller; NULL when it is empty, longer than `limit`, outside the
 * file, or compressed. */
char *image_read_section(const struct image *image, const struct image_section *section, gsize limit, gsize *length);

/* All of [offset, offset + length) of the file, or FALSE. */
gboolean image_read(const struct image *image, guint64 offset, gsize length, void *out);

/* Adds the functions of the first section of `type` (SHT_SYMTAB or SHT_DYNSYM); returns how many. */
guint image_add_symbols(const struct image *image, guint32 type, struct symtab_builder *builder);

/* How many symbols, of whatever kind, the first section of `type` has. */
guint64 image_count_symbols(const struct image *image, guint32 type);
/* The innermost function with a size that holds `address`, with its other names, as a table of its own: what image_add_symbols would
 * find, by one walk through the section and without keeping it. Owned by the caller; NULL when there is none such. 64 bit only. */
struct symtab *image_find_function(const struct image *image, guint32 type, guint64 address);

/* A function defined in the file (not one that is chosen at run time): `name` is not terminated. */
typedef void (*image_function_fn)(void *user, const char *name, gsize length, guint64 address);
/* Tells of each function in the first section of `type`, in the order of the file. */
void image_each_function(const struct image *image, guint32 type, image_function_fn each, void *user);
/* Address as the symbols count it → file offset. FALSE when no executable segment's file bytes hold it. */
gboolean image_offset(const struct image_segment *segments, guint count, guint64 address, guint64 *file_offset);

/* File offset → address as the symbols count it. FALSE when no executable segment holds that offset. */
gboolean image_address(const struct image_segment *segments, guint count, guint64 file_offset, guint64 *address);
