/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"
#include "cli/tables.h"

int cmd_latency(int argc, char **argv)
{
	return tables_main("latency", argc, argv);
}
