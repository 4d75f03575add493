/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/python.h"

#include <string.h>

#define SYMBOLS_MAX 200000
#define SYMBOL_CHUNK 1024
#define CODE_UNIT 2 /* bytes */

/* ---- layouts ---- */

static const struct python_layout layout_3_11 = {
	.runtime_interpreters = 40,
	.interpreter_next = 0,
	.interpreter_threads = 16,
	.thread_next = 8,
	.thread_id = 152,
	.thread_native_id = 160,
	.thread_frame = 56,
	.cframe_frame = 8,
	.frame_code = 32,
	.frame_previous = 48,
	.frame_instruction = 56,
	.frame_owner = 68, /* is_entry */
	.owner_entry = PYTHON_LAYOUT_OWNER_ANY,
	.code_version = PYTHON_LAYOUT_NO_VERSION,
	.code_first_line = 72,
	.code_file = 112,
	.code_name = 128,
	.code_lines = 136,
	.code_instructions = 184,
	.text_state = 32,
	.text_length = 16,
	.text_ascii = 48,
	.text_wide = 72,
	.bytes_length = 16,
	.bytes_data = 32,
};

static const struct python_layout layout_3_12 = {
	.runtime_interpreters = 40,
	.interpreter_next = 0,
	.interpreter_threads = 72,
	.thread_next = 8,
	.thread_id = 136,
	.thread_native_id = 144,
	.thread_frame = 56,
	.cframe_frame = 0,
	.frame_code = 0,
	.frame_previous = 8,
	.frame_instruction = 56,
	.frame_owner = 70,
	.owner_entry = 3, /* FRAME_OWNED_BY_CSTACK */
	.code_version = 92,
	.code_first_line = 68,
	.code_file = 112,
	.code_name = 128,
	.code_lines = 136,
	.code_instructions = 192,
	.text_state = 32,
	.text_length = 16,
	.text_ascii = 40,
	.text_wide = 56,
	.bytes_length = 16,
	.bytes_data = 32,
};

/* What 3.13 does not describe itself. */
static const struct python_layout layout_3_13 = {
	.cframe_frame = PYTHON_LAYOUT_DIRECT,
	.owner_entry = 3,
	.code_version = 92,
};

/* Words of struct _Py_DebugOffsets of 3.13, counted from its beginning (the cookie). */
#define DEBUG_COOKIE "xdebugpy"
#define DEBUG_WORDS 71
#define DEBUG_VERSION 1

static const struct {
	guint word;
	gsize field; /* of struct python_layout */
} debug_fields[] = {
#define FIELD(word, name)                                                                                              \
	{                                                                                                              \
		word, G_STRUCT_OFFSET(struct python_layout, name)                                                      \
	}
	FIELD(5, runtime_interpreters), FIELD(8, interpreter_next), FIELD(9, interpreter_threads),
	FIELD(21, thread_next),		FIELD(23, thread_frame),    FIELD(24, thread_id),
	FIELD(25, thread_native_id),	FIELD(29, frame_previous),  FIELD(30, frame_code),
	FIELD(31, frame_instruction),	FIELD(33, frame_owner),	    FIELD(35, code_file),
	FIELD(37, code_name),		FIELD(38, code_lines),	    FIELD(39, code_first_line),
	FIELD(43, code_instructions),	FIELD(65, bytes_length),    FIELD(66, bytes_data),
	FIELD(68, text_state),		FIELD(69, text_length),	    FIELD(70, text_ascii),
#undef FIELD
};

/* struct PyCompactUnicodeObject: a PyASCIIObject, the length of its UTF-8 form and a pointer to that */
#define TEXT_WIDE_EXTRA 16

