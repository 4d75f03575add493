/* SPDX-License-Identifier: Apache-2.0 */
/* Language runtimes and their readers. */
#include <string.h>

#include "symbol/language.h"

static void test_language_of_file(void)
{
	static const struct {
		const char *file;
		enum language_kind kind;
	} cases[] = {
		{ "python3.11", LANGUAGE_PYTHON },
		{ "libpython3.13.so.1.0", LANGUAGE_PYTHON },
		{ "ruby3.1", LANGUAGE_RUBY },
		{ "libruby-3.1.so.3.1", LANGUAGE_RUBY },
		{ "php8.2", LANGUAGE_PHP },
		{ "php-fpm8.2", LANGUAGE_PHP },
		{ "node", LANGUAGE_NODE },
		{ "libnode.so.108", LANGUAGE_NODE },
		{ "libjvm.so", LANGUAGE_JAVA },
		{ "beam.smp", LANGUAGE_ERLANG },
		{ "libcoreclr.so", LANGUAGE_DOTNET },
	};
	static const char *const none[] = { "",		  "phpize",  "libc.so.6",	"nodecheck",
					    "pythonista", "rubyfmt", "libpythonista.so" };

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct language *language = language_of_file(cases[i].file);

		g_assert_nonnull(language);
		g_assert_cmpint(language->kind, ==, cases[i].kind);
		g_assert_true(language == language_find(cases[i].kind));
	}
	for (guint i = 0; i < G_N_ELEMENTS(none); i++)
		g_assert_null(language_of_file(none[i]));
	g_assert_null(language_find(LANGUAGE_NATIVE));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/language/of_file", test_language_of_file);
	return g_test_run();
}
