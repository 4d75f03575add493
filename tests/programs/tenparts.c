/* SPDX-License-Identifier: Apache-2.0 */
/* Burns CPU in ten functions of ten different shares: part_N gets N parts of 55. For ever. */
#include <stdint.h>
#include <time.h>

#define SLICE_NS 400000

static volatile uint64_t sink;

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Different constants keep the compiler from making one function of them all. */
#define PART(n)                                                                                                        \
	static __attribute__((noinline, noclone)) void part_##n(uint64_t until_ns)                                     \
	{                                                                                                              \
		do {                                                                                                   \
			for (unsigned int i = 0; i < 20000; i++)                                                       \
				sink = sink * 6364136223846793005u + i + n;                                            \
		} while (cpu_ns() < until_ns);                                                                         \
	}

PART(1)
PART(2)
PART(3)
PART(4)
PART(5)
PART(6)
PART(7)
PART(8)
PART(9)
PART(10)

int main(void)
{
	static void (*const parts[])(uint64_t) = { part_1, part_2, part_3, part_4, part_5,
						   part_6, part_7, part_8, part_9, part_10 };
	uint64_t used_ns[10] = { 0 };

	for (;;) {
		uint64_t before_ns = cpu_ns();
		unsigned int next = 0;

		/* Whoever is furthest behind its share goes next. */
		for (unsigned int i = 1; i < 10; i++)
			if (used_ns[i] / (i + 1) < used_ns[next] / (next + 1))
				next = i;
		parts[next](before_ns + SLICE_NS);
		used_ns[next] += cpu_ns() - before_ns;
	}
}
