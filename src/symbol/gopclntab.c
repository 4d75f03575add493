/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/gopclntab.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES 4096
#define PAGE_TAIL 8 /* of the next page, so that no number lies across */
#define PAGES_MAX 512 /* kept at a time */
#define TEXT_MAX SYMTAB_NAME_MAX
#define HEADER_MAX 80
#define HEADER_FIXED 8 /* magic, two zeros, smallest instruction, size of a pointer */
#define SEARCH_CHUNK (1u << 20)
#define SEARCH_STEP 8 /* the table is aligned at least so */
#define RELOCATIONS_CHUNK 4096
#define RELOCATIONS_MAX (16u << 20)
#define LINE_STEPS_MAX 65536 /* entries of one function's line program */
#define DEPTH_STEPS_MAX 4096 /* the same of the depth of its stack: a few for each way out of it */
#define SEARCH_WORK_BYTES 256 /* what finding a function counts for */

enum part { /* of the header, in words of the program's size */
	PART_FUNCTIONS = 0,
	PART_FILES = 1,
	PART_TEXT_START = 2, /* since Go 1.18 */
	PART_NAMES = 3,
	PART_UNITS = 4,
	PART_FILE_NAMES = 5,
	PART_PROGRAMS = 6,
	PART_TABLE = 7,
	PARTS = 8,
};

#define LAYOUT_MAGIC_LEAST 0xfffffff0u

struct layout {
	guint32 magic;
	gboolean has_text_start; /* entries are 32-bit offsets from it, else whole addresses */
	guint flags; /* of a function: which byte of its record, as fields are counted */
};

static const struct layout layouts[] = {
	{ 0xfffffff1, TRUE, 37 }, /* Go 1.20 */
	{ 0xfffffff0, TRUE, 33 }, /* Go 1.18 */
	{ 0xfffffffa, FALSE, 33 }, /* Go 1.16; 0 before 1.17 */
};

#define FLAG_TOP 1 /* a thread's or goroutine's first frame */
#define FLAG_SP_WRITTEN 2 /* goes to another stack */

struct gopclntab {
	struct image file; /* its bytes only */
	gboolean owns_fd;
	guint64 offset; /* of the table in the file */
	gsize size;
	GHashTable *pages; /* number → bytes, read when they are wanted */
	GHashTable *moved; /* offset → guint64, what the loader writes there */
	GString *text; /* the last one read */
	const struct layout *layout;
	guint pointer; /* bytes: 4 or 8 */
	guint quantum; /* smallest instruction, bytes */
	guint64 parts[PARTS];
	guint count;
	guint entry; /* bytes of one field of the function table */
};

/* ---- bytes ---- */

static const guint8 *page_read(const struct gopclntab *table, guint number)
{
	guint64 at = (guint64)number * PAGE_BYTES;
	gsize length = (gsize)MIN(table->size - at, (guint64)PAGE_BYTES + PAGE_TAIL);
	g_autofree guint8 *page = g_malloc0(PAGE_BYTES + PAGE_TAIL);

	if (!image_read(&table->file, table->offset + at, length, page))
		return NULL;
	if (g_hash_table_size(table->pages) >= PAGES_MAX)
		g_hash_table_remove_all(table->pages);
	g_hash_table_insert(table->pages, GUINT_TO_POINTER(number), page);
	return g_steal_pointer(&page);
}

/* `bytes` (at most PAGE_TAIL) at `offset`, valid until the next call; NULL when they are not in the table. */
static const guint8 *bytes_at(const struct gopclntab *table, guint64 offset, guint bytes)
{
	guint number = (guint)(offset / PAGE_BYTES);
	const guint8 *page;

	if (offset > table->size || bytes > table->size - offset)
		return NULL;
	page = g_hash_table_lookup(table->pages, GUINT_TO_POINTER(number));
	if (!page)
		page = page_read(table, number);
	return page ? page + offset % PAGE_BYTES : NULL;
}

static gboolean take(const struct gopclntab *table, guint64 offset, guint bytes, guint64 *value)
{
	const guint8 *at = bytes_at(table, offset, bytes);
	const guint64 *moved;
	guint32 narrow;

	if (!at)
		return FALSE;
	if (bytes == 8) {
		moved = g_hash_table_lookup(table->moved, GUINT_TO_POINTER((guint)offset));
		memcpy(value, moved ? (const void *)moved : at, 8);
	} else {
		memcpy(&narrow, at, 4);
		*value = narrow;
	}
	return TRUE;
}

