/* SPDX-License-Identifier: Apache-2.0 */
/* Rests for ever, LEVELS calls deep: whoever looks later finds it blocked already. */
#include <unistd.h>

#define LEVELS 120 /* of 16 bytes: deeper than a record of frames is long */

static volatile unsigned sink;

__attribute__((noinline, noclone)) static void descend(unsigned levels)
{
	if (levels > 1)
		descend(levels - 1);
	else
		pause();
	sink++;
}

int main(void)
{
	for (;;)
		descend(LEVELS);
}
