/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/jitname.h"

#include <string.h>

/* What V8 puts before its marks (v8/src/logging/log.cc, code events) when code comes from JavaScript. */
static const char *const v8_events[] = { "JS:", "LazyCompile:", "Function:", "Script:", "Eval:" };
#define V8_MARKS "~^+*'" /* interpreted, baseline, Maglev, TurboFan */

/* "/app/lib/x.js:13:14" → "x.js:13"; NULL when there is no line. */
static char *v8_source(const char *text)
{
	const char *column = strrchr(text, ':'), *slash = strrchr(text, '/');
	const char *base = slash ? slash + 1 : text;

	if (!column || column <= base || !g_ascii_isdigit(column[1]) || !memchr(base, ':', (gsize)(column - base)))
		return NULL;
	return g_strndup(base, (gsize)(column - base));
}

/* "*turn /app/x.js:13:14": functions' names hold no blank, paths may; accessors are "get size". */
static char *v8_name(const char *text, char **module)
{
	const char *blank;
	gsize length;

	text += strspn(text, V8_MARKS);
	blank = strchr(text, ' ');
	if (blank && (g_str_has_prefix(text, "get ") || g_str_has_prefix(text, "set ")) && strchr(blank + 1, ' '))
		blank = strchr(blank + 1, ' ');
	if (!blank)
		return text[0] ? g_strdup(text) : NULL;
	*module = v8_source(blank + 1);
	length = (gsize)(blank - text);
	if (length)
		return g_strndup(text, length);
	return *module ? g_strdup_printf("(anonymous %s)", *module) : NULL;
}

/* "java.lang.Object java.util.HashMap.get(java.lang.Object)" → "java.util.HashMap.get". */
static char *java_name(const char *raw)
{
	const char *open = strchr(raw, '('), *blank = strchr(raw, ' ');
	GString *name;

	if (!open || !blank || open <= blank + 1 || raw[strlen(raw) - 1] != ')' ||
	    memchr(blank + 1, ' ', (gsize)(open - blank - 1)) || !memchr(blank, '.', (gsize)(open - blank)))
		return NULL;
	name = g_string_new(NULL);
	for (const char *at = blank + 1; at < open;) {
		if ((*at == '/' || *at == '+') && at[1] == '0' && at[2] == 'x') /* Foo$$Lambda/0x00007f8a3c003000 */
			for (at += 3; at < open && g_ascii_isxdigit(*at); at++)
				;
		else
			g_string_append_c(name, *at++);
	}
	return g_string_free(name, FALSE);
}

/* CPython's trampolines: "py::function:/path/file.py". */
static char *python_name(const char *text, char **module)
{
	const char *colon = strchr(text, ':');
	const char *slash = strrchr(text, '/');

	if (!colon || colon == text)
		return NULL;
	*module = g_strdup(slash ? slash + 1 : colon + 1);
	return g_strndup(text, (gsize)(colon - text));
}

char *jitname_read(const char *raw, char **module)
{
	char *name = NULL;

	*module = NULL;
	for (guint i = 0; i < G_N_ELEMENTS(v8_events) && !name; i++)
		if (g_str_has_prefix(raw, v8_events[i]))
			name = v8_name(raw + strlen(v8_events[i]), module);
	if (!name && g_str_has_prefix(raw, "py::"))
		name = python_name(raw + strlen("py::"), module);
	if (!name)
		name = java_name(raw);
	return name ? name : g_strdup(raw);
}
