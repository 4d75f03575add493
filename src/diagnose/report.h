/* SPDX-License-Identifier: Apache-2.0 */
/* A diagnosis in words: for a terminal, as Markdown for a ticket, as JSON. Everything observed is escaped here. */
#pragma once
#include <glib.h>

#include "diagnose/diagnose.h"

struct report_options {
	const struct snapshot *snapshot; /* host, time */
	const GPtrArray *refused; /* of char *: what could not be watched; may be NULL */
	gboolean is_files; /* files alone were asked for */
	gboolean bold; /* terminal: emphasis */
	gboolean all; /* all checks, also when something was found */
};

void report_text(GString *out, const struct diagnosis *diagnosis, const struct report_options *options);
void report_markdown(GString *out, const struct diagnosis *diagnosis, const struct report_options *options);
/* One object, without newline at its end. */
void report_json(GString *out, const struct diagnosis *diagnosis, const struct report_options *options);
