/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/language.h"

#include <string.h>

#define PREFIXES_MAX 4

/* A base name matches when it is the prefix, or goes on with something that is no letter: "php8.2" is PHP, "phpize"
 * is not. */
struct entry {
	struct language language;
	const char *prefixes[PREFIXES_MAX]; /* NULL at the end */
};

static const struct entry entries[] = {
	{ { LANGUAGE_PYTHON, "Python", NULL }, { "libpython", "python", "pypy" } },
	{ { LANGUAGE_RUBY, "Ruby",
	    "Ruby methods are not named, only the interpreter's own functions: with Ruby 3.3 or newer start it with "
	    "RUBYOPT=--yjit-perf (writes /tmp/perf-PID.map)" },
	  { "libruby", "ruby" } },
	{ { LANGUAGE_PHP, "PHP",
	    "PHP functions are not named, only the interpreter's own: start it with opcache.enable=1, "
	    "opcache.jit=function, opcache.jit_buffer_size=64M and opcache.jit_debug=16 (on the "
	    "command line also opcache.enable_cli=1): it writes /tmp/perf-PID.map, but callers of compiled functions are lost" },
	  { "libphp", "php", "php-fpm", "php-cgi" } },
	{ { LANGUAGE_NODE, "Node.js",
	    "JavaScript functions are not named: start it with --perf-basic-prof-only-functions "
	    "--interpreted-frames-native-stack, or with both in NODE_OPTIONS (writes /tmp/perf-PID.map)" },
	  { "libnode", "node", "nodejs" } },
	{ { LANGUAGE_JAVA, "Java",
	    "Java methods are not named: measure with --java-map (JDK 17 and later), or run `jcmd PID Compiler.perfmap` "
	    "before",
	    "Java keeps frame pointers when it is started with -XX:+PreserveFramePointer" },
	  { "libjvm" } },
	{ { LANGUAGE_PERL, "Perl", "Perl functions are not named, only the interpreter's own" },
	  { "libperl", "perl" } },
	{ { LANGUAGE_DOTNET, ".NET",
	    ".NET methods are not named: start it with DOTNET_PerfMapEnabled=1 (writes /tmp/perf-PID.map)" },
	  { "libcoreclr" } },
	{ { LANGUAGE_ERLANG, "Erlang",
	    "Erlang functions are not named: start it with `erl +JPperf true` (writes /tmp/perf-PID.map)" },
	  { "beam" } },
	{ { LANGUAGE_LUA, "Lua", "Lua functions are not named, only the interpreter's own" },
	  { "libluajit", "liblua", "luajit", "lua" } },
};

static gboolean name_matches(const char *name, const char *prefix)
{
	gsize length = strlen(prefix);

	return strncmp(name, prefix, length) == 0 && !g_ascii_isalpha(name[length]);
}

const struct language *language_of_file(const char *base_name)
{
	for (guint i = 0; i < G_N_ELEMENTS(entries); i++)
		for (guint j = 0; j < PREFIXES_MAX && entries[i].prefixes[j]; j++)
			if (name_matches(base_name, entries[i].prefixes[j]))
				return &entries[i].language;
	return NULL;
}

const struct language *language_find(enum language_kind kind)
{
	for (guint i = 0; i < G_N_ELEMENTS(entries); i++)
		if (entries[i].language.kind == kind)
			return &entries[i].language;
	return NULL;
}
