/* SPDX-License-Identifier: Apache-2.0 */
/* Burns CPU in two functions, three quarters in one and a quarter in the other, by CPU time of its own, so that the
 * truth holds whatever the machine does. usage: split7525 [SECONDS of CPU time, default for ever] */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define SLICE_NS 1000000 /* of CPU time between looks at the clock's share */

static volatile uint64_t sink;

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Both loops do the same work, with different constants (or the compiler makes one function of them); each calls the
 * clock rarely enough for it not to show. */
#define BURN(name, step)                                                                                               \
	static __attribute__((noinline, noclone)) uint64_t name(uint64_t until_ns)                                     \
	{                                                                                                              \
		uint64_t now_ns;                                                                                       \
                                                                                                                       \
		do {                                                                                                   \
			for (unsigned int i = 0; i < 100000; i++)                                                      \
				sink = sink * 6364136223846793005u + i + step;                                         \
			now_ns = cpu_ns();                                                                             \
		} while (now_ns < until_ns);                                                                           \
		return now_ns;                                                                                         \
	}

BURN(three_quarters, 75u)
BURN(one_quarter, 25u)

int main(int argc, char **argv)
{
	uint64_t start_ns = cpu_ns(), now_ns = start_ns, large_ns = 0, small_ns = 0;
	uint64_t length_ns = argc > 1 ? (uint64_t)(atof(argv[1]) * 1e9) : UINT64_MAX;

	while (now_ns - start_ns < length_ns) {
		uint64_t before_ns = now_ns;

		/* Whoever is behind its share goes next. */
		if (large_ns <= small_ns * 3) {
			now_ns = three_quarters(now_ns + SLICE_NS);
			large_ns += now_ns - before_ns;
		} else {
			now_ns = one_quarter(now_ns + SLICE_NS);
			small_ns += now_ns - before_ns;
		}
	}
	return 0;
}
