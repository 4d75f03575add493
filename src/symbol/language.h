/* SPDX-License-Identifier: Apache-2.0 */
/* Which language runtime a process runs, known by the files it maps as code, and what it takes to see that language's
 * functions. One table (language.c); a runtime more is one entry. */
#pragma once
#include <glib.h>

enum language_kind {
	LANGUAGE_NATIVE = 0, /* nothing of the table: compiled code, named by its symbols */
	LANGUAGE_PYTHON = 1,
	LANGUAGE_RUBY = 2,
	LANGUAGE_PHP = 3,
	LANGUAGE_NODE = 4,
	LANGUAGE_JAVA = 5,
	LANGUAGE_PERL = 6,
	LANGUAGE_DOTNET = 7,
	LANGUAGE_ERLANG = 8,
	LANGUAGE_LUA = 9,
};

struct language {
	enum language_kind kind;
	const char *name; /* for people: "Ruby" */
	/* What is missing without help and how to get it, one sentence; NULL when nothing has to be done. */
	const char *advice;
	const char *stacks; /* the same for stacks that end in code it made: what makes them complete; NULL */
};

/* The runtime a mapped file belongs to, by its base name ("libruby-3.1.so.3.1", "php8.2", "node"); NULL when it is none. */
const struct language *language_of_file(const char *base_name);
const struct language *language_find(enum language_kind kind); /* NULL for LANGUAGE_NATIVE */
