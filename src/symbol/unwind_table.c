/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/unwind_table.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "symbol/gopclntab.h"
#include "symbol/pages.h"
#include "symbol/prologue.h"

#define SEGMENT_HEADERS_MAX 256
#define INDEX_ENTRIES_AT 12 /* bytes of .eh_frame_hdr before the sorted pairs */
#define INDEX_BACK_MAX 8 /* descriptions of no code passed over in a search */
#define SEEN_BITS_MIN 6
#define SEEN_BITS_MAX 14
#define PAGED_BYTES_MIN (256u << 10) /* of .eh_frame: what is shorter is read at once, and the file closed */
#define SPARSE_COUNT_MAX 256 /* descriptions looked at to see how much code they are for … */
#define SPARSE_BYTES_EACH 2048 /* … of more it is told by their number: compilers' functions have a tenth of that */
#define GO_SEEN_BITS 8
#define GO_UNKNOWN G_MAXUINT32
#define RECORD_HEAD_BYTES 16 /* length and id of a description, at most */

struct index_entry { /* as linkers write it: relative to the index itself, by `start` */
	gint32 start, description;
};

/* Lazy. */
struct index {
	struct cfi_section frames;
	const guint8 *entries; /* struct index_entry, unaligned */
	guint count;
	gsize length; /* bytes of the whole index */
	guint64 address;
	struct cfi_row *seen; /* address - base → rule; `at` 0: free */
	guint seen_bits;
	guint bad;
	guint64 work_bytes;
	char *owned_frames, *owned_index; /* NULL: not ours */
	int fd; /* of the file, while it is read page by page; -1: all is in memory */
	struct pages *frame_pages, *entry_pages; /* NULL: all is in memory */
};

/* Go's table, and what was found in it last. */
struct go {
	struct gopclntab *table;
	struct {
		guint64 address; /* 0: free */
		guint32 depth; /* or GO_UNKNOWN */
	} seen[1 << GO_SEEN_BITS];
	guint64 work_bytes;
};

struct unwind_table {
	gatomicrefcount refs;
	guint64 base;
	guint count, bad;
	struct cfi_row *rows;
	struct index *index; /* instead of rows */
	struct prologue *code; /* NULL: most of it is described, or it cannot be had */
	struct go *go; /* NULL: not of Go */
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

static struct unwind_table *table_new(guint64 base)
{
	struct unwind_table *table = g_new0(struct unwind_table, 1);

	g_atomic_ref_count_init(&table->refs);
	table->base = base;
	return table;
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
	table = table_new(base);
	table->bad = bad;
	table->count = cover->len;
	table->rows = g_realloc_n(g_array_free(cover, FALSE), table->count, sizeof(struct cfi_row));
	return table;
}

/* ---- lazy ---- */

static void index_free(struct index *index)
{
	if (!index)
		return;
	g_free(index->seen);
	g_free(index->owned_frames);
	g_free(index->owned_index);
	pages_free(index->frame_pages);
	pages_free(index->entry_pages);
	if (index->fd >= 0)
		close(index->fd);
	g_free(index);
}

static struct index_entry index_entry(const struct index *index, guint i)
{
	struct index_entry entry;