/* The string at `offset` of a part, valid until the next call; NULL when it does not end within the table, or too late. */
static const char *take_text(const struct gopclntab *table, enum part part, guint64 offset)
{
	guint64 at = table->parts[part] + offset;
	gsize room, length = 0;

	g_string_truncate(table->text, 0);
	for (; at >= offset && at < table->size && table->text->len < TEXT_MAX; at += length) {
		const guint8 *bytes = bytes_at(table, at, 1);

		room = (gsize)MIN(PAGE_BYTES - at % PAGE_BYTES, table->size - at);
		length = bytes ? strnlen((const char *)bytes, room) : 0;
		if (!bytes)
			return NULL;
		g_string_append_len(table->text, (const char *)bytes, (gssize)length);
		if (length < room)
			return table->text->str;
	}
	return NULL;
}

/* ---- header ---- */

static const struct layout *layout_find(const guint8 *bytes)
{
	guint32 magic;

	memcpy(&magic, bytes, 4);
	if (magic < LAYOUT_MAGIC_LEAST)
		return NULL; /* which of files that are searched nearly all is */
	for (guint i = 0; i < G_N_ELEMENTS(layouts); i++)
		if (layouts[i].magic == magic && bytes[4] == 0 && bytes[5] == 0 &&
		    (bytes[6] == 1 || bytes[6] == 2 || bytes[6] == 4) && (bytes[7] == 4 || bytes[7] == 8))
			return &layouts[i];
	return NULL;
}

/* Reads the header from the first bytes; FALSE when it is no such table. `size` is what follows in the file. */
static gboolean header_read(struct gopclntab *table, const guint8 *header, gsize length, gsize size)
{
	guint at = HEADER_FIXED;

	if (length < HEADER_FIXED)
		return FALSE;
	table->layout = layout_find(header);
	if (!table->layout)
		return FALSE;
	table->quantum = header[6];
	table->pointer = header[7];
	for (guint part = 0; part < PARTS; part++) {
		guint64 wide = 0;

		if (part == PART_TEXT_START && !table->layout->has_text_start)
			continue;
		if (at + table->pointer > length)
			return FALSE;
		memcpy(&wide, header + at, table->pointer); /* little-endian machines only, see image.c */
		table->parts[part] = wide;
		at += table->pointer;
	}
	if (table->parts[PART_FUNCTIONS] == 0 || table->parts[PART_FUNCTIONS] > GOPCLNTAB_FUNCTIONS_MAX)
		return FALSE;
	table->count = (guint)table->parts[PART_FUNCTIONS];
	table->entry = table->layout->has_text_start ? 4 : table->pointer;
	for (guint part = PART_NAMES; part < PARTS; part++)
		if (table->parts[part] < at || table->parts[part] >= size)
			return FALSE;
	return (2 * (guint64)table->count + 1) * table->entry <= size - table->parts[PART_TABLE];
}

/* ---- relocation ---- */

static gboolean relocation_is_relative(const struct image *image, guint32 type)
{
	switch (image->machine) {
	case EM_X86_64:
		return type == R_X86_64_RELATIVE;
	case EM_AARCH64:
		return type == R_AARCH64_RELATIVE;
	default:
		return FALSE;
	}
}

/* TRUE: it is beyond the first `within` bytes of the table, which the file counts at `address`. */
static gboolean relocation_take(struct gopclntab *table, const struct image *image, guint64 address, guint64 within,
				const Elf64_Rela *rela)
{
	guint64 value = (guint64)rela->r_addend;

	if (rela->r_offset < address)
		return FALSE;
	if (rela->r_offset - address >= within)
		return TRUE;
	if (relocation_is_relative(image, (guint32)ELF64_R_TYPE(rela->r_info)))
		g_hash_table_insert(table->moved, GUINT_TO_POINTER((guint)(rela->r_offset - address)),
				    g_memdup2(&value, sizeof(value)));
	return FALSE;
}

/* Linkers sort them. Where they did not, this finds nothing or not all, and whoever needs more looks through all of them. */
static void relocations_search(struct gopclntab *table, const struct image *image, guint64 address, guint64 within,
			       const struct image_section *section)
{
	guint64 low = 0, high = section->size / sizeof(Elf64_Rela), count = high;
	Elf64_Rela rela;

	while (low < high) { /* the first that is not before the address */
		guint64 middle = low + (high - low) / 2;

		if (!image_read(image, section->offset + middle * sizeof(rela), sizeof(rela), &rela))
			return;
		if (rela.r_offset < address)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && image_read(image, section->offset + low * sizeof(rela), sizeof(rela), &rela); low++)
		if (relocation_take(table, image, address, within, &rela))
			return;
}

