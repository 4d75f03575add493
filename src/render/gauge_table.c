/* SPDX-License-Identifier: Apache-2.0 */
#include "render/gauge_table.h"

#include <math.h>
#include <string.h>

#include "base/units.h"
#include "render/render.h"

#define FILTER_TERMS_MAX 16

const struct gauge_column gauge_columns[GAUGE_COLUMNS] = {
	[GAUGE_COLUMN_NAME] = { "name", "NAME", 20, "name" },
	[GAUGE_COLUMN_CPU] = { "cpu", "CPU%/LIMIT", 10, "CPU used, in percent of one core, and its quota" },
	[GAUGE_COLUMN_THROTTLED] = { "throttled", "THR%", 5, "share of quota periods that ended throttled" },
	[GAUGE_COLUMN_LOST] = { "lost", "LOST%", 6, "time lost by its threads: waiting for a CPU and for disks" },
	[GAUGE_COLUMN_WAIT] = { "wait", "WAIT%", 6, "threads waiting for a CPU, throttled ones included" },
	[GAUGE_COLUMN_DISK] = { "disk", "DISK%", 6, "threads waiting for disks (or I/O pressure)" },
	[GAUGE_COLUMN_MEMORY] = { "mem", "MEM/LIMIT", 17, "working set and limit" },
	[GAUGE_COLUMN_MEMORY_RATIO] = { "mem%", "MEM%", 5, "working set in percent of the limit" },
	[GAUGE_COLUMN_REFAULTS] = { "refaults", "RFLT/s", 6, "pages read back soon after they were dropped" },
	[GAUGE_COLUMN_PRESSURE] = { "psi", "PSI c/m/i", 9, "time somebody waited for CPU, memory, I/O, in percent" },
	[GAUGE_COLUMN_READ] = { "read", "READ/s", 8, "bytes read from block devices" },
	[GAUGE_COLUMN_WRITE] = { "write", "WRITE/s", 8, "bytes written to block devices" },
	[GAUGE_COLUMN_RECEIVED] = { "rx", "RX/s", 8, "bytes received; * its network is shared" },
	[GAUGE_COLUMN_SENT] = { "tx", "TX/s", 8, "bytes sent" },
	[GAUGE_COLUMN_PIDS] = { "pids", "PIDS", 7, "threads, and the limit" },
	[GAUGE_COLUMN_OOM] = { "oom", "OOM", 3, "processes killed for lack of memory" },
	[GAUGE_COLUMN_STATE] = { "state", "S", 1, "R running, S sleeping, D blocked, T stopped" },
	[GAUGE_COLUMN_PID] = { "pid", "PID", 7, "pid on the host" },
	[GAUGE_COLUMN_INNER_PID] = { "inner", "INNER", 7, "pid inside" },
	[GAUGE_COLUMN_FAULTS] = { "faults", "FLT/s", 6, "page faults" },
	[GAUGE_COLUMN_SWITCHES] = { "switches", "CSW/s", 6, "context switches" },
	[GAUGE_COLUMN_THREADS] = { "threads", "THR", 4, "threads" },
};

const int gauge_columns_containers[] = {
	GAUGE_COLUMN_NAME,	GAUGE_COLUMN_LOST,     GAUGE_COLUMN_CPU,
	GAUGE_COLUMN_THROTTLED, GAUGE_COLUMN_MEMORY,   GAUGE_COLUMN_MEMORY_RATIO,
	GAUGE_COLUMN_REFAULTS,	GAUGE_COLUMN_PRESSURE, GAUGE_COLUMN_READ,
	GAUGE_COLUMN_WRITE,	GAUGE_COLUMN_RECEIVED, GAUGE_COLUMN_SENT,
	GAUGE_COLUMN_PIDS,	GAUGE_COLUMN_OOM,      -1,
};

