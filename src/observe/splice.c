/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/splice.h"

#include <string.h>

#include "symbol/language.h"

#define SPLICE_CODES_MAX (256u << 10) /* code objects and scripts kept; what is beyond stays native */
#define SPLICE_SCRIPTS_MAX (256u << 10)
#define SPLICE_PROCESSES_MAX 65536 /* looked at when starting */
#define SPLICE_CODE_FRAMES_MAX 32 /* instructions of a code object whose frames are remembered: few of one make calls */
#define LATER 0x80000000u /* set in ids whose name comes later (weave.c): compiled code without a name yet */

static const char evaluation[] = "_PyEval_EvalFrameDefault";

struct code {
	guint64 key; /* tgid and id */
	guint32 first_line;
	guint32 lines_bytes;
	char *name;
	char *file;
	guint8 *lines;
	GArray *frames; /* struct code_frame: what was asked for; NULL: nothing yet */
};

/* The frame of an instruction. */
struct code_frame {
	guint32 instruction;
	guint32 frame;
};

struct script {
	guint64 hash[2];
	guint32 tgid, count, flags;
	guint64 words[];
};

struct splice {
	struct symbolizer *symbolizer;
	struct calltree *tree;
	GHashTable *codes; /* set of struct code */
	GHashTable *scripts; /* set of struct script */
	GHashTable *taught; /* tgid → struct python_process */
	splice_teach_fn teach;
	void *teach_user;
};

G_STATIC_ASSERT(PYTHON_LAYOUT_THREAD_MAX <= PYTHON_THREAD_BYTES - 8 &&
		PYTHON_LAYOUT_FRAME_MAX <= PYTHON_FRAME_BYTES - 8);
G_STATIC_ASSERT(PYTHON_LAYOUT_CODE_MAX <= PYTHON_CODE_BYTES - 8 && PYTHON_LAYOUT_TEXT_MAX <= PYTHON_TEXT_BYTES - 8);
G_STATIC_ASSERT(PYTHON_LAYOUT_DIRECT == PYTHON_DIRECT && PYTHON_LAYOUT_OWNER_ANY == PYTHON_OWNER_ANY);
G_STATIC_ASSERT(PYTHON_LAYOUT_NO_VERSION == PYTHON_NO_VERSION);

static void code_free(gpointer data)
{
	struct code *code = data;

	g_free(code->name);
	g_free(code->file);
	g_free(code->lines);
	if (code->frames)
		g_array_unref(code->frames);
	g_free(code);
}

static guint script_hash(gconstpointer key)
{
	return (guint)((const struct script *)key)->hash[1];
}

static gboolean script_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(((const struct script *)a)->hash, ((const struct script *)b)->hash, 16) == 0;
}

struct splice *splice_new(struct symbolizer *symbolizer, struct calltree *tree)
{
	struct splice *splice = g_new0(struct splice, 1);

	splice->symbolizer = symbolizer;
	splice->tree = tree;
	splice->codes = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, code_free);
	splice->scripts = g_hash_table_new_full(script_hash, script_equal, NULL, g_free);
	splice->taught = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return splice;
}

void splice_free(struct splice *splice)
{
	if (!splice)
		return;
	g_hash_table_unref(splice->codes);
	g_hash_table_unref(splice->scripts);
	g_hash_table_unref(splice->taught);
	g_free(splice);
}

/* ---- telling the probe ---- */

void splice_set_teacher(struct splice *splice, splice_teach_fn teach, void *user)
{
	GHashTableIter each;
	gpointer tgid, process;

	splice->teach = teach;
	splice->teach_user = user;
	g_hash_table_iter_init(&each, splice->taught);
	while (teach && g_hash_table_iter_next(&each, &tgid, &process))
		teach(user, GPOINTER_TO_UINT(tgid), process);
}

static void process_fill(struct python_process *process, const struct python_layout *layout, guint64 runtime)
{
	process->runtime = runtime;
	process->runtime_interpreters = layout->runtime_interpreters;
	process->interpreter_next = layout->interpreter_next;
	process->interpreter_threads = layout->interpreter_threads;
#define TAKE(field) process->field = (guint16)layout->field /* checked by the reader */
	TAKE(thread_next);
	TAKE(thread_id);
	TAKE(thread_native_id);
	TAKE(thread_frame);
	TAKE(cframe_frame);
	TAKE(frame_code);
	TAKE(frame_previous);
	TAKE(frame_instruction);
	TAKE(frame_owner);
	TAKE(owner_entry);
	TAKE(code_version);
	TAKE(code_first_line);
	TAKE(code_file);
	TAKE(code_name);
	TAKE(code_lines);
	TAKE(code_instructions);
	TAKE(text_state);
	TAKE(text_length);
	TAKE(text_ascii);
	TAKE(text_wide);
	TAKE(bytes_length);
	TAKE(bytes_data);
#undef TAKE
}

