/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "symbol/confined.h"

#define MEMORY_MAX (G_GUINT64_CONSTANT(2) << 30) /* address space: debug information of 500 MB fits */
#define UNITS_MAX (1u << 20)
#define RANGES_MAX (8u << 20) /* address ranges, of units or of one unit's functions */
#define DEPTH_MAX 64 /* scopes within scopes */
#define BUFFER_BYTES (64u << 10)

/* The answer is a sequence of places, each a header and its frames; integers as this machine has them. */
struct place_header {
	guint32 index;
	guint32 frames;
};

struct frame_header {
	guint32 line;
	guint16 name_length, file_length; /* the bytes follow, without NUL */
};

/* ---- in the confined process ---- */

struct range {
	guint64 start, end;
	Dwarf_Off die;
};

struct reader {
	Dwarf *dwarf;
	GArray *units; /* struct range, sorted by start: die is a unit's */
	Dwarf_Off unit; /* whose functions `functions` holds */
	GArray *functions; /* struct range, sorted by start: die is a function's */
	int out;
	GByteArray *pending;
};

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end < y->end) - (x->end > y->end);
}

static void ranges_add(GArray *ranges, Dwarf_Die *die)
{
	struct range range = { .die = dwarf_dieoffset(die) };
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0 && ranges->len < RANGES_MAX) {
		range.start = start;
		range.end = end;
		if (start < end && start) /* the linker leaves discarded functions at 0 */
			g_array_append_val(ranges, range);
	}
}

/* Compilers need not write .debug_aranges (clang and rustc do not), so the units tell for themselves. */
static void units_read(struct reader *reader)
{
	Dwarf_Off at = 0, next, header;
	size_t header_size;
	guint units = 0;
	Dwarf_Die die;

	while (units++ < UNITS_MAX && dwarf_nextcu(reader->dwarf, at, &next, &header_size, NULL, NULL, NULL) == 0) {
		header = at + header_size;
		if (dwarf_offdie(reader->dwarf, header, &die))
			ranges_add(reader->units, &die);
		at = next;
	}
	g_array_sort(reader->units, compare_ranges);
}

/* Functions lie in units, name spaces and types, never in each other (C's nested ones aside, which are found as scopes). */
static void functions_read(struct reader *reader, Dwarf_Die *parent, guint depth)
{
	Dwarf_Die die;

	if (depth > DEPTH_MAX || dwarf_child(parent, &die) != 0)
		return;
	do {
		switch (dwarf_tag(&die)) {
		case DW_TAG_subprogram:
			ranges_add(reader->functions, &die);
			break;
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_structure_type:
		case DW_TAG_class_type:
		case DW_TAG_union_type:
		case DW_TAG_enumeration_type:
			functions_read(reader, &die, depth + 1);
			break;
		default:
			break;
		}
	} while (reader->functions->len < RANGES_MAX && dwarf_siblingof(&die, &die) == 0);
}

/* The last range that begins at or before `address` and holds it: of nested ones the innermost. */
static const struct range *range_find(const GArray *ranges, guint64 address)
{
	guint low = 0, high = ranges->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (g_array_index(ranges, struct range, middle).start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (guint tries = 0; low-- > 0 && tries < DEPTH_MAX; tries++)
		if (address < g_array_index(ranges, struct range, low).end)
			return &g_array_index(ranges, struct range, low);
	return NULL;
}

static const struct range *function_find(struct reader *reader, Dwarf_Die *unit, guint64 address)
{
	if (reader->unit != dwarf_dieoffset(unit)) {
		reader->unit = dwarf_dieoffset(unit);
		g_array_set_size(reader->functions, 0);
		functions_read(reader, unit, 0);
		g_array_sort(reader->functions, compare_ranges);
	}
	return range_find(reader->functions, address);
}

/* Adds the inlined functions around `address` within `scope`, outermost first. */
static guint scopes_walk(Dwarf_Die *scope, guint64 address, Dwarf_Die *inlined, guint count, guint depth)
{
	Dwarf_Die die;

	if (depth > DEPTH_MAX || dwarf_child(scope, &die) != 0)
		return count;
	do {
		int tag = dwarf_tag(&die);

		if ((tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block && tag != DW_TAG_try_block &&
		     tag != DW_TAG_catch_block) ||
		    dwarf_haspc(&die, address) <= 0)
			continue;
		if (tag == DW_TAG_inlined_subroutine && count < LINES_FRAMES_MAX - 1)
			inlined[count++] = die;
		return scopes_walk(&die, address, inlined, count, depth + 1);
	} while (dwarf_siblingof(&die, &die) == 0);
	return count;
}

static const char *die_name(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
		name = dwarf_formstring(&attribute);
	if (!name)
		name = dwarf_diename(die);
	return name ? name : "";
}

static gboolean die_number(Dwarf_Die *die, unsigned int name, guint32 *number)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	if (!dwarf_attr(die, name, &attribute) || dwarf_formudata(&attribute, &value) != 0 || value > G_MAXUINT32)
		return FALSE;
	*number = (guint32)value;
	return TRUE;
}