static void relocations_scan(struct gopclntab *table, const struct image *image, guint64 address, guint64 within,
			     const struct image_section *section)
{
	g_autofree Elf64_Rela *chunk = g_new(Elf64_Rela, RELOCATIONS_CHUNK);
	guint64 count = MIN(section->size / sizeof(*chunk), (guint64)RELOCATIONS_MAX);

	for (guint64 done = 0; done < count; done += RELOCATIONS_CHUNK) {
		gsize n = (gsize)MIN(count - done, (guint64)RELOCATIONS_CHUNK);

		if (!image_read(image, section->offset + done * sizeof(*chunk), n * sizeof(*chunk), chunk))
			return;
		for (gsize j = 0; j < n; j++)
			relocation_take(table, image, address, within, &chunk[j]);
	}
}

/* What the loader would write into the first `within` bytes of the table, which the file counts at `address`. */
static void table_relocate(struct gopclntab *table, const struct image *image, guint64 address, guint64 within,
			   gboolean is_sorted)
{
	for (guint i = 0; image->is_64bit && i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if (section->type != SHT_RELA || !(section->flags & SHF_ALLOC))
			continue;
		if (is_sorted)
			relocations_search(table, image, address, within, section);
		else
			relocations_scan(table, image, address, within, section);
	}
}

/* ---- finding it ---- */

static guint64 image_text(const struct image *image)
{
	const struct image_section *text = image_find_section(image, ".text");

	return text ? text->address : 0;
}

/* A table must name its first function and count upwards from there. */
static gboolean table_is_sane(const struct gopclntab *table)
{
	struct gopclntab_function first, last;

	return gopclntab_function(table, 0, &first) && gopclntab_function(table, table->count - 1, &last) &&
	       first.start <= last.start && first.name[0] != '\0';
}

static struct gopclntab *table_new(const struct image *image, guint64 offset, gsize size)
{
	struct gopclntab *table = g_new0(struct gopclntab, 1);

	table->file.bytes = image->bytes;
	if (!image->bytes.memory) {
		table->file.bytes.fd = fcntl(image->bytes.fd, F_DUPFD_CLOEXEC, 0);
		table->owns_fd = table->file.bytes.fd >= 0;
	}
	table->offset = offset;
	table->size = size;
	table->pages = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	table->moved = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	table->text = g_string_new(NULL);
	return table;
}

/* The header as the loader leaves it. */
static gboolean header_moved(struct gopclntab *table, guint8 *header, gsize length)
{
	for (guint at = 0; at + sizeof(guint64) <= length; at += sizeof(guint64)) {
		const guint64 *moved = g_hash_table_lookup(table->moved, GUINT_TO_POINTER(at));

		if (moved)
			memcpy(header + at, moved, sizeof(*moved));
	}
	return header_read(table, header, length, table->size);
}

static gboolean table_is_moved(struct gopclntab *table, const struct image *image, guint64 address, guint8 *header,
			       gsize length)
{
	if (!table->layout->has_text_start) { /* whole addresses, everywhere */
		table_relocate(table, image, address, table->size, FALSE);
		return header_moved(table, header, length);
	}
	table_relocate(table, image, address, length, TRUE);
	if (!header_moved(table, header, length))
		return FALSE;
	if (table->parts[PART_TEXT_START] != 0)
		return TRUE;
	table_relocate(table, image, address, length, FALSE);
	if (!header_moved(table, header, length))
		return FALSE;
	if (table->parts[PART_TEXT_START] == 0)
		table->parts[PART_TEXT_START] = image_text(image);
	return TRUE;
}

/* The table at `offset` of the file, which the file counts at `address`; `size` bytes may belong to it. */
static struct gopclntab *table_read(const struct image *image, guint64 offset, guint64 address, guint64 size)
{
	g_autoptr(gopclntab_t) table = NULL;
	guint8 header[HEADER_MAX];
	gsize length;

	if (offset > image->bytes.size)
		return NULL;
	size = MIN(MIN(size, (guint64)GOPCLNTAB_BYTES_MAX), image->bytes.size - offset);
	length = (gsize)MIN(size, (guint64)sizeof(header));
	table = table_new(image, offset, (gsize)size);
	if (!image_read(image, offset, length, header) || !header_read(table, header, length, (gsize)size) ||
	    !table_is_moved(table, image, address, header, length))
		return NULL;
	return table_is_sane(table) ? g_steal_pointer(&table) : NULL;
}

