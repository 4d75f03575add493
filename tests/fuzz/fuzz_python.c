/* SPDX-License-Identifier: Apache-2.0 */
/* What a forged interpreter says of itself, and forged code objects: the input is _PyRuntime, a text and a table of lines. */
#include <string.h>

#include "symbol/python.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

static void check_layout(const struct python *python)
{
	const struct python_layout *layout = &python->layout;

	if (layout->thread_id > PYTHON_LAYOUT_THREAD_MAX || layout->thread_frame > PYTHON_LAYOUT_THREAD_MAX ||
	    layout->frame_previous > PYTHON_LAYOUT_FRAME_MAX || layout->frame_owner > PYTHON_LAYOUT_FRAME_MAX + 8 ||
	    layout->code_lines > PYTHON_LAYOUT_CODE_MAX || layout->text_state > PYTHON_LAYOUT_TEXT_MAX)
		g_error("an offset beyond what is read");
}

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	static char names[] = ".PyRuntime";
	struct image_section section = { .type = SHT_PROGBITS, .address = 0x1000, .size = size };
	struct image image = { .bytes = { .fd = -1, .memory = bytes, .size = size },
			       .is_64bit = TRUE,
			       .segments = { { .address = 0x1000, .file_size = size } },
			       .segment_count = 1,
			       .sections = &section,
			       .section_count = 1,
			       .section_names = names,
			       .section_names_size = sizeof(names) };
	g_autoptr(GString) text = g_string_new(NULL);
	struct python python;
	guint32 state = 0, length = 0;

	if (python_read(&image, &python) && python_is_known(&python))
		check_layout(&python);
	if (size < 8)
		return 0;
	memcpy(&state, bytes, 4);
	memcpy(&length, bytes + 4, 4);
	python_text(state, bytes + 8, size - 8, length, text);
	if (!g_utf8_validate(text->str, (gssize)text->len, NULL))
		g_error("not UTF-8");
	for (guint32 at = 0; at < 64; at++)
		python_line(bytes + 8, size - 8, length, at * at);
	return 0;
}