static void process_teach(struct splice *splice, guint32 tgid, const struct python_process *process)
{
	process = g_memdup2(process, sizeof(*process));
	g_hash_table_replace(splice->taught, GUINT_TO_POINTER(tgid), (gpointer)process);
	if (splice->teach)
		splice->teach(splice->teach_user, tgid, process);
}

void splice_see(struct splice *splice, guint32 tgid)
{
	struct python_process process = { 0 };
	struct python python;
	guint64 runtime;

	if (g_hash_table_contains(splice->taught, GUINT_TO_POINTER(tgid)) ||
	    !symbolizer_python(splice->symbolizer, tgid, &python, &runtime) || !python_is_known(&python))
		return;
	process_fill(&process, &python.layout, runtime);
	process_teach(splice, tgid, &process);
}

void splice_fork(struct splice *splice, guint32 parent_tgid, guint32 child_tgid)
{
	const struct python_process *process = g_hash_table_lookup(splice->taught, GUINT_TO_POINTER(parent_tgid));

	if (process)
		process_teach(splice, child_tgid, process);
}

void splice_see_all(struct splice *splice)
{
	g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
	const char *entry;

	for (guint left = SPLICE_PROCESSES_MAX; proc && left > 0 && (entry = g_dir_read_name(proc)); left--) {
		g_autofree char *path = g_strdup_printf("/proc/%s/exe", entry);
		g_autofree char *exe = g_ascii_isdigit(entry[0]) ? g_file_read_link(path, NULL) : NULL;
		const char *slash = exe ? strrchr(exe, '/') : NULL;
		const struct language *language = slash ? language_of_file(slash + 1) : NULL;

		if (language && language->kind == LANGUAGE_PYTHON)
			splice_see(splice, (guint32)g_ascii_strtoull(entry, NULL, 10));
	}
}

void splice_forget(struct splice *splice, guint32 tgid)
{
	if (g_hash_table_remove(splice->taught, GUINT_TO_POINTER(tgid)) && splice->teach)
		splice->teach(splice->teach_user, tgid, NULL);
}

/* ---- what the kernel half tells ---- */

static guint64 code_key(guint32 tgid, guint32 id)
{
	return (guint64)tgid << 32 | id;
}

static char *text_take(const struct script_text *text, const guint8 *bytes, gsize room)
{
	GString *out = g_string_new(NULL);

	if (!python_text(text->state, bytes, room, text->length, out) || out->len == 0)
		g_string_assign(out, "?");
	return g_string_free(out, FALSE);
}

void splice_code(struct splice *splice, const struct script_code_record *record)
{
	struct code *code;

	if (g_hash_table_size(splice->codes) >= SPLICE_CODES_MAX)
		return;
	code = g_new0(struct code, 1);
	code->key = code_key(record->tgid, record->id);
	code->first_line = record->first_line;
	code->name = text_take(&record->name, record->name_bytes, sizeof(record->name_bytes));
	code->file = text_take(&record->file, record->file_bytes, sizeof(record->file_bytes));
	code->lines_bytes = MIN(record->lines_bytes, (guint32)SCRIPT_LINES);
	code->lines = g_memdup2(record->lines, code->lines_bytes);
	g_hash_table_replace(splice->codes, &code->key, code);
}

void splice_script(struct splice *splice, const struct script_stack_record *record)
{
	struct script *script;

	if (record->count > SCRIPT_DEPTH || g_hash_table_size(splice->scripts) >= SPLICE_SCRIPTS_MAX)
		return;
	script = g_malloc0(sizeof(*script) + record->count * sizeof(script->words[0]));
	memcpy(script->hash, record->hash, sizeof(script->hash));
	script->tgid = record->tgid;
	script->count = record->count;
	script->flags = record->flags;
	memcpy(script->words, record->words, record->count * sizeof(script->words[0]));
	g_hash_table_replace(splice->scripts, script, script);
}

