/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: snapshots in, verdicts out. It walks the tables of rule.h for every container of a snapshot, ranks what it
 * finds by the share of thread time lost, and follows connections to the container that is at the bottom of a wait.
 * Pure: no file, no probe, no clock. Strings are raw bytes as observed: escape on output (report.h). */
#pragma once
#include <glib.h>

#include "diagnose/fact.h"
#include "diagnose/rule.h"

#define DIAGNOSE_CONFIG_PATH "/etc/fathom/diagnose.conf" /* where thresholds of one's own are looked for */

struct diagnose_config {
	double thresholds[THRESHOLDS];
	gboolean is_changed[THRESHOLDS];
};

void diagnose_config_init(struct diagnose_config *config);
/* Takes thresholds from text in the form of a GKeyFile, group [thresholds]: "contention = 0.2", a share also as "20%".
 * FALSE and `error` for what is not known or no number. */
gboolean diagnose_config_load(struct diagnose_config *config, const char *text, gsize length, GError **error);

#define DIAGNOSE_ERROR (diagnose_error_quark())
GQuark diagnose_error_quark(void);
enum diagnose_error {
	DIAGNOSE_ERROR_CONFIG = 1,
};

enum confidence {
	CONFIDENCE_LOW = 0, /* something that would decide is not known, or it was seen only for a moment */
	CONFIDENCE_MEDIUM = 1,
	CONFIDENCE_HIGH = 2, /* twice over the thresholds, all the time */
};
const char *confidence_name(enum confidence confidence);

struct evidence {
	enum fact fact;
	double value;
	enum condition_op op; /* CONDITION_END: shown only */
	enum threshold threshold;
	double limit; /* the threshold's value */
};

struct finding {
	const struct rule *rule; /* NULL: waits for a peer that has a finding */
	const struct subject *subject;
	const char *name, *resource; /* of the rule */
	double score; /* share of thread time lost, 0 … 1 */
	double rank; /* the same of at least one thread, so that who does little loses little; errors have a fixed one */
	enum confidence confidence;
	enum fault fault;
	char *culprit; /* who; NULL: itself, or not known */
	char *sentence, *disproof, *advice, *more;
	GArray *evidence; /* of struct evidence */
	GPtrArray *doubts; /* of char *: why confidence is not higher */
	GPtrArray *chain; /* of char *: names from this container to the culprit; NULL: none */
};

struct checked {
	const struct rule *rule;
	guint containers; /* for which it could be decided */
	guint unknown;
	enum fact lacking; /* what was not known, of one of those; FACT_NONE */
};

struct diagnosis {
	struct facts *facts;
	struct diagnose_config config;
	GPtrArray *findings; /* of struct finding *, what costs most first */
	GPtrArray *notes; /* likewise: worth knowing, nothing wrong */
	GArray *checked; /* of struct checked, in the order of the rules */
};

/* `windows` (of struct snapshot *, may be NULL): gauges of parts of the time, which say whether something held all of it.
 * Owned by the caller. */
struct diagnosis *diagnose(const struct snapshot *snapshot, const GPtrArray *windows,
			   const struct diagnose_config *config);
void diagnosis_free(struct diagnosis *diagnosis);
typedef struct diagnosis diagnosis_t; /* for g_autoptr(diagnosis_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(diagnosis_t, diagnosis_free)

/* Leaves only findings of the containers whose cgroup keys are in `keys` (guint64), and of those named at the bottom of
 * their chains. */
void diagnosis_only(struct diagnosis *diagnosis, const GArray *keys);
/* Could anything be decided, of what was asked? FALSE: nothing found means nothing. */
gboolean diagnosis_is_conclusive(const struct diagnosis *diagnosis);
