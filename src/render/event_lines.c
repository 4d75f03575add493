/* SPDX-License-Identifier: Apache-2.0 */
/* A kind's first event says which columns there are; a field that only later ones have stands at the end of their
 * line with its name. A column is as wide as the longest text it has had, up to a limit: lines that follow stand under one another. An event with many fields (an OOM kill) stands alone, a line for each field. Every name and text
 * passes text_terminal. */
#include <string.h>

#include "base/text.h"
#include "render/events.h"
#include "render/json.h"

#define LINES_TEXT_COLUMNS 12
#define LINES_NUMBER_COLUMNS 8
#define LINES_CONTAINER_COLUMNS 16
#define LINES_PROCESS_COLUMNS 15
#define LINES_PID_COLUMNS 7
#define LINES_WIDEST 40 /* columns; a longer text moves the rest of its own line only */
#define LINES_WIDEST_PIPED 28 /* there an event is one line, for grep, however long: the less is padding the better */
#define LINES_FIELDS_MAX 10 /* more do not fit on a line */
#define LINES_NAME_COLUMNS 20
#define LINES_CONTINUED 14 /* where a line goes on that is too wide for the terminal: behind the time */

struct event_column {
	char *name; /* of a field */
	guint width;
	gboolean is_number;
};

struct event_lines {
	FILE *out;
	gboolean colour;
	char *kind;
	GArray *columns; /* of struct event_column */
	guint container_width, process_width;
	GString *line;
	guint room, used; /* columns of the terminal (0: any number), of the line that is being made */
};

static void column_clear(gpointer column)
{
	g_free(((struct event_column *)column)->name);
}

struct event_lines *event_lines_new(FILE *out, const struct render_options *options)
{
	struct event_lines *lines = g_new0(struct event_lines, 1);

	lines->out = out;
	lines->colour = options->colour;
	lines->columns = g_array_new(FALSE, FALSE, sizeof(struct event_column));
	g_array_set_clear_func(lines->columns, column_clear);
	lines->container_width = LINES_CONTAINER_COLUMNS;
	lines->process_width = LINES_PROCESS_COLUMNS;
	lines->line = g_string_new(NULL);
	lines->room = options->columns;
	return lines;
}

void event_lines_free(struct event_lines *lines)
{
	if (!lines)
		return;
	g_free(lines->kind);
	g_array_unref(lines->columns);
	g_string_free(lines->line, TRUE);
	g_free(lines);
}

/* `text` is safe. Pads to `width` columns: before it when `right`, after it otherwise. Lines too wide for a terminal are broken
 * between columns, all in the same places while the columns stay as wide as they are. */
static void line_pad(struct event_lines *lines, const char *text, guint width, gboolean right)
{
	guint columns = text_columns(text), gap = columns < width ? width - columns : 0;
	GString *line = lines->line;

	if (lines->room && line->len > 0 && lines->used + 2 + columns + gap > lines->room) {
		g_string_append_printf(line, "\n%*s", LINES_CONTINUED, "");
		lines->used = LINES_CONTINUED - 2;
	} else if (line->len > 0) {
		g_string_append(line, "  ");
	}
	lines->used += (line->len > 0 ? 2 : 0) + columns + gap;
	g_string_append_printf(line, "%*s%s%*s", right ? (int)gap : 0, "", text, right ? 0 : (int)gap, "");
}

static void line_raw(struct event_lines *lines, const char *text, guint width)
{
	g_autofree char *safe = text_terminal(text && *text ? text : "-");

	line_pad(lines, safe, width, FALSE);
}

static void widen(const struct event_lines *lines, guint *width, const char *text)
{
	g_autofree char *safe = text_terminal(text ? text : "");
	guint columns = text_columns(safe);

	if (columns <= (lines->room ? LINES_WIDEST : LINES_WIDEST_PIPED))
		*width = MAX(*width, columns);
}

static void line_number(struct event_lines *lines, guint64 number, guint width)
{
	g_autofree char *text = number ? g_strdup_printf("%" G_GUINT64_FORMAT, number) : g_strdup("-");

	line_pad(lines, text, width, TRUE);
}