const int gauge_columns_processes[] = {
	GAUGE_COLUMN_PID,
	GAUGE_COLUMN_INNER_PID,
	GAUGE_COLUMN_STATE,
	GAUGE_COLUMN_LOST,
	GAUGE_COLUMN_CPU,
	GAUGE_COLUMN_MEMORY,
	GAUGE_COLUMN_FAULTS,
	GAUGE_COLUMN_READ,
	GAUGE_COLUMN_WRITE,
	GAUGE_COLUMN_SWITCHES,
	GAUGE_COLUMN_THREADS,
	GAUGE_COLUMN_NAME,
	-1,
};

int gauge_column_find(const char *key, GError **error)
{
	g_autoptr(GString) known = g_string_new(NULL);

	for (int i = 0; i < GAUGE_COLUMNS; i++) {
		if (g_ascii_strcasecmp(gauge_columns[i].key, key) == 0)
			return i;
		g_string_append_printf(known, "%s%s", i ? ", " : "", gauge_columns[i].key);
	}
	g_set_error(error, RENDER_ERROR, RENDER_ERROR_FORMAT, "no column is called \"%s\": choose one of %s", key,
		    known->str);
	return -1;
}

/* ---- values ---- */

static double level(const struct gauge_interval *interval, guint32 row, enum gauge gauge)
{
	guint64 value;

	return gauge_get(gauges_row(interval->readings, row), gauge, &value) ? (double)value : NAN;
}

/* Per second. */
static double rate(const struct gauge_interval *interval, guint32 row, enum gauge gauge)
{
	guint64 value;

	if (!interval->changes || !interval->length_ns || !gauge_get(gauges_row(interval->changes, row), gauge, &value))
		return NAN;
	return (double)value / ((double)interval->length_ns / (double)NS_PER_S);
}

/* Of a counter of nanoseconds. */
static double percent(const struct gauge_interval *interval, guint32 row, enum gauge gauge)
{
	return rate(interval, row, gauge) / (double)NS_PER_S * 100;
}

static double first_known(double a, double b)
{
	return isnan(a) ? b : a;
}

static double wait_percent(const struct gauge_interval *interval, guint32 row)
{
	return first_known(percent(interval, row, GAUGE_RUNQUEUE_WAIT),
			   percent(interval, row, GAUGE_PRESSURE_CPU_SOME));
}

static double disk_percent(const struct gauge_interval *interval, guint32 row)
{
	return first_known(percent(interval, row, GAUGE_DISK_WAIT), percent(interval, row, GAUGE_PRESSURE_IO_SOME));
}

/* A sum of what is known; not known when nothing is. */
static double lost_percent(const struct gauge_interval *interval, guint32 row)
{
	double wait = wait_percent(interval, row), disk = disk_percent(interval, row);

	return isnan(wait) ? disk : isnan(disk) ? wait : wait + disk;
}

static double throttled_percent(const struct gauge_interval *interval, guint32 row)
{
	double periods = rate(interval, row, GAUGE_CPU_PERIODS);
	double throttled = rate(interval, row, GAUGE_CPU_PERIODS_THROTTLED);

	/* Without a quota there are no periods. */
	return periods > 0 ? throttled / periods * 100 : NAN;
}

static double memory(const struct gauge_interval *interval, guint32 row)
{
	return first_known(level(interval, row, GAUGE_MEMORY_WORKING_SET), level(interval, row, GAUGE_MEMORY));
}

static double sum(double a, double b)
{
	return isnan(a) ? b : isnan(b) ? a : a + b;
}

static double largest_pressure(const struct gauge_interval *interval, guint32 row)
{
	return fmax(percent(interval, row, GAUGE_PRESSURE_CPU_SOME),
		    fmax(percent(interval, row, GAUGE_PRESSURE_MEMORY_SOME),
			 percent(interval, row, GAUGE_PRESSURE_IO_SOME)));
}

