/* SPDX-License-Identifier: Apache-2.0 */
/* Spends its time, in equal parts and for ever, at the bottom of stacks that are hard to walk: alloca, a realigned frame, a
 * frame beyond 32 KiB, recursion of 500 frames, a callback out of qsort, a signal handler, memory functions of libc; in the
 * first thread and in another. Built with SCRAMBLED most of it where nobody can tell the caller. `hardstacks` prints a line when it is at it. */
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECURSION_DEPTH 500
#define LARGE_FRAME_BYTES 40000

#define OWN_FRAME __attribute__((noinline, noclone))
#define AFTER_CALL() __asm__ volatile("" ::: "memory") /* keeps a call from becoming a jump */

static __thread volatile unsigned long sink;

#ifdef SCRAMBLED
/* As assembly by hand does it that says nothing about its frames: where it came from only RBX knows. */
void scrambled(void);
__asm__(".text\n.type scrambled, @function\nscrambled:\n\tpush %rbx\n\tpush %rbp\n\tmov %rsp, %rbx\n\tand $-64, %rsp\n"
	"\tmov $1, %ebp\n\tmov $2000000, %ecx\n1:\tdec %ecx\n\tjnz 1b\n\tmov %rbx, %rsp\n\tpop %rbp\n\tpop %rbx\n\tret\n");
#endif

static OWN_FRAME void spin(void)
{
#ifdef SCRAMBLED
	scrambled();
#endif
	for (unsigned long i = 0; i < 400000; i++)
		sink += i * i;
	AFTER_CALL();
}

static OWN_FRAME void with_alloca(long size)
{
	char *room = alloca(size);

	memset(room, 1, size);
	sink += room[size / 2];
	spin();
	AFTER_CALL();
}

static OWN_FRAME void realigned(long size)
{
	char room[64] __attribute__((aligned(64)));
	char *more = alloca(size);

	memset(room, (int)size, sizeof(room));
	memset(more, 1, size);
	sink += room[size % 64] + more[0];
	spin();
	AFTER_CALL();
}

static OWN_FRAME void large_frame(long size)
{
	char room[LARGE_FRAME_BYTES];

	room[size] = 1; /* most of its pages are never touched */
	__asm__ volatile("" ::"r"(room) : "memory");
	spin();
	sink += room[size];
}

static OWN_FRAME long recurse(long depth)
{
	long below;

	if (depth == 0) {
		spin();
		return 1;
	}
	below = recurse(depth - 1);
	AFTER_CALL();
	return below + (long)sink;
}

static OWN_FRAME int compare(const void *a, const void *b)
{
	spin();
	AFTER_CALL();
	return *(const int *)a - *(const int *)b;
}

static OWN_FRAME void sorted(void)
{
	int numbers[] = { 2, 1 };

	qsort(numbers, 2, sizeof(numbers[0]), compare);
	sink += (unsigned long)numbers[0];
}

static OWN_FRAME void on_signal(int number)
{
	sink += (unsigned long)number;
	spin();
	AFTER_CALL();
}

static OWN_FRAME void signalled(void)
{
	raise(SIGUSR1);
	AFTER_CALL();
}

static OWN_FRAME void memory(void)
{
	static __thread char from[1 << 16], to[1 << 16];

	for (int i = 0; i < 200; i++) {
		memcpy(to, from, sizeof(to));
		sink += (unsigned long)(memchr(to, 1, sizeof(to)) != NULL);
	}
}

static OWN_FRAME void round_of_all(void)
{
	with_alloca(1000);
	realigned(300);
	large_frame(sink % 100);
	recurse(RECURSION_DEPTH);
	sorted();
	signalled();
	memory();
	AFTER_CALL();
}

static void *thread_main(void *argument)
{
	(void)argument;
	for (;;)
		round_of_all();
	return NULL;
}

int main(void)
{
	pthread_t thread;

	signal(SIGUSR1, on_signal);
	if (pthread_create(&thread, NULL, thread_main, NULL) != 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	for (;;)
		round_of_all();
}
