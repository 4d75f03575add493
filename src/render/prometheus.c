/* SPDX-License-Identifier: Apache-2.0 */
#include "render/prometheus.h"

#include <math.h>
#include <string.h>

#include "base/units.h"

/* The units Prometheus names in full; OpenMetrics wants to be told. */
static const char *const unit_suffixes[] = { "seconds", "bytes", "cores", "ratio" };

static const char *const type_names[][2] = {
	/* text 0.0.4, OpenMetrics */
	[EXPOSITION_GAUGE] = { "gauge", "gauge" },
	[EXPOSITION_COUNTER] = { "counter", "counter" },
	[EXPOSITION_HISTOGRAM] = { "histogram", "histogram" },
	[EXPOSITION_INFO] = { "gauge", "info" },
	[EXPOSITION_SUMMARY] = { "summary", "summary" },
};

static const char *unit_of(const char *family)
{
	for (guint i = 0; i < G_N_ELEMENTS(unit_suffixes); i++)
		if (g_str_has_suffix(family, unit_suffixes[i]))
			return unit_suffixes[i];
	return NULL;
}

void exposition_family(struct exposition *exposition, const char *prefix, const char *name, enum exposition_type type,
		       const char *help)
{
	g_autofree char *family = g_strconcat(prefix, name, NULL);
	const char *unit;

	if (exposition->openmetrics && type == EXPOSITION_COUNTER && g_str_has_suffix(family, "_total"))
		family[strlen(family) - strlen("_total")] = '\0';
	if (exposition->openmetrics && type == EXPOSITION_INFO && g_str_has_suffix(family, "_info"))
		family[strlen(family) - strlen("_info")] = '\0';
	g_string_append_printf(exposition->out, "# TYPE %s %s\n", family, type_names[type][exposition->openmetrics]);
	unit = exposition->openmetrics ? unit_of(family) : NULL;
	if (unit)
		g_string_append_printf(exposition->out, "# UNIT %s %s\n", family, unit);
	g_string_append_printf(exposition->out, "# HELP %s %s\n", family, help);
}

static void sample_begin(struct exposition *exposition, const char *prefix, const char *name, const char *suffix,
			 const char *labels)
{
	GString *out = exposition->out;

	g_string_append(out, prefix);
	g_string_append(out, name);
	g_string_append(out, suffix);
	if (labels && labels[0]) {
		g_string_append_c(out, '{');
		g_string_append(out, labels);
		g_string_append_c(out, '}');
	}
	g_string_append_c(out, ' ');
}

/* Decimal digits, at least `width`: many thousands of them a scrape, so without printf. */
static void append_digits(GString *out, guint64 value, guint width)
{
	char digits[20];
	guint at = sizeof(digits);

	while (value || sizeof(digits) - at < MAX(width, 1)) {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	}
	g_string_append_len(out, digits + at, (gssize)(sizeof(digits) - at));
}

/* Billionths of something, without zeroes at the end. */
static void append_billionths(GString *out, guint64 value)
{
	append_digits(out, value / NS_PER_S, 1);
	if (value % NS_PER_S == 0)
		return;
	g_string_append_c(out, '.');
	append_digits(out, value % NS_PER_S, 9);
	while (out->str[out->len - 1] == '0')
		g_string_truncate(out, out->len - 1);
}

void exposition_uint(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
		     guint64 value)
{
	sample_begin(exposition, prefix, name, "", labels);
	append_digits(exposition->out, value, 1);
	g_string_append_c(exposition->out, '\n');
}

void exposition_seconds(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
			guint64 ns)
{
	sample_begin(exposition, prefix, name, "", labels);
	append_billionths(exposition->out, ns);
	g_string_append_c(exposition->out, '\n');
}

void exposition_double(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
		       double value)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];

	sample_begin(exposition, prefix, name, "", labels);
	if (isnan(value))
		g_string_append(exposition->out, "NaN");
	else if (isinf(value))
		g_string_append(exposition->out, value > 0 ? "+Inf" : "-Inf");
	else
		g_string_append(exposition->out, g_ascii_formatd(text, sizeof(text), "%.9g", value));
	g_string_append_c(exposition->out, '\n');
}

static const struct {
	guint64 ns;
	const char *text;
} bounds[] = {
	{ 256 * NS_PER_US, "0.000256" }, { NS_PER_MS, "0.001" },      { 4 * NS_PER_MS, "0.004" },
	{ 16 * NS_PER_MS, "0.016" },	 { 64 * NS_PER_MS, "0.064" }, { NS_PER_S, "1.0" },
};

void exposition_histogram(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
			  const struct histogram_counts *counts)
{
	const char *comma = labels && labels[0] ? "," : "";
	guint64 below = 0;
	guint bucket = 0;

	for (guint i = 0; i < G_N_ELEMENTS(bounds); i++) {
		for (; bucket < HISTOGRAM_BUCKETS && histogram_bucket_high(UNIT_NANOSECONDS, bucket) <= bounds[i].ns;
		     bucket++)
			below += counts->buckets[bucket];
		g_string_append_printf(exposition->out, "%s%s_bucket{%s%sle=\"%s\"} ", prefix, name,
				       labels ? labels : "", comma, bounds[i].text);
		append_digits(exposition->out, below, 1);
		g_string_append_c(exposition->out, '\n');
	}
	g_string_append_printf(exposition->out, "%s%s_bucket{%s%sle=\"+Inf\"} ", prefix, name, labels ? labels : "",
			       comma);
	append_digits(exposition->out, counts->count, 1);
	g_string_append_c(exposition->out, '\n');
	sample_begin(exposition, prefix, name, "_sum", labels);
	append_billionths(exposition->out, counts->sum);
	g_string_append_c(exposition->out, '\n');
	sample_begin(exposition, prefix, name, "_count", labels);
	append_digits(exposition->out, counts->count, 1);
	g_string_append_c(exposition->out, '\n');
}