double gauge_cell_value(const struct gauge_interval *interval, guint32 row, enum gauge_column_id column)
{
	switch (column) {
	case GAUGE_COLUMN_CPU:
		return percent(interval, row, GAUGE_CPU);
	case GAUGE_COLUMN_THROTTLED:
		return throttled_percent(interval, row);
	case GAUGE_COLUMN_LOST:
		return lost_percent(interval, row);
	case GAUGE_COLUMN_WAIT:
		return wait_percent(interval, row);
	case GAUGE_COLUMN_DISK:
		return disk_percent(interval, row);
	case GAUGE_COLUMN_MEMORY:
		return memory(interval, row);
	case GAUGE_COLUMN_MEMORY_RATIO:
		return memory(interval, row) / level(interval, row, GAUGE_MEMORY_LIMIT) * 100;
	case GAUGE_COLUMN_REFAULTS:
		return sum(rate(interval, row, GAUGE_REFAULTS_FILE), rate(interval, row, GAUGE_REFAULTS_ANON));
	case GAUGE_COLUMN_PRESSURE:
		return largest_pressure(interval, row);
	case GAUGE_COLUMN_READ:
		return rate(interval, row, GAUGE_IO_READ_BYTES);
	case GAUGE_COLUMN_WRITE:
		return rate(interval, row, GAUGE_IO_WRITE_BYTES);
	case GAUGE_COLUMN_RECEIVED:
		return rate(interval, row, GAUGE_NET_RECEIVED_BYTES);
	case GAUGE_COLUMN_SENT:
		return rate(interval, row, GAUGE_NET_SENT_BYTES);
	case GAUGE_COLUMN_PIDS:
		return first_known(level(interval, row, GAUGE_PIDS), level(interval, row, GAUGE_THREADS));
	case GAUGE_COLUMN_OOM:
		return level(interval, row, GAUGE_OOM_KILLS);
	case GAUGE_COLUMN_PID:
		return (double)gauges_row(interval->readings, row)->key;
	case GAUGE_COLUMN_FAULTS:
		return rate(interval, row, GAUGE_FAULTS);
	case GAUGE_COLUMN_SWITCHES:
		return sum(rate(interval, row, GAUGE_SWITCHES_VOLUNTARY),
			   rate(interval, row, GAUGE_SWITCHES_INVOLUNTARY));
	case GAUGE_COLUMN_THREADS:
		return level(interval, row, GAUGE_THREADS);
	case GAUGE_COLUMN_INNER_PID: {
		const char *inner = gauges_row(interval->readings, row)->texts[GAUGE_TEXT_INNER_PID];

		return inner ? g_ascii_strtod(inner, NULL) : NAN;
	}
	case GAUGE_COLUMN_NAME:
	case GAUGE_COLUMN_STATE:
	case GAUGE_COLUMNS:
	default:
		return NAN;
	}
}

/* ---- cells ---- */

static char *text_percent(double value)
{
	return isnan(value) ? g_strdup("-") : g_strdup_printf(value < 1000 ? "%.1f" : "%.0f", value);
}

/* IEC without the space: two stand in one cell. */
static char *text_size(double bytes)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) parts = NULL;

	if (isnan(bytes))
		return g_strdup("-");
	text = units_bytes((guint64)bytes);
	parts = g_strsplit(text, " ", 2);
	return g_strjoinv("", parts);
}

/* SI bytes per second, as networks and disks are sold. */
static char *text_rate(double per_second)
{
	static const char *const names[] = { "B", "kB", "MB", "GB", "TB" };
	guint i = 0;

	if (isnan(per_second))
		return g_strdup("-");
	for (; per_second >= 999.5 && i + 1 < G_N_ELEMENTS(names); i++)
		per_second /= 1000;
	return g_strdup_printf(i == 0 || per_second >= 99.95 ? "%.0f%s" : "%.1f%s", per_second, names[i]);
}

static char *text_count(double value)
{
	return isnan(value) ? g_strdup("-") : units_count((guint64)(value + 0.5));
}

static char *text_of_limit(char *used, const char *limit)
{
	char *text = limit ? g_strdup_printf("%s/%s", used, limit) : g_strdup(used);

	g_free(used);
	return text;
}

