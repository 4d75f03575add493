/* SPDX-License-Identifier: Apache-2.0 */
#include "diagnose/report.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "base/units.h"

#define BOLD "\033[1m"
#define PLAIN "\033[0m"
#define LABEL_COLUMNS 15

static const char *const ops[] = { [CONDITION_END] = "", [AT_LEAST] = "≥", [BELOW] = "<", [MORE_THAN] = ">" };
static const char *const faults[FAULT_KINDS] = { "container", "neighbour", "host", "peer" };

static char *fault_words(const struct finding *finding)
{
	switch (finding->fault) {
	case FAULT_NEIGHBOUR:
		return g_strdup_printf("a neighbour%s%s", finding->culprit ? ": " : "",
				       finding->culprit ? finding->culprit : "");
	case FAULT_PEER:
		return g_strdup_printf("its peer%s%s", finding->culprit ? ": " : "",
				       finding->culprit ? finding->culprit : "");
	case FAULT_HOST:
		return g_strdup(finding->culprit ? "the host: processes that are in no container" : "the host");
	case FAULT_CONTAINER:
	case FAULT_KINDS:
	default:
		return g_strdup("the container itself, or its limits");
	}
}

/* "throttled periods 97 % (≥ 10 %; cpu.stat nr_throttled / nr_periods)" */
char *report_evidence(const struct evidence *evidence, const struct diagnose_config *config)
{
	const struct fact_meta *meta = &fact_metas[evidence->fact];
	g_autofree char *value = fact_format(meta->unit, evidence->value);
	g_autofree char *limit = evidence->op ? fact_format(meta->unit, evidence->limit) : NULL;

	if (!limit)
		return g_strdup_printf("%s %s (%s)", meta->label, value, meta->source);
	return g_strdup_printf("%s %s (%s %s%s; %s)", meta->label, value, ops[evidence->op], limit,
			       config->is_changed[evidence->threshold] ? " as configured" : "", meta->source);
}

static char *doubt_words(const struct finding *finding)
{
	GString *out = g_string_new(confidence_name(finding->confidence));

	for (guint i = 0; i < finding->doubts->len; i++)
		g_string_append_printf(out, "%s%s", i ? "; " : ": ", (char *)g_ptr_array_index(finding->doubts, i));
	return g_string_free(out, FALSE);
}

static char *score_words(const struct finding *finding)
{
	g_autofree char *share = fact_format(FACT_UNIT_SHARE, finding->score);

	if (finding->rule && finding->rule->score_least > 0 && finding->rule->score_least >= finding->score)
		return g_strdup(finding->rule->lost ? finding->rule->lost : "errors");
	if (finding->score <= 0)
		return g_strdup("how much time that costs is not known");
	return g_strdup_printf("%s of its thread time lost", share);
}

/* Checks by what they found out: "cap throttled (3 containers)". */
static char *checked_words(const struct checked *checked)
{
	if (checked->unknown && !checked->containers)
		return g_strdup_printf("%s: not known (%s)", checked->rule->name, fact_metas[checked->lacking].label);
	if (checked->unknown)
		return g_strdup_printf("%s: not known of %u (%s)", checked->rule->name, checked->unknown,
				       fact_metas[checked->lacking].label);
	return g_strdup(checked->rule->name);
}

static const char *summary_words(const struct diagnosis *diagnosis)
{
	if (diagnosis->findings->len)
		return NULL;
	if (diagnosis->facts->subjects->len == 0)
		return "No container was seen.";
	return diagnosis_is_conclusive(diagnosis) ? "Nothing found." : "INCONCLUSIVE: too little could be seen.";
}

/* ---- terminal ---- */

static void text_line(GString *out, const char *label, const char *value)
{
	g_string_append_printf(out, "   %-*s", LABEL_COLUMNS, label);
	text_append_terminal(out, value, -1);
	g_string_append_c(out, '\n');
}

