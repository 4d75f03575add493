/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic time. Everything inside fathom is nanoseconds of CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns(). */
#pragma once
#include <glib.h>

/* Nanoseconds since boot, not counting suspend; comparable with kernel stamps. */
guint64 clock_monotonic_ns(void);

/* Nanoseconds since the epoch: only for time stamps shown to people. */
guint64 clock_realtime_ns(void);

/* CPU time the calling thread has used, in nanoseconds: what work costs, whoever else wants the CPU. */
guint64 clock_thread_ns(void);
