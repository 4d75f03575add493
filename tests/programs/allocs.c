/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates known amounts, each in a function of its own, some kept and some freed. usage: allocs COUNT [FILE]; begins when
 * FILE exists and makes FILE.done when it is through, then sleeps. Sizes are 1000 bytes unless said otherwise:
 *   keep_here      COUNT, kept
 *   drop_here      COUNT, freed at once
 *   zeroed_here    COUNT by calloc, kept
 *   aligned_here   COUNT / 10 of 4096 by posix_memalign, kept
 *   grow_here      one of 1000, 2000 … 1000 × 100 by realloc, COUNT / 100 times over; each freed at the end
 *   child_here     COUNT, kept by a child that ends */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES 1000

static void *volatile kept;

__attribute__((noinline)) static void keep_here(void)
{
	kept = malloc(BYTES);
}

__attribute__((noinline)) static void drop_here(void)
{
	kept = malloc(BYTES);
	free(kept);
}

__attribute__((noinline)) static void zeroed_here(void)
{
	kept = calloc(BYTES / 10, 10);
}

__attribute__((noinline)) static void aligned_here(void)
{
	void *block = NULL;

	if (posix_memalign(&block, 4096, 4096) == 0)
		kept = block;
}

__attribute__((noinline)) static void grow_here(void)
{
	char *block = NULL;

	for (int i = 1; i <= 100; i++)
		block = realloc(block, (size_t)i * BYTES);
	kept = block;
	free(block);
}

__attribute__((noinline)) static void child_here(void)
{
	char *block = malloc(BYTES); /* not the same code as keep_here: compilers make one function of two */

	if (block)
		block[0] = 1;
	kept = block;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 10000;
	char done[256];

	while (argc > 2 && access(argv[2], F_OK) != 0)
		usleep(20000);
	for (int i = 0; i < count; i++) {
		keep_here();
		drop_here();
		zeroed_here();
		if (i % 10 == 0)
			aligned_here();
		if (i % 100 == 0)
			grow_here();
	}
	if (fork() == 0) {
		for (int i = 0; i < count; i++)
			child_here();
		_exit(0);
	}
	wait(NULL);
	if (argc > 2) {
		snprintf(done, sizeof(done), "%s.done", argv[2]);
		close(open(done, O_CREAT | O_WRONLY, 0644));
	}
	for (;;)
		pause();
}
