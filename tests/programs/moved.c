/* SPDX-License-Identifier: Apache-2.0 */
/* moved THREADS [stay]: threads that fall asleep on a busy CPU and are moved to another one at once. Since Linux 6.12 a sleeper may
 * stay on its run queue for a while; one that is moved then is stamped as if it had been woken up, and when it runs again all
 * of its sleep is in its run_delay.
 *
 * Says "ready" when all have been moved; nothing runs then. At SIGTERM they wake up, and it says for how many of them the
 * kernel took the sleep for waiting, and ends ("stay": sleeps on). Needs two CPUs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BURNERS 3
#define THREADS_MAX 64
#define BURST_NS 2500000L /* after it had to wait for the CPU: more than its share by then */
#define GAP_NS 1000000L /* between two looks at the clock: somebody else ran */
#define SETTLE_NS 30000L /* from "about to sleep" to sleeping */
#define MS 1000000L

static volatile int falling; /* tid of who falls asleep; 0: nobody */
static volatile int burning = 1, awake;
static int cpus[2], morning[2];

static long clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void bind(int tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(tid, sizeof(set), &set);
}

static long delay_ns(int tid)
{
	char path[64], text[96] = "";
	long ran = 0, waited = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) > 0)
		sscanf(text, "%ld %ld", &ran, &waited);
	close(fd);
	return waited;
}

static void *burner_run(void *unused)
{
	(void)unused;
	bind(0, cpus[0]);
	while (burning)
		;
	return NULL;
}

/* Works until it has had more than its share of a CPU others want. */
static void overdraw(void)
{
	long last = clock_ns(), gap_end = 0, now;

	for (;;) {
		now = clock_ns();
		if (now - last > GAP_NS)
			gap_end = now;
		if (gap_end && now - gap_end > BURST_NS)
			return;
		last = now;
	}
}

static void *sleeper_run(void *unused)
{
	char nothing;

	(void)unused;
	bind(0, cpus[0]);
	do
		overdraw();
	while (!__sync_bool_compare_and_swap(&falling, 0, (int)syscall(SYS_gettid)));
	if (read(morning[0], &nothing, 1) == 0)
		__sync_fetch_and_add(&awake, 1);
	for (;;)
		pause();
	return NULL;
}

/* Threads of `tids` are woken up. How many are said to have waited half of their sleep and more? */
static int wake(const int *tids, int count)
{
	const struct timespec nap = { .tv_nsec = MS };
	long before_ns[THREADS_MAX], slept_ns = clock_ns();
	int taken = 0, signal;
	sigset_t end;

	for (int i = 0; i < count; i++)
		before_ns[i] = delay_ns(tids[i]);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigwait(&end, &signal);
	slept_ns = clock_ns() - slept_ns;
	close(morning[1]);
	while (awake < count)
		nanosleep(&nap, NULL);
	for (int i = 0; i < count; i++)
		taken += delay_ns(tids[i]) - before_ns[i] > slept_ns / 2;
	return taken;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1, found = 0, tids[THREADS_MAX];
	pthread_t thread;
	cpu_set_t set;
	sigset_t end;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[found++] = cpu;
	if (found < 2 || count < 1 || count > THREADS_MAX || pipe(morning) < 0)
		return 1;
	bind(0, cpus[1]);
	for (int i = 0; i < BURNERS; i++)
		pthread_create(&thread, NULL, burner_run, NULL);
	for (int i = 0; i < count; i++)
		pthread_create(&thread, NULL, sleeper_run, NULL);
	for (int i = 0; i < count; i++) {
		long until;

		while (!falling) /* without a pause: a moment later it is too late */
			;
		tids[i] = falling;
		until = clock_ns() + SETTLE_NS;
		while (clock_ns() < until)
			;
		bind(tids[i], cpus[1]);
		falling = 0;
	}
	burning = 0;
	puts("ready");
	fflush(stdout);
	printf("taken for waiting: %d\n", wake(tids, count));
	fflush(stdout);
	while (argc > 2)
		pause();
	return 0;
}