static void text_finding(GString *out, const struct diagnosis *diagnosis, const struct finding *finding, guint number,
			 const struct report_options *options)
{
	g_autofree char *fault = fault_words(finding), *doubt = doubt_words(finding), *score = score_words(finding);

	g_string_append_printf(out, "%u. %s", number, options->bold ? BOLD : "");
	text_append_terminal(out, finding->subject->name, -1);
	g_string_append_printf(out, "%s: ", options->bold ? PLAIN : "");
	text_append_terminal(out, finding->sentence, -1);
	g_string_append_printf(out, "  [%s]\n", score);
	text_line(out, "whose fault", fault);
	for (guint i = 0; i < finding->evidence->len; i++) {
		g_autofree char *words =
			report_evidence(&g_array_index(finding->evidence, struct evidence, i), &diagnosis->config);

		text_line(out, i ? "" : "evidence", words);
	}
	text_line(out, "confidence", doubt);
	text_line(out, "wrong, if", finding->disproof);
	text_line(out, "what to do", finding->advice);
	text_line(out, "shows more", finding->more);
	g_string_append_c(out, '\n');
}

static void text_checked(GString *out, const struct diagnosis *diagnosis)
{
	g_string_append_printf(out, "Checked, of %u container%s:", diagnosis->facts->subjects->len,
			       diagnosis->facts->subjects->len == 1 ? "" : "s");
	for (guint i = 0; i < diagnosis->checked->len; i++) {
		const struct checked *checked = &g_array_index(diagnosis->checked, struct checked, i);
		const struct checked *before = i ? checked - 1 : NULL;
		g_autofree char *words = checked_words(checked);

		if (!before || strcmp(before->rule->resource, checked->rule->resource) != 0)
			g_string_append_printf(out, "\n   %-*s", LABEL_COLUMNS, checked->rule->resource);
		else
			g_string_append(out, ", ");
		g_string_append(out, words);
	}
	g_string_append_c(out, '\n');
}

static void text_refused(GString *out, const struct report_options *options)
{
	for (guint i = 0; options->refused && i < options->refused->len; i++) {
		g_string_append(out, i ? "   " : "Not watched:\n   ");
		text_append_terminal(out, g_ptr_array_index(options->refused, i), -1);
		g_string_append_c(out, '\n');
	}
	if (options->is_files)
		g_string_append(
			out, "From files alone: who held a lock or a disk, and what connections did, is not known.\n");
}

void report_text(GString *out, const struct diagnosis *diagnosis, const struct report_options *options)
{
	g_autofree char *duration = units_duration(diagnosis->facts->duration_ns);
	const char *summary = summary_words(diagnosis);
	gsize from = out->len;

	for (guint i = 0; i < diagnosis->findings->len; i++)
		text_finding(out, diagnosis, g_ptr_array_index(diagnosis->findings, i), i + 1, options);
	if (summary)
		g_string_append_printf(out, "%s\n", summary);
	for (guint i = 0; i < diagnosis->notes->len; i++) {
		const struct finding *note = g_ptr_array_index(diagnosis->notes, i);

		g_string_append(out, i ? "   " : "By the way:\n   ");
		text_append_terminal(out, note->subject->name, -1);
		g_string_append(out, ": ");
		text_append_terminal(out, note->sentence, -1);
		g_string_append_c(out, '\n');
	}
	if (summary || options->all)
		text_checked(out, diagnosis);
	text_refused(out, options);
	g_string_append_printf(out, "(%s of observation; %.1f %% of what happened was seen", duration,
			       100 * diagnosis->facts->coverage);
	if (diagnosis->facts->coverage_of)
		g_string_append_printf(out, ", least by %s", diagnosis->facts->coverage_of);
	g_string_append(out, ")\n");
	text_wrap(out, from, options->columns);
}

/* ---- Markdown ---- */

/* Does it begin what is made a link without being marked as one: www.…, …://…? */
static gboolean is_link(const char *text, const char *at)
{
	return (*at == ':' && at[1] == '/') ||
	       (*at == '.' && at - text >= 3 && g_ascii_strncasecmp(at - 3, "www", 3) == 0);
}

/* What a terminal may see, with every sign Markdown or HTML would take for its own disarmed. That somebody is mentioned is
 * found in what is shown, where a backslash is gone: a comment parts the sign from the name. */
