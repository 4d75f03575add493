/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "tui/screen.h"
#include "tui/top_state.h"

#define HEAD_ROWS 4 /* two of facts, one of order, one of headings */
#define FOOT_ROWS 1
#define NAME_COLUMNS_MIN 16
#define SPARK_COLUMNS 12
#define SPARK_SCREEN_COLUMNS 100 /* narrower screens have no room for it */

guint top_room(void)
{
	guint rows = screen_rows();

	return rows > HEAD_ROWS + FOOT_ROWS ? rows - HEAD_ROWS - FOOT_ROWS : 1;
}

/* ---- facts ---- */

static void put_line(const struct top_state *state, guint row, const char *text, enum screen_style style)
{
	screen_put(state->screen, row, 0, screen_columns(), text, FALSE, style);
}

static char *fact_pressure(const struct gauge_interval *interval)
{
	return gauge_cell_text(interval, 0, GAUGE_COLUMN_PRESSURE);
}

static void draw_facts(const struct top_state *state)
{
	const struct gauge_interval *interval = &state->containers;
	g_autofree char *cpu = gauge_cell_text(interval, 0, GAUGE_COLUMN_CPU);
	g_autofree char *memory = gauge_cell_text(interval, 0, GAUGE_COLUMN_MEMORY);
	g_autofree char *lost = gauge_cell_text(interval, 0, GAUGE_COLUMN_LOST);
	g_autofree char *pressure = fact_pressure(interval);
	g_autofree char *every = units_duration(state->interval_ns);
	g_autofree char *first = g_strdup_printf("fathom top  %s  %u rows  every %s%s", g_get_host_name(),
						 state->places->len, every, state->paused ? "  PAUSED" : "");
	g_autofree char *second = g_strdup_printf("machine  CPU %s %%  lost %s %%  memory %s  pressure c/m/i %s", cpu,
						  lost, memory, pressure);
	g_autoptr(GString) line = g_string_new(first);

	if (state->born || state->died)
		g_string_append_printf(line, "  +%u -%u", state->born, state->died);
	put_line(state, 0, line->str, SCREEN_STRONG);
	put_line(state, 1, second, SCREEN_PLAIN);
}

static void draw_order(struct top_state *state)
{
	const struct gauge_order *order = top_order(state);
	g_autoptr(GString) line = g_string_new(NULL);

	if (state->mode == TOP_MODE_FILTER) {
		g_string_append_printf(line, "filter: %s_", state->input->str);
		put_line(state, 2, line->str, SCREEN_NOTICE);
		return;
	}
	if (state->view != TOP_VIEW_CONTAINERS && state->view != TOP_VIEW_HELP)
		g_string_append_printf(line, "%s  ", state->container_name ? state->container_name : "");
	if (state->view <= TOP_VIEW_PROCESSES)
		g_string_append_printf(line, "sorted by %s%s%s", gauge_columns[order->column].key,
				       order->ascending ? " (smallest first)" : "", order->tree ? ", tree" : "");
	else
		g_string_append(line, state->page_title ? state->page_title : "");
	if (state->filter_text)
		g_string_append_printf(line, "  filter: %s", state->filter_text);
	if (state->job) {
		g_autofree char *since = units_duration(clock_monotonic_ns() - state->job_started_ns);

		g_string_append_printf(line, "  %s: %s so far", state->job_title, since);
	}
	if (state->notice)
		g_string_append_printf(line, "  %s", state->notice);
	put_line(state, 2, line->str, state->notice ? SCREEN_NOTICE : SCREEN_DIM);
}

/* ---- table ---- */

struct layout {
	guint name_columns;
	gboolean has_spark;
	const int *columns;
};

static gboolean column_is_shown(const struct top_state *state, const int *columns, guint i)
{
	return columns[i] == GAUGE_COLUMN_NAME || i >= state->first_column + 1 || !state->first_column;
}

static struct layout layout_of(const struct top_state *state)
{
	struct layout layout = { .columns = top_columns(state) };
	guint taken = 0, screen = screen_columns();

