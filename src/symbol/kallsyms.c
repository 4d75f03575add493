/* SPDX-License-Identifier: Apache-2.0 */
/* Lines are "ffffffff81000000 T _stext" with "\t[module]" behind for modules and BPF programs. There are no sizes: a function
 * reaches to the next symbol of any kind. Only text is kept; everything else is a boundary. */
#include "symbol/kallsyms.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define KALLSYMS_CHUNK (256u << 10)
#define KALLSYMS_BYTES_MAX (512u << 20)
#define KALLSYMS_FUNCTION_MAX (128u << 10) /* no function is longer; ends the last one of a module */
#define KALLSYMS_MODULE_MAX 64 /* MODULE_NAME_LEN */

static const guint8 hex_values[256] = {
	['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
	['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

static gboolean kind_is_text(char kind)
{
	return kind == 'T' || kind == 't' || kind == 'W' || kind == 'w';
}

static void line_module(const char *from, const char *end, char module[KALLSYMS_MODULE_MAX])
{
	gsize length;

	module[0] = '\0';
	while (from < end && *from != '[')
		from++;
	if (from >= end || end[-1] != ']')
		return;
	length = MIN((gsize)(end - from) - 2, (gsize)KALLSYMS_MODULE_MAX - 1);
	memcpy(module, from + 1, length);
	module[length] = '\0';
}

/* Returns FALSE when the line's address is zero (hidden). */
static gboolean line_add(struct symtab_builder *builder, const char *line, const char *end)
{
	char module[KALLSYMS_MODULE_MAX];
	const char *name, *name_end;
	guint64 address = 0;
	char kind;

	for (; line < end && hex_values[(guchar)*line]; line++)
		address = address << 4 | (hex_values[(guchar)*line] - 1u);
	if (end - line < 4 || address == 0)
		return address != 0;
	kind = line[1];
	name = line + 3;
	name_end = memchr(name, '\t', (gsize)(end - name));
	if (!name_end)
		name_end = end;
	/* __pfx_ symbols name the padding in front of a function: never executed. */
	if (!kind_is_text(kind) || (name_end - name > 6 && memcmp(name, "__pfx_", 6) == 0)) {
		symtab_builder_add_boundary(builder, address);
		return TRUE;
	}
	line_module(name_end, end, module);
	symtab_builder_add(builder, address, 0, address + KALLSYMS_FUNCTION_MAX, name, (gsize)(name_end - name), module,
			   kind == 't' ? SYMTAB_RANK_LOCAL : SYMTAB_RANK_GLOBAL);
	return TRUE;
}

struct symtab *kallsyms_load(const char *path, gboolean *hidden)
{
	struct symtab_builder *builder = symtab_builder_new();
	g_autofree char *chunk = g_malloc(KALLSYMS_CHUNK);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	gsize kept = 0, total = 0;
	gboolean any = FALSE, seen = FALSE;

	while (fd >= 0 && total < KALLSYMS_BYTES_MAX) {
		ssize_t n = read(fd, chunk + kept, KALLSYMS_CHUNK - kept);
		const char *line = chunk, *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		total += (gsize)n;
		kept += (gsize)n;
		while ((end = memchr(line, '\n', kept - (gsize)(line - chunk)))) {
			seen = line_add(builder, line, end) || seen;
			any = TRUE;
			line = end + 1;
		}
		kept -= (gsize)(line - chunk);
		if (kept == KALLSYMS_CHUNK)
			break; /* a line longer than the chunk: not kallsyms */
		memmove(chunk, line, kept);
	}
	if (fd >= 0)
		close(fd);
	*hidden = any && !seen;
	return symtab_builder_finish(builder);
}
