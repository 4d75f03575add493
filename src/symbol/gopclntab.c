/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/gopclntab.h"

#include <string.h>

#define HEADER_MAX 80
#define HEADER_FIXED 8 /* magic, two zeros, smallest instruction, size of a pointer */
#define SEARCH_CHUNK (1u << 20)
#define SEARCH_STEP 8 /* the table is aligned at least so */
#define RELOCATIONS_CHUNK 4096
#define RELOCATIONS_MAX (16u << 20)
#define LINE_STEPS_MAX 65536 /* entries of one function's line program */

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

struct layout {
	guint32 magic;
	gboolean has_text_start; /* entries are 32-bit offsets from it, else whole addresses */
};

static const struct layout layouts[] = {
	{ 0xfffffff1, TRUE }, /* Go 1.20 */
	{ 0xfffffff0, TRUE }, /* Go 1.18 */
	{ 0xfffffffa, FALSE }, /* Go 1.16 */
};

struct gopclntab {
	guint8 *bytes;
	gsize size;
	const struct layout *layout;
	guint pointer; /* bytes: 4 or 8 */
	guint quantum; /* smallest instruction, bytes */
	guint64 parts[PARTS];
	guint count;
	guint entry; /* bytes of one field of the function table */
};

static gboolean take(const struct gopclntab *table, guint64 offset, guint bytes, guint64 *value)
{
	guint32 narrow;

	if (offset > table->size || bytes > table->size - offset)
		return FALSE;
	if (bytes == 8) {
		memcpy(value, table->bytes + offset, 8);
	} else {
		memcpy(&narrow, table->bytes + offset, 4);
		*value = narrow;
	}
	return TRUE;
}

/* The string at `offset` of a part; NULL when it does not end within the table. */
static const char *take_text(const struct gopclntab *table, enum part part, guint64 offset)
{
	guint64 at = table->parts[part] + offset;

	if (at < offset || at >= table->size || !memchr(table->bytes + at, '\0', table->size - at))
		return NULL;
	return (const char *)table->bytes + at;
}

/* ---- header ---- */

