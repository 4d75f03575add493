/* SPDX-License-Identifier: Apache-2.0 */
/* What findings are made of, for those who find: the rules' engine (diagnose.c) and the walk along edges (follow.c). */
#pragma once
#include "diagnose/diagnose.h"

/* Without evidence; the caller fills in the rest. */
struct finding *finding_new(const struct subject *subject);
void finding_free(gpointer finding); /* GDestroyNotify */
/* Adds findings of containers that wait for others' answers (follow.c). */
void diagnosis_follow(struct diagnosis *diagnosis, const struct snapshot *snapshot);
/* A finding without evidence, added to the findings; the caller fills in the rest. */
struct finding *diagnosis_add(struct diagnosis *diagnosis, const struct subject *subject);
void diagnosis_sort(struct diagnosis *diagnosis);

/* A rule's text with its {fact}s filled in, see rule.h; owned by the caller. */
char *rule_text(const char *text, const struct subject *subject, gboolean is_command);
