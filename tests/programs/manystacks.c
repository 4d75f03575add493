/* SPDX-License-Identifier: Apache-2.0 */
/* Many distinct stacks: a walk down BITS levels calls one of two functions at each, by the bits of a counter, and
 * spins a little at the bottom. manystacks BITS SECONDS [SPINS]: cycles through 2^BITS stacks for so much CPU time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sink;
static int spins = 20000;

static void step(unsigned long path, int left);

#define SIDE(name)                                                                                                     \
	__attribute__((noinline)) static void name(unsigned long path, int left)                                       \
	{                                                                                                              \
		step(path, left);                                                                                      \
		__asm__ volatile("");                                                                                  \
	}
SIDE(zero)
SIDE(one)

__attribute__((noinline)) static void step(unsigned long path, int left)
{
	if (left == 0) {
		for (int i = 0; i < spins; i++)
			sink += i;
	} else if (path & 1) {
		one(path >> 1, left - 1);
	} else {
		zero(path >> 1, left - 1);
	}
	__asm__ volatile("");
}

int main(int argc, char **argv)
{
	int bits = argc > 1 ? atoi(argv[1]) : 10;
	clock_t end = clock() + (clock_t)((argc > 2 ? atof(argv[2]) : 1) * CLOCKS_PER_SEC);
	unsigned long at = 0;

	if (argc > 3)
		spins = atoi(argv[3]);
	while (clock() < end)
		step(at++ & ((1UL << bits) - 1), bits);
	printf("%lu\n", at);
	return 0;
}