void exposition_summary(struct exposition *exposition, const char *prefix, const char *name, const char *labels,
			guint64 count, guint64 sum_ns)
{
	sample_begin(exposition, prefix, name, "_sum", labels);
	append_billionths(exposition->out, sum_ns);
	g_string_append_c(exposition->out, '\n');
	sample_begin(exposition, prefix, name, "_count", labels);
	append_digits(exposition->out, count, 1);
	g_string_append_c(exposition->out, '\n');
}

void exposition_end(struct exposition *exposition)
{
	if (exposition->openmetrics)
		g_string_append(exposition->out, "# EOF\n");
}

void exposition_label(GString *labels, const char *name, const char *value)
{
	g_autofree char *valid = g_utf8_make_valid(value, -1);

	g_string_append_printf(labels, "%s%s=\"", labels->len ? "," : "", name);
	for (const char *at = valid; *at; at++) {
		if (*at == '\\' || *at == '"')
			g_string_append_c(labels, '\\');
		if (*at == '\n')
			g_string_append(labels, "\\n");
		else
			g_string_append_c(labels, *at);
	}
	g_string_append_c(labels, '"');
}

static void gauge_sample(struct exposition *exposition, const char *prefix, const struct exposition_row *row,
			 enum gauge gauge, GString *labels)
{
	const struct gauge_metric *metric = &gauge_metrics[gauge];
	guint64 value = row->row->values[gauge];
	const char *given = row->labels;

	if (metric->label) {
		g_string_truncate(labels, 0);
		g_string_append(labels, row->labels ? row->labels : "");
		g_string_append(labels, labels->len ? "," : "");
		g_string_append(labels, metric->label);
		given = labels->str;
	}
	if (metric->unit == GAUGE_UNIT_NANOSECONDS || metric->unit == GAUGE_UNIT_NANOCORES)
		exposition_seconds(exposition, prefix, metric->exported, given, value);
	else
		exposition_uint(exposition, prefix, metric->exported, given, value);
}

/* Where there is no limit, nobody waits for it to be hit. */
static gboolean can_be_hit(const struct exposition_row *row, enum gauge gauge)
{
	static const enum gauge limits[][2] = { { GAUGE_CPU_PERIODS_THROTTLED, GAUGE_CPU_LIMIT },
						{ GAUGE_MEMORY_EVENTS_MAX, GAUGE_MEMORY_LIMIT },
						{ GAUGE_PIDS_LIMIT_HITS, GAUGE_PIDS_LIMIT } };

	for (guint i = 0; i < G_N_ELEMENTS(limits); i++)
		if (limits[i][0] == gauge)
			return gauge_is_known(row->row, limits[i][1]);
	return TRUE;
}

static gboolean is_shown(const struct exposition_row *row, enum gauge gauge)
{
	if (!gauge_is_known(row->row, gauge))
		return FALSE;
	return !row->moved || row->moved[gauge / 64] >> gauge % 64 & 1 ||
	       (gauge_metrics[gauge].is_telling && can_be_hit(row, gauge));
}

static gboolean is_shown_of_any(const struct exposition_row *rows, guint count, enum gauge gauge)
{
	for (guint i = 0; i < count; i++)
		if (is_shown(&rows[i], gauge))
			return TRUE;
	return FALSE;
}

static gboolean is_same_family(guint gauge, guint other)
{
	return strcmp(gauge_metrics[gauge].exported, gauge_metrics[other].exported) == 0;
}

/* The family that begins with `first`: gauges of one exported name follow each other in the table. */
static void gauges_family(struct exposition *exposition, const char *prefix, const struct exposition_row *rows,
			  guint count, guint first, GString *labels)
{
	gboolean begun = FALSE;

	for (guint i = first; i < GAUGES_COUNT && is_same_family(i, first); i++) {
		if (!is_shown_of_any(rows, count, (enum gauge)i))
			continue;
		if (!begun)
			exposition_family(exposition, prefix, gauge_metrics[i].exported,
					  gauge_metrics[i].kind == GAUGE_COUNTER ? EXPOSITION_COUNTER
										 : EXPOSITION_GAUGE,
					  gauge_metrics[i].help);
		begun = TRUE;
		for (guint j = 0; j < count; j++)
			if (is_shown(&rows[j], (enum gauge)i))
				gauge_sample(exposition, prefix, &rows[j], (enum gauge)i, labels);
	}
}

void exposition_gauges(struct exposition *exposition, const char *prefix, const struct exposition_row *rows,
		       guint count)
{
	g_autoptr(GString) labels = g_string_new(NULL);

	for (guint i = 0; i < GAUGES_COUNT; i++)
		if (i == 0 || !is_same_family(i, i - 1))
			gauges_family(exposition, prefix, rows, count, i, labels);
}
