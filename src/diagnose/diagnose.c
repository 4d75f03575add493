/* SPDX-License-Identifier: Apache-2.0 */
#include "diagnose/diagnose.h"

#include <math.h>
#include <string.h>

#include "diagnose/finding.h"

#define CONFIDENT_TIMES 2 /* so far over a threshold is far */
#define COVERAGE_GOOD 0.99
#define PARTS_TO_REFUTE 3

G_DEFINE_QUARK(diagnose - error - quark, diagnose_error)

/* ---- configuration ---- */

void diagnose_config_init(struct diagnose_config *config)
{
	*config = (struct diagnose_config){ 0 };
	for (guint i = 0; i < THRESHOLDS; i++)
		config->thresholds[i] = threshold_metas[i].value;
}

static gboolean config_set(struct diagnose_config *config, const char *name, const char *text, GError **error)
{
	enum threshold threshold = threshold_find(name);
	char *end = NULL;
	double value = g_ascii_strtod(text, &end);

	if (threshold == THRESHOLDS) {
		g_set_error(error, DIAGNOSE_ERROR, DIAGNOSE_ERROR_CONFIG, "there is no threshold \"%s\"", name);
		return FALSE;
	}
	end += strspn(end, " ");
	if (*end == '%' && threshold_metas[threshold].unit == FACT_UNIT_SHARE) {
		value /= 100;
		end++;
	}
	if (end == text || *end || !isfinite(value) || value < 0) {
		g_set_error(error, DIAGNOSE_ERROR, DIAGNOSE_ERROR_CONFIG, "threshold %s: \"%s\" is not a number", name,
			    text);
		return FALSE;
	}
	config->thresholds[threshold] = value;
	config->is_changed[threshold] = TRUE;
	return TRUE;
}

gboolean diagnose_config_load(struct diagnose_config *config, const char *text, gsize length, GError **error)
{
	g_autoptr(GKeyFile) file = g_key_file_new();
	g_auto(GStrv) names = NULL;

	if (!g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, error))
		return FALSE;
	names = g_key_file_get_keys(file, "thresholds", NULL, NULL);
	for (guint i = 0; names && names[i]; i++) {
		g_autofree char *value = g_key_file_get_string(file, "thresholds", names[i], error);

		if (!value || !config_set(config, names[i], value, error))
			return FALSE;
	}
	return TRUE;
}

/* ---- conditions ---- */

enum outcome {
	OUTCOME_FALSE = 0,
	OUTCOME_TRUE = 1,
	OUTCOME_UNKNOWN = 2,
};

struct judgement {
	enum outcome outcome;
	gboolean is_far; /* every condition that can holds twice over */
	enum fact unknown; /* a hard condition's fact; FACT_NONE */
	GPtrArray *soft; /* of const struct condition *: taken to hold; NULL: not asked for */
};

static enum outcome condition_judge(const struct condition *condition, const struct subject *subject, double limit)
{
	double value;

	if (!fact_get(subject, condition->fact, &value))
		return OUTCOME_UNKNOWN;
	switch (condition->op) {
	case AT_LEAST:
		return value >= limit ? OUTCOME_TRUE : OUTCOME_FALSE;
	case MORE_THAN:
		return value > limit ? OUTCOME_TRUE : OUTCOME_FALSE;
	case BELOW:
		return value < limit ? OUTCOME_TRUE : OUTCOME_FALSE;
	case CONDITION_END:
	default:
		return OUTCOME_TRUE;
	}
}

static gboolean condition_is_far(const struct condition *condition, const struct subject *subject, double limit)
{
	double value;

	return condition->firm || condition->op != AT_LEAST || !fact_get(subject, condition->fact, &value) ||
	       value >= CONFIDENT_TIMES * limit;
}