static void markdown_append(GString *out, const char *text)
{
	g_autofree char *safe = text_terminal(text);

	for (const char *at = safe; *at; at++) {
		if (*at == '<')
			g_string_append(out, "&lt;");
		else if (*at == '&')
			g_string_append(out, "&amp;");
		else if (*at == '@')
			g_string_append(out, "@<!-- -->");
		else if (strchr("\\`*_{}[]#|>~!", *at) || is_link(safe, at))
			g_string_append_printf(out, "\\%c", *at);
		else
			g_string_append_c(out, *at);
	}
}

static void markdown_item(GString *out, const char *label, const char *value)
{
	g_string_append_printf(out, "- **%s:** ", label);
	markdown_append(out, value);
	g_string_append_c(out, '\n');
}

static void markdown_finding(GString *out, const struct diagnosis *diagnosis, const struct finding *finding,
			     guint number)
{
	g_autofree char *fault = fault_words(finding), *doubt = doubt_words(finding), *score = score_words(finding);
	g_autofree char *more = text_terminal(finding->more);

	g_string_append_printf(out, "### %u. ", number);
	markdown_append(out, finding->subject->name);
	g_string_append(out, ": ");
	markdown_append(out, finding->sentence);
	g_string_append_printf(out, "\n\n_%s_\n\n", score);
	markdown_item(out, "Whose fault", fault);
	g_string_append(out, "- **Confidence:** ");
	markdown_append(out, doubt);
	g_string_append(out, "\n\n| evidence | value | threshold | source |\n|---|---|---|---|\n");
	for (guint i = 0; i < finding->evidence->len; i++) {
		const struct evidence *evidence = &g_array_index(finding->evidence, struct evidence, i);
		const struct fact_meta *meta = &fact_metas[evidence->fact];
		g_autofree char *value = fact_format(meta->unit, evidence->value);
		g_autofree char *limit = fact_format(meta->unit, evidence->limit);

		g_string_append_printf(out, "| %s | %s | %s%s%s | %s |\n", meta->label, value, ops[evidence->op],
				       evidence->op ? " " : "", evidence->op ? limit : "", meta->source);
	}
	g_string_append_c(out, '\n');
	markdown_item(out, "Wrong, if", finding->disproof);
	markdown_item(out, "What to do", finding->advice);
	/* In a fence nothing means anything but its end, which would have to begin a line. */
	g_string_append_printf(out, "\n```sh\n%s\n```\n\n", more);
	(void)diagnosis;
}

void report_markdown(GString *out, const struct diagnosis *diagnosis, const struct report_options *options)
{
	g_autofree char *duration = units_duration(diagnosis->facts->duration_ns);
	const char *summary = summary_words(diagnosis);

	g_string_append(out, "## Diagnosis of ");
	markdown_append(out, options->snapshot->host ? options->snapshot->host : "?");
	g_string_append_printf(out, "\n\n%s of observation, %.1f %% of what happened was seen.\n\n", duration,
			       100 * diagnosis->facts->coverage);
	for (guint i = 0; i < diagnosis->findings->len; i++)
		markdown_finding(out, diagnosis, g_ptr_array_index(diagnosis->findings, i), i + 1);
	if (summary)
		g_string_append_printf(out, "**%s**\n\n", summary);
	for (guint i = 0; i < diagnosis->notes->len; i++) {
		const struct finding *note = g_ptr_array_index(diagnosis->notes, i);

		g_string_append(out, "- By the way, ");
		markdown_append(out, note->subject->name);
		g_string_append(out, ": ");
		markdown_append(out, note->sentence);
		g_string_append_c(out, '\n');
	}
	for (guint i = 0; (summary || options->all) && i < diagnosis->checked->len; i++) {
		g_autofree char *words = checked_words(&g_array_index(diagnosis->checked, struct checked, i));

		g_string_append_printf(out, "- checked: %s\n", words);
	}
	for (guint i = 0; options->refused && i < options->refused->len; i++)
		markdown_item(out, "Not watched", g_ptr_array_index(options->refused, i));
}

/* ---- JSON ---- */

