/* SPDX-License-Identifier: Apache-2.0 */
/* The text of `perf script`: a header a sample, then indented frames from the leaf outwards, then an empty line.
 *
 *	comm 1234/1240 [001] 5023.123456:    1000 cpu-clock:
 *		ffffffff8110a2b4 schedule+0x14 ([kernel.kallsyms])
 *		    7f3c2a1b read+0x4c (/usr/lib/libc.so.6)
 *
 * Each sample counts 1. Only the first event of the file is counted: adding up different events would mean nothing;
 * what is left out is said in a note. */
#include <string.h>

#include "import/readers.h"
#include "import/stacks.h"

struct perf_text {
	struct input *input;
	struct calltree *tree;
	struct stacks *stacks;
	char *event; /* the one that is counted */
	char *comm; /* of the sample being read; NULL between samples */
	gboolean skipped; /* the sample being read is of another event */
	guint frames;
	guint64 samples, other, cut, unresolved;
	gboolean has_unresolved, is_cut;
};

static void perf_sample_end(struct perf_text *text)
{
	if (!text->comm)
		return;
	if (!text->skipped) {
		if (!text->frames)
			stacks_push(text->stacks, calltree_frame(text->tree, FRAME_UNRESOLVED, "[no stack]", -1, NULL));
		stacks_push(text->stacks, calltree_frame(text->tree, FRAME_PROCESS, text->comm, -1, NULL));
		stacks_reverse(text->stacks);
		stacks_end(text->stacks, 1);
		text->samples++;
		text->cut += text->is_cut;
		text->unresolved += text->has_unresolved;
	}
	g_clear_pointer(&text->comm, g_free);
	text->is_cut = text->has_unresolved = FALSE;
	text->frames = 0;
}

static enum frame_kind perf_kind(const char *address, const char *module)
{
	if (strcmp(module, "inlined") == 0)
		return FRAME_INLINED;
	if (g_str_has_prefix(module, "[kernel") || g_str_has_prefix(module, "[guest.kernel"))
		return FRAME_KERNEL;
	if (g_strstr_len(module, -1, "/perf-") && g_str_has_suffix(module, ".map"))
		return FRAME_JIT;
	/* A kernel module is "[name]"; so are [vdso] and [unknown], but those lie in the lower half. */
	if (module[0] == '[' && strlen(address) == 16 && address[0] == 'f')
		return FRAME_KERNEL;
	return FRAME_USER;
}

/* One frame, "address symbol+0xoff (module)" without the indent; `line` is cut into pieces. */
static gboolean perf_frame(struct perf_text *text, char *line, GError **error)
{
	char *symbol, *module = NULL, *offset, *close;
	enum frame_kind kind;
	g_autofree char *why = NULL;

	symbol = strpbrk(line, " \t");
	if (!symbol || !g_ascii_isxdigit(line[0]))
		return import_fail_line(text->input, error, "not a frame (wanted: address symbol (module))");
	*symbol++ = '\0';
	g_strstrip(symbol);
	close = strrchr(symbol, ')');
	if (close && !close[1]) {
		gint depth = 0;

		/* The parenthesis that matches the last one: modules may have some in their name, "(deleted)". */
		for (char *at = close; at >= symbol; at--) {
			depth += *at == ')' ? 1 : *at == '(' ? -1 : 0;
			if (depth == 0) {
				module = at + 1;
				break;
			}
		}
	}
	if (module) {
		*close = '\0';
		module[-1] = '\0';
		g_strchomp(symbol);
	} else {
		module = (char *)"";
	}
	offset = g_strrstr(symbol, "+0x");
	if (offset && offset != symbol && offset[3] && strspn(offset + 3, "0123456789abcdef") == strlen(offset + 3))
		*offset = '\0';
	kind = perf_kind(line, module);
	if (!symbol[0] || strcmp(symbol, "[unknown]") == 0) {
		const char *base = strrchr(module, '/');

		why = g_strdup_printf("[%s: no symbol]", module[0] && strcmp(module, "[unknown]") != 0
								 ? (base ? base + 1 : module)
								 : "unknown");
		symbol = why;
		kind = FRAME_UNRESOLVED;
		text->has_unresolved = TRUE;
	}
	if (!module[0] || strcmp(module, "[unknown]") == 0 || kind == FRAME_INLINED)
		module = NULL;
	/* The last place is kept for the process. */
	if (text->frames + 1 >= IMPORT_DEPTH_MAX) {
		text->is_cut = TRUE;
		return TRUE;
	}
	text->frames++;
	stacks_push(text->stacks, calltree_frame(text->tree, kind, symbol, -1, module));
	return TRUE;
}