static char *text_cpu(const struct gauge_interval *interval, guint32 row)
{
	double limit = level(interval, row, GAUGE_CPU_LIMIT);
	g_autofree char *of = isnan(limit) ? NULL : g_strdup_printf("%.4g", limit / (double)NS_PER_S * 100);

	return text_of_limit(text_percent(percent(interval, row, GAUGE_CPU)), of);
}

static char *text_memory(const struct gauge_interval *interval, guint32 row)
{
	double limit = level(interval, row, GAUGE_MEMORY_LIMIT);
	g_autofree char *of = isnan(limit) ? NULL : text_size(limit);

	return text_of_limit(text_size(memory(interval, row)), of);
}

static char *text_pids(const struct gauge_interval *interval, guint32 row)
{
	double limit = level(interval, row, GAUGE_PIDS_LIMIT);
	g_autofree char *of = isnan(limit) ? NULL : text_count(limit);

	return text_of_limit(text_count(gauge_cell_value(interval, row, GAUGE_COLUMN_PIDS)), of);
}

static void append_share(GString *text, double value)
{
	if (text->len)
		g_string_append_c(text, '/');
	if (isnan(value))
		g_string_append_c(text, '-');
	else
		g_string_append_printf(text, "%.0f", value);
}

static char *text_pressure(const struct gauge_interval *interval, guint32 row)
{
	double cpu = percent(interval, row, GAUGE_PRESSURE_CPU_SOME);
	double mem = percent(interval, row, GAUGE_PRESSURE_MEMORY_SOME);
	double io = percent(interval, row, GAUGE_PRESSURE_IO_SOME);
	GString *text;

	if (isnan(cpu) && isnan(mem) && isnan(io))
		return g_strdup("-");
	text = g_string_new(NULL);
	append_share(text, cpu);
	append_share(text, mem);
	append_share(text, io);
	return g_string_free(text, FALSE);
}

static char *text_traffic(const struct gauge_interval *interval, guint32 row, double value)
{
	const char *shared = gauges_row(interval->readings, row)->texts[GAUGE_TEXT_NET_SHARED];
	g_autofree char *text = NULL;

	if (!shared)
		return text_rate(value);
	if (isnan(value)) /* the host's own network: what of it is this container's is not known */
		return g_strdup(g_str_equal(shared, "host") ? "host" : "-");
	text = text_rate(value);
	return g_strconcat(text, "*", NULL);
}

char *gauge_cell_text(const struct gauge_interval *interval, guint32 row, enum gauge_column_id column)
{
	const struct gauge_row *reading = gauges_row(interval->readings, row);
	const char *text;

	switch (column) {
	case GAUGE_COLUMN_NAME:
		text = reading->texts[GAUGE_TEXT_OWNER];
		return text ? g_strdup_printf("%s  in %s", reading->name, text) : g_strdup(reading->name);
	case GAUGE_COLUMN_CPU:
		return text_cpu(interval, row);
	case GAUGE_COLUMN_MEMORY:
		return text_memory(interval, row);
	case GAUGE_COLUMN_PIDS:
		return text_pids(interval, row);
	case GAUGE_COLUMN_PRESSURE:
		return text_pressure(interval, row);
	case GAUGE_COLUMN_READ:
	case GAUGE_COLUMN_WRITE:
		return text_rate(gauge_cell_value(interval, row, column));
	case GAUGE_COLUMN_RECEIVED:
	case GAUGE_COLUMN_SENT:
		return text_traffic(interval, row, gauge_cell_value(interval, row, column));
	case GAUGE_COLUMN_PID:
		return g_strdup_printf("%" G_GUINT64_FORMAT, reading->key);
	case GAUGE_COLUMN_STATE:
	case GAUGE_COLUMN_INNER_PID:
		text = reading->texts[column == GAUGE_COLUMN_STATE ? GAUGE_TEXT_STATE : GAUGE_TEXT_INNER_PID];
		return g_strdup(text ? text : "-");
	case GAUGE_COLUMN_THROTTLED:
	case GAUGE_COLUMN_LOST:
	case GAUGE_COLUMN_WAIT:
	case GAUGE_COLUMN_DISK:
	case GAUGE_COLUMN_MEMORY_RATIO:
		return text_percent(gauge_cell_value(interval, row, column));
	case GAUGE_COLUMN_REFAULTS:
	case GAUGE_COLUMN_OOM:
	case GAUGE_COLUMN_FAULTS:
	case GAUGE_COLUMN_SWITCHES:
	case GAUGE_COLUMN_THREADS:
	case GAUGE_COLUMNS:
	default:
		return text_count(gauge_cell_value(interval, row, column));
	}
}