	layout.has_spark = state->view == TOP_VIEW_CONTAINERS && screen >= SPARK_SCREEN_COLUMNS;
	if (layout.has_spark)
		taken += SPARK_COLUMNS + 1;
	for (guint i = 0; layout.columns[i] >= 0; i++) {
		guint width = gauge_columns[layout.columns[i]].width + 1;

		if (layout.columns[i] == GAUGE_COLUMN_NAME || !column_is_shown(state, layout.columns, i))
			continue;
		if (taken + width + NAME_COLUMNS_MIN > screen)
			break;
		taken += width;
	}
	layout.name_columns = screen > taken + NAME_COLUMNS_MIN ? screen - taken : NAME_COLUMNS_MIN;
	return layout;
}

static enum screen_style cell_style(const struct gauge_interval *interval, guint32 row, int column)
{
	double value;
	guint64 kills;

	switch (column) {
	case GAUGE_COLUMN_NAME:
		return SCREEN_STRONG;
	case GAUGE_COLUMN_THROTTLED:
	case GAUGE_COLUMN_LOST:
		value = gauge_cell_value(interval, row, (enum gauge_column_id)column);
		return value >= 50 ? SCREEN_ALERT : value >= 10 ? SCREEN_NOTICE : SCREEN_PLAIN;
	case GAUGE_COLUMN_MEMORY_RATIO:
		value = gauge_cell_value(interval, row, GAUGE_COLUMN_MEMORY_RATIO);
		return value >= 90 ? SCREEN_ALERT : value >= 75 ? SCREEN_NOTICE : SCREEN_PLAIN;
	case GAUGE_COLUMN_OOM:
		if (interval->changes && gauge_get(gauges_row(interval->changes, row), GAUGE_OOM_KILLS, &kills) &&
		    kills)
			return SCREEN_ALERT;
		return SCREEN_PLAIN;
	default:
		return SCREEN_PLAIN;
	}
}

static char *spark_text(const struct top_state *state, const struct gauge_row *row)
{
	static const char ascii[] = "_.-=+*%#";
	const struct top_history *history = g_hash_table_lookup(state->histories, &row->key);
	const double *values = history ? history->values + HISTORY_VALUES - SPARK_COLUMNS : NULL;
	double top = 100;
	guint64 limit;
	char *text;

	if (!history)
		return g_strdup("");
	if (gauge_get(row, GAUGE_CPU_LIMIT, &limit) && limit)
		top = (double)limit / (double)NS_PER_S * 100;
	for (guint i = 0; i < SPARK_COLUMNS; i++)
		top = fmax(top, values[i]);
	if (screen_is_unicode())
		return gauge_sparkline(values, SPARK_COLUMNS, top);
	text = g_malloc(SPARK_COLUMNS + 1);
	for (guint i = 0; i < SPARK_COLUMNS; i++)
		text[i] = isnan(values[i]) ? ' ' : ascii[(guint)CLAMP(values[i] / top * 8, 0, 7)];
	text[SPARK_COLUMNS] = '\0';
	return text;
}

/* Puts one cell and moves on; FALSE when the screen is full. */
static gboolean put_cell(const struct top_state *state, guint y, guint *x, guint width, const char *text,
			 gboolean right, enum screen_style style)
{
	if (*x + width > screen_columns())
		return FALSE;
	screen_put(state->screen, y, *x, width, text, right, style);
	*x += width;
	if (*x < screen_columns() && (style == SCREEN_HEADING || style == SCREEN_SELECTED))
		screen_put(state->screen, y, *x, 1, "", FALSE, style);
	(*x)++;
	return TRUE;
}

static void draw_headings(struct top_state *state, const struct layout *layout)
{
	guint sort = state->mode == TOP_MODE_SORT ? (guint)layout->columns[state->menu] : top_order(state)->column,
	      x = 0;

	put_line(state, 3, "", SCREEN_HEADING);
	for (guint i = 0; layout->columns[i] >= 0; i++) {
		const struct gauge_column *column = &gauge_columns[layout->columns[i]];
		gboolean is_name = layout->columns[i] == GAUGE_COLUMN_NAME;
		enum screen_style style = (guint)layout->columns[i] == sort ? SCREEN_STRONG : SCREEN_HEADING;

		if (!column_is_shown(state, layout->columns, i))
			continue;
		if (!put_cell(state, 3, &x, is_name ? layout->name_columns - 1 : column->width, column->heading,
			      !is_name, style))
			return;
		if (is_name && layout->has_spark &&
		    !put_cell(state, 3, &x, SPARK_COLUMNS, "CPU", FALSE, SCREEN_HEADING))
			return;
	}
}

