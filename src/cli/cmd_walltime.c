/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"
#include "cli/measure.h"

int cmd_walltime(int argc, char **argv)
{
	return measure_main("walltime", argc, argv);
}