/* Strings as a shell would take them, so that where one ends can be seen. */
static char *list_text(const struct event_field *field)
{
	GString *text = g_string_new(NULL);

	for (const char *at = event_list_next(field, NULL); at; at = event_list_next(field, at)) {
		gboolean plain = *at && !strpbrk(at, " \t\n\"'\\$`|&;<>()*?[]#~");
		g_autofree char *quoted = plain ? g_strdup(at) : g_shell_quote(at);

		g_string_append_printf(text, "%s%s", text->len ? " " : "", quoted);
	}
	return g_string_free(text, FALSE);
}

/* Raw; owned by the caller. */
static char *field_text(const struct event_field *field)
{
	switch (field->unit) {
	case EVENT_COUNT:
		return g_strdup_printf("%" G_GUINT64_FORMAT, field->number);
	case EVENT_SIGNED:
		return g_strdup_printf("%" G_GINT64_FORMAT, (gint64)field->number);
	case EVENT_NANOSECONDS:
		return units_duration(field->number);
	case EVENT_BYTES:
		return units_bytes(field->number);
	case EVENT_LIST:
		return list_text(field);
	case EVENT_TEXT:
	case EVENT_UNITS:
		break;
	}
	return g_strdup(field->text ? field->text : "-");
}

static gboolean unit_is_number(enum event_unit unit)
{
	return unit != EVENT_TEXT && unit != EVENT_LIST;
}

static guint column_width(const char *name, gboolean number)
{
	return MAX((guint)strlen(name), number ? LINES_NUMBER_COLUMNS : LINES_TEXT_COLUMNS);
}

static void line_field(struct event_lines *lines, const struct event_field *field, struct event_column *column)
{
	g_autofree char *text = field_text(field);
	g_autofree char *safe = text_terminal(text);

	widen(lines, &column->width, text);
	line_pad(lines, safe, column->width, unit_is_number(field->unit));
}

/* "parent_pid" → "PARENT-PID", "argument_count" → "ARGUMENTS" */
static char *column_heading(const char *name)
{
	gsize length = strlen(name) - (g_str_has_suffix(name, "_count") ? strlen("_count") : 0);
	g_autofree char *counted = length < strlen(name) ? g_strdup_printf("%.*ss", (int)length, name) : g_strdup(name);
	char *heading = g_ascii_strup(counted, -1);

	return g_strdelimit(heading, "_", '-');
}

/* The last column need not be padded. */
static void line_print(struct event_lines *lines, const char *before, const char *after)
{
	while (lines->line->len > 0 && lines->line->str[lines->line->len - 1] == ' ')
		g_string_truncate(lines->line, lines->line->len - 1);
	fprintf(lines->out, "%s%s%s\n", before, lines->line->str, after);
	g_string_truncate(lines->line, 0);
	lines->used = 0;
}

/* The path of a cgroup is long: no column, and told only where no container's name says whose it is. JSON always has it. */
static gboolean field_is_aside(const struct event *event, const struct event_field *field)
{
	return g_str_equal(field->name, "cgroup") && event_find(event, "scope");
}

static gboolean field_is_told(const struct event *event, const struct event_field *field)
{
	return !field_is_aside(event, field) || g_strcmp0(event_find(event, "scope")->text, "container") != 0;
}

static void lines_head(struct event_lines *lines, const struct event *event)
{
	if (lines->kind) { /* the first needs no name: it is what was asked for */
		line_raw(lines, event->kind, 0);
		line_print(lines, "", "");
	}
	g_free(lines->kind);
	lines->kind = g_strdup(event->kind ? event->kind : "");
	g_array_set_size(lines->columns, 0);
	line_pad(lines, "TIME", strlen("12:00:00.000"), FALSE);
	widen(lines, &lines->container_width, event->container);
	widen(lines, &lines->process_width, event->process);
	line_pad(lines, "CONTAINER", lines->container_width, FALSE);
	line_pad(lines, "PROCESS", lines->process_width, FALSE);
	line_pad(lines, "PID", LINES_PID_COLUMNS, TRUE);
	line_pad(lines, "INNER", LINES_PID_COLUMNS, TRUE);
	for (guint32 i = 0; i < event->field_count; i++) {
		const struct event_field *field = &event->fields[i];
		g_autofree char *heading = column_heading(field->name);
		g_autofree char *safe = text_terminal(heading);
		g_autofree char *text = field_text(field);
		gboolean number = unit_is_number(field->unit);
		struct event_column column = { g_strdup(field->name), column_width(safe, number), number };

		if (field_is_aside(event, field)) {
			column_clear(&column);
			continue;
		}
		widen(lines, &column.width, text);
		g_array_append_val(lines->columns, column);
		line_pad(lines, safe, column.width, number);
	}
	line_print(lines, lines->colour ? "\033[1m" : "", lines->colour ? "\033[0m" : "");
}