/* ---- filter ---- */

struct term {
	char *part; /* of the name …, in lower case; NULL: not this kind */
	GRegex *regex;
	int column; /* of a comparison; -1 otherwise */
	char comparison[3];
	double value;
};

struct gauge_filter {
	GArray *terms;
};

static void term_clear(gpointer data)
{
	struct term *term = data;

	g_free(term->part);
	if (term->regex)
		g_regex_unref(term->regex);
}

void gauge_filter_free(struct gauge_filter *filter)
{
	if (!filter)
		return;
	g_array_unref(filter->terms);
	g_free(filter);
}

/* "80%", "1.5", "1GiB", "300M" (powers of 1024 for memory, of 1000 for the rest), "10k". FALSE when it is none. */
static gboolean parse_amount(const char *text, int *column, double *value)
{
	static const char letters[] = "kmgt";
	double factor = *column == GAUGE_COLUMN_MEMORY ? 1024 : 1000;
	const char *letter;
	char *end;

	*value = g_ascii_strtod(text, &end);
	if (end == text || !isfinite(*value))
		return FALSE;
	if (strcmp(end, "%") == 0) {
		if (*column == GAUGE_COLUMN_MEMORY)
			*column = GAUGE_COLUMN_MEMORY_RATIO;
		return TRUE;
	}
	if (!*end)
		return TRUE;
	letter = strchr(letters, g_ascii_tolower(*end));
	if (!letter)
		return strcmp(end, "B") == 0;
	for (long i = 0; i <= letter - letters; i++)
		*value *= factor;
	end++;
	return !*end || g_ascii_strcasecmp(end, "b") == 0 || g_ascii_strcasecmp(end, "ib") == 0;
}

static gboolean term_compare(const char *text, gsize name, struct term *term, GError **error)
{
	g_autofree char *key = g_strndup(text, name);
	gsize signs = strspn(text + name, "<>=");

	term->column = gauge_column_find(key, error);
	if (term->column < 0)
		return FALSE;
	if (signs > 2 || !parse_amount(text + name + signs, &term->column, &term->value)) {
		g_set_error(error, RENDER_ERROR, RENDER_ERROR_FORMAT,
			    "\"%s\" is not a comparison: write for example cpu>50%% or mem>1GiB", text);
		return FALSE;
	}
	g_strlcpy(term->comparison, text + name, signs + 1);
	return TRUE;
}

static gboolean term_parse(const char *text, struct term *term, GError **error)
{
	gsize length = strlen(text), name = strcspn(text, "<>=");

	*term = (struct term){ .column = -1 };
	if (length > 2 && text[0] == '/' && text[length - 1] == '/') {
		g_autofree char *pattern = g_strndup(text + 1, length - 2);

		term->regex = g_regex_new(pattern, G_REGEX_CASELESS | G_REGEX_RAW, 0, error);
		return term->regex != NULL;
	}
	if (text[name] && name > 0)
		return term_compare(text, name, term, error);
	term->part = g_ascii_strdown(text, -1);
	return TRUE;
}

struct gauge_filter *gauge_filter_new(const char *text, GError **error)
{
	struct gauge_filter *filter = g_new0(struct gauge_filter, 1);
	g_auto(GStrv) words = g_strsplit(text, " ", FILTER_TERMS_MAX);

