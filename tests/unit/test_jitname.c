/* SPDX-License-Identifier: Apache-2.0 */
/* Names as Node.js 18 and 20, OpenJDK 17 and CPython 3.12 wrote them into their maps. */
#include <glib.h>

#include "symbol/jitname.h"

static const struct {
	const char *raw, *name, *module;
} cases[] = {
	{ "JS:*spinA /tmp/try/split.js:10:15", "spinA", "split.js:10" },
	{ "JS:~spinA /tmp/try/split.js:10:15", "spinA", "split.js:10" },
	{ "JS:^processImmediate node:internal/timers:438:28", "processImmediate", "timers:438" },
	{ "LazyCompile:*emit node:events:466:44", "emit", "node:events:466" },
	{ "LazyCompile:~get size /app/my code/x.js:3:1", "get size", "x.js:3" },
	{ "JS:* /app/x.js:7:20", "(anonymous x.js:7)", "x.js:7" },
	{ "Script:~ /app/x.js:1:1", "(anonymous x.js:1)", "x.js:1" },
	{ "Function:~turn", "turn", NULL },
	{ "JS:~", "JS:~", NULL },
	{ "JS:", "JS:", NULL },
	{ "RegExp:^a+$", "RegExp:^a+$", NULL },
	{ "BytecodeHandler:LdaZero", "BytecodeHandler:LdaZero", NULL },
	{ "void Split.three(long)", "Split.three", NULL },
	{ "java.lang.Object java.util.HashMap.get(java.lang.Object)", "java.util.HashMap.get", NULL },
	{ "int[] a.B.c(java.util.List, int)", "a.B.c", NULL },
	{ "void app.Main$$Lambda/0x00007f8a3c003000.run()", "app.Main$$Lambda.run", NULL },
	{ "void app.Main$$Lambda$14+0x0000000800c03000.run()", "app.Main$$Lambda$14.run", NULL },
	{ "StubRoutines (1)", "StubRoutines (1)", NULL },
	{ "Interpreter", "Interpreter", NULL },
	{ "vtable chunks", "vtable chunks", NULL },
	{ "py::<module>:/srv/app.py", "<module>", "app.py" },
	{ "py::", "py::", NULL },
	{ "", "", NULL },
	{ "(", "(", NULL },
	{ " )", " )", NULL },
	{ " ()", " ()", NULL },
};

static void test_names(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *module = NULL, *name = jitname_read(cases[i].raw, &module);

		g_assert_cmpstr(name, ==, cases[i].name);
		g_assert_cmpstr(module, ==, cases[i].module);
	}
}

/* The map is a container's: whatever stands there, the answer is a string and the source is not overrun. */
static void test_any_bytes(void)
{
	static const char alphabet[] = "JS:*~ /.:()0x+$py1a";

	for (guint round = 0; round < 20000; round++) {
		gsize length = (gsize)g_test_rand_int_range(0, 24);
		char *raw = g_malloc(length + 1); /* exact, for a sanitizer */
		g_autofree char *module = NULL, *name = NULL;

		for (gsize i = 0; i < length; i++)
			raw[i] = alphabet[g_test_rand_int_range(0, sizeof(alphabet) - 1)];
		raw[length] = '\0';
		name = jitname_read(raw, &module);
		g_assert_nonnull(name);
		g_free(raw);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/jitname/names", test_names);
	g_test_add_func("/jitname/any-bytes", test_any_bytes);
	return g_test_run();
}
