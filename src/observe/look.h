/* SPDX-License-Identifier: Apache-2.0 */
/* What `host` and `use` look at: the machine and everybody on it, twice, and the difference as named values. A value is
 * judged by one const table: above (or below) which it is abnormal, and what that means. */
#pragma once
#include <glib.h>

#include "base/json.h"
#include "kernel/census.h"

/* Explicit order: as they are shown. Of the machine as a whole. */
enum look_value {
	LOOK_LOAD_1 = 0,
	LOOK_LOAD_5,
	LOOK_LOAD_15,
	LOOK_UPTIME,
	LOOK_RUNNING, /* vmstat */
	LOOK_BLOCKED,
	LOOK_SWAPPED_IN,
	LOOK_SWAPPED_OUT,
	LOOK_PAGED_IN,
	LOOK_PAGED_OUT,
	LOOK_INTERRUPTS,
	LOOK_SWITCHES,
	LOOK_FORKS,
	LOOK_CPU_USER, /* mpstat, all CPUs */
	LOOK_CPU_NICE,
	LOOK_CPU_SYSTEM,
	LOOK_CPU_IOWAIT,
	LOOK_CPU_IRQ,
	LOOK_CPU_SOFTIRQ,
	LOOK_CPU_STEAL,
	LOOK_CPU_IDLE,
	LOOK_MEMORY_TOTAL, /* free */
	LOOK_MEMORY_USED,
	LOOK_MEMORY_FREE,
	LOOK_MEMORY_SHARED,
	LOOK_MEMORY_CACHE,
	LOOK_MEMORY_AVAILABLE,
	LOOK_MEMORY_AVAILABLE_SHARE,
	LOOK_SWAP_USED,
	LOOK_STALLS,
	LOOK_OOM_KILLS,
	LOOK_PRESSURE_CPU,
	LOOK_PRESSURE_MEMORY,
	LOOK_PRESSURE_IO,
	LOOK_TCP_ACTIVE, /* sar TCP, ETCP */
	LOOK_TCP_PASSIVE,
	LOOK_TCP_RECEIVED,
	LOOK_TCP_SENT,
	LOOK_TCP_FAILED,
	LOOK_TCP_RESET,
	LOOK_TCP_RETRANSMITS,
	LOOK_TCP_LISTEN_OVERFLOWS,
	LOOK_UDP_OVERFLOWS,
	LOOK_SOFTNET_DROPS,
	LOOK_CONNTRACK_SHARE,
	LOOK_FILES_SHARE,
	LOOK_THREADS_SHARE,
	LOOK_VALUES,
};

/* Of one CPU, disk, interface. */
enum look_row_value {
	LOOK_ONE_CPU_BUSY = 0,
	LOOK_DISK_BUSY,
	LOOK_DISK_WAIT,
	LOOK_NET_ERRORS,
	LOOK_NET_DROPS,
	LOOK_ROW_VALUES,
};

enum look_unit {
	LOOK_UNIT_NUMBER = 0,
	LOOK_UNIT_SHARE = 1,
	LOOK_UNIT_PER_SECOND = 2,
	LOOK_UNIT_BYTES = 3,
	LOOK_UNIT_BYTES_PER_SECOND = 4,
	LOOK_UNIT_SECONDS = 5,
};

struct look_meta {
	const char *name; /* JSON */
	const char *label; /* as the tool calls it */
	enum look_unit unit;
	double limit; /* abnormal from there on; 0: never */
	gboolean is_low; /* … below it */
	const char *meaning; /* when abnormal */
};
extern const struct look_meta look_metas[LOOK_VALUES];
extern const struct look_meta look_row_metas[LOOK_ROW_VALUES];

struct look {
	struct census *before, *now;
	double seconds; /* between them */
	double read_s; /* when `now` was read */
	double values[LOOK_VALUES]; /* NAN: not known */
};

/* A first reading; look_again completes it. */
struct look *look_new(void);
void look_again(struct look *look); /* what happened since the reading before */
void look_free(struct look *look);
/* What happened between two readings, which it takes over: by the machine's own clock, which is in them; where it is not, in
 * `seconds`. */
struct look *look_between(struct census *before, struct census *now, double seconds);

gboolean look_is_abnormal(const struct look_meta *meta, double value);
/* "12.3 %", "1.2 MiB/s"; "-" when not known. Owned by the caller. */
char *look_format(enum look_unit unit, double value);

/* Shares of its time, by column of /proc/stat; NAN when the CPU was not there before. */
struct look_cpu {
	double user, nice, system, iowait, irq, softirq, steal, idle;
};
void look_cpu(const struct look *look, guint i, struct look_cpu *cpu);
struct look_disk {
	const char *name;
	double reads, writes, read_bytes, write_bytes, wait_s, queue, busy;
};
void look_disk(const struct look *look, guint i, struct look_disk *disk);
struct look_net {
	const char *name;
	double received, sent, received_bytes, sent_bytes, errors, drops; /* a second */
};
void look_net(const struct look *look, guint i, struct look_net *net);

/* Members of an open object: interval_s, values, cpus, disks, interfaces. Of a look that was taken again. */
void look_write(const struct look *look, struct json_writer *json);
