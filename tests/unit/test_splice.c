/* SPDX-License-Identifier: Apache-2.0 */
/* Native stacks and chains of Python frames, put together. Names: one letter a Python function, E the evaluation loop. */
#include <string.h>

#include "observe/splice.h"

#define TGID 7
#define STATE_ASCII 0x64 /* of a str object: compact, ASCII, one byte a character */

struct bench {
	struct calltree *tree;
	struct splice *splice;
};

static void bench_setup(struct bench *bench, gconstpointer data G_GNUC_UNUSED)
{
	bench->tree = calltree_new();
	bench->splice = splice_new(NULL, bench->tree);
	for (char letter = 'a'; letter <= 'h'; letter++) {
		struct script_code_record code = { .kind = SCRIPT_RECORD_CODE,
						   .tgid = TGID,
						   .id = (guint32)letter,
						   .first_line = (guint32)(letter - 'a' + 1),
						   .name = { STATE_ASCII, 1 },
						   .file = { STATE_ASCII, 7 } };

		code.name_bytes[0] = (guint8)letter;
		memcpy(code.file_bytes, "/x/y.py", 7);
		splice_code(bench->splice, &code);
	}
}

static void bench_teardown(struct bench *bench, gconstpointer data G_GNUC_UNUSED)
{
	splice_free(bench->splice);
	calltree_free(bench->tree);
}

/* `chain`: innermost first, a bar behind the last frame of each call from C: "ab|c|". */
static void tell(struct bench *bench, guint64 hash, const char *chain, guint32 flags)
{
	struct script_stack_record script = {
		.kind = SCRIPT_RECORD_STACK, .tgid = TGID, .hash = { hash, 1 }, .flags = flags
	};

	for (const char *at = chain; *at; at++) {
		if (*at == '|')
			script.words[script.count - 1] |= SCRIPT_ENTRY;
		else
			script.words[script.count++] = (guint64)*at << 32 | SCRIPT_NO_INSTRUCTION;
	}
	splice_script(bench->splice, &script);
}

/* `native`: innermost first, a letter a frame. */
static char *spliced(struct bench *bench, guint64 hash, const char *native)
{
	guint32 frames[SPLICE_FRAMES_MAX];
	guint64 key[2] = { hash, 1 };
	guint count = 0;
	GString *text = g_string_new(NULL);

	for (const char *at = native; *at; at++) {
		char name[2] = { *at, '\0' };

		frames[count++] = calltree_frame(bench->tree, FRAME_USER,
						 *at == 'E' ? "_PyEval_EvalFrameDefault" : name, -1, "python3.11");
	}
	count = splice_frames(bench->splice, key, frames, count);
	for (guint i = 0; i < count; i++) {
		const struct calltree_frame *frame = &bench->tree->frames[frames[i]];

		g_string_append_c(text, frame->name[0] == '_' ? 'E' : frame->name[0]);
	}
	return g_string_free(text, FALSE);
}

static void test_cases(struct bench *bench, gconstpointer data G_GNUC_UNUSED)
{
	static const struct {
		const char *what, *chain, *native, *result;
		guint32 flags;
	} cases[] = {
		{ "one run", "abc|", "MEXS", "MabcXS", 0 },
		{ "C functions between runs", "a|bc|", "MEPQEXS", "MaPQbcXS", 0 },
		{ "no C function between", "a|b|", "EES", "abS", 0 },
		{ "called, but its first frame is not there yet", "b|", "EPQEXS", "EPQbXS", 0 },
		{ "the native half ends early", "a|b|c|", "MEP", "MaPbc", 0 },
		{ "no native frames to go by", "ab|c|", "MN", "MNabc", 0 },
		{ "more runs outside than fit: from the inside", "a|b", "EPEQES", "aPbQES", SCRIPT_CUT },
		{ "a broken chain", "a", "EPES", "aPES", SCRIPT_BROKEN },
		{ "no frames at all", "", "MES", "MES", 0 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *result = NULL;

		tell(bench, i + 1, cases[i].chain, cases[i].flags);
		result = spliced(bench, i + 1, cases[i].native);
		g_test_message("%s", cases[i].what);
		g_assert_cmpstr(result, ==, cases[i].result);
	}
}

static void test_frames(struct bench *bench, gconstpointer data G_GNUC_UNUSED)
{
	guint32 frames[SPLICE_FRAMES_MAX] = { calltree_frame(bench->tree, FRAME_USER, "_PyEval_EvalFrameDefault", -1,
							     NULL) };
	const struct calltree_frame *frame;

	tell(bench, 1, "cz|", 0);
	g_assert_cmpuint(splice_frames(bench->splice, (guint64[2]){ 1, 1 }, frames, 1), ==, 2);
	frame = &bench->tree->frames[frames[0]];
	g_assert_cmpstr(frame->name, ==, "c (y.py:3)");
	g_assert_cmpstr(frame->module, ==, "/x/y.py");
	g_assert_cmpint(frame->kind, ==, FRAME_SCRIPT);
	frame = &bench->tree->frames[frames[1]]; /* whose code object never came */
	g_assert_cmpint(frame->kind, ==, FRAME_UNRESOLVED);
	g_assert_cmpuint(splice_frames(bench->splice, (guint64[2]){ 2, 2 }, frames, 1), ==,
			 1); /* a script that never came */
}

/* The deepest of both fits. */
static void test_depth(struct bench *bench, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *native = g_strnfill(PROBE_UNWOUND_DEPTH, 'E');
	g_autofree char *chain = g_strnfill(SCRIPT_DEPTH, 'a');
	g_autofree char *result = NULL;

	tell(bench, 1, chain, SCRIPT_CUT);
	result = spliced(bench, 1, native);
	g_assert_cmpuint(strlen(result), ==, SCRIPT_DEPTH + PROBE_UNWOUND_DEPTH - 1);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/splice/cases", struct bench, NULL, bench_setup, test_cases, bench_teardown);
	g_test_add("/splice/frames", struct bench, NULL, bench_setup, test_frames, bench_teardown);
	g_test_add("/splice/depth", struct bench, NULL, bench_setup, test_depth, bench_teardown);
	return g_test_run();
}