static void draw_row(const struct top_state *state, const struct layout *layout, guint y,
		     const struct gauge_place *place, gboolean is_selected)
{
	const struct gauge_interval *interval = top_table(state);
	const struct gauge_row *row = gauges_row(interval->readings, place->row);
	guint x = 0;

	for (guint i = 0; layout->columns[i] >= 0; i++) {
		gboolean is_name = layout->columns[i] == GAUGE_COLUMN_NAME;
		g_autofree char *text = gauge_cell_text(interval, place->row, (enum gauge_column_id)layout->columns[i]);
		g_autofree char *name = is_name ? g_strdup_printf("%*s%s%s", (int)MIN(place->depth, 20) * 2, "", text,
								  row->dead ? " (ended)" : "")
						: NULL;
		enum screen_style style = is_selected ? SCREEN_SELECTED
					  : row->dead ? SCREEN_DIM
						      : cell_style(interval, place->row, layout->columns[i]);

		if (!column_is_shown(state, layout->columns, i))
			continue;
		if (!put_cell(state, y, &x,
			      is_name ? layout->name_columns - 1 : gauge_columns[layout->columns[i]].width,
			      name ? name : text, !is_name, style))
			return;
		if (is_name && layout->has_spark) {
			g_autofree char *spark = spark_text(state, row);

			if (!put_cell(state, y, &x, SPARK_COLUMNS, spark, FALSE,
				      is_selected ? SCREEN_SELECTED : SCREEN_PLAIN))
				return;
		}
	}
}

static void draw_table(struct top_state *state)
{
	struct layout layout = layout_of(state);
	guint room = top_room();

	draw_headings(state, &layout);
	for (guint i = 0; i < room && state->scroll + i < state->places->len; i++)
		draw_row(state, &layout, HEAD_ROWS + i,
			 &g_array_index(state->places, struct gauge_place, state->scroll + i),
			 state->scroll + i == state->selected);
	if (state->places->len == 0)
		put_line(state, HEAD_ROWS,
			 state->filter_text ? "nothing matches the filter (/ changes it)"
			 : state->view == TOP_VIEW_CONTAINERS
				 ? "no containers (a shows systemd units and other cgroups, too)"
				 : "no processes",
			 SCREEN_DIM);
}

/* ---- pages ---- */

static const char *text_from(const char *text, guint letters)
{
	while (letters-- && *text)
		do
			text++;
		while (((guchar)*text & 0xc0) == 0x80); /* within a letter */
	return text;
}

static void draw_page(const struct top_state *state)
{
	g_auto(GStrv) lines = g_strsplit(state->page ? state->page : "", "\n", -1);
	guint count = g_strv_length(lines), room = top_room();

	put_line(state, 3, "", SCREEN_HEADING);
	for (guint i = 0; i < room && state->page_scroll + i < count; i++)
		put_line(state, HEAD_ROWS + i, text_from(lines[state->page_scroll + i], state->page_column),
			 SCREEN_PLAIN);
}

static const char *foot_text(const struct top_state *state)
{
	if (state->mode == TOP_MODE_FILTER)
		return "Enter takes it  Esc leaves it as it was   e.g. web  /^db/  cpu>50%  mem>1GiB";
	if (state->mode == TOP_MODE_SORT)
		return "Left and Right choose the column  Enter sorts  Esc leaves it";
	if (state->view == TOP_VIEW_CONTAINERS)
		return "h help  q quit  Enter processes  g flame graph  l latency  / filter  s sort  o all values  "
		       "r reverse  t tree  a all  p pause";
	if (state->view == TOP_VIEW_PROCESSES)
		return "Esc back  h help  q quit  H threads  g flame graph  l latency  / filter  s sort  r reverse  p pause";
	return "Esc back  q quit  Up, Down, Left and Right scroll";
}

void top_draw(struct top_state *state)
{
	screen_clear(state->screen);
	draw_facts(state);
	draw_order(state);
	if (state->view <= TOP_VIEW_PROCESSES)
		draw_table(state);
	else
		draw_page(state);
	put_line(state, screen_rows() - 1, foot_text(state), SCREEN_DIM);
	screen_show(state->screen);
}

