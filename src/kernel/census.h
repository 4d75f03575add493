/* SPDX-License-Identifier: Apache-2.0 */
/* The whole census, as the tools of the first sixty seconds see it (uptime, vmstat, mpstat, iostat, free, sar): one reading
 * of /proc below a `root`. Counters since boot; a rate is the difference of two. What is not there is CENSUS_UNKNOWN,
 * never zero. Formats: proc(5), Documentation/admin-guide/iostats.rst, Documentation/accounting/psi.rst. */
#pragma once
#include <glib.h>

#include "kernel/cpus.h"
#include "kernel/netstat.h"

#define CENSUS_UNKNOWN G_MAXUINT64
#define CENSUS_NAME 32
#define CENSUS_ROWS_MAX 4096 /* devices, interfaces */

struct census_disk {
	char name[CENSUS_NAME];
	guint64 reads, read_bytes, read_ns, writes, write_bytes, write_ns;
	guint64 in_flight, busy_ns, queued_ns; /* queued: summed over requests */
};

struct census_net {
	char name[CENSUS_NAME];
	guint64 received_bytes, received_packets, received_errors, received_drops;
	guint64 sent_bytes, sent_packets, sent_errors, sent_drops;
};

struct census {
	guint64 load_milli[3]; /* load averages of 1, 5, 15 minutes, thousandths */
	guint64 uptime_ns;
	/* bytes */
	guint64 memory_total, memory_free, memory_available, buffers, cached, reclaimable, shared, swap_total,
		swap_free, dirty, writeback;
	/* pages, but paged_in and paged_out: KiB */
	guint64 paged_in, paged_out, swapped_in, swapped_out, scanned_direct, stalled, oom_kills;
	guint64 softnet_drops, softnet_squeezes;
	guint64 conntrack, conntrack_max, files, files_max, threads, threads_max;
	guint64 pressure_cpu_ns, pressure_memory_ns, pressure_io_ns; /* some */
	struct netstat netstat;
	struct cpus *cpus; /* NULL: not known */
	GArray *disks; /* of struct census_disk; whole disks that were ever used */
	GArray *nets; /* of struct census_net, the loopback included */
};

struct census *census_read(const char *root);
struct census *census_copy(const struct census *census); /* census_free */
void census_free(struct census *census);
typedef struct census census_t; /* for g_autoptr(census_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(census_t, census_free)

/* The same device in another reading; NULL when it is not there. */
const struct census_disk *census_disk(const struct census *census, const char *name);
const struct census_net *census_net(const struct census *census, const char *name);