static const struct layout *layout_find(const guint8 *bytes)
{
	guint32 magic;

	memcpy(&magic, bytes, 4);
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

static void relocation_apply(struct gopclntab *table, const struct image *image, guint64 address,
			     const Elf64_Rela *rela)
{
	guint64 value = (guint64)rela->r_addend;

	if (rela->r_offset < address || rela->r_offset - address > table->size ||
	    table->size - (rela->r_offset - address) < sizeof(value) ||
	    !relocation_is_relative(image, (guint32)ELF64_R_TYPE(rela->r_info)))
		return;
	memcpy(table->bytes + (rela->r_offset - address), &value, sizeof(value));
}

/* What the loader would write into the table, which the file counts at `address`. */
static void table_relocate(struct gopclntab *table, const struct image *image, guint64 address)
{
	g_autofree Elf64_Rela *chunk = NULL;
	guint64 left = RELOCATIONS_MAX;

	for (guint i = 0; image->is_64bit && i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];
		guint64 count = section->size / sizeof(*chunk);

		if (section->type != SHT_RELA || !(section->flags & SHF_ALLOC))
			continue;
		if (!chunk)
			chunk = g_new(Elf64_Rela, RELOCATIONS_CHUNK);
		count = MIN(count, left);
		left -= count;
		for (guint64 done = 0; done < count; done += RELOCATIONS_CHUNK) {
			gsize n = (gsize)MIN(count - done, (guint64)RELOCATIONS_CHUNK);

			if (!image_read(image, section->offset + done * sizeof(*chunk), n * sizeof(*chunk), chunk))
				break;
			for (gsize j = 0; j < n; j++)
				relocation_apply(table, image, address, &chunk[j]);
		}
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

/* The table at `offset` of the file, which the file counts at `address`; `size` bytes may belong to it. */
static struct gopclntab *table_read(const struct image *image, guint64 offset, guint64 address, guint64 size)
{
	g_autoptr(gopclntab_t) table = g_new0(struct gopclntab, 1);
	guint8 header[HEADER_MAX];
	gsize length = (gsize)MIN(size, (guint64)sizeof(header));

	size = MIN(size, (guint64)GOPCLNTAB_BYTES_MAX);
	if (offset > image->bytes.size || !image_read(image, offset, length, header) ||
	    !header_read(table, header, length, size))
		return NULL;
	table->size = (gsize)MIN(size, image->bytes.size - offset);
	table->bytes = g_malloc(table->size);
	if (!image_read(image, offset, table->size, table->bytes))
		return NULL;
	table_relocate(table, image, address);
	if (!header_read(table, table->bytes, table->size, table->size))
		return NULL;
	if (table->layout->has_text_start && table->parts[PART_TEXT_START] == 0)
		table->parts[PART_TEXT_START] = image_text(image);
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

static struct gopclntab *find_in_segment(const struct image *image, const struct image_segment *segment)
{
	guint64 end = segment->file_size > image->bytes.size ? image->bytes.size : segment->file_size;
	g_autofree guint8 *chunk = g_malloc(SEARCH_CHUNK);

	for (guint64 done = 0; done < end; done += SEARCH_CHUNK) {
		gsize n = (gsize)MIN(end - done, (guint64)SEARCH_CHUNK);

		if (!image_read(image, segment->offset + done, n, chunk))
			return NULL;
		for (gsize at = 0; at + HEADER_FIXED <= n; at += SEARCH_STEP) {
			struct gopclntab *table = NULL;

			if (layout_find(chunk + at))
				table = table_read(image, segment->offset + done + at, segment->address + done + at,
						   end - done - at);
			if (table)
				return table;
		}
	}
	return NULL;
}

static struct gopclntab *find_by_magic(const struct image *image)
{
	for (guint i = 0; i < image->segment_count; i++) {
		struct gopclntab *table = NULL;

		if (!image->segments[i].executable)
			table = find_in_segment(image, &image->segments[i]);
		if (table)
			return table;
	}
	return NULL;
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
	g_free(table->bytes);
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
	FIELD_FILE_PROGRAM = 4,
	FIELD_LINE_PROGRAM = 5,
	FIELD_UNIT = 7,
};

static gboolean take_varint(const struct gopclntab *table, guint64 *at, guint32 *value)
{
	*value = 0;
	for (guint shift = 0; shift < 32; shift += 7) {
		guint8 byte;

		if (*at >= table->size)
			return FALSE;
		byte = table->bytes[(*at)++];
		*value |= (guint32)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return TRUE;
	}
	return FALSE;
}

/* Runs the program at `offset`: pairs (difference of value, zigzag; difference of address) from (-1, start) on. */
static gboolean program_run(const struct gopclntab *table, guint64 offset, guint64 start, guint64 address,
			    gint32 *value)
{
	guint64 at = table->parts[PART_PROGRAMS] + offset, pc = start;
	guint32 current = G_MAXUINT32; /* -1 */

	if (offset == 0)
		return FALSE;
	for (guint step = 0; step < LINE_STEPS_MAX; step++) {
		guint32 change, distance;

		if (!take_varint(table, &at, &change) || (change == 0 && step > 0) ||
		    !take_varint(table, &at, &distance))
			return FALSE;
		current += change & 1 ? ~(change >> 1) : change >> 1;
		pc += (guint64)distance * table->quantum;
		if (address < pc) {
			*value = (gint32)current;
			return TRUE;
		}
	}
	return FALSE;
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

gboolean gopclntab_line(const struct gopclntab *table, guint64 address, const char **file, guint32 *line)
{
	guint64 start, fields, file_program, line_program, unit, name;
	gint32 file_number, line_number;
	guint index;

	if (!find_function(table, address, &index) || !take_start(table, index, &start) ||
	    !take_record(table, index, &fields) || !take(table, fields + 4 * FIELD_FILE_PROGRAM, 4, &file_program) ||
	    !take(table, fields + 4 * FIELD_LINE_PROGRAM, 4, &line_program) ||
	    !take(table, fields + 4 * FIELD_UNIT, 4, &unit) ||
	    !program_run(table, file_program, start, address, &file_number) ||
	    !program_run(table, line_program, start, address, &line_number) || file_number < 0 || line_number <= 0 ||
	    !take(table, table->parts[PART_UNITS] + 4 * (unit + (guint64)file_number), 4, &name))
		return FALSE;
	*file = take_text(table, PART_FILE_NAMES, name);
	*line = (guint32)line_number;
	return *file != NULL;
}
