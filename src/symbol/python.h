/* SPDX-License-Identifier: Apache-2.0 */
/* CPython from outside: where its structures lie, and what its code objects say.
 *
 * Up to 3.12 the layout is fixed within a minor version (Include/internal/pycore_*.h of 3.11 and 3.12); from 3.13 on
 * _PyRuntime begins with a description of itself (struct _Py_DebugOffsets), whose initial bytes are in the file. So
 * everything here comes from the ELF file, or from code objects that were copied at the moment of a sample; nothing is
 * read from a process. Files and code objects are hostile: bounded and checked. */
#pragma once
#include <glib.h>

#include "symbol/image.h"

#define PYTHON_VERSION_MIN 0x030b /* 3.11 */
#define PYTHON_VERSION_MAX 0x030d /* 3.13 */

/* What has to hold for an offset within a structure: what is read of it ends behind it. */
#define PYTHON_LAYOUT_THREAD_MAX 184
#define PYTHON_LAYOUT_FRAME_MAX 64
#define PYTHON_LAYOUT_CODE_MAX 136
#define PYTHON_LAYOUT_TEXT_MAX 32
#define PYTHON_LAYOUT_MAX (1u << 20) /* of any other */
#define PYTHON_LAYOUT_DIRECT 0xffff
#define PYTHON_LAYOUT_OWNER_ANY 0xffff
#define PYTHON_LAYOUT_NO_VERSION 0xffff

struct python_layout { /* offsets in bytes */
	guint32 runtime_interpreters, interpreter_next, interpreter_threads;
	guint32 thread_next, thread_id, thread_native_id;
	guint32 thread_frame; /* the current frame … */
	guint32 cframe_frame; /* … or, unless _DIRECT, a structure with it at this offset */
	guint32 frame_code, frame_previous, frame_instruction, frame_owner;
	guint32 owner_entry; /* value of the owner byte that marks a call from C; _OWNER_ANY: of the frame itself, not 0 */
	guint32 code_version; /* a number no other code object has had; _NO_VERSION: there is none */
	guint32 code_first_line, code_file, code_name, code_lines, code_instructions;
	guint32 text_state, text_length, text_ascii, text_wide;
	guint32 bytes_length, bytes_data;
};

struct python {
	guint16 version; /* 0x030b: 3.11 */
	guint64 runtime; /* address of _PyRuntime as the file counts it */
	struct python_layout layout;
};

/* TRUE when the file holds an interpreter. Its version is 0 when it cannot be told, and the layout is only filled when the
 * version is one of those known. */
gboolean python_read(const struct image *image, struct python *python);
gboolean python_is_known(const struct python *python);

/* A str object as the interpreter keeps it: `state` is its bit field, `length` counts characters. Appends UTF-8. FALSE
 * when it makes no sense. */
gboolean python_text(guint32 state, const guint8 *bytes, gsize size, guint32 length, GString *text);

/* The line of the instruction (in code units of two bytes), from the code object's table (co_linetable); 0: not known. */
guint32 python_line(const guint8 *table, gsize size, guint32 first_line, guint32 instruction);
