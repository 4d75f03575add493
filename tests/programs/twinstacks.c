/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeps, again and again, on stacks that are easily taken for one another: all at the same place and with the same stack
 * pointer within a group. For each group the same number of sleeps, of known length:
 *   ways     the same return addresses in another order: 4, 8 and 12 ms
 *   roots    differ only 40 KiB up the stack: 4 and 12 ms
 *   littered one stack, with return addresses left over from ever other calls in it: 8 ms
 * With the argument "quick" they sleep a hundredth of that. With another one each sleep ends with waking a second thread up, which waits again at once: then it blocks as long, and
 * those stacks are its wakers'. */
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define KEEP __attribute__((noinline, noclone))
#define LEVELS 40
#define LEVEL_BYTES 1024

static volatile unsigned sink; /* counted differently, so that the compiler does not make one function of two */

static sem_t bell;
static int is_ringing;
static long unit_ns = 1000000L;

static KEEP void nap(unsigned ms)
{
	const struct timespec time = { .tv_nsec = ms * unit_ns };

	nanosleep(&time, NULL);
	if (is_ringing)
		sem_post(&bell);
	sink++;
}

static KEEP void *listen_to_bell(void *unused)
{
	for (;;)
		sem_wait(&bell);
	return unused;
}

static KEEP void way(unsigned turns, unsigned ms);

static KEEP void turn_left(unsigned turns, unsigned ms)
{
	way(turns >> 1, ms);
	sink++;
}

static KEEP void turn_right(unsigned turns, unsigned ms)
{
	way(turns >> 1, ms);
	sink += 2;
}

/* A bit for each turn, the first lowest; the last one ends it. */
static KEEP void way(unsigned turns, unsigned ms)
{
	if (turns == 1) {
		if (ms)
			nap(ms);
	} else if (turns & 1) {
		turn_left(turns, ms);
	} else {
		turn_right(turns, ms);
	}
	sink++;
}

static KEEP void deeper(unsigned levels, unsigned ms)
{
	volatile char frame[LEVEL_BYTES];

	frame[0] = (char)levels;
	if (levels)
		deeper(levels - 1, ms);
	else
		nap(ms);
	frame[LEVEL_BYTES - 1] = frame[0];
}

static KEEP void root_short(unsigned ms)
{
	deeper(LEVELS, ms);
	sink++;
}

static KEEP void root_long(unsigned ms)
{
	deeper(LEVELS, ms);
	sink += 2;
}

static KEEP void littered(unsigned ms)
{
	volatile char unused[4096];

	unused[0] = 0;
	nap(ms);
	unused[1] = unused[0];
}

int main(int argc, char **argv)
{
	pthread_t listener;

	if (argc > 1 && strcmp(argv[1], "quick") == 0) {
		unit_ns = 10000;
		prctl(PR_SET_TIMERSLACK, 1);
	} else {
		is_ringing = argc > 1;
	}
	sem_init(&bell, 0, 0);
	if (is_ringing && pthread_create(&listener, NULL, listen_to_bell, NULL) != 0)
		return 1;
	for (unsigned round = 0;; round++) {
		way(0x15, 4); /* left, right, left, right */
		way(0x13, 8); /* left, left, right, right */
		way(0x1a, 12); /* right, left, right, left */
		root_short(4);
		root_long(12);
		way(0x100 | (round & 0xff), 0);
		littered(8);
	}
}
