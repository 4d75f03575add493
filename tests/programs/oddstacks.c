/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks that lie in two places. Without an argument spends its CPU time, in equal parts and for ever, in a signal handler on a
 * stack of its own (sigaltstack) and below a frame larger than any copy, which is hardly touched; in the first thread and in another.
 * With the argument "vfork" blocks in vfork while the child naps. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define HUGE_FRAME_BYTES (700 << 10) /* more than is copied, and than a usual row of a table tells */
#define OTHER_STACK_BYTES (64 << 10)
#define NAP_US 5000

#define OWN_FRAME __attribute__((noinline, noclone))
#define AFTER_CALL() __asm__ volatile("" ::: "memory") /* keeps a call from becoming a jump */

static __thread volatile unsigned long sink;

static OWN_FRAME void spin(void)
{
	for (unsigned long i = 0; i < 400000; i++)
		sink += i * i;
	AFTER_CALL();
}

static OWN_FRAME void on_other_stack(int number)
{
	sink += (unsigned long)number;
	spin();
	AFTER_CALL();
}

static OWN_FRAME void interrupted(void)
{
	raise(SIGUSR1);
	AFTER_CALL();
}

static OWN_FRAME void huge_frame(long size)
{
	char room[HUGE_FRAME_BYTES];

	room[size] = 1;
	__asm__ volatile("" ::"r"(room) : "memory");
	spin();
	sink += room[size];
}

static OWN_FRAME void vforked(void)
{
	if (vfork() == 0) {
		usleep(NAP_US);
		_exit(0);
	}
	AFTER_CALL();
}

static void *for_ever(void *argument)
{
	stack_t other = { .ss_sp = malloc(OTHER_STACK_BYTES), .ss_size = OTHER_STACK_BYTES };

	if (!other.ss_sp || sigaltstack(&other, NULL) != 0)
		exit(1);
	for (;;) {
		interrupted();
		huge_frame((long)(sink % 100));
	}
	return argument;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_other_stack, .sa_flags = SA_ONSTACK };
	pthread_t thread;

	(void)argv;
	while (argc > 1)
		vforked();
	sigaction(SIGUSR1, &action, NULL);
	if (pthread_create(&thread, NULL, for_ever, NULL) != 0)
		return 1;
	for_ever(NULL);
}
