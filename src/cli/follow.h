/* SPDX-License-Identifier: Apache-2.0 */
/* What trace and slow share: events printed as they come, until Ctrl-C, a duration or a count. */
#pragma once
#include <glib.h>

struct follow {
	const char *command; /* "trace" */
	const char *summary; /* of the help */
	const char *kinds; /* "exec exit …": what may follow the command; its probe is called "COMMAND KIND".
			    * NULL: nothing follows, and the probe is called as the command */
	gboolean with_threshold; /* --over */
	gboolean with_arguments; /* --args */
};

int follow_main(const struct follow *follow, int argc, char **argv);