/* ---- texts ---- */

const char *top_help(void)
{
	return "Up Down PgUp PgDn Home End   move            Enter      processes of the container\n"
	       "Left Right                   more columns    o          all that is known of it\n"
	       "s F6 >                       sort by …       g          flame graph of where its time goes (5 s)\n"
	       "r                            reverse         l          histogram of its run-queue latency (5 s)\n"
	       "/ f F4                       filter          H          threads, among processes\n"
	       "t F5                         tree of cgroups Esc        back\n"
	       "a                            units and other cgroups, too\n"
	       "p Space                      pause           + -        longer, shorter interval\n"
	       "q F10                        quit            h ? F1     this\n"
	       "\n"
	       "LOST%      time its threads were ready and had no CPU (throttled time included), and waited for disks;\n"
	       "           100 = one thread all the time. Disk waits need kernel.task_delayacct=1, else I/O pressure.\n"
	       "CPU%       100 = one core; after the slash its quota, the tightest of it and the cgroups above\n"
	       "THR%       share of quota periods that ended throttled\n"
	       "MEM        working set: memory without file pages not used lately; after the slash the limit\n"
	       "RFLT/s     pages read back soon after they had been dropped: too little memory\n"
	       "PSI c/m/i  percent of the time in which somebody waited for CPU, memory, I/O; - where it is off\n"
	       "RX TX      bytes of its network namespace; * shared with others; host: it uses the machine's\n"
	       "PIDS       threads, as the pids controller counts\n"
	       "\n"
	       "Filters: part of a name, image, pod or id; /regex/; comparisons: cpu>50% mem>80% mem>1GiB lost>10 oom>0\n";
}

static void append_value(GString *text, const struct gauge_interval *interval, guint32 row, enum gauge gauge)
{
	const struct gauge_metric *metric = &gauge_metrics[gauge];
	guint64 value, change = 0;
	gboolean has_change = interval->changes && gauge_get(gauges_row(interval->changes, row), gauge, &change) &&
			      metric->kind == GAUGE_COUNTER && interval->length_ns;
	double rate = has_change ? (double)change / ((double)interval->length_ns / (double)NS_PER_S) : 0;
	g_autofree char *shown = NULL;

	if (!gauge_get(gauges_row(interval->readings, row), gauge, &value))
		return;
	if (gauge == GAUGE_STARTED) {
		g_autoptr(GDateTime) when = g_date_time_new_from_unix_utc((gint64)(value / NS_PER_S));

		shown = g_date_time_format(when, "%Y-%m-%d %H:%M:%S UTC");
	} else if (metric->unit == GAUGE_UNIT_NANOCORES) {
		shown = g_strdup_printf("%.3g cores", (double)value / 1e9);
	} else {
		shown = units_weight((enum unit)metric->unit, value);
	}
	g_string_append_printf(text, "%-26s %14s", metric->name, shown);
	if (has_change && metric->unit == GAUGE_UNIT_NANOSECONDS)
		g_string_append_printf(text, "  %9.2f %%   ", rate / (double)NS_PER_S * 100);
	else if (has_change)
		g_string_append_printf(text, "  %9.4g /s  ", rate);
	else
		g_string_append_printf(text, "  %14s", "");
	g_string_append_printf(text, "  %s\n", metric->help);
}

char *top_detail(const struct top_state *state, guint64 key)
{
	const struct gauge_interval *interval = &state->containers;

	for (guint32 i = 0; i < interval->readings->rows->len; i++) {
		const struct gauge_row *row = gauges_row(interval->readings, i);
		GString *text;

		if (row->key != key)
			continue;
		text = g_string_new(row->dead ? "it has ended; these are its last values\n" : NULL);
		for (guint j = 0; j < GAUGE_TEXTS; j++)
			if (row->texts[j]) {
				g_autofree char *line = g_strdelimit(g_strdup(row->texts[j]), "\n", '?');

				g_string_append_printf(text, "%-26s %s\n", gauge_text_name((enum gauge_text)j), line);
			}
		for (guint j = 0; j < GAUGES_COUNT; j++)
			append_value(text, interval, i, (enum gauge)j);
		return g_string_free(text, FALSE);
	}
	return NULL;
}
