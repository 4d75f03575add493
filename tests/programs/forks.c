/* SPDX-License-Identifier: Apache-2.0 */
/* forks N: N children one after the other that start no other program; each works 5 ms of CPU time and sleeps 10 ms, three times. Prints for each its
 * pid (of the innermost namespace), how long it has lived at least, its CPU time, and how long its parent has waited for it, in microseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TURNS 3
#define WORK_US 5000
#define SLEEP_US 10000

static long long clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void child(void)
{
	long long begin_us = clock_us(CLOCK_MONOTONIC);

	for (int i = 0; i < TURNS; i++) {
		long long until_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) + WORK_US;

		while (clock_us(CLOCK_PROCESS_CPUTIME_ID) < until_us)
			;
		usleep(SLEEP_US);
	}
	printf("%d %lld %lld", getpid(), clock_us(CLOCK_MONOTONIC) - begin_us, clock_us(CLOCK_PROCESS_CPUTIME_ID));
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1;

	for (int i = 0; i < count; i++) {
		long long before_us = clock_us(CLOCK_MONOTONIC);
		pid_t pid = fork();

		if (pid == 0)
			child();
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
		printf(" %lld\n", clock_us(CLOCK_MONOTONIC) - before_us);
		fflush(stdout);
	}
	return 0;
}
