/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"
#include "cli/measure.h"

int cmd_offcpu(int argc, char **argv)
{
	return measure_main("offcpu", argc, argv);
}
