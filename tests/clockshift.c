/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into a program: its wall clock is ahead by as many nanoseconds as the first eight bytes of the file in
 * FATHOM_CLOCKSHIFT say, from the moment they are written. (A time namespace cannot do that: it has no wall clock.) */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000L

static const volatile int64_t *shift_ns;

__attribute__((constructor)) static void shift_open(void)
{
	const char *path = getenv("FATHOM_CLOCKSHIFT");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*shift_ns), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		shift_ns = page;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = (int)syscall(SYS_clock_gettime, clock, time);

	if (result == 0 && shift_ns && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
		int64_t ns = (int64_t)time->tv_sec * NS_PER_S + time->tv_nsec + *shift_ns;

		time->tv_sec = ns / NS_PER_S;
		time->tv_nsec = ns % NS_PER_S;
	}
	return result;
}

int gettimeofday(struct timeval *time, void *zone)
{
	struct timespec now;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now))
		return -1;
	time->tv_sec = now.tv_sec;
	time->tv_usec = now.tv_nsec / 1000;
	return 0;
}