/* One is enough of those with the number `any`. */
static enum outcome any_judge(const struct rule *rule, guint8 any, const struct subject *subject,
			      const struct diagnose_config *config)
{
	enum outcome all = OUTCOME_FALSE;

	for (const struct condition *condition = rule->conditions; condition->op; condition++) {
		enum outcome one;

		if (condition->any != any)
			continue;
		one = condition_judge(condition, subject, config->thresholds[condition->threshold]);
		if (one == OUTCOME_TRUE)
			return OUTCOME_TRUE;
		if (one == OUTCOME_UNKNOWN)
			all = condition->soft ? OUTCOME_TRUE : OUTCOME_UNKNOWN;
	}
	return all;
}

static void rule_judge(const struct rule *rule, const struct subject *subject, const struct diagnose_config *config,
		       struct judgement *judgement)
{
	enum outcome outcome = OUTCOME_TRUE;

	judgement->is_far = TRUE;
	judgement->unknown = FACT_NONE;
	for (const struct condition *condition = rule->conditions; condition->op; condition++) {
		double limit = config->thresholds[condition->threshold];
		enum outcome one = condition->any ? any_judge(rule, condition->any, subject, config)
						  : condition_judge(condition, subject, limit);

		if (one == OUTCOME_UNKNOWN && condition->soft) {
			if (judgement->soft)
				g_ptr_array_add(judgement->soft, (gpointer)condition);
			continue;
		}
		if (one == OUTCOME_UNKNOWN && judgement->unknown == FACT_NONE)
			judgement->unknown = condition->fact;
		if (one == OUTCOME_FALSE)
			outcome = OUTCOME_FALSE;
		else if (one == OUTCOME_UNKNOWN && outcome == OUTCOME_TRUE)
			outcome = OUTCOME_UNKNOWN;
		else if (!condition->any)
			judgement->is_far &= condition_is_far(condition, subject, limit);
	}
	judgement->outcome = outcome;
}

/* ---- verdicts ---- */

static void evidence_add(struct finding *finding, enum fact fact, const struct condition *condition, double limit)
{
	struct evidence evidence = { .fact = fact, .value = finding->subject->values[fact] };

	if (!finding->subject->known[fact])
		return;
	for (guint i = 0; i < finding->evidence->len; i++)
		if (g_array_index(finding->evidence, struct evidence, i).fact == fact)
			return;
	if (condition) {
		evidence.op = condition->op;
		evidence.threshold = condition->threshold;
		evidence.limit = limit;
	}
	g_array_append_val(finding->evidence, evidence);
}

static void finding_evidence(struct finding *finding, const struct diagnose_config *config)
{
	const struct rule *rule = finding->rule;

	for (const struct condition *condition = rule->conditions; condition->op; condition++) {
		double limit = config->thresholds[condition->threshold];

		if (condition_judge(condition, finding->subject, limit) == OUTCOME_TRUE)
			evidence_add(finding, condition->fact, condition, limit);
	}
	for (guint i = 0; i < RULE_SHOWN && rule->shown[i]; i++)
		evidence_add(finding, rule->shown[i], NULL, 0);
}

static void finding_blame(struct finding *finding)
{
	const struct rule *rule = finding->rule;
	const struct subject *subject = finding->subject;

	finding->fault = rule->fault;
	if (rule->fault != FAULT_NEIGHBOUR && rule->fault != FAULT_PEER)
		return;
	finding->culprit = g_strdup(subject->texts[rule->culprit]);
	if (rule->fault == FAULT_NEIGHBOUR && subject->text_is_host[rule->culprit])
		finding->fault = FAULT_HOST;
}

/* In how many of the windows it could be decided, and was so. */
static void windows_count(const struct rule *rule, const struct subject *subject, const GPtrArray *windows,
			  const struct diagnose_config *config, guint *held, guint *failed)
{
	*held = *failed = 0;
	for (guint i = 0; windows && i < windows->len; i++) {
		const struct subject *then = facts_by_key(g_ptr_array_index(windows, i), subject->key);
		struct judgement judgement = { 0 };

		if (!then)
			continue;
		rule_judge(rule, then, config, &judgement);
		*held += judgement.outcome == OUTCOME_TRUE;
		*failed += judgement.outcome == OUTCOME_FALSE;
	}
}

