/* SPDX-License-Identifier: Apache-2.0 */
/* A mangled name of a few hundred bytes can unfold to gigabytes (each substitution may double it) and comes from files that
 * containers control. The allocation-free entry points of libiberty hand the text out piece by piece; when there is too
 * much of it, we leave by longjmp: nothing has been allocated that could leak. What is never handed out, such as the path of a Rust
 * impl, may take for ever nonetheless: such names are measured first. */
#include "symbol/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

#include "symbol/rustname.h"

struct output {
	jmp_buf full;
	gsize length;
	char text[DEMANGLE_OUTPUT_MAX + 4];
};

static void output_add(const char *piece, size_t length, void *user)
{
	struct output *output = user;
	gsize fits = MIN((gsize)length, DEMANGLE_OUTPUT_MAX - output->length);

	if (fits)
		memcpy(output->text + output->length, piece, fits);
	output->length += fits;
	if (fits < length)
		longjmp(output->full, 1);
}

static gboolean demangle_into(struct output *output, const char *name)
{
	const int options = DMGL_ANSI;

	if (setjmp(output->full)) {
		memcpy(output->text + output->length, "...", 3);
		output->length += 3;
		return TRUE;
	}
	if (rust_demangle_callback(name, options, output_add, output))
		return TRUE;
	output->length = 0;
	return name[0] == '_' && cplus_demangle_v3_callback(name, options, output_add, output);
}

char *demangle(const char *name)
{
	g_autofree struct output *output = NULL;
	gsize length;

	if (!(name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || g_str_has_prefix(name, "_GLOBAL_"))))
		return NULL;
	length = strnlen(name, DEMANGLE_INPUT_MAX + 1);
	if (length > DEMANGLE_INPUT_MAX || (name[1] == 'R' && !rustname_is_bounded(name)))
		return NULL;
	output = g_new(struct output, 1);
	output->length = 0;
	if (!demangle_into(output, name) || output->length == 0)
		return NULL;
	return g_strndup(output->text, output->length);
}
