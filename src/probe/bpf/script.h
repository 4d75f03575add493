/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames of interpreted code: what both halves must agree on (python.bpf.h, scripts.c).
 *
 * An interpreter keeps the frames of its language in its own memory. The kernel half walks them at the moment of the
 * sample, so that they are true, and tells two kinds of records through `script_ring`, each once: a code object (a
 * function: its names and its table of lines, raw as the interpreter keeps them) and a script (a distinct chain of frames).
 * A stack record names its script by a keyed 128-bit fingerprint, which takes part in the stack's own. */
#pragma once
#include <linux/types.h>

#define SCRIPT_DEPTH 127 /* frames */
#define SCRIPT_NAME 256 /* bytes of a name, as stored by the interpreter */
#define SCRIPT_FILE 512
#define SCRIPT_LINES 4096 /* bytes of a table of lines */

#define PYTHON_THREAD_BYTES 192 /* of a thread's state that is looked at */
#define PYTHON_FRAME_BYTES 72 /* of a frame */
#define PYTHON_CODE_BYTES 144 /* of a code object */
#define PYTHON_TEXT_BYTES 40 /* of the head of a str object */

/* Where things lie in a process's CPython: addresses and offsets in bytes. Those within structures are below the sizes
 * above (less eight): checked by user space, masked by the kernel half. */
struct python_process {
	__u64 runtime; /* address of _PyRuntime */
	__u32 runtime_interpreters, interpreter_next, interpreter_threads;
	__u16 thread_next, thread_id, thread_native_id;
	__u16 thread_frame; /* the current frame … */
	__u16 cframe_frame; /* … or, unless PYTHON_DIRECT, a structure with it at this offset */
	__u16 frame_code, frame_previous, frame_instruction, frame_owner;
	__u16 owner_entry; /* PYTHON_OWNER_ANY: the frame is the first of a call from C when the owner byte is not 0. Else: a
			    * frame with this owner is no frame of Python's but marks the call from C */
	__u16 code_version; /* a number no other code object has had; or PYTHON_NO_VERSION */
	__u16 code_first_line, code_file, code_name, code_lines, code_instructions;
	__u16 text_state, text_length, text_ascii, text_wide; /* the last two: where characters begin */
	__u16 bytes_length, bytes_data;
};
#define PYTHON_DIRECT 0xffff
#define PYTHON_OWNER_ANY 0xffff
#define PYTHON_NO_VERSION 0xffff

/* A frame: code id (never 0, unless the code object could not be read or kept) | entry bit | instruction. */
#define SCRIPT_CODE(word) ((__u32)((word) >> 32))
#define SCRIPT_ENTRY (1ULL << 31) /* the outermost frame of one call into the interpreter */
#define SCRIPT_INSTRUCTION(word) ((__u32)(word)&0x7fffffff) /* in code units; SCRIPT_NO_INSTRUCTION when not known */
#define SCRIPT_NO_INSTRUCTION 0x7fffffffu

enum script_flags {
	SCRIPT_CUT = 1 << 0, /* more frames than fit */
	SCRIPT_BROKEN = 1 << 1, /* memory could not be read on the way */
};

enum script_record_kind {
	SCRIPT_RECORD_STACK = 1,
	SCRIPT_RECORD_CODE = 2,
};

struct script_stack_record {
	__u32 kind; /* SCRIPT_RECORD_STACK */
	__u32 tgid;
	__u64 hash[2];
	__u32 count, flags;
	__u64 words[SCRIPT_DEPTH + 1]; /* innermost first */
};

struct script_text { /* of a str object, see PEP 393 */
	__u32 state; /* bit field as the interpreter keeps it */
	__u32 length; /* characters; more than were copied when it was too long */
};

struct script_code_record {
	__u32 kind; /* SCRIPT_RECORD_CODE */
	__u32 tgid;
	__u32 id;
	__u32 first_line;
	struct script_text name, file;
	__u32 lines_bytes, pad;
	__u8 name_bytes[SCRIPT_NAME], file_bytes[SCRIPT_FILE];
	__u8 lines[SCRIPT_LINES];
};

/* Counters of what the walk could not do (per CPU). */
enum script_loss {
	SCRIPT_LOSS_THREAD = 0, /* samples: the thread has no state in the interpreter, or it could not be found */
	SCRIPT_LOSS_READ = 1, /* samples: chain of frames broken */
	SCRIPT_LOSS_CODE = 2, /* code objects that could not be read, kept or sent (tried again) */
	SCRIPT_LOSS_RING = 3, /* scripts that did not fit into the ring (tried again) */
	SCRIPT_SEEN = 4, /* no loss: samples walked */
	SCRIPT_LOSSES = 5,
};