static void json_evidence(struct json_writer *json, const struct evidence *evidence,
			  const struct diagnose_config *config)
{
	const struct fact_meta *meta = &fact_metas[evidence->fact];
	static const char *const units[] = { "share", "cores", "seconds", "bytes", "per_second", "count" };
	static const char *const names[] = { NULL, "at_least", "below", "more_than" };

	json_begin_object(json, NULL);
	json_string(json, "name", meta->name);
	json_string(json, "label", meta->label);
	json_double(json, "value", evidence->value);
	json_string(json, "unit", units[meta->unit]);
	json_string(json, "source", meta->source);
	if (evidence->op) {
		json_string(json, "condition", names[evidence->op]);
		json_double(json, "threshold", evidence->limit);
		json_string(json, "threshold_name", threshold_metas[evidence->threshold].name);
		json_string(json, "threshold_source",
			    config->is_changed[evidence->threshold] ? "configured"
								    : threshold_metas[evidence->threshold].source);
	}
	json_end_object(json);
}

static void json_strings(struct json_writer *json, const char *key, const GPtrArray *strings)
{
	json_begin_array(json, key);
	for (guint i = 0; strings && i < strings->len; i++)
		json_string(json, NULL, g_ptr_array_index(strings, i));
	json_end_array(json);
}

const char *report_fault_name(enum fault fault)
{
	return faults[fault];
}

static void json_finding(struct json_writer *json, const struct finding *finding, const struct diagnose_config *config)
{
	json_string(json, "container", finding->subject->name);
	if (finding->subject->key)
		json_uint(json, "cgroup_key", finding->subject->key);
	else
		json_null(json, "cgroup_key");
	json_string(json, "verdict", finding->name);
	json_string(json, "resource", finding->resource);
	json_string(json, "sentence", finding->sentence);
	json_string(json, "fault", faults[finding->fault]);
	json_string(json, "culprit", finding->culprit);
	if (finding->chain)
		json_strings(json, "chain", finding->chain);
	json_double(json, "score", finding->score);
	json_string(json, "confidence", confidence_name(finding->confidence));
	json_strings(json, "doubts", finding->doubts);
	json_begin_array(json, "evidence");
	for (guint i = 0; i < finding->evidence->len; i++)
		json_evidence(json, &g_array_index(finding->evidence, struct evidence, i), config);
	json_end_array(json);
	json_string(json, "disproof", finding->disproof);
	json_string(json, "advice", finding->advice);
	json_string(json, "more", finding->more);
}

static void json_findings(struct json_writer *json, const char *name, const GPtrArray *findings,
			  const struct diagnose_config *config)
{
	json_begin_array(json, name);
	for (guint i = 0; i < findings->len; i++) {
		json_begin_object(json, NULL);
		json_finding(json, g_ptr_array_index(findings, i), config);
		json_end_object(json);
	}
	json_end_array(json);
}

void report_checked(struct json_writer *json, const struct diagnosis *diagnosis)
{
	json_begin_array(json, "checked");
	for (guint i = 0; i < diagnosis->checked->len; i++) {
		const struct checked *checked = &g_array_index(diagnosis->checked, struct checked, i);

		json_begin_object(json, NULL);
		json_string(json, "verdict", checked->rule->name);
		json_string(json, "resource", checked->rule->resource);
		json_uint(json, "containers", checked->containers);
		json_uint(json, "unknown", checked->unknown);
		if (checked->unknown)
			json_string(json, "lacking", fact_metas[checked->lacking].name);
		json_end_object(json);
	}
	json_end_array(json);
}

void report_json(GString *out, const struct diagnosis *diagnosis, const struct report_options *options)
{
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_string(&json, "host", options->snapshot->host);
	json_uint(&json, "start_realtime_ns", options->snapshot->start_realtime_ns);
	json_uint(&json, "duration_ns", diagnosis->facts->duration_ns);
	json_double(&json, "coverage", diagnosis->facts->coverage);
	json_string(&json, "coverage_of", diagnosis->facts->coverage_of);
	json_bool(&json, "conclusive", diagnosis_is_conclusive(diagnosis));
	json_bool(&json, "files_only", options->is_files);
	json_uint(&json, "containers", diagnosis->facts->subjects->len);
	json_findings(&json, "findings", diagnosis->findings, &diagnosis->config);
	json_findings(&json, "notes", diagnosis->notes, &diagnosis->config);
	report_checked(&json, diagnosis);
	json_strings(&json, "not_watched", options->refused);
	json_end_object(&json);
}