	if (index->entry_pages)
		pages_need(index->entry_pages, INDEX_ENTRIES_AT + (gsize)i * sizeof(entry), sizeof(entry));
	memcpy(&entry, index->entries + (gsize)i * sizeof(entry), sizeof(entry));
	return entry;
}

static guint64 index_absolute(const struct index *index, gint32 relative)
{
	return index->address + (guint64)(gint64)relative;
}

/* Version 1; encodings: any of .eh_frame's address (checked by the caller), 4 bytes for the count, pairs of 4 bytes each,
 * relative to the index: what every linker writes. */
static gboolean index_open(struct index *index, const guint8 *bytes)
{
	static const guint8 encodings[] = { 0x03, 0x3b };
	guint32 count;

	if (index->length < INDEX_ENTRIES_AT || bytes[0] != 1 || bytes[1] != 0x1b ||
	    memcmp(bytes + 2, encodings, sizeof(encodings)) != 0)
		return FALSE;
	memcpy(&count, bytes + 8, sizeof(count));
	index->entries = bytes + INDEX_ENTRIES_AT;
	index->count = count;
	return count && count <= (index->length - INDEX_ENTRIES_AT) / sizeof(struct index_entry);
}

/* Makes sure that the record at byte `place` of .eh_frame was read. FALSE when there is none. `*parent`: of a description, where
 * its CIE is. (What is said here is checked when it is read: cfi.h.) */
static gboolean index_need_record(struct index *index, gsize place, gsize *parent)
{
	struct cfi_section *frames = &index->frames;
	gsize id_at = place + 4;
	guint64 length = 0;
	guint32 word;

	if (place >= frames->length || frames->length - place < RECORD_HEAD_BYTES ||
	    !pages_need(index->frame_pages, place, RECORD_HEAD_BYTES))
		return FALSE;
	memcpy(&word, frames->bytes + place, sizeof(word));
	length = word;
	if (word == G_MAXUINT32) {
		memcpy(&length, frames->bytes + place + 4, sizeof(length));
		id_at += sizeof(length);
	}
	if (length > CFI_FIND_BYTES_MAX || !pages_need(index->frame_pages, place, (gsize)(id_at - place + length)))
		return FALSE;
	memcpy(&word, frames->bytes + id_at, sizeof(word));
	*parent = word && word <= id_at ? id_at - word : frames->length;
	return TRUE;
}

/* A description, and the CIE it refers to. */
static gboolean index_need(struct index *index, gsize place)
{
	gsize parent, unused;

	return !index->frame_pages ||
	       (index_need_record(index, place, &parent) && index_need_record(index, parent, &unused));
}

static gboolean index_is_sorted(const struct index *index)
{
	gint32 last = G_MININT32;

	for (guint i = 0; i < index->count; i++) {
		struct index_entry entry = index_entry(index, i);

		if (entry.start < last ||
		    index_absolute(index, entry.description) - index->frames.address >= index->frames.length)
			return FALSE;
		last = entry.start;
	}
	return TRUE;
}

static struct unwind_table *index_table(guint64 base, struct index *opened)
{
	struct unwind_table *table = table_new(base);