/* ---- putting both together ---- */

/* "handle (server.py:12)", in the file "/app/server.py": the line where the function begins, or the one it was at. */
static guint32 code_frame_make(struct splice *splice, const struct code *code, guint32 instruction)
{
	const char *slash = strrchr(code->file, '/');
	g_autofree char *text = NULL;
	guint32 line = 0;

	if (instruction != SCRIPT_NO_INSTRUCTION)
		line = python_line(code->lines, code->lines_bytes, code->first_line, instruction);
	text = g_strdup_printf("%s (%s:%u)", code->name, slash && slash[1] ? slash + 1 : code->file,
			       line ? line : code->first_line);
	return calltree_frame(splice->tree, FRAME_SCRIPT, text, -1, code->file);
}

/* The same functions stand in stack after stack, at the same calls. */
static guint32 frame_of(struct splice *splice, const struct script *script, guint64 word)
{
	guint64 key = code_key(script->tgid, SCRIPT_CODE(word));
	struct code *code = g_hash_table_lookup(splice->codes, &key);
	struct code_frame fresh = { .instruction = SCRIPT_INSTRUCTION(word) };

	if (!code)
		return calltree_frame(splice->tree, FRAME_UNRESOLVED, "[Python function: could not be read]", -1, NULL);
	for (guint i = 0; code->frames && i < code->frames->len; i++) {
		const struct code_frame *known = &g_array_index(code->frames, struct code_frame, i);

		if (known->instruction == fresh.instruction)
			return known->frame;
	}
	fresh.frame = code_frame_make(splice, code, fresh.instruction);
	if (!code->frames)
		code->frames = g_array_new(FALSE, FALSE, sizeof(struct code_frame));
	if (code->frames->len < SPLICE_CODE_FRAMES_MAX)
		g_array_append_val(code->frames, fresh);
	return fresh.frame;
}

static guint script_runs(const struct script *script)
{
	guint runs = 0;

	for (guint i = 0; i < script->count; i++)
		runs += (script->words[i] & SCRIPT_ENTRY) != 0;
	return runs;
}

gboolean splice_is_evaluation(const char *name)
{
	return name && g_str_has_prefix(name, evaluation);
}

static gboolean frame_is_evaluation(const struct splice *splice, guint32 frame)
{
	const struct calltree_frame *known;

	if (frame & LATER)
		return FALSE;
	known = &splice->tree->frames[frame];
	return known->kind == FRAME_USER && splice_is_evaluation(known->name);
}

static guint count_evaluations(const struct splice *splice, const guint32 *frames, guint count)
{
	guint evaluations = 0;

	for (guint i = 0; i < count; i++)
		evaluations += frame_is_evaluation(splice, frames[i]);
	return evaluations;
}

/* Appends one run of Python frames from `*at` on. */
static guint run_append(struct splice *splice, const struct script *script, guint *at, guint32 *out, guint count)
{
	while (*at < script->count && count < SPLICE_FRAMES_MAX) {
		guint64 word = script->words[(*at)++];

		out[count++] = frame_of(splice, script, word);
		if (word & SCRIPT_ENTRY)
			break;
	}
	return count;
}

guint splice_frames(struct splice *splice, const guint64 hash[2], guint32 *frames, guint count)
{
	struct script key = { .hash = { hash[0], hash[1] } };
	const struct script *script = g_hash_table_lookup(splice->scripts, &key);
	guint32 native[PROBE_UNWOUND_DEPTH];
	guint evaluations, runs, skip = 0, at = 0, out = 0;

	if (!script || count > PROBE_UNWOUND_DEPTH)
		return count;
	memcpy(native, frames, count * sizeof(*native));
	evaluations = count_evaluations(splice, native, count);
	runs = script_runs(script);
	if (script->flags == 0 && evaluations > runs)
		skip = evaluations - runs; /* called, but its first Python frame is not there yet: innermost */
	for (guint i = 0; i < count && out < SPLICE_FRAMES_MAX; i++) {
		if (!frame_is_evaluation(splice, native[i]) || at >= script->count) {
			frames[out++] = native[i];
		} else if (skip > 0) {
			skip--;
			frames[out++] = native[i];
		} else {
			out = run_append(splice, script, &at, frames, out);
		}
	}
	while (at < script->count && out < SPLICE_FRAMES_MAX) /* the native half ended early */
		out = run_append(splice, script, &at, frames, out);
	return out;
}
