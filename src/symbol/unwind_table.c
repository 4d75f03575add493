/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/unwind_table.h"

#include <string.h>
#include <zlib.h>

#define SEGMENT_HEADERS_MAX 256
#define HEADER_BYTES 64 /* of .eh_frame_hdr looked at */

struct unwind_table {
	gatomicrefcount refs;
	guint64 base;
	guint count, bad;
	struct cfi_row *rows;
};

/* ---- spans → one sorted cover ---- */

static gint span_compare(gconstpointer a, gconstpointer b)
{
	const struct cfi_span *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Descriptions read later lose what earlier sections described already. Both are sorted; so is what is left. */
static GArray *spans_subtract(const GArray *spans, const GArray *taken, GArray *rest)
{
	guint at = 0;

	for (guint i = 0; i < spans->len; i++) {
		struct cfi_span span = g_array_index(spans, struct cfi_span, i);

		for (; at < taken->len && g_array_index(taken, struct cfi_span, at).end <= span.start; at++)
			;
		for (guint j = at; j < taken->len && span.start < span.end; j++) {
			const struct cfi_span *t = &g_array_index(taken, struct cfi_span, j);
			struct cfi_span before = span;

			if (t->start >= span.end)
				break;
			before.end = t->start;
			if (before.start < before.end)
				g_array_append_val(rest, before);
			span.start = MAX(span.start, t->end);
		}
		if (span.start < span.end)
			g_array_append_val(rest, span);
	}
	return rest;
}

/* Sorts by start and cuts what overlaps, so that ends are sorted, too. */
static void spans_tidy(GArray *spans)
{
	guint kept = 0;
	guint32 covered = 0;

	g_array_sort(spans, span_compare);
	for (guint i = 0; i < spans->len; i++) {
		struct cfi_span span = g_array_index(spans, struct cfi_span, i);

		span.start = MAX(span.start, covered);
		if (span.start >= span.end)
			continue;
		covered = span.end;
		g_array_index(spans, struct cfi_span, kept++) = span;
	}
	g_array_set_size(spans, kept);
}

static void cover_add(GArray *cover, guint32 at, guint32 rule)
{
	struct cfi_row row = { at, rule };

	if (cover->len && g_array_index(cover, struct cfi_row, cover->len - 1).rule == rule)
		return;
	g_array_append_val(cover, row);
}

static void cover_add_span(GArray *cover, const struct cfi_span *span, const GArray *rows)
{
	for (guint i = 0; i < span->count; i++) {
		const struct cfi_row *row = &g_array_index(rows, struct cfi_row, span->first + i);
		guint32 end = i + 1 < span->count ? row[1].at : G_MAXUINT32;

		if (row->at >= span->end)
			return;
		if (end > span->start) /* not wholly in what was cut off */
			cover_add(cover, MAX(row->at, span->start), row->rule);
	}
}

static GArray *cover_new(const GArray *spans, const GArray *rows)
{
	GArray *cover = g_array_sized_new(FALSE, FALSE, sizeof(struct cfi_row), rows->len + spans->len / 8 + 1);
	guint32 none = cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0), covered = 0;

	for (guint i = 0; i < spans->len; i++) {
		const struct cfi_span *span = &g_array_index(spans, struct cfi_span, i);

		if (i && span->start - covered > UNWIND_TABLE_PADDING)
			cover_add(cover, covered, none);
		cover_add_span(cover, span, rows);
		covered = span->end;
	}
	if (spans->len)
		cover_add(cover, covered, none);
	return cover;
}

static GArray *spans_merge(GArray *a, GArray *b)
{
	if (b->len)
		g_array_append_vals(a, b->data, b->len);
	g_array_sort(a, span_compare);
	return a;
}

struct unwind_table *unwind_table_compile(guint64 base, const struct cfi_section *sections, guint count, GError **error)
{
	g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(struct cfi_row));
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(struct cfi_span));
	struct unwind_table *table;
	GArray *cover;
	guint bad = 0;

	for (guint i = 0; i < count; i++) {
		g_autoptr(GArray) spans = g_array_new(FALSE, FALSE, sizeof(struct cfi_span));
		g_autoptr(GArray) rest = g_array_new(FALSE, FALSE, sizeof(struct cfi_span));
		struct cfi_output output = { .base = base, .rows = rows, .spans = spans };

		if (!cfi_read(&sections[i], &output, error))
			return NULL;
		bad += output.bad_spans;
		spans_tidy(spans);
		spans_merge(all, all->len ? spans_subtract(spans, all, rest) : spans);
	}
	if (all->len == 0) {
		g_set_error_literal(error, CFI_ERROR, CFI_ERROR_ABSENT, "nothing describes its frames");
		return NULL;
	}
	cover = cover_new(all, rows);
	table = g_new0(struct unwind_table, 1);
	g_atomic_ref_count_init(&table->refs);
	table->base = base;
	table->bad = bad;
	table->count = cover->len;
	table->rows = g_realloc_n(g_array_free(cover, FALSE), table->count, sizeof(struct cfi_row));
	return table;
}

struct unwind_table *unwind_table_ref(struct unwind_table *table)
{
	g_atomic_ref_count_inc(&table->refs);
	return table;
}

void unwind_table_unref(struct unwind_table *table)
{
	if (!table || !g_atomic_ref_count_dec(&table->refs))
		return;
	g_free(table->rows);
	g_free(table);
}

