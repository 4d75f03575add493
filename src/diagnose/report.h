/* SPDX-License-Identifier: Apache-2.0 */
/* A diagnosis in words: for a terminal, as Markdown for a ticket, as JSON. Everything observed is escaped here. */
#pragma once
#include <glib.h>

#include "base/json.h"
#include "diagnose/diagnose.h"

struct report_options {
	const struct snapshot *snapshot; /* host, time */
	const GPtrArray *refused; /* of char *: what could not be watched; may be NULL */
	gboolean is_files; /* files alone were asked for */
	gboolean bold; /* terminal: emphasis */
	guint columns; /* of the terminal; 0: lines are as long as they are */
	gboolean all; /* all checks, also when something was found */
};

void report_text(GString *out, const struct diagnosis *diagnosis, const struct report_options *options);
void report_markdown(GString *out, const struct diagnosis *diagnosis, const struct report_options *options);
/* "throttled periods 97 % (≥ 10 %; cpu.stat nr_throttled / nr_periods)"; owned by the caller. */
char *report_evidence(const struct evidence *evidence, const struct diagnose_config *config);
/* The member "checked" of an open object: every rule, and of how many containers it could be decided. */
void report_checked(struct json_writer *json, const struct diagnosis *diagnosis);
/* "container", "neighbour", "host", "peer". */
const char *report_fault_name(enum fault fault);
/* One object, without newline at its end. */
void report_json(GString *out, const struct diagnosis *diagnosis, const struct report_options *options);
