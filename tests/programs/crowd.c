/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that run and sleep by turns, each time for as long as lots drawn say (the same ones in every run): on one CPU
 * they wait for each other from microseconds to many milliseconds. usage: crowd PROCESSES TURNS
 * Ends when all have had their turns. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUN_MIN_NS 10000 /* and up to RUN_MIN_NS << RUN_DOUBLINGS, each doubling as likely as the others */
#define RUN_DOUBLINGS 8
#define SLEEP_MAX_NS 3000000

static uint64_t lot(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static void run_for(uint64_t ns)
{
	struct timespec at;
	uint64_t start_ns = 0, now_ns;

	do {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
		now_ns = (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
		if (!start_ns)
			start_ns = now_ns;
	} while (now_ns - start_ns < ns);
}

static void take_turns(uint64_t state, int turns)
{
	for (int i = 0; i < turns; i++) {
		uint64_t run_ns = (uint64_t)RUN_MIN_NS << lot(&state) % RUN_DOUBLINGS;
		const struct timespec time = { .tv_nsec = (long)(lot(&state) % SLEEP_MAX_NS) };

		run_for(run_ns + lot(&state) % run_ns);
		nanosleep(&time, NULL);
	}
}

int main(int argc, char **argv)
{
	int processes = argc > 1 ? atoi(argv[1]) : 4, turns = argc > 2 ? atoi(argv[2]) : 500;

	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			take_turns((uint64_t)i, turns);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	return 0;
}