guint32 unwind_table_find(const struct unwind_table *table, guint64 address)
{
	guint64 at = address - table->base;
	guint low = 0, high = table->count;

	if (address < table->base || at > G_MAXUINT32 || at < table->rows[0].at)
		return cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
	while (high - low > 1) { /* rows[low].at <= at < rows[high].at */
		guint middle = low + (high - low) / 2;

		if (table->rows[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	return table->rows[low].rule;
}

guint unwind_table_count(const struct unwind_table *table)
{
	return table->count;
}

gsize unwind_table_bytes(const struct unwind_table *table)
{
	return sizeof(*table) + table->count * sizeof(struct cfi_row);
}

guint unwind_table_bad(const struct unwind_table *table)
{
	return table->bad;
}

struct cfi_row unwind_table_row(const struct unwind_table *table, guint i)
{
	return table->rows[i];
}

/* ---- finding the sections ---- */

/* Any bytes of the file, through the reader that is bounded already. */
static char *file_read(const struct image *image, guint64 offset, guint64 size)
{
	struct image_section part = { .offset = offset, .size = size, .type = SHT_PROGBITS };
	gsize length;

	return image_read_section(image, &part, CFI_SECTION_BYTES_MAX, &length);
}

static guint64 code_base(const struct image *image)
{
	guint64 base = image->segment_count ? G_MAXUINT64 : 0;

	for (guint i = 0; i < image->segment_count; i++)
		base = MIN(base, image->segments[i].address);
	return base;
}

/* From an address up to the end of the segment that holds it. */
static char *address_read(const struct image *image, guint64 address, gsize *length)
{
	for (guint i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];
		guint64 skip = address - segment->address;

		if (address >= segment->address && skip < segment->file_size && segment->offset <= G_MAXUINT64 - skip) {
			*length = (gsize)MIN(segment->file_size - skip, (guint64)CFI_SECTION_BYTES_MAX);
			return file_read(image, segment->offset + skip, *length);
		}
	}
	return NULL;
}

/* .eh_frame_hdr: version 1, three encodings, then where .eh_frame begins; linkers write it relative in 32 bits. */
static gboolean header_find_frames(const struct image *image, const Elf64_Phdr *program, guint64 *address)
{
	guint64 size = MIN(program->p_filesz, (guint64)HEADER_BYTES);
	g_autofree char *header = size >= 8 ? file_read(image, program->p_offset, size) : NULL;
	gint32 relative;

	if (!header || header[0] != 1 || header[1] != 0x1b)
		return FALSE;
	memcpy(&relative, header + 4, sizeof(relative));
	*address = program->p_vaddr + 4 + (guint64)(gint64)relative;
	return TRUE;
}

/* A file without section headers still says where its frames are. */
static char *frames_read_by_segment(const struct image *image, struct cfi_section *section)
{
	g_autofree Elf64_Ehdr *elf = (Elf64_Ehdr *)file_read(image, 0, sizeof(*elf));
	guint count = elf ? MIN(elf->e_phnum, SEGMENT_HEADERS_MAX) : 0;
	g_autofree Elf64_Phdr *programs = NULL;

	if (count && elf->e_phentsize == sizeof(*programs))
		programs = (Elf64_Phdr *)file_read(image, elf->e_phoff, count * sizeof(*programs));
	for (guint i = 0; programs && i < count; i++)
		if (programs[i].p_type == PT_GNU_EH_FRAME && header_find_frames(image, &programs[i], &section->address))
			return address_read(image, section->address, &section->length);
	return NULL;
}

static char *inflate_section(const char *packed, gsize packed_length, gsize *length)
{
	Elf64_Chdr header;
	g_autofree char *text = NULL;
	uLongf size;

	if (packed_length < sizeof(header))
		return NULL;
	memcpy(&header, packed, sizeof(header));
	if (header.ch_type != ELFCOMPRESS_ZLIB || header.ch_size == 0 || header.ch_size > CFI_SECTION_BYTES_MAX)
		return NULL;
	size = (uLongf)header.ch_size;
	text = g_malloc(size);
	if (uncompress((Bytef *)text, &size, (const Bytef *)packed + sizeof(header), packed_length - sizeof(header)) !=
	    Z_OK)
		return NULL;
	*length = size;
	return g_steal_pointer(&text);
}

static char *section_read(const struct image *image, const char *name, struct cfi_section *section)
{
	const struct image_section *found = image_find_section(image, name);
	struct image_section plain;
	g_autofree char *packed = NULL;

	if (!found)
		return NULL;
	section->address = found->address;
	if (!(found->flags & SHF_COMPRESSED))
		return image_read_section(image, found, CFI_SECTION_BYTES_MAX, &section->length);
	plain = *found;
	plain.flags &= ~(guint64)SHF_COMPRESSED;
	packed = image_read_section(image, &plain, CFI_SECTION_BYTES_MAX, &section->length);
	return packed ? inflate_section(packed, section->length, &section->length) : NULL;
}

struct unwind_table *unwind_table_read(const struct image *image, GError **error)
{
	struct cfi_section sections[2] = { 0 };
	g_autofree char *frames = NULL, *debug = NULL;
	guint count = 0;

	if (!image->is_64bit || image->machine != EM_X86_64) {
		g_set_error_literal(error, CFI_ERROR, CFI_ERROR_ABSENT, "not for x86-64");
		return NULL;
	}
	frames = section_read(image, ".eh_frame", &sections[count]);
	if (!frames)
		frames = frames_read_by_segment(image, &sections[count]);
	if (frames)
		sections[count++].bytes = (const guint8 *)frames;
	if (!image_find_section(image, ".gopclntab")) {
		debug = section_read(image, ".debug_frame", &sections[count]);
		if (debug) {
			sections[count].is_debug_frame = TRUE;
			sections[count++].bytes = (const guint8 *)debug;
		}
	}
	return unwind_table_compile(code_base(image), sections, count, error);
}
