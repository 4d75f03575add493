/* SPDX-License-Identifier: Apache-2.0 */
#include "render/names.h"

#include <string.h>

#include "base/text.h"

/* The bracket that closes the one at `open`; NULL: none does. The arrow of "operator->" closes none. */
static const char *bracket_end(const char *open)
{
	const char closing = *open == '<' ? '>' : ')';
	guint depth = 0;

	for (const char *at = open; *at; at++) {
		if (*at == *open)
			depth++;
		else if (*at == closing && (at == open || at[-1] != '-') && --depth == 0)
			return at;
	}
	return NULL;
}

/* What stands before a bracket that holds arguments: a name, or one with arguments of its own. */
static gboolean bracket_belongs(const char *name, const char *open)
{
	static const char call[] = "operator()";
	gsize before = (gsize)(open - name), word = strlen("operator");

	if (before == 0)
		return FALSE;
	if (open[-1] == ')')
		return before >= strlen(call) && strncmp(open - strlen(call), call, strlen(call)) == 0;
	return (g_ascii_isalnum(open[-1]) || strchr("_>~", open[-1])) &&
	       (before < word || strncmp(open - word, call, word) != 0);
}

char *name_brief(const char *name, guint columns)
{
	GString *brief = g_string_new(NULL);

	if (text_columns(name) <= columns || name[0] == '[') /* in square brackets stands a reason */
		return g_string_free(g_string_append(brief, name), FALSE);
	for (const char *at = name; *at; at++) {
		const char *end = (*at == '<' || *at == '(') && bracket_belongs(name, at) ? bracket_end(at) : NULL;

		g_string_append_c(brief, *at);
		if (!end || end == at + 1)
			continue;
		g_string_append(brief, TEXT_ELLIPSIS);
		at = end - 1;
	}
	return g_string_free(brief, FALSE);
}
