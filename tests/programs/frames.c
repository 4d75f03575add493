/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks that are hard to walk: alloca, realigned frames, frames beyond 32 KiB, recursion, a callback out of libc and a signal
 * handler. Built with and without frame pointers. It stops itself (int3) where the tracing test looks at it; between two
 * marks it is followed instruction by instruction. */
#include <alloca.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECURSION_DEPTH 500
#define LARGE_FRAME_BYTES 100000

#define OWN_FRAME __attribute__((noinline, noclone))

static volatile long sink;

/* Keeps a call from becoming a jump. */
#define AFTER_CALL() __asm__ volatile("" ::: "memory")

static OWN_FRAME void mark(void)
{
	__asm__ volatile("int3" ::: "memory");
}

static OWN_FRAME void leaf_alloca(long size)
{
	char *room = alloca(size);

	memset(room, 1, size);
	sink += room[size / 2];
	mark();
	AFTER_CALL();
}

static OWN_FRAME void leaf_realigned(long size)
{
	char room[64] __attribute__((aligned(64)));
	char *more = alloca(size);

	memset(room, (int)size, sizeof(room));
	memset(more, 1, size);
	sink += room[size % 64] + more[0];
	leaf_alloca(size);
	AFTER_CALL();
}

static OWN_FRAME void large_frame(long size)
{
	char room[LARGE_FRAME_BYTES];

	/* Not filled: the test follows every instruction. */
	room[size] = 1;
	room[LARGE_FRAME_BYTES - 1] = 1;
	__asm__ volatile("" ::"r"(room) : "memory");
	leaf_realigned(size);
	sink += room[size];
}

static OWN_FRAME long recurse(long depth)
{
	long below;

	if (depth == 0) {
		mark();
		return 1;
	}
	below = recurse(depth - 1);
	AFTER_CALL();
	return below + sink;
}

static OWN_FRAME int compare(const void *a, const void *b)
{
	static int calls;

	if (calls++ == 3)
		mark();
	AFTER_CALL();
	return *(const int *)a - *(const int *)b;
}

static OWN_FRAME void sorted(void)
{
	int numbers[] = { 5, 3, 9, 1, 7, 2, 8, 4 };

	qsort(numbers, sizeof(numbers) / sizeof(numbers[0]), sizeof(numbers[0]), compare);
	sink += numbers[0];
}

static OWN_FRAME void on_signal(int number)
{
	sink += number;
	mark();
	AFTER_CALL();
}

static OWN_FRAME void signalled(void)
{
	raise(SIGUSR1);
	AFTER_CALL();
}

static OWN_FRAME void printed(long n)
{
	char text[64];

	snprintf(text, sizeof(text), "%ld %s", n, "text");
	sink += (long)strlen(text) + atoi(text);
}

int main(int argc, char **argv)
{
	(void)argv;
	signal(SIGUSR1, on_signal);
	mark();
	large_frame(256L * argc);
	mark();
	sorted();
	signalled();
	printed(argc);
	mark();
	sink += recurse(RECURSION_DEPTH);
	return 0;
}