/* Where " PID " or " PID/TID " begins in a header, at the first number followed by something that looks like the rest. */
static char *perf_find_pid(char *line)
{
	for (char *at = strpbrk(line, " \t"); at; at = strpbrk(at, " \t")) {
		char *number = at + strspn(at, " \t");
		gsize digits = strspn(number, "0123456789");

		if (digits && number[digits] == '/')
			digits += 1 + strspn(number + digits + 1, "0123456789");
		if (digits && (number[digits] == ' ' || number[digits] == '\t'))
			return at;
		at = number;
	}
	return NULL;
}

/* The event's name: the word before the colon that ends the header; `*rest` is what follows it (a frame, when the
 * file was recorded without stacks). */
static char *perf_event(char *after_pid, char **rest)
{
	char *at = after_pid;

	for (;;) {
		char *colon = strchr(at, ':');
		char *start;

		if (!colon)
			return NULL;
		start = colon;
		while (start > after_pid && start[-1] != ' ' && start[-1] != '\t')
			start--;
		at = colon + 1;
		if (*at && *at != ' ' && *at != '\t')
			continue; /* sched:sched_switch: the first colon is part of the name */
		if (g_ascii_isdigit(*start) && strspn(start, "0123456789.") == (gsize)(colon - start))
			continue; /* the time */
		*colon = '\0';
		*rest = at + strspn(at, " \t");
		return start;
	}
}

static gboolean perf_header(struct perf_text *text, char *line, GError **error)
{
	char *pid = perf_find_pid(line), *rest = NULL, *event;

	if (!pid)
		return import_fail_line(text->input, error, "not a sample (wanted: command pid … event:)");
	*pid = '\0';
	event = perf_event(pid + 1, &rest);
	text->comm = g_strdup(g_strstrip(line)[0] ? line : "[no name]");
	if (!event)
		event = (char *)"";
	if (!text->event)
		text->event = g_strdup(event);
	text->skipped = strcmp(event, text->event) != 0;
	if (text->skipped)
		text->other++;
	if (rest && rest[0] && !text->skipped && g_ascii_isxdigit(rest[0]) && strchr(rest, '('))
		return perf_frame(text, rest, error);
	return TRUE;
}

static gboolean perf_line(struct perf_text *text, char *line, GError **error)
{
	char *content = line + strspn(line, " \t");

	if (!*content) {
		perf_sample_end(text);
		return TRUE;
	}
	if (line[0] == '#')
		return TRUE;
	/* Short command names are padded on the left, so an indent alone does not make a frame. */
	if (!text->comm)
		return perf_header(text, content, error);
	if (content == line) {
		perf_sample_end(text);
		return perf_header(text, content, error);
	}
	return text->skipped ? TRUE : perf_frame(text, content, error);
}

static gboolean perf_read(struct perf_text *text, GError **error)
{
	g_autoptr(GString) copy = g_string_new(NULL); /* lines are cut up, and need an end */
	gsize length;
	char *line;
	int more;

	while ((more = input_line(text->input, &line, &length, error)) > 0) {
		g_string_truncate(copy, 0);
		g_string_append_len(copy, line, (gssize)length);
		if (strlen(copy->str) != length)
			return import_fail_line(text->input, error, "a NUL byte at column %zu", strlen(copy->str) + 1);
		if (!perf_line(text, copy->str, error))
			return FALSE;
	}
	perf_sample_end(text);
	return more == 0;
}

struct snapshot *import_perf_script(struct input *input, const struct import_options *options, GError **error)
{
	struct shape *shape;
	g_autoptr(snapshot_t) snapshot = import_snapshot("perf script", UNIT_COUNT, &shape);
	g_autoptr(stacks_t) stacks = stacks_new(shape->calltree);
	struct perf_text text = { .input = input, .tree = shape->calltree, .stacks = stacks };
	gboolean read = perf_read(&text, error);

	(void)options;
	if (read) {
		stacks_flush(stacks);
		ledger_add(&shape->ledger, LEDGER_TRUNCATED, text.cut, text.cut);
		ledger_add(&shape->ledger, LEDGER_UNRESOLVED, text.unresolved, text.unresolved);
		if (text.event && text.event[0])
			shape->ledger.rung = g_strdup_printf("perf %s", text.event);
		if (text.other)
			ledger_note(&shape->ledger,
				    g_strdup_printf("%" G_GUINT64_FORMAT " samples of other events than %s "
						    "are left out",
						    text.other, text.event));
	}
	g_free(text.event);
	g_free(text.comm);
	return read && import_finish(shape, text.samples, error) ? g_steal_pointer(&snapshot) : NULL;
}