static gboolean lines_have(const struct event_lines *lines, const char *name)
{
	for (guint i = 0; i < lines->columns->len; i++)
		if (g_str_equal(g_array_index(lines->columns, struct event_column, i).name, name))
			return TRUE;
	return FALSE;
}

static void line_time(struct event_lines *lines, guint64 realtime_ns)
{
	g_autoptr(GDateTime) when = g_date_time_new_from_unix_local((gint64)(realtime_ns / NS_PER_S));
	g_autofree char *second = when ? g_date_time_format(when, "%H:%M:%S") : g_strdup("-");

	g_string_append_printf(lines->line, "%s.%03u", second, (guint)(realtime_ns % NS_PER_S / NS_PER_MS));
	lines->used = text_columns(lines->line->str);
}

static void lines_extras(struct event_lines *lines, const struct event *event)
{
	for (guint32 i = 0; i < event->field_count; i++) {
		const struct event_field *field = &event->fields[i];
		g_autofree char *text = NULL, *named = NULL, *safe = NULL;

		if (lines_have(lines, field->name) || !field_is_told(event, field))
			continue;
		text = field_text(field);
		named = g_strdup_printf("%s=%s", field->name, text);
		safe = text_terminal(named);
		line_pad(lines, safe, 0, FALSE);
	}
}

static void line_who(struct event_lines *lines, const struct event *event)
{
	widen(lines, &lines->container_width, event->container);
	widen(lines, &lines->process_width, event->process);
	line_time(lines, event->realtime_ns);
	line_raw(lines, event->container, lines->container_width);
	line_raw(lines, event->process, lines->process_width);
	line_number(lines, event->pid, LINES_PID_COLUMNS);
	line_number(lines, event->inner_pid, LINES_PID_COLUMNS);
}

static void lines_block(struct event_lines *lines, const struct event *event)
{
	line_who(lines, event);
	line_raw(lines, event->kind, 0);
	line_print(lines, lines->colour ? "\033[1m" : "", lines->colour ? "\033[0m" : "");
	for (guint32 i = 0; i < event->field_count; i++) {
		const struct event_field *field = &event->fields[i];
		g_autofree char *name = g_strdelimit(text_terminal(field->name), "_", ' ');
		g_autofree char *text = field_text(field);
		g_autofree char *safe = text_terminal(text);

		g_string_append_printf(lines->line, "  %-*s %s", LINES_NAME_COLUMNS, name, safe);
		text_wrap(lines->line, 0, lines->room);
		line_print(lines, "", "");
	}
	g_clear_pointer(&lines->kind, g_free);
	lines->kind = g_strdup(""); /* what comes next has a heading, with its name */
}

void event_lines_put(struct event_lines *lines, const struct event *event)
{
	if (event->field_count > LINES_FIELDS_MAX) {
		lines_block(lines, event);
		return;
	}
	if (!lines->kind || g_strcmp0(lines->kind, event->kind ? event->kind : "") != 0)
		lines_head(lines, event);
	line_who(lines, event);
	for (guint i = 0; i < lines->columns->len; i++) {
		struct event_column *column = &g_array_index(lines->columns, struct event_column, i);
		const struct event_field *field = event_find(event, column->name);

		if (field)
			line_field(lines, field, column);
		else
			line_pad(lines, "-", column->width, column->is_number);
	}
	lines_extras(lines, event);
	line_print(lines, "", "");
}

void render_event_json(FILE *out, const struct event *event)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, text);
	json_event(&json, event);
	g_string_append_c(text, '\n');
	fwrite(text->str, 1, text->len, out);
}