static struct gopclntab *find_by_name(const struct image *image)
{
	static const char *const names[] = { ".gopclntab", ".data.rel.ro.gopclntab" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		const struct image_section *section = image_find_section(image, names[i]);
		struct gopclntab *table = NULL;

		if (section && section->type != SHT_NOBITS)
			table = table_read(image, section->offset, section->address, section->size);
		if (table)
			return table;
	}
	return NULL;
}

static struct gopclntab *find_within(const struct image *image, guint64 offset, guint64 address, guint64 size)
{
	guint64 end = offset > image->bytes.size ? 0 : MIN(size, image->bytes.size - offset);
	g_autofree guint8 *chunk = g_malloc(SEARCH_CHUNK);

	for (guint64 done = 0; done < end; done += SEARCH_CHUNK) {
		gsize n = (gsize)MIN(end - done, (guint64)SEARCH_CHUNK);

		if (!image_read(image, offset + done, n, chunk))
			return NULL;
		for (gsize at = 0; at + HEADER_FIXED <= n; at += SEARCH_STEP) {
			struct gopclntab *table = NULL;

			if (layout_find(chunk + at))
				table = table_read(image, offset + done + at, address + done + at, end - done - at);
			if (table)
				return table;
		}
	}
	return NULL;
}

static struct gopclntab *find_by_magic(const struct image *image)
{
	const struct image_section *likely = image_find_section(image, ".data.rel.ro");
	struct gopclntab *table = NULL;

	if (likely && likely->type != SHT_NOBITS)
		table = find_within(image, likely->offset, likely->address, likely->size);
	for (guint i = 0; !table && i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];

		if (!segment->executable)
			table = find_within(image, segment->offset, segment->address, segment->file_size);
	}
	return table;
}

/* A system's linker may merge the table into .data.rel.ro; Go's marks stay. Without names of sections, who knows. */
static gboolean image_may_be_go(const struct image *image)
{
	return image_find_section(image, ".go.buildinfo") || image_find_section(image, ".note.go.buildid") ||
	       !image_find_section(image, ".text");
}

struct gopclntab *gopclntab_open(const struct image *image)
{
	struct gopclntab *table = find_by_name(image);

	return table || !image_may_be_go(image) ? table : find_by_magic(image);
}

void gopclntab_free(struct gopclntab *table)
{
	if (!table)
		return;
	if (table->owns_fd)
		close(table->file.bytes.fd);
	g_hash_table_unref(table->pages);
	g_hash_table_unref(table->moved);
	g_string_free(table->text, TRUE);
	g_free(table);
}

/* ---- functions ---- */

guint gopclntab_count(const struct gopclntab *table)
{
	return table->count;
}

/* Field `field` of the function table: starts and offsets of records take turns, the end of the last comes after. */
static gboolean take_field(const struct gopclntab *table, guint64 field, guint64 *value)
{
	return take(table, table->parts[PART_TABLE] + field * table->entry, table->entry, value);
}

static gboolean take_start(const struct gopclntab *table, guint index, guint64 *start)
{
	if (!take_field(table, 2 * (guint64)index, start))
		return FALSE;
	if (table->layout->has_text_start)
		*start += table->parts[PART_TEXT_START];
	return TRUE;
}

/* Where the function's record begins and where its fixed-size fields do, behind the start. */
static gboolean take_record(const struct gopclntab *table, guint index, guint64 *fields)
{
	guint64 record;

	if (!take_field(table, 2 * (guint64)index + 1, &record) || record > table->size)
		return FALSE;
	*fields = table->parts[PART_TABLE] + record + table->entry;
	return TRUE;
}

gboolean gopclntab_function(const struct gopclntab *table, guint index, struct gopclntab_function *function)
{
	guint64 fields, name;

	if (index >= table->count || !take_start(table, index, &function->start) ||
	    !take_start(table, index + 1, &function->end) || !take_record(table, index, &fields) ||
	    !take(table, fields, 4, &name) || function->end <= function->start)
		return FALSE;
	function->name = take_text(table, PART_NAMES, name);
	return function->name != NULL;
}

/* ---- lines ---- */

enum field { /* of a function's record, in 32-bit words behind its start */
	FIELD_DEPTH_PROGRAM = 3,
	FIELD_FILE_PROGRAM = 4,
	FIELD_LINE_PROGRAM = 5,
	FIELD_UNIT = 7,
};

static gboolean take_varint(const struct gopclntab *table, guint64 *at, guint32 *value)
{
	*value = 0;
	for (guint shift = 0; shift < 32; shift += 7) {
		const guint8 *bytes = bytes_at(table, *at, 1);
		guint8 byte;

		if (!bytes)
			return FALSE;
		byte = *bytes;
		(*at)++;
		*value |= (guint32)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return TRUE;
	}
	return FALSE;
}