	opened->seen_bits = CLAMP(g_bit_storage(opened->count), SEEN_BITS_MIN, SEEN_BITS_MAX);
	opened->seen = g_new0(struct cfi_row, (gsize)1 << opened->seen_bits);
	table->index = g_memdup2(opened, sizeof(*opened));
	return table;
}

struct unwind_table *unwind_table_index(guint64 base, const struct cfi_section *frames, const guint8 *bytes,
					gsize length, guint64 address, GError **error)
{
	struct index opened = { .frames = *frames, .length = length, .address = address, .fd = -1 };

	if (frames->is_debug_frame || frames->length > CFI_SECTION_BYTES_MAX || !index_open(&opened, bytes) ||
	    !index_is_sorted(&opened)) {
		g_set_error_literal(error, CFI_ERROR, CFI_ERROR_ABSENT, "no index of its descriptions");
		return NULL;
	}
	return index_table(base, &opened);
}

/* The last entry that starts at or before an address; `count` when there is none. */
static guint index_bisect(const struct index *index, gint64 relative)
{
	guint low = 0, high = index->count;

	if (index_entry(index, 0).start > relative)
		return index->count;
	while (high - low > 1) {
		guint middle = low + (high - low) / 2;

		if (index_entry(index, middle).start <= relative)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* What a whole table would say behind the end of the description before entry `next`. */
static gboolean index_is_padding(const struct index *index, guint next, guint64 end)
{
	return next < index->count &&
	       index_absolute(index, index_entry(index, next).start) - end <= UNWIND_TABLE_PADDING;
}

/* The description for `address`; FALSE when there is none. */
static gboolean index_describe(struct index *index, guint64 base, guint64 address, struct cfi_found *found)
{
	guint at = index_bisect(index, (gint64)(address - index->address)), next = at + 1;

	for (guint tries = 0; at < index->count && tries < INDEX_BACK_MAX; tries++, at--) {
		struct index_entry entry = index_entry(index, at);
		guint64 place = index_absolute(index, entry.description) - index->frames.address;
		gboolean good = FALSE;

		*found = (struct cfi_found){ 0 };
		if (index_need(index, (gsize)place))
			good = cfi_find(&index->frames, base, (gsize)place, address, found);
		index->work_bytes += found->work_bytes;
		if (!good || found->start != index_absolute(index, entry.start)) {
			index->bad++;
			return FALSE;
		}
		if (found->start == found->end)
			continue;
		return address < found->end || index_is_padding(index, next, found->end);
	}
	return FALSE;
}

static guint32 index_search(struct index *index, guint64 base, guint64 address)
{
	struct cfi_found found;

	return index_describe(index, base, address, &found) ? found.rule : cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
}

/* `at`: the address, from the base. */
static guint32 index_find(struct index *index, guint64 base, guint32 at)
{
	struct cfi_row *seen = &index->seen[(at * 2654435769u) >> (32 - index->seen_bits)]; /* Fibonacci hashing */

	if (at && seen->at == at)
		return seen->rule;
	*seen = (struct cfi_row){ .at = at, .rule = index_search(index, base, base + at) };
	return seen->rule;
}

gboolean unwind_table_is_paged(const struct unwind_table *table)
{
	return table->go || (table->index && table->index->frame_pages);
}

gboolean unwind_table_is_lazy(const struct unwind_table *table)
{
	return table->index || table->code || table->go;
}

guint64 unwind_table_take_work(const struct unwind_table *table)
{
	guint64 work_bytes = table->index ? table->index->work_bytes : 0;

	if (table->code)
		work_bytes += prologue_take_work(table->code);
	if (table->go) {
		work_bytes += table->go->work_bytes;
		table->go->work_bytes = 0;
	}
	if (table->index)
		table->index->work_bytes = 0;
	return work_bytes;
}

/* ---- Go ---- */

static struct go *go_open(const struct image *image)
{
	struct gopclntab *table = gopclntab_open(image);
	struct go *go;

	if (!table)
		return NULL;
	go = g_new0(struct go, 1);
	go->table = table;
	return go;
}

static void go_free(struct go *go)
{
	if (!go)
		return;
	gopclntab_free(go->table);
	g_free(go);
}

gboolean unwind_table_is_go(const struct unwind_table *table)
{
	return table->go != NULL;
}

gboolean unwind_table_find_go(const struct unwind_table *table, guint64 address, guint32 *depth)
{
	guint place = (guint)((address * 0x9e3779b97f4a7c15ULL) >> (64 - GO_SEEN_BITS)); /* Fibonacci hashing */
	struct go *go = table->go;

	if (!go)
		return FALSE;
	if (go->seen[place].address != address) {
		*depth = GO_UNKNOWN;
		if (!gopclntab_depth(go->table, address, depth, &go->work_bytes))
			*depth = GO_UNKNOWN;
		go->seen[place].address = address;
		go->seen[place].depth = *depth;
	}
	*depth = go->seen[place].depth;
	return *depth != GO_UNKNOWN;
}

/* ---- both ---- */

struct unwind_table *unwind_table_ref(struct unwind_table *table)
{
	g_atomic_ref_count_inc(&table->refs);
	return table;
}

void unwind_table_unref(struct unwind_table *table)
{
	if (!table || !g_atomic_ref_count_dec(&table->refs))
		return;
	index_free(table->index);
	prologue_free(table->code);
	go_free(table->go);
	g_free(table->rows);
	g_free(table);
}

guint32 unwind_table_find(const struct unwind_table *table, guint64 address)
{
	guint64 at = address - table->base;
	guint low = 0, high = table->count;

	if (address < table->base || at > G_MAXUINT32)
		return cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
	if (table->index)
		return index_find(table->index, table->base, (guint32)at);
	if (table->count == 0 || at < table->rows[0].at)
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

guint32 unwind_table_work_out(const struct unwind_table *table, guint64 address)
{
	return table->code ? prologue_find(table->code, address) : cfi_rule(CFI_NONE, 0, CFI_SAVED_KEPT, 0);
}

gboolean unwind_table_find_start(const struct unwind_table *table, guint64 address, guint64 *start)
{
	struct cfi_found found;

	if (table->index && address >= table->base && address - table->base <= G_MAXUINT32 &&
	    index_describe(table->index, table->base, address, &found) && address < found.end) {
		*start = found.start;
		return TRUE;
	}
	return table->code && prologue_find_start(table->code, address, start);
}

gboolean unwind_table_may_return(const struct unwind_table *table, guint64 address)
{
	return !table->code || prologue_is_return(table->code, address);
}

enum cfi_saved unwind_table_find_bx(const struct unwind_table *table, guint64 address, gint64 *slot)
{
	struct cfi_found found;

	*slot = 0;
	if (!table->index || address < table->base || address - table->base > G_MAXUINT32 ||
	    !index_describe(table->index, table->base, address, &found))
		return CFI_SAVED_LOST;
	*slot = found.bx_slot;
	return found.bx;
}

guint unwind_table_count(const struct unwind_table *table)
{
	return table->count;
}

gsize unwind_table_bytes(const struct unwind_table *table)
{
	const struct index *index = table->index;
	gsize code = table->code ? prologue_bytes(table->code) : 0;

	if (table->go)
		code += sizeof(*table->go) + gopclntab_held(table->go->table);
	if (!index)
		return sizeof(*table) + table->count * sizeof(struct cfi_row) + code;
	return sizeof(*table) + code + sizeof(*index) + (sizeof(*index->seen) << index->seen_bits) +
	       (index->frame_pages ? pages_held(index->frame_pages) + pages_held(index->entry_pages)
				   : index->frames.length + index->length);
}

guint unwind_table_bad(const struct unwind_table *table)
{
	return table->index ? table->index->bad : table->bad;
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

/* PT_GNU_EH_FRAME: .eh_frame_hdr, which files without section headers have, too. FALSE when there is none. */
static gboolean index_segment(const struct image *image, Elf64_Phdr *program)
{
	g_autofree Elf64_Ehdr *elf = (Elf64_Ehdr *)file_read(image, 0, sizeof(*elf));
	guint count = elf ? MIN(elf->e_phnum, SEGMENT_HEADERS_MAX) : 0;
	g_autofree Elf64_Phdr *programs = NULL;

	if (count && elf->e_phentsize == sizeof(*programs))
		programs = (Elf64_Phdr *)file_read(image, elf->e_phoff, count * sizeof(*programs));
	for (guint i = 0; programs && i < count; i++) {
		if (programs[i].p_type != PT_GNU_EH_FRAME)
			continue;
		*program = programs[i];
		return TRUE;
	}
	return FALSE;
}

/* Version 1, three encodings, then where .eh_frame begins; linkers write it relative in 32 bits. */
static gboolean index_frames_address(const char *index, gsize length, guint64 index_address, guint64 *address)
{
	gint32 relative;

	if (!index || length < 8 || index[0] != 1 || index[1] != 0x1b)
		return FALSE;
	memcpy(&relative, index + 4, sizeof(relative));
	*address = index_address + 4 + (guint64)(gint64)relative;
	return TRUE;
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

/* What a file says about its frames; texts owned. */
struct frames {
	struct cfi_section frames, debug; /* length 0: absent */
	char *frames_text, *debug_text, *index;
	gsize index_length;
	guint64 index_address, indexed_address; /* the latter: where the index says .eh_frame is */
};

static void frames_clear(struct frames *frames)
{
	g_free(frames->frames_text);
	g_free(frames->debug_text);
	g_free(frames->index);
}

static void frames_read_index(const struct image *image, struct frames *frames)
{
	Elf64_Phdr program;

	if (!index_segment(image, &program))
		return;
	frames->index = file_read(image, program.p_offset, program.p_filesz);
	frames->index_length = frames->index ? program.p_filesz : 0;
	frames->index_address = program.p_vaddr;
	if (!index_frames_address(frames->index, frames->index_length, program.p_vaddr, &frames->indexed_address))
		g_clear_pointer(&frames->index, g_free);
}

static void frames_read(const struct image *image, struct frames *frames)
{
	frames_read_index(image, frames);
	frames->frames_text = section_read(image, ".eh_frame", &frames->frames);
	if (!frames->frames_text &&
	    frames->index) { /* a file without section headers still says where its frames are */
		frames->frames.address = frames->indexed_address;
		frames->frames_text = address_read(image, frames->indexed_address, &frames->frames.length);
	}
	frames->frames.bytes = (const guint8 *)frames->frames_text;
	if (!image_find_section(image, ".gopclntab"))
		frames->debug_text = section_read(image, ".debug_frame", &frames->debug);
	frames->debug.bytes = (const guint8 *)frames->debug_text;
	frames->debug.is_debug_frame = TRUE;
}

static struct unwind_table *frames_compile(const struct image *image, const struct frames *frames, GError **error)
{
	struct cfi_section sections[2];
	guint count = 0;

	if (frames->frames_text)
		sections[count++] = frames->frames;
	if (frames->debug_text)
		sections[count++] = frames->debug;
	return unwind_table_compile(code_base(image), sections, count, error);
}

/* NULL: not without compiling. The table takes the texts over. */
static struct unwind_table *frames_index(const struct image *image, struct frames *frames)
{
	struct unwind_table *table;

	if (!frames->index || !frames->frames_text || frames->debug_text ||
	    frames->indexed_address != frames->frames.address)
		return NULL;
	table = unwind_table_index(code_base(image), &frames->frames, (const guint8 *)frames->index,
				   frames->index_length, frames->index_address, NULL);
	if (!table)
		return NULL;
	table->index->owned_frames = g_steal_pointer(&frames->frames_text);
	table->index->owned_index = g_steal_pointer(&frames->index);
	return table;
}

/* Whether both parts can be read page by page, and the index is one. */
static gboolean index_open_pages(struct index *opened, const struct image_section *frames, const Elf64_Phdr *program)
{
	guint64 frames_address;

	opened->frame_pages = pages_new(opened->fd, frames->offset, (gsize)frames->size);
	opened->entry_pages = pages_new(opened->fd, program->p_offset, (gsize)program->p_filesz);
	if (!opened->frame_pages || !opened->entry_pages || !pages_need(opened->entry_pages, 0, INDEX_ENTRIES_AT))
		return FALSE;
	opened->frames.bytes = pages_bytes(opened->frame_pages);
	opened->frames.length = (gsize)frames->size;
	opened->frames.address = frames->address;
	opened->length = (gsize)program->p_filesz;
	opened->address = program->p_vaddr;
	return index_frames_address((const char *)pages_bytes(opened->entry_pages), opened->length, opened->address,
				    &frames_address) &&
	       frames_address == frames->address && index_open(opened, pages_bytes(opened->entry_pages));
}

static gboolean is_within(const struct image *image, guint64 offset, guint64 size)
{
	return size > 0 && size <= CFI_SECTION_BYTES_MAX && offset <= image->bytes.size &&
	       size <= image->bytes.size - offset;
}

/* Large files are not read at first sight. That the index is sorted is not looked at: whoever lies there is not found. NULL: not
 * so, read it. */
static struct unwind_table *frames_pages(const struct image *image)
{
	const struct image_section *frames = image_find_section(image, ".eh_frame");
	struct index *opened;
	struct unwind_table *table = NULL;
	Elf64_Phdr program;

	if (!frames || image->bytes.memory || frames->size < PAGED_BYTES_MIN || frames->type == SHT_NOBITS ||
	    frames->flags & SHF_COMPRESSED || !is_within(image, frames->offset, frames->size) ||
	    (image_find_section(image, ".debug_frame") && !image_find_section(image, ".gopclntab")) ||
	    !index_segment(image, &program) || !is_within(image, program.p_offset, program.p_filesz))
		return NULL;
	opened = g_new0(struct index, 1);
	opened->fd = fcntl(image->bytes.fd, F_DUPFD_CLOEXEC, 0);
	if (opened->fd >= 0 && index_open_pages(opened, frames, &program)) {
		table = index_table(code_base(image), opened);
		g_free(opened);
	} else {
		index_free(opened);
	}
	return table;
}

/* ---- code that is not described ---- */

static guint64 rows_described(const struct unwind_table *table)
{
	guint64 bytes = 0;

	for (guint i = 0; i + 1 < table->count; i++)
		if (cfi_rule_kind(table->rows[i].rule) != CFI_NONE)
			bytes += table->rows[i + 1].at - table->rows[i].at;
	return bytes;
}

static guint64 index_described(struct index *index, guint64 base)
{
	guint64 bytes = 0;

	for (guint i = 0; i < index->count; i++) {
		struct cfi_found found;

		if (index_describe(index, base, index_absolute(index, index_entry(index, i).start), &found))
			bytes += found.end - found.start;
	}
	return bytes;
}

static guint64 image_code_bytes(const struct image *image)
{
	guint64 bytes = 0;

	for (guint i = 0; i < image->segment_count; i++)
		bytes += image->segments[i].executable ? image->segments[i].file_size : 0;
	return bytes;
}

/* Much of the code is described by nobody. */
static gboolean table_is_sparse(const struct unwind_table *table, const struct image *image)
{
	guint64 code_bytes = image_code_bytes(image), described;

	if (!table)
		return TRUE;
	if (table->index && table->index->count > SPARSE_COUNT_MAX)
		return code_bytes / table->index->count > SPARSE_BYTES_EACH;
	described = table->index ? index_described(table->index, table->base) : rows_described(table);
	return described < code_bytes - code_bytes / 4;
}

/* Go's code keeps frame pointers. */
static gboolean image_is_go(const struct image *image)
{
	return image_find_section(image, ".gopclntab") || image_find_section(image, ".go.buildinfo") ||
	       image_find_section(image, ".note.go.buildid");
}

/* Adds what Go or the code itself says, where it is needed. NULL, and the error stays, when there is neither. */
static struct unwind_table *table_complete(struct unwind_table *table, const struct image *image, GError **error)
{
	gboolean is_go = image_is_go(image);
	struct go *go = is_go ? go_open(image) : NULL;
	struct prologue *code = !is_go && table_is_sparse(table, image) ? prologue_open(image) : NULL;

	if (!code && !go)
		return table;
	if (!table)
		table = table_new(code_base(image));
	g_clear_error(error);
	table->code = code;
	table->go = go;
	return table;
}

static struct unwind_table *table_read(const struct image *image, gboolean is_whole, GError **error)
{
	struct frames frames = { 0 };
	struct unwind_table *table = NULL;

	if (!image->is_64bit || image->machine != EM_X86_64) {
		g_set_error_literal(error, CFI_ERROR, CFI_ERROR_ABSENT, "not for x86-64");
		return NULL;
	}
	if (!is_whole)
		table = frames_pages(image);
	if (table)
		return image_is_go(image) ? table_complete(table, image, error) : table;
	frames_read(image, &frames);
	if (!is_whole)
		table = frames_index(image, &frames);
	if (!table)
		table = frames_compile(image, &frames, error);
	frames_clear(&frames);
	return is_whole ? table : table_complete(table, image, error);
}

struct unwind_table *unwind_table_read(const struct image *image, GError **error)
{
	return table_read(image, FALSE, error);
}

struct unwind_table *unwind_table_read_whole(const struct image *image, GError **error)
{
	return table_read(image, TRUE, error);
}
