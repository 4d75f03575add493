/* SPDX-License-Identifier: Apache-2.0 */
/* fathom slow: what takes long, as it ends. */
#include "cli/command.h"
#include "cli/follow.h"

int cmd_slow(int argc, char **argv)
{
	static const struct follow follow = {
		.command = "slow",
		.summary =
			"What takes long, one line each, when it ends: file operations, block I/O, system calls, lock waits.",
		.kinds = "fs block syscall futex",
		.with_threshold = TRUE,
	};

	return follow_main(&follow, argc, argv);
}