/* In how many of the windows it surely waited less for CPUs than a rule's condition wants. */
static guint windows_below(const struct condition *condition, const struct subject *subject, const GPtrArray *windows,
			   const struct diagnose_config *config)
{
	guint below = 0;

	for (guint i = 0; i < windows->len; i++) {
		const struct subject *then = facts_by_key(g_ptr_array_index(windows, i), subject->key);

		below += then &&
			 condition_judge(condition, then, config->thresholds[condition->threshold]) == OUTCOME_FALSE;
	}
	return below;
}

/* Waits for CPUs in parts of the time are the kernel's own account (schedstat, pressure). Who waits much on the whole does so
 * in one of its parts at least, or what the kernel programs counted is wrong. */
static gboolean is_refuted(const struct rule *rule, const struct subject *subject, const GPtrArray *windows,
			   const struct diagnose_config *config)
{
	for (const struct condition *condition = rule->conditions; condition->op; condition++)
		if (condition->fact == FACT_CONTENTION && condition->op == AT_LEAST &&
		    windows->len >= PARTS_TO_REFUTE &&
		    windows_below(condition, subject, windows, config) == windows->len)
			return TRUE;
	return FALSE;
}

static void finding_trust(struct diagnosis *diagnosis, struct finding *finding, const GPtrArray *windows,
			  const struct judgement *judgement)
{
	guint held, failed;

	windows_count(finding->rule, finding->subject, windows, &diagnosis->config, &held, &failed);
	finding->confidence = judgement->is_far && failed == 0 ? CONFIDENCE_HIGH : CONFIDENCE_MEDIUM;
	if (finding->rule->doubt) {
		finding->confidence = CONFIDENCE_MEDIUM;
		g_ptr_array_add(finding->doubts, g_strdup(finding->rule->doubt));
	}
	if (!judgement->is_far)
		g_ptr_array_add(finding->doubts, g_strdup("not far from a threshold"));
	if (failed > 0)
		g_ptr_array_add(finding->doubts,
				g_strdup_printf("not so in %u of %u parts of the time", failed, windows->len));
	if (failed > held)
		finding->confidence = CONFIDENCE_LOW;
	for (guint i = 0; i < judgement->soft->len; i++) {
		const struct condition *condition = g_ptr_array_index(judgement->soft, i);

		finding->confidence = CONFIDENCE_LOW;
		g_ptr_array_add(finding->doubts, g_strdup_printf("not known: %s", fact_metas[condition->fact].label));
	}
	if (diagnosis->facts->coverage < COVERAGE_GOOD) {
		finding->confidence = CONFIDENCE_LOW;
		g_ptr_array_add(finding->doubts,
				g_strdup_printf("only %.1f %% of what happened was seen (%s)",
						100 * diagnosis->facts->coverage, diagnosis->facts->coverage_of));
	}
}

static void finding_tell(struct finding *finding)
{
	const struct rule *rule = finding->rule;
	const struct subject *subject = finding->subject;

	finding->name = rule->name;
	finding->resource = rule->resource;
	finding->sentence = rule_text(rule->sentence, subject, FALSE);
	finding->disproof = rule_text(rule->disproof, subject, TRUE);
	finding->advice = rule_text(rule->advice, subject, FALSE);
	finding->more = rule_text(rule->more, subject, TRUE);
}

/* Threads that are hardly ever active lose little, however large a share of that it is. */
static void finding_weigh(struct finding *finding, const struct rule *rule)
{
	double lost = 0, active = 1;

	fact_get(finding->subject, rule->score, &lost);
	fact_get(finding->subject, FACT_ACTIVE, &active);
	finding->score = MAX(lost, rule->score_least);
	finding->rank = MAX(lost * MIN(active, 1), rule->score_least);
}

