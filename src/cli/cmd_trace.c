/* SPDX-License-Identifier: Apache-2.0 */
/* fathom trace: single happenings, as they come. */
#include "cli/command.h"
#include "cli/follow.h"

int cmd_trace(int argc, char **argv)
{
	static const struct follow follow = {
		.command = "trace",
		.summary =
			"What happens, one line each, as it happens: programs that start and end, OOM kills, block I/O, files opened, signals, throttling.",
		.kinds = "exec exit oom block open signal throttle",
		.with_arguments = TRUE,
	};

	return follow_main(&follow, argc, argv);
}
