/* SPDX-License-Identifier: Apache-2.0 */
/* Loses memory at a known pace. usage: leaker MIB_PER_SECOND [MIB]; after MIB (default 400) it only sleeps. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES (64 << 10)

__attribute__((noinline)) static void leak_here(void)
{
	char *chunk = malloc(CHUNK_BYTES);

	if (chunk)
		memset(chunk, 1, CHUNK_BYTES);
	__asm__ volatile("" : : "r"(chunk) : "memory");
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double chunks_per_s = (argc > 1 ? atof(argv[1]) : 10) * (1 << 20) / CHUNK_BYTES;
	long chunks = (argc > 2 ? atol(argv[2]) : 400) * (1 << 20) / CHUNK_BYTES;
	double start_s = now_s();

	for (long i = 0; i < chunks; i++) {
		leak_here();
		while (now_s() - start_s < (double)(i + 1) / chunks_per_s)
			usleep(2000);
	}
	for (;;)
		pause();
}
