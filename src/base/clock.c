/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

static guint64 clock_read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (guint64)ts.tv_sec * G_GUINT64_CONSTANT(1000000000) + (guint64)ts.tv_nsec;
}

guint64 clock_monotonic_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

guint64 clock_realtime_ns(void)
{
	return clock_read_ns(CLOCK_REALTIME);
}

guint64 clock_thread_ns(void)
{
	return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}
