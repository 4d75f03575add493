/* SPDX-License-Identifier: Apache-2.0 */
/* fathom tcp: connections one by one, as they open, fail, are sent again and end. */
#include "cli/command.h"
#include "cli/follow.h"

int cmd_tcp(int argc, char **argv)
{
	static const struct follow follow = {
		.command = "tcp",
		.summary =
			"TCP connections one by one: connect, accept, close, fail, retransmit, reset, with both ends'\n"
			"containers, bytes, duration and round trip.",
	};

	return follow_main(&follow, argc, argv);
}