/* What is at an offset must lie within the part that is read of the structure. */
static gboolean layout_is_sane(const struct python_layout *layout)
{
	return layout->runtime_interpreters < PYTHON_LAYOUT_MAX && layout->interpreter_next < PYTHON_LAYOUT_MAX &&
	       layout->interpreter_threads < PYTHON_LAYOUT_MAX && layout->thread_next <= PYTHON_LAYOUT_THREAD_MAX &&
	       layout->thread_id <= PYTHON_LAYOUT_THREAD_MAX && layout->thread_native_id <= PYTHON_LAYOUT_THREAD_MAX &&
	       layout->thread_frame <= PYTHON_LAYOUT_THREAD_MAX && layout->frame_code <= PYTHON_LAYOUT_FRAME_MAX &&
	       layout->frame_previous <= PYTHON_LAYOUT_FRAME_MAX &&
	       layout->frame_instruction <= PYTHON_LAYOUT_FRAME_MAX &&
	       layout->frame_owner < PYTHON_LAYOUT_FRAME_MAX + 8 && layout->code_first_line <= PYTHON_LAYOUT_CODE_MAX &&
	       layout->code_file <= PYTHON_LAYOUT_CODE_MAX && layout->code_name <= PYTHON_LAYOUT_CODE_MAX &&
	       layout->code_lines <= PYTHON_LAYOUT_CODE_MAX && layout->code_instructions < G_MAXUINT16 &&
	       layout->text_state <= PYTHON_LAYOUT_TEXT_MAX && layout->text_length <= PYTHON_LAYOUT_TEXT_MAX &&
	       layout->text_ascii < G_MAXUINT16 && layout->text_wide < G_MAXUINT16 &&
	       layout->bytes_length < G_MAXUINT16 && layout->bytes_data < G_MAXUINT16;
}

/* ---- the file ---- */

static gboolean image_read_address(const struct image *image, guint64 address, gsize length, void *out)
{
	for (guint i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];

		if (address >= segment->address && address - segment->address < segment->file_size &&
		    length <= segment->file_size - (address - segment->address))
			return image_read(image, segment->offset + (address - segment->address), length, out);
	}
	return FALSE;
}

static guint64 word_at(const guint8 *bytes, guint word)
{
	guint64 value;

	memcpy(&value, bytes + 8 * (gsize)word, 8);
	return value;
}

/* 3.13: the runtime describes itself. FALSE when it does not. */
static gboolean debug_offsets_read(const struct image *image, struct python *python)
{
	guint8 bytes[8 * DEBUG_WORDS];
	guint64 version;

	if (!image_read_address(image, python->runtime, sizeof(bytes), bytes) || memcmp(bytes, DEBUG_COOKIE, 8) != 0)
		return FALSE;
	version = word_at(bytes, DEBUG_VERSION);
	python->version = (guint16)(version >> 16);
	if (python->version != 0x030d)
		return TRUE;
	python->layout = layout_3_13;
	for (guint i = 0; i < G_N_ELEMENTS(debug_fields); i++) {
		guint64 value = word_at(bytes, debug_fields[i].word);
		guint32 offset = (guint32)MIN(value, (guint64)G_MAXUINT32);

		memcpy((guint8 *)&python->layout + debug_fields[i].field, &offset, sizeof(offset));
	}
	python->layout.text_wide = python->layout.text_ascii + TEXT_WIDE_EXTRA;
	if (!layout_is_sane(&python->layout))
		python->version = 0;
	return TRUE;
}

/* Finds the data object `name` of .dynsym and reads the word in it. */
static gboolean dynamic_word(const struct image *image, const char *name, guint64 *value)
{
	const struct image_section *section = image_find_section(image, ".dynsym");
	g_autofree Elf64_Sym *chunk = NULL;
	g_autofree char *names = NULL;
	gsize names_size;
	guint64 count;

	if (!section || section->link >= image->section_count || section->entry_size != sizeof(*chunk))
		return FALSE;
	names = image_read_section(image, &image->sections[section->link], IMAGE_SECTION_BYTES_MAX, &names_size);
	chunk = g_new(Elf64_Sym, SYMBOL_CHUNK);
	count = names ? MIN(section->size / sizeof(*chunk), (guint64)SYMBOLS_MAX) : 0;
	for (guint64 done = 0; done < count; done += SYMBOL_CHUNK) {
		gsize n = (gsize)MIN(count - done, (guint64)SYMBOL_CHUNK);

		if (!image_read(image, section->offset + done * sizeof(*chunk), n * sizeof(*chunk), chunk))
			return FALSE;
		for (gsize i = 0; i < n; i++)
			if (chunk[i].st_name < names_size && strcmp(names + chunk[i].st_name, name) == 0)
				return image_read_address(image, chunk[i].st_value, sizeof(*value), value);
	}
	return FALSE;
}