/* Where a function stands in its table, and a program of values for its addresses. */
struct program {
	guint64 start; /* of the function */
	guint64 fields; /* of its record, in the table */
	guint64 read_bytes; /* of the program */
};

/* Runs the program at `at`: pairs (difference of value, zigzag; difference of address) from (-1, start) on. */
static gboolean program_run(const struct gopclntab *table, struct program *program, guint64 at, guint steps,
			    guint64 address, gint32 *value)
{
	guint32 current = G_MAXUINT32; /* -1 */
	guint64 pc = program->start, first = at;

	for (guint step = 0; step < steps; step++) {
		guint32 change, distance;

		if (!take_varint(table, &at, &change) || (change == 0 && step > 0) ||
		    !take_varint(table, &at, &distance))
			return FALSE;
		program->read_bytes = at - first;
		current += change & 1 ? ~(change >> 1) : change >> 1;
		pc += (guint64)distance * table->quantum;
		if (address < pc) {
			*value = (gint32)current;
			return TRUE;
		}
	}
	return FALSE;
}

/* The value that the program whose place is in `field` of the function has for an address. */
static gboolean take_value(const struct gopclntab *table, struct program *program, enum field field, guint steps,
			   guint64 address, gint32 *value)
{
	guint64 offset;

	program->read_bytes = 0;
	return take(table, program->fields + 4 * (guint64)field, 4, &offset) && offset != 0 &&
	       program_run(table, program, table->parts[PART_PROGRAMS] + offset, steps, address, value);
}

static gboolean find_function(const struct gopclntab *table, guint64 address, guint *index)
{
	guint low = 0, high = table->count;

	while (low < high) { /* the first start behind the address */
		guint middle = low + (high - low) / 2;
		guint64 start;

		if (!take_start(table, middle, &start))
			return FALSE;
		if (start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	*index = low - 1;
	return low > 0;
}

gboolean gopclntab_find(const struct gopclntab *table, guint64 address, struct gopclntab_function *function,
			guint *index)
{
	return find_function(table, address, index) && gopclntab_function(table, *index, function) &&
	       address < function->end;
}

gboolean gopclntab_line(const struct gopclntab *table, guint64 address, const char **file, guint32 *line)
{
	gint32 file_number, line_number;
	struct program program;
	guint64 unit, name;
	guint index;

	if (!find_function(table, address, &index) || !take_start(table, index, &program.start) ||
	    !take_record(table, index, &program.fields) || !take(table, program.fields + 4 * FIELD_UNIT, 4, &unit) ||
	    !take_value(table, &program, FIELD_FILE_PROGRAM, LINE_STEPS_MAX, address, &file_number) ||
	    !take_value(table, &program, FIELD_LINE_PROGRAM, LINE_STEPS_MAX, address, &line_number) ||
	    file_number < 0 || line_number <= 0 ||
	    !take(table, table->parts[PART_UNITS] + 4 * (unit + (guint64)file_number), 4, &name))
		return FALSE;
	*file = take_text(table, PART_FILE_NAMES, name);
	*line = (guint32)line_number;
	return *file != NULL;
}

/* ---- depth of the stack ---- */

gboolean gopclntab_depth(const struct gopclntab *table, guint64 address, guint32 *depth, guint64 *work_bytes)
{
	struct program program;
	const guint8 *flags;
	guint64 end;
	gboolean is_known;
	gint32 value;
	guint index;

	*work_bytes += SEARCH_WORK_BYTES;
	if (!find_function(table, address, &index) || !take_start(table, index, &program.start) ||
	    !take_start(table, index + 1, &end) || address >= end || !take_record(table, index, &program.fields))
		return FALSE;
	flags = bytes_at(table, program.fields + table->layout->flags, 1);
	if (!flags || *flags & (FLAG_TOP | FLAG_SP_WRITTEN))
		return FALSE;
	is_known = take_value(table, &program, FIELD_DEPTH_PROGRAM, DEPTH_STEPS_MAX, address, &value);
	*work_bytes += program.read_bytes;
	if (!is_known || value < 0 || value % 8 != 0 || value > (gint32)GOPCLNTAB_DEPTH_MAX)
		return FALSE;
	*depth = (guint32)value;
	return TRUE;
}

gsize gopclntab_held(const struct gopclntab *table)
{
	return (gsize)g_hash_table_size(table->pages) * (PAGE_BYTES + PAGE_TAIL);
}