static void frame_write(struct reader *reader, const char *name, const char *file, guint32 line)
{
	struct frame_header header = { .line = line };

	header.name_length = (guint16)MIN(strlen(name), LINES_NAME_MAX);
	header.file_length = (guint16)MIN(strlen(file), LINES_FILE_MAX);
	g_byte_array_append(reader->pending, (const guint8 *)&header, sizeof(header));
	g_byte_array_append(reader->pending, (const guint8 *)name, header.name_length);
	g_byte_array_append(reader->pending, (const guint8 *)file, header.file_length);
}

static gboolean pending_flush(struct reader *reader, gsize at_least)
{
	if (reader->pending->len <= at_least)
		return TRUE;
	if (!confined_write(reader->out, reader->pending->data, reader->pending->len))
		return FALSE;
	g_byte_array_set_size(reader->pending, 0);
	return TRUE;
}

/* Where the call of inlined function `die` stands, in the function around it. */
static const char *call_file(Dwarf_Files *files, Dwarf_Die *die)
{
	Dwarf_Half version = 0;
	const char *name;
	guint32 index;

	dwarf_cu_info(die->cu, &version, NULL, NULL, NULL, NULL, NULL, NULL);
	if (!files || !die_number(die, DW_AT_call_file, &index) || (index == 0 && version < 5))
		return "";
	name = dwarf_filesrc(files, index, NULL, NULL);
	return name ? name : "";
}

static void place_write(struct reader *reader, guint32 index, Dwarf_Die *unit, Dwarf_Die *function, guint64 address)
{
	struct place_header header = { .index = index };
	Dwarf_Die inlined[LINES_FRAMES_MAX];
	guint count = scopes_walk(function, address, inlined, 0, 0);
	Dwarf_Line *row = dwarf_getsrc_die(unit, address);
	Dwarf_Files *files = NULL;
	const char *file = row ? dwarf_linesrc(row, NULL, NULL) : NULL;
	guint32 line = 0;
	int at_row = 0;

	if (row && dwarf_lineno(row, &at_row) == 0 && at_row > 0)
		line = (guint32)at_row;
	dwarf_getsrcfiles(unit, &files, NULL);
	header.frames = count + 1;
	g_byte_array_append(reader->pending, (const guint8 *)&header, sizeof(header));
	while (count-- > 0) { /* innermost first; each but the innermost is at the call of the next */
		frame_write(reader, die_name(&inlined[count]), file ? file : "", line);
		file = call_file(files, &inlined[count]);
		if (!die_number(&inlined[count], DW_AT_call_line, &line))
			line = 0;
	}
	frame_write(reader, die_name(function), file ? file : "", line);
}

static void address_look_up(struct reader *reader, guint32 index, guint64 address)
{
	struct place_header nothing = { .index = index };
	const struct range *range = range_find(reader->units, address);
	Dwarf_Die unit, function;

	if (range && dwarf_offdie(reader->dwarf, range->die, &unit)) {
		range = function_find(reader, &unit, address);
		if (range && dwarf_offdie(reader->dwarf, range->die, &function)) {
			place_write(reader, index, &unit, &function, address);
			return;
		}
	}
	g_byte_array_append(reader->pending, (const guint8 *)&nothing, sizeof(nothing));
}