gboolean python_is_known(const struct python *python)
{
	return python->version >= PYTHON_VERSION_MIN && python->version <= PYTHON_VERSION_MAX;
}

gboolean python_read(const struct image *image, struct python *python)
{
	const struct image_section *section = image_find_section(image, ".PyRuntime");
	guint64 version;

	memset(python, 0, sizeof(*python));
	if (!section || !image->is_64bit)
		return FALSE;
	python->runtime = section->address;
	if (debug_offsets_read(image, python) || !dynamic_word(image, "Py_Version", &version))
		return TRUE;
	python->version = (guint16)(version >> 16);
	if (python->version == 0x030b)
		python->layout = layout_3_11;
	else if (python->version == 0x030c)
		python->layout = layout_3_12;
	else if (python_is_known(python))
		python->version = 0; /* one that should have described itself */
	return TRUE;
}

/* ---- code objects ---- */

/* The bit field of a str object (struct PyASCIIObject, PEP 393): two bits on interning, three for the bytes of a character,
 * compact, ascii. */
#define TEXT_KIND(state) (((state) >> 2) & 7)
#define TEXT_COMPACT (1u << 5)

gboolean python_text(guint32 state, const guint8 *bytes, gsize size, guint32 length, GString *text)
{
	guint width = TEXT_KIND(state);
	gsize count;

	if (!(state & TEXT_COMPACT) || (width != 1 && width != 2 && width != 4))
		return FALSE;
	count = MIN(size / width, (gsize)length);
	for (gsize i = 0; i < count; i++) {
		guint32 character = 0;

		memcpy(&character, bytes + i * width, width); /* little-endian machines only, see image.c */
		g_string_append_unichar(text, character && g_unichar_validate(character) ? character : 0xfffd);
	}
	return TRUE;
}

/* Objects/locations.md of CPython: entries of some bytes; only the first byte of each has its top bit set. */
enum location {
	LOCATION_ONE_LINE_0 = 10, /* up to two lines further */
	LOCATION_NO_COLUMNS = 13,
	LOCATION_LONG = 14,
	LOCATION_NONE = 15,
};

static gint32 take_signed(const guint8 *table, gsize size, gsize at)
{
	guint32 value = 0;

	for (guint shift = 0; shift < 32 && at < size; shift += 6, at++) {
		value |= (guint32)(table[at] & 0x3f) << shift;
		if (!(table[at] & 0x40))
			break;
	}
	return value & 1 ? -(gint32)(value >> 1) : (gint32)(value >> 1);
}

static gint32 location_lines(const guint8 *table, gsize size, gsize at)
{
	guint code = (table[at] >> 3) & 15;

	if (code == LOCATION_NO_COLUMNS || code == LOCATION_LONG)
		return take_signed(table, size, at + 1);
	if (code >= LOCATION_ONE_LINE_0 && code < LOCATION_NO_COLUMNS)
		return (gint32)(code - LOCATION_ONE_LINE_0);
	return 0;
}

guint32 python_line(const guint8 *table, gsize size, guint32 first_line, guint32 instruction)
{
	guint64 line = first_line, end = 0; /* the first instruction behind the entry */

	for (gsize at = 0; at < size;) {
		gboolean has_line = ((table[at] >> 3) & 15) != LOCATION_NONE;

		if (!(table[at] & 0x80))
			return 0;
		line += (guint64)(gint64)location_lines(table, size, at);
		end += (table[at] & 7) + 1;
		if (instruction < end)
			return has_line && line <= G_MAXINT32 ? (guint32)line : 0;
		do
			at++;
		while (at < size && !(table[at] & 0x80));
	}
	return 0;
}
