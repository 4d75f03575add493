/* SPDX-License-Identifier: Apache-2.0 */
#include "diagnose/finding.h"

#include <string.h>

#include "base/text.h"
#include "diagnose/setting.h"

/* ---- texts ---- */

const char *confidence_name(enum confidence confidence)
{
	static const char *const names[] = { "low", "medium", "high" };

	return names[confidence];
}

static char *quoted(const char *name, gboolean is_command)
{
	return is_command ? text_shell(name) : g_strdup(name);
}

/* Of the host itself who it is must be asked, and it cannot be paused as a whole. NULL: there is nothing to say, or no such name. */
static char *culprit_text(const char *name, gsize length, const struct subject *subject)
{
	static const struct {
		const char *name, *of_host, *of_container;
	} texts[] = {
		{ "the_other", "the host's processes that use most CPU time (kill -STOP, then -CONT)", "the other" },
		{ "host_processes", "fathom top -p", NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
		if (strlen(texts[i].name) == length && memcmp(texts[i].name, name, length) == 0)
			return g_strdup(subject->text_is_host[TEXT_CPU_CULPRIT] ? texts[i].of_host
										: texts[i].of_container);
	return NULL;
}

/* NULL when it is not known. */
static char *text_value(const char *name, gsize length, const struct subject *subject, gboolean is_command)
{
	enum fact fact = fact_find(name, length);
	char *about = culprit_text(name, length, subject);

	if (about)
		return about;
	if (length == strlen("container") && memcmp(name, "container", length) == 0)
		return quoted(subject->name, is_command);
	for (guint i = 0; i < FACT_TEXTS; i++)
		if (strlen(fact_text_names[i]) == length && memcmp(fact_text_names[i], name, length) == 0)
			return subject->texts[i] && !(is_command && subject->text_is_host[i])
				       ? quoted(subject->texts[i], is_command)
				       : NULL;
	if (fact == FACTS)
		return setting_text(name, length, subject);
	return subject->known[fact] ? fact_format(fact_metas[fact].unit, subject->values[fact]) : NULL;
}

char *rule_text(const char *text, const struct subject *subject, gboolean is_command)
{
	GString *out = g_string_new(NULL);
	gsize optional = 0; /* length of `out` where a […] began */
	gboolean is_optional = FALSE, is_whole = TRUE;

	for (const char *at = text; *at; at++) {
		gsize length = *at == '{' ? strcspn(at + 1, "}") : 0;
		g_autofree char *value = NULL;

		if (*at == '[') {
			optional = out->len;
			is_optional = is_whole = TRUE;
		} else if (*at == ']' && is_optional) {
			if (!is_whole)
				g_string_truncate(out, optional);
			is_optional = FALSE;
		} else if (*at == '{') {
			value = text_value(at + 1, length, subject, is_command);
			is_whole &= value != NULL;
			g_string_append(out, value ? value : "?");
			at += length + 1;
		} else {
			g_string_append_c(out, *at);
		}
	}
	return g_string_free(out, FALSE);
}

/* ---- findings ---- */

void finding_free(gpointer data)
{
	struct finding *finding = data;

	g_free(finding->culprit);
	g_free(finding->sentence);
	g_free(finding->disproof);
	g_free(finding->advice);
	g_free(finding->more);
	g_array_unref(finding->evidence);
	g_ptr_array_unref(finding->doubts);
	if (finding->chain)
		g_ptr_array_unref(finding->chain);
	g_free(finding);
}

struct finding *finding_new(const struct subject *subject)
{
	struct finding *finding = g_new0(struct finding, 1);

	finding->subject = subject;
	finding->evidence = g_array_new(FALSE, FALSE, sizeof(struct evidence));
	finding->doubts = g_ptr_array_new_with_free_func(g_free);
	return finding;
}

struct finding *diagnosis_add(struct diagnosis *diagnosis, const struct subject *subject)
{
	struct finding *finding = finding_new(subject);

	g_ptr_array_add(diagnosis->findings, finding);
	return finding;
}

static int by_rank(gconstpointer left, gconstpointer right)
{
	const struct finding *a = *(struct finding *const *)left, *b = *(struct finding *const *)right;

	return a->rank == b->rank ? 0 : a->rank < b->rank ? 1 : -1;
}

void diagnosis_sort(struct diagnosis *diagnosis)
{
	/* Stable: of equals the earlier rule comes first. */
	g_ptr_array_sort(diagnosis->findings, by_rank);
	g_ptr_array_sort(diagnosis->notes, by_rank);
}