int lines_write(const struct debug_fds *fds, const guint64 *addresses, guint count, int out)
{
	struct reader reader = { .out = out, .unit = G_MAXUINT64 };
	Dwarf *alt = fds->alt >= 0 ? dwarf_begin(fds->alt, DWARF_C_READ) : NULL;
	gboolean ok = TRUE;

	reader.dwarf = dwarf_begin(fds->dwarf, DWARF_C_READ);
	if (!reader.dwarf)
		return 1;
	if (alt)
		dwarf_setalt(reader.dwarf, alt);
	reader.units = g_array_new(FALSE, FALSE, sizeof(struct range));
	reader.functions = g_array_new(FALSE, FALSE, sizeof(struct range));
	reader.pending = g_byte_array_new();
	units_read(&reader);
	for (guint i = 0; i < count && ok; i++) {
		address_look_up(&reader, i, addresses[i]);
		ok = pending_flush(&reader, BUFFER_BYTES);
	}
	ok = ok && pending_flush(&reader, 0);
	g_array_unref(reader.units);
	g_array_unref(reader.functions);
	g_byte_array_unref(reader.pending);
	dwarf_end(reader.dwarf);
	if (alt)
		dwarf_end(alt);
	return ok ? 0 : 1;
}

/* ---- outside ---- */

struct question {
	const struct debug_fds *fds;
	const guint64 *addresses;
	guint count;
};

static int answer(void *user, int out)
{
	const struct question *question = user;

	return lines_write(question->fds, question->addresses, question->count, out);
}

static gboolean take(const guint8 **at, gsize *left, void *out, gsize length)
{
	if (*left < length)
		return FALSE;
	memcpy(out, *at, length);
	*at += length;
	*left -= length;
	return TRUE;
}

static gboolean take_text(const guint8 **at, gsize *left, gsize length, GStringChunk *strings, const char **out)
{
	if (*left < length)
		return FALSE;
	*out = g_string_chunk_insert_len(strings, (const char *)*at, (gssize)length);
	*at += length;
	*left -= length;
	return TRUE;
}

/* One place's frames; FALSE when the rest makes no sense. */
static gboolean frames_take(const guint8 **at, gsize *left, guint count, GArray *frames, GStringChunk *strings)
{
	for (guint i = 0; i < count; i++) {
		struct frame_header header;
		struct lines_frame frame;

		if (!take(at, left, &header, sizeof(header)) ||
		    !take_text(at, left, header.name_length, strings, &frame.name) ||
		    !take_text(at, left, header.file_length, strings, &frame.file))
			return FALSE;
		frame.line = header.line;
		g_array_append_val(frames, frame);
	}
	return TRUE;
}

struct lines *lines_parse(GBytes *bytes, guint count)
{
	struct lines *lines = g_new0(struct lines, 1);
	GArray *frames = g_array_new(FALSE, FALSE, sizeof(struct lines_frame));
	g_autofree guint *first = g_new0(guint, count + 1);
	struct place_header header;
	gsize left;
	const guint8 *at = g_bytes_get_data(bytes, &left);

	lines->places = g_new0(struct lines_place, count);
	lines->count = count;
	lines->strings = g_string_chunk_new(4096);
	while (take(&at, &left, &header, sizeof(header)) && header.index < count && header.frames <= LINES_FRAMES_MAX &&
	       !lines->places[header.index].looked_up) {
		first[header.index] = frames->len;
		if (!frames_take(&at, &left, header.frames, frames, lines->strings))
			break;
		lines->places[header.index].looked_up = TRUE;
		lines->places[header.index].count = header.frames;
		lines->looked_up++;
	}
	lines->frames = (struct lines_frame *)g_array_free(frames, FALSE);
	for (guint i = 0; i < count; i++)
		lines->places[i].frames = lines->frames + first[i];
	return lines;
}

struct lines *lines_look_up(const struct debug_fds *fds, const guint64 *addresses, guint count, guint64 time_max_ns)
{
	struct question question = { fds, addresses, count };
	struct confined_job job = {
		.work = answer,
		.user = &question,
		.fds = { fds->dwarf, fds->alt },
		.fd_count = fds->alt >= 0 ? 2 : 1,
		.parse_only = TRUE,
		.memory_max = MEMORY_MAX,
		.answer_max = LINES_ANSWER_MAX,
		.time_max_ns = time_max_ns,
	};
	g_autoptr(GBytes) bytes = NULL;
	struct confined child;

	if (confined_start(&child, &job, NULL)) {
		confined_finish(&child, NULL); /* what it said until then counts */
		bytes = g_bytes_new(child.answer->data, child.answer->len);
		confined_clear(&child);
	} else {
		bytes = g_bytes_new(NULL, 0);
	}
	return lines_parse(bytes, count);
}

void lines_free(struct lines *lines)
{
	if (!lines)
		return;
	g_free(lines->places);
	g_free(lines->frames);
	g_string_chunk_free(lines->strings);
	g_free(lines);
}
