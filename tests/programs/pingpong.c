/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes that pass a letter to and fro through pipes, as fast as they can: as many blocked stacks as possible.
 * usage: pingpong [ROUND TRIPS]; default until killed. Prints round trips and ns at the end. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void pong(int from, int to)
{
	char letter;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(from, &letter, 1) == 1)
		if (write(to, &letter, 1) != 1)
			break;
}

int main(int argc, char **argv)
{
	uint64_t trips = argc > 1 ? strtoull(argv[1], NULL, 10) : UINT64_MAX, start_ns, i;
	int there[2], back[2];
	char letter = 'x';
	pid_t child;

	if (pipe(there) != 0 || pipe(back) != 0 || (child = fork()) < 0)
		return 1;
	if (child == 0) {
		close(there[1]);
		pong(there[0], back[1]);
		_exit(0);
	}
	start_ns = now_ns();
	for (i = 0; i < trips; i++)
		if (write(there[1], &letter, 1) != 1 || read(back[0], &letter, 1) != 1)
			return 1;
	printf("%llu %llu\n", (unsigned long long)i, (unsigned long long)(now_ns() - start_ns));
	return 0;
}
