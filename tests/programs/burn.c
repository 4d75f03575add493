/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps CPUs busy. usage: burn [THREADS [SECONDS]]; default one thread, until killed. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static void *burn(void *nothing)
{
	volatile uint64_t turns = 0;

	(void)nothing;
	for (;;)
		turns = turns + 1;
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t thread;

	if (argc > 2)
		alarm((unsigned int)atoi(argv[2])); /* ends the process */
	for (int i = 1; i < threads; i++)
		if (pthread_create(&thread, NULL, burn, NULL) != 0)
			return 1;
	burn(NULL);
	return 0;
}