	filter->terms = g_array_new(FALSE, FALSE, sizeof(struct term));
	g_array_set_clear_func(filter->terms, term_clear);
	for (guint i = 0; words[i]; i++) {
		struct term term;

		if (!*words[i])
			continue;
		if (!term_parse(words[i], &term, error)) {
			gauge_filter_free(filter);
			return NULL;
		}
		g_array_append_val(filter->terms, term);
	}
	return filter;
}

static gboolean text_has(const char *text, const struct term *term)
{
	g_autofree char *lower = NULL;

	if (!text)
		return FALSE;
	if (term->regex)
		return g_regex_match(term->regex, text, 0, NULL);
	lower = g_ascii_strdown(text, -1);
	return strstr(lower, term->part) != NULL;
}

static gboolean row_has(const struct gauge_row *row, const struct term *term)
{
	return text_has(row->name, term) || text_has(row->texts[GAUGE_TEXT_ID], term) ||
	       text_has(row->texts[GAUGE_TEXT_IMAGE], term) || text_has(row->texts[GAUGE_TEXT_POD], term) ||
	       text_has(row->texts[GAUGE_TEXT_OWNER], term);
}

static gboolean compares(double value, const struct term *term)
{
	if (isnan(value))
		return FALSE;
	if (strcmp(term->comparison, ">") == 0)
		return value > term->value;
	if (strcmp(term->comparison, ">=") == 0)
		return value >= term->value;
	if (strcmp(term->comparison, "<") == 0)
		return value < term->value;
	if (strcmp(term->comparison, "<=") == 0)
		return value <= term->value;
	return value == term->value;
}

gboolean gauge_filter_matches(const struct gauge_filter *filter, const struct gauge_interval *interval, guint32 row)
{
	for (guint i = 0; i < filter->terms->len; i++) {
		const struct term *term = &g_array_index(filter->terms, struct term, i);
		gboolean matches = term->column >= 0 ? compares(gauge_cell_value(interval, row, term->column), term)
						     : row_has(gauges_row(interval->readings, row), term);

		if (!matches)
			return FALSE;
	}
	return TRUE;
}

/* ---- order ---- */

struct sorted {
	guint32 row;
	double value;
	const char *name;
};

static int compare_rows(gconstpointer left, gconstpointer right, gpointer user)
{
	const struct sorted *a = left, *b = right;
	const struct gauge_order *order = user;
	int sign = order->ascending ? 1 : -1;

	if (order->column == GAUGE_COLUMN_NAME || order->column == GAUGE_COLUMN_STATE) {
		int by_name = strcmp(a->name, b->name);

		return order->ascending ? by_name : -by_name;
	}
	if (isnan(a->value) != isnan(b->value))
		return isnan(a->value) ? 1 : -1;
	if (!isnan(a->value) && a->value != b->value)
		return a->value < b->value ? -sign : sign;
	return strcmp(a->name, b->name);
}

/* Matching rows and, in a tree, those above them. */
static gboolean *rows_chosen(const struct gauge_interval *interval, const struct gauge_order *order)
{
	guint32 count = interval->readings->rows->len;
	gboolean *chosen = g_new0(gboolean, count + 1);

	for (guint32 i = count; i-- > 0;) {
		const struct gauge_row *row = gauges_row(interval->readings, i);

		if (row->resource == GAUGE_RESOURCE_HOST)
			continue;
		if (!order->filter || gauge_filter_matches(order->filter, interval, i))
			chosen[i] = TRUE;
		if (chosen[i] && order->tree && row->parent != GAUGE_NO_PARENT) /* smaller: seen later */
			chosen[row->parent] = TRUE;
	}
	return chosen;
}

/* Sorted rows as chains: of those below each row, in their order. Numbers are places in `sorted`, plus 1; 0 ends a chain. */
struct family {
	const struct gauge_interval *interval;
	const GArray *sorted;
	guint32 *first; /* by row; behind the rows: of those that stand below nothing */
	guint32 *next; /* by place */
	GArray *places;
};