static void diagnose_rule(struct diagnosis *diagnosis, const struct rule *rule, struct checked *checked,
			  const struct subject *subject, const GPtrArray *windows)
{
	g_autoptr(GPtrArray) soft = g_ptr_array_new();
	struct judgement judgement = { .soft = soft };
	struct finding *finding;

	rule_judge(rule, subject, &diagnosis->config, &judgement);
	if (judgement.outcome == OUTCOME_UNKNOWN) {
		checked->unknown++;
		checked->lacking = judgement.unknown;
		return;
	}
	checked->containers++;
	if (judgement.outcome == OUTCOME_FALSE || is_refuted(rule, subject, windows, &diagnosis->config))
		return;
	finding = finding_new(subject);
	finding->rule = rule;
	finding_weigh(finding, rule);
	finding_evidence(finding, &diagnosis->config);
	finding_blame(finding);
	finding_trust(diagnosis, finding, windows, &judgement);
	finding_tell(finding);
	g_ptr_array_add(rule->is_note ? diagnosis->notes : diagnosis->findings, finding);
}

static GPtrArray *windows_facts(const GPtrArray *windows)
{
	GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)facts_free);

	for (guint i = 0; windows && i < windows->len; i++)
		g_ptr_array_add(all, facts_new(g_ptr_array_index(windows, i), NULL));
	return all;
}

struct diagnosis *diagnose(const struct snapshot *snapshot, const GPtrArray *windows,
			   const struct diagnose_config *config)
{
	struct diagnosis *diagnosis = g_new0(struct diagnosis, 1);
	g_autoptr(GPtrArray) parts = windows_facts(windows);

	diagnosis->config = *config;
	diagnosis->facts = facts_new(snapshot, windows);
	diagnosis->findings = g_ptr_array_new_with_free_func(finding_free);
	diagnosis->notes = g_ptr_array_new_with_free_func(finding_free);
	diagnosis->checked = g_array_new(FALSE, FALSE, sizeof(struct checked));
	for (guint i = 0; i < rule_count; i++) {
		struct checked checked = { .rule = &rules[i] };

		for (guint j = 0; j < diagnosis->facts->subjects->len; j++)
			diagnose_rule(diagnosis, &rules[i], &checked, g_ptr_array_index(diagnosis->facts->subjects, j),
				      parts);
		g_array_append_val(diagnosis->checked, checked);
	}
	diagnosis_sort(diagnosis);
	diagnosis_follow(diagnosis, snapshot);
	diagnosis_sort(diagnosis);
	return diagnosis;
}

void diagnosis_free(struct diagnosis *diagnosis)
{
	if (!diagnosis)
		return;
	g_ptr_array_unref(diagnosis->findings);
	g_ptr_array_unref(diagnosis->notes);
	g_array_unref(diagnosis->checked);
	facts_free(diagnosis->facts);
	g_free(diagnosis);
}

/* ---- choosing ---- */

static gboolean is_wanted(const struct finding *finding, const GArray *keys, GHashTable *names)
{
	for (guint i = 0; i < keys->len; i++)
		if (finding->subject->key && finding->subject->key == g_array_index(keys, guint64, i))
			return TRUE;
	return g_hash_table_contains(names, finding->subject->name);
}

static void keep(GPtrArray *findings, const GArray *keys, GHashTable *names)
{
	for (guint i = findings->len; i-- > 0;)
		if (!is_wanted(g_ptr_array_index(findings, i), keys, names))
			g_ptr_array_remove_index(findings, i);
}

void diagnosis_only(struct diagnosis *diagnosis, const GArray *keys)
{
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);

	/* Who died before it was read is known by name alone. */
	for (guint i = 0; i < diagnosis->findings->len; i++) {
		const struct finding *finding = g_ptr_array_index(diagnosis->findings, i);

		if (is_wanted(finding, keys, none) && finding->chain)
			g_hash_table_add(names, g_ptr_array_index(finding->chain, finding->chain->len - 1));
	}
	keep(diagnosis->notes, keys, none);
	keep(diagnosis->findings, keys, names);
}

gboolean diagnosis_is_conclusive(const struct diagnosis *diagnosis)
{
	gboolean any = diagnosis->facts->subjects->len == 0;

	for (guint i = 0; i < diagnosis->checked->len; i++)
		any |= g_array_index(diagnosis->checked, struct checked, i).containers > 0;
	return any && diagnosis->facts->coverage >= LEDGER_COVERAGE_CONCLUSIVE;
}