static guint32 family_parent(const struct gauge_interval *interval, guint32 row)
{
	guint32 above = gauges_row(interval->readings, row)->parent;

	if (above == GAUGE_NO_PARENT || gauges_row(interval->readings, above)->resource == GAUGE_RESOURCE_HOST)
		return interval->readings->rows->len;
	return above;
}

static void place_below(const struct family *family, guint32 parent, guint depth)
{
	for (guint32 at = family->first[parent]; at; at = family->next[at - 1]) {
		struct gauge_place place = { g_array_index(family->sorted, struct sorted, at - 1).row, depth };

		g_array_append_val(family->places, place);
		place_below(family, place.row, depth + 1);
	}
}

static void place_tree(GArray *places, const struct gauge_interval *interval, const GArray *sorted)
{
	guint32 rows = interval->readings->rows->len;
	g_autofree guint32 *first = g_new0(guint32, rows + 1), *next = g_new(guint32, sorted->len + 1);
	struct family family = { interval, sorted, first, next, places };

	for (guint i = sorted->len; i-- > 0;) { /* from the end: each goes before those found already */
		guint32 parent = family_parent(interval, g_array_index(sorted, struct sorted, i).row);

		next[i] = first[parent];
		first[parent] = i + 1;
	}
	place_below(&family, rows, 0);
}

GArray *gauge_rows_order(const struct gauge_interval *interval, const struct gauge_order *order)
{
	g_autofree gboolean *chosen = rows_chosen(interval, order);
	g_autoptr(GArray) sorted = g_array_new(FALSE, FALSE, sizeof(struct sorted));
	GArray *places = g_array_new(FALSE, FALSE, sizeof(struct gauge_place));
	guint32 count = interval->readings->rows->len;

	for (guint32 i = 0; i < count; i++) {
		const struct gauge_row *row = gauges_row(interval->readings, i);
		struct sorted one = { i, 0, row->name };

		if (!chosen[i] || row->resource == GAUGE_RESOURCE_HOST)
			continue;
		one.value = gauge_cell_value(interval, i, order->column);
		g_array_append_val(sorted, one);
	}
	g_array_sort_with_data(sorted, compare_rows, (gpointer)order);
	if (order->tree) {
		place_tree(places, interval, sorted);
		return places;
	}
	for (guint i = 0; i < sorted->len; i++) {
		struct gauge_place place = { .row = g_array_index(sorted, struct sorted, i).row };

		g_array_append_val(places, place);
	}
	return places;
}

/* ---- sparkline ---- */

char *gauge_sparkline(const double *values, guint count, double top)
{
	static const char *const bars[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < count; i++) {
		double share = top > 0 ? values[i] / top : 0;

		if (isnan(values[i]))
			g_string_append_c(text, ' ');
		else
			g_string_append(text, bars[(guint)CLAMP(share * 8, 0, 7)]);
	}
	return g_string_free(text, FALSE);
}

/* ---- for programs ---- */

void render_gauge_rates(struct json_writer *json, const struct gauge_interval *interval, guint32 row)
{
	double throttled = throttled_percent(interval, row), lost = lost_percent(interval, row);

	json_begin_object(json, "rates");
	for (guint i = 0; i < GAUGES_COUNT; i++) {
		double value = gauge_metrics[i].kind == GAUGE_COUNTER ? rate(interval, row, i) : NAN;
		g_autofree char *name = NULL;

		if (isnan(value))
			continue;
		if (gauge_metrics[i].unit != GAUGE_UNIT_NANOSECONDS) {
			json_double(json, gauge_metrics[i].name, value);
			continue;
		}
		name = g_strndup(gauge_metrics[i].name, strlen(gauge_metrics[i].name) - strlen("_ns"));
		json_double(json, name, value / (double)NS_PER_S);
	}
	json_end_object(json);
	if (!isnan(throttled))
		json_double(json, "throttled_ratio", throttled / 100);
	if (!isnan(lost))
		json_double(json, "lost", lost / 100);
}
