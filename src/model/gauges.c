/* SPDX-License-Identifier: Apache-2.0 */
#include "model/gauges.h"

#include <string.h>

#define NS GAUGE_UNIT_NANOSECONDS
#define BYTES GAUGE_UNIT_BYTES
#define COUNT GAUGE_UNIT_COUNT
#define OFFCPU "time its threads waited for something else than a CPU, each interval by what it ended in"

const struct gauge_metric gauge_metrics[GAUGES_COUNT] = {
	[GAUGE_CPU] = { "cpu_ns", "cpu_usage_seconds_total", NULL, NS, GAUGE_COUNTER, "CPU time used", TRUE },
	[GAUGE_CPU_USER] = { "cpu_user_ns", "cpu_time_seconds_total", "mode=\"user\"", NS, GAUGE_COUNTER,
			     "CPU time used by its own code" },
	[GAUGE_CPU_SYSTEM] = { "cpu_system_ns", "cpu_time_seconds_total", "mode=\"system\"", NS, GAUGE_COUNTER,
			       "CPU time the kernel used on its behalf" },
	[GAUGE_CPU_LIMIT] = { "cpu_limit_nanocores", "cpu_limit_cores", NULL, GAUGE_UNIT_NANOCORES, GAUGE_LEVEL,
			      "CPU quota, the tightest that applies; absent without one" },
	[GAUGE_CPU_WEIGHT] = { "cpu_weight", "cpu_weight", NULL, COUNT, GAUGE_LEVEL,
			       "share of CPU among siblings (cpu.weight; v1: shares)" },
	[GAUGE_CPU_PERIODS] = { "cpu_periods", "cpu_periods_total", NULL, COUNT, GAUGE_COUNTER,
				"quota periods in which it ran" },
	[GAUGE_CPU_PERIODS_THROTTLED] = { "cpu_throttled_periods", "cpu_throttled_periods_total", NULL, COUNT,
					  GAUGE_COUNTER, "quota periods that ended throttled", TRUE },
	[GAUGE_CPU_THROTTLED] = { "cpu_throttled_ns", "cpu_throttled_seconds_total", NULL, NS, GAUGE_COUNTER,
				  "time its run queues stood still because the quota was used up" },
	[GAUGE_CPU_BURST] = { "cpu_burst_ns", "cpu_burst_seconds_total", NULL, NS, GAUGE_COUNTER,
			      "CPU time used above the quota, from saved-up bursts" },
	[GAUGE_RUNQUEUE_WAIT] = { "runqueue_wait_ns", "cpu_runqueue_wait_seconds_total", NULL, NS, GAUGE_COUNTER,
				  "time its threads were ready and had no CPU, throttled time included" },
	[GAUGE_DISK_WAIT] = { "disk_wait_ns", "disk_wait_seconds_total", NULL, NS, GAUGE_COUNTER,
			      "time its threads waited for block devices (delay accounting)" },
	[GAUGE_MEMORY] = { "memory_bytes", "memory_usage_bytes", NULL, BYTES, GAUGE_LEVEL,
			   "memory charged to it, page cache included" },
	[GAUGE_MEMORY_WORKING_SET] = { "memory_working_set_bytes", "memory_working_set_bytes", NULL, BYTES, GAUGE_LEVEL,
				       "memory without file pages not used lately" },
	[GAUGE_MEMORY_LIMIT] = { "memory_limit_bytes", "memory_limit_bytes", NULL, BYTES, GAUGE_LEVEL,
				 "memory limit, the tightest that applies; absent without one" },
	[GAUGE_MEMORY_HIGH] = { "memory_high_bytes", "memory_high_bytes", NULL, BYTES, GAUGE_LEVEL,
				"memory above which it is slowed down; absent without one" },
	[GAUGE_MEMORY_ANON] = { "memory_anon_bytes", "memory_rss_bytes", NULL, BYTES, GAUGE_LEVEL,
				"memory of its own (anonymous pages)" },
	[GAUGE_MEMORY_FILE] = { "memory_file_bytes", "memory_cache_bytes", NULL, BYTES, GAUGE_LEVEL, "page cache" },
	[GAUGE_MEMORY_KERNEL] = { "memory_kernel_bytes", "memory_kernel_bytes", NULL, BYTES, GAUGE_LEVEL,
				  "kernel memory on its behalf" },
	[GAUGE_MEMORY_SWAP] = { "memory_swap_bytes", "memory_swap_bytes", NULL, BYTES, GAUGE_LEVEL, "swap used" },
	[GAUGE_MEMORY_DIRTY] = { "memory_dirty_bytes", "memory_dirty_bytes", NULL, BYTES, GAUGE_LEVEL,
				 "page cache yet to be written" },
	[GAUGE_MEMORY_WRITEBACK] = { "memory_writeback_bytes", "memory_writeback_bytes", NULL, BYTES, GAUGE_LEVEL,
				     "page cache being written" },
	[GAUGE_MEMORY_EVENTS_HIGH] = { "memory_high_events", "memory_events_total", "event=\"high\"", COUNT,
				       GAUGE_COUNTER, "times it went above memory.high and was slowed down" },
	[GAUGE_MEMORY_EVENTS_MAX] = { "memory_max_events", "memory_events_total", "event=\"max\"", COUNT, GAUGE_COUNTER,
				      "times it ran into its memory limit", TRUE },
	[GAUGE_MEMORY_EVENTS_OOM] = { "memory_oom_events", "memory_events_total", "event=\"oom\"", COUNT, GAUGE_COUNTER,
				      "times its memory limit left no way out" },
	[GAUGE_OOM_KILLS] = { "oom_kills", "oom_kills_total", NULL, COUNT, GAUGE_COUNTER,
			      "processes killed for lack of memory", TRUE },
	[GAUGE_REFAULTS_ANON] = { "refaults_anon", "memory_refaults_total", "type=\"anon\"", COUNT, GAUGE_COUNTER,
				  "pages read back soon after having been swapped out" },
	[GAUGE_REFAULTS_FILE] = { "refaults_file", "memory_refaults_total", "type=\"file\"", COUNT, GAUGE_COUNTER,
				  "file pages read back soon after having been dropped" },
	[GAUGE_PAGES_SCANNED] = { "pages_scanned", "memory_scanned_pages_total", NULL, COUNT, GAUGE_COUNTER,
				  "pages looked at by reclaim" },
	[GAUGE_FAULTS] = { "faults", "page_faults_total", NULL, COUNT, GAUGE_COUNTER, "page faults, minor and major" },
	[GAUGE_FAULTS_MAJOR] = { "faults_major", "page_faults_major_total", NULL, COUNT, GAUGE_COUNTER,
				 "page faults that had to wait for I/O" },
	[GAUGE_PRESSURE_CPU_SOME] = { "pressure_cpu_some_ns", "pressure_stalled_seconds_total",
				      "resource=\"cpu\",kind=\"some\"", NS, GAUGE_COUNTER,
				      "time at least one thread waited for a CPU" },
	[GAUGE_PRESSURE_CPU_FULL] = { "pressure_cpu_full_ns", "pressure_stalled_seconds_total",
				      "resource=\"cpu\",kind=\"full\"", NS, GAUGE_COUNTER,
				      "time all its threads waited for a CPU" },
	[GAUGE_PRESSURE_MEMORY_SOME] = { "pressure_memory_some_ns", "pressure_stalled_seconds_total",
					 "resource=\"memory\",kind=\"some\"", NS, GAUGE_COUNTER,
					 "time at least one thread waited for memory" },
	[GAUGE_PRESSURE_MEMORY_FULL] = { "pressure_memory_full_ns", "pressure_stalled_seconds_total",
					 "resource=\"memory\",kind=\"full\"", NS, GAUGE_COUNTER,
					 "time all its threads waited for memory" },
	[GAUGE_PRESSURE_IO_SOME] = { "pressure_io_some_ns", "pressure_stalled_seconds_total",
				     "resource=\"io\",kind=\"some\"", NS, GAUGE_COUNTER,
				     "time at least one thread waited for I/O" },
	[GAUGE_PRESSURE_IO_FULL] = { "pressure_io_full_ns", "pressure_stalled_seconds_total",
				     "resource=\"io\",kind=\"full\"", NS, GAUGE_COUNTER,
				     "time all its threads waited for I/O" },
	[GAUGE_PIDS] = { "pids", "pids", NULL, COUNT, GAUGE_LEVEL, "threads, as the pids controller counts them" },
	[GAUGE_PIDS_LIMIT] = { "pids_limit", "pids_limit", NULL, COUNT, GAUGE_LEVEL,
			       "limit of pids, the tightest that applies; absent without one" },
	[GAUGE_PIDS_LIMIT_HITS] = { "pids_limit_hits", "pids_limit_hits_total", NULL, COUNT, GAUGE_COUNTER,
				    "forks refused because of the limit", TRUE },
	[GAUGE_IO_READ_BYTES] = { "io_read_bytes", "io_bytes_total", "direction=\"read\"", BYTES, GAUGE_COUNTER,
				  "bytes read from block devices" },
	[GAUGE_IO_WRITE_BYTES] = { "io_write_bytes", "io_bytes_total", "direction=\"write\"", BYTES, GAUGE_COUNTER,
				   "bytes written to block devices" },
	[GAUGE_IO_READS] = { "io_reads", "io_operations_total", "direction=\"read\"", COUNT, GAUGE_COUNTER,
			     "block reads" },
	[GAUGE_IO_WRITES] = { "io_writes", "io_operations_total", "direction=\"write\"", COUNT, GAUGE_COUNTER,
			      "block writes" },
	[GAUGE_NET_RECEIVED_BYTES] = { "net_received_bytes", "network_bytes_total", "direction=\"receive\"", BYTES,
				       GAUGE_COUNTER, "bytes received by its network namespace" },
	[GAUGE_NET_SENT_BYTES] = { "net_sent_bytes", "network_bytes_total", "direction=\"transmit\"", BYTES,
				   GAUGE_COUNTER, "bytes sent by its network namespace" },
	[GAUGE_NET_RECEIVED_PACKETS] = { "net_received_packets", "network_packets_total", "direction=\"receive\"",
					 COUNT, GAUGE_COUNTER, "packets received" },
	[GAUGE_NET_SENT_PACKETS] = { "net_sent_packets", "network_packets_total", "direction=\"transmit\"", COUNT,
				     GAUGE_COUNTER, "packets sent" },
	[GAUGE_NET_DROPS] = { "net_drops", "network_interface_drops_total", NULL, COUNT, GAUGE_COUNTER,
			      "packets its interfaces dropped, both ways" },
	[GAUGE_PROCESSES] = { "processes", "processes", NULL, COUNT, GAUGE_LEVEL, "processes" },
	[GAUGE_THREADS] = { "threads", "threads", NULL, COUNT, GAUGE_LEVEL, "threads" },
	[GAUGE_SWITCHES_VOLUNTARY] = { "switches_voluntary", "context_switches_total", "type=\"voluntary\"", COUNT,
				       GAUGE_COUNTER, "times its threads went to sleep" },
	[GAUGE_SWITCHES_INVOLUNTARY] = { "switches_involuntary", "context_switches_total", "type=\"involuntary\"",
					 COUNT, GAUGE_COUNTER, "times its threads lost the CPU to another" },
	[GAUGE_STARTED] = { "started_ns", "start_time_seconds", NULL, NS, GAUGE_LEVEL, "when it began, since 1970" },
	[GAUGE_CPUS] = { "cpus", "cpus", NULL, COUNT, GAUGE_LEVEL, "CPUs of the machine" },
	[GAUGE_CPU_IDLE] = { "cpu_idle_ns", "cpu_idle_seconds_total", NULL, NS, GAUGE_COUNTER,
			     "time the machine's CPUs had nothing to run" },
	[GAUGE_CPU_STOLEN] = { "cpu_stolen_ns", "cpu_stolen_seconds_total", NULL, NS, GAUGE_COUNTER,
			       "time the hypervisor gave the machine's CPUs to others" },
	[GAUGE_CPUSET] = { "cpuset_cpus", "cpuset_cpus", NULL, COUNT, GAUGE_LEVEL, "CPUs it may run on" },
	[GAUGE_CPUSET_IDLE] = { "cpuset_idle_ns", "cpuset_idle_seconds_total", NULL, NS, GAUGE_COUNTER,
				"time the CPUs it may run on had nothing to run" },
	[GAUGE_TCP_SEGMENTS_SENT] = { "tcp_segments_sent", "tcp_segments_sent_total", NULL, COUNT, GAUGE_COUNTER,
				      "TCP segments sent by its network namespace" },
	[GAUGE_TCP_RETRANSMITS] = { "tcp_retransmits", "tcp_retransmits_total", NULL, COUNT, GAUGE_COUNTER,
				    "TCP segments sent again" },
	[GAUGE_TCP_SPURIOUS] = { "tcp_spurious", "tcp_spurious_retransmits_total", NULL, COUNT, GAUGE_COUNTER,
				 "TCP segments sent again that the other end had already had" },
	[GAUGE_TCP_TIMEOUTS] = { "tcp_timeouts", "tcp_timeouts_total", NULL, COUNT, GAUGE_COUNTER,
				 "times TCP waited in vain for an acknowledgement" },
	[GAUGE_TCP_LISTEN_OVERFLOWS] = { "tcp_listen_overflows", "tcp_listen_overflows_total", NULL, COUNT,
					 GAUGE_COUNTER, "connections refused for a full accept queue" },
	[GAUGE_TCP_ZERO_WINDOWS] = { "tcp_zero_windows", "tcp_zero_windows_total", NULL, COUNT, GAUGE_COUNTER,
				     "times it told a sender to stop: nobody read" },
	[GAUGE_UDP_OVERFLOWS] = { "udp_overflows", "udp_receive_overflows_total", NULL, COUNT, GAUGE_COUNTER,
				  "datagrams dropped at a full receive buffer" },
	[GAUGE_FILES] = { "files", "open_files", NULL, COUNT, GAUGE_LEVEL,
			  "open files of the process nearest to its limit" },
	[GAUGE_FILES_LIMIT] = { "files_limit", "open_files_limit", NULL, COUNT, GAUGE_LEVEL,
				"limit of open files of that process" },
	[GAUGE_IO_READ_LIMIT] = { "io_read_limit", "io_read_limit_bytes", NULL, BYTES, GAUGE_LEVEL,
				  "limit of bytes read a second, the tightest of all devices" },
	[GAUGE_IO_WRITE_LIMIT] = { "io_write_limit", "io_write_limit_bytes", NULL, BYTES, GAUGE_LEVEL,
				   "limit of bytes written a second, the tightest of all devices" },
	[GAUGE_IO_READS_LIMIT] = { "io_reads_limit", "io_reads_limit", NULL, COUNT, GAUGE_LEVEL,
				   "limit of reads a second, the tightest of all devices" },
	[GAUGE_TCP_SYN_RETRANSMITS] = { "tcp_syn_retransmits", "tcp_syn_retransmits_total", NULL, COUNT, GAUGE_COUNTER,
					"first segments of connections sent again: no answer came" },
	[GAUGE_IO_WRITES_LIMIT] = { "io_writes_limit", "io_writes_limit", NULL, COUNT, GAUGE_LEVEL,
				    "limit of writes a second, the tightest of all devices" },
	[GAUGE_LISTEN_QUEUE] = { "listen_queue", "listen_queue_connections", NULL, COUNT, GAUGE_LEVEL,
				 "connections waiting to be accepted, at the fullest listening socket" },
	[GAUGE_LISTEN_LIMIT] = { "listen_limit", "listen_queue_limit", NULL, COUNT, GAUGE_LEVEL,
				 "connections that may wait to be accepted there" },
	[GAUGE_LISTEN_DROPS] = { "listen_drops", "listen_drops_total", NULL, COUNT, GAUGE_COUNTER,
				 "connections its listening sockets refused" },
	[GAUGE_CONNTRACK] = { "conntrack", "conntrack_entries", NULL, COUNT, GAUGE_LEVEL,
			      "tracked connections in its network namespace" },
	[GAUGE_CONNTRACK_LIMIT] = { "conntrack_limit", "conntrack_limit", NULL, COUNT, GAUGE_LEVEL,
				    "limit of tracked connections" },
	[GAUGE_CONNTRACK_DROPS] = { "conntrack_drops", "conntrack_drops_total", NULL, COUNT, GAUGE_COUNTER,
				    "packets dropped because their connection could not be tracked" },
	[GAUGE_CONNTRACK_EARLY_DROPS] = { "conntrack_early_drops", "conntrack_early_drops_total", NULL, COUNT,
					  GAUGE_COUNTER, "tracked connections thrown out to make room" },
	[GAUGE_CONNTRACK_INSERT_FAILED] = { "conntrack_insert_failed", "conntrack_insert_failed_total", NULL, COUNT,
					    GAUGE_COUNTER, "tracked connections that clashed with another" },
	[GAUGE_CONNTRACK_OWN] = { "conntrack_own", "conntrack_own_entries", NULL, COUNT, GAUGE_LEVEL,
				  "entries of the host's table it began" },
	[GAUGE_QDISC_PACKETS] = { "qdisc_packets", "qdisc_packets_total", NULL, COUNT, GAUGE_COUNTER,
				  "packets that went through queueing disciplines (tc) at its interfaces" },
	[GAUGE_QDISC_DROPS] = { "qdisc_drops", "qdisc_drops_total", NULL, COUNT, GAUGE_COUNTER,
				"packets dropped by queueing disciplines (tc) at its interfaces" },
	[GAUGE_CPU_COLLECTORS] = { "cpu_collectors_ns", "cpu_collectors_seconds_total", NULL, NS, GAUGE_COUNTER,
				   "CPU time used by threads that collect garbage, told by their names" },
	[GAUGE_OFFCPU_OTHER] = { "offcpu_other_ns", "offcpu_seconds_total", "reason=\"other\"", NS, GAUGE_COUNTER,
				 OFFCPU },
	[GAUGE_OFFCPU_FUTEX] = { "offcpu_futex_ns", "offcpu_seconds_total", "reason=\"futex\"", NS, GAUGE_COUNTER,
				 OFFCPU },
	[GAUGE_OFFCPU_IO] = { "offcpu_io_ns", "offcpu_seconds_total", "reason=\"io\"", NS, GAUGE_COUNTER, OFFCPU },
	[GAUGE_OFFCPU_NET] = { "offcpu_net_ns", "offcpu_seconds_total", "reason=\"net\"", NS, GAUGE_COUNTER, OFFCPU },
	[GAUGE_OFFCPU_POLL] = { "offcpu_poll_ns", "offcpu_seconds_total", "reason=\"poll\"", NS, GAUGE_COUNTER,
				OFFCPU },
	[GAUGE_OFFCPU_SLEEP] = { "offcpu_sleep_ns", "offcpu_seconds_total", "reason=\"sleep\"", NS, GAUGE_COUNTER,
				 OFFCPU },
	[GAUGE_OFFCPU_PIPE] = { "offcpu_pipe_ns", "offcpu_seconds_total", "reason=\"pipe\"", NS, GAUGE_COUNTER,
				OFFCPU },
	[GAUGE_OFFCPU_PAGEFAULT] = { "offcpu_pagefault_ns", "offcpu_seconds_total", "reason=\"pagefault\"", NS,
				     GAUGE_COUNTER, OFFCPU },
	[GAUGE_THREAD_CPU] = { "thread_cpu", "busiest_thread_cores", NULL, GAUGE_UNIT_NANOCORES, GAUGE_LEVEL,
			       "CPUs' worth of time its busiest thread used" },
	[GAUGE_THREAD_READY] = { "thread_ready", "busiest_thread_ready_cores", NULL, GAUGE_UNIT_NANOCORES, GAUGE_LEVEL,
				 "CPUs' worth of time its busiest thread used or waited for" },
	[GAUGE_PROCESS_CPU] = { "process_cpu", "busiest_process_cores", NULL, GAUGE_UNIT_NANOCORES, GAUGE_LEVEL,
				"CPUs' worth of time its busiest process used" },
	[GAUGE_PROCESS_TURNS] = { "process_turns", "busiest_process_running_threads", NULL, COUNT, GAUGE_LEVEL,
				  "threads of its busiest process that ran a tenth of the time and more" },
	[GAUGE_UNREAD] = { "unread", "unread_connections", NULL, COUNT, GAUGE_LEVEL,
			   "connections it reads from in which more waits" },
};

static const char *const text_names[GAUGE_TEXTS] = {
	"id",	       "runtime", "image",     "pod",	 "cgroup", "cpu_limit_of", "memory_limit_of", "pids_limit_of",
	"net_shared",  "state",	  "inner_pid", "cpuset", "qdisc",  "owner",	   "busiest",	      "busiest_pid",
	"interpreter",
};

static const char *const resource_names[GAUGE_RESOURCES] = {
	"host", "container", "unit", "cgroup", "process", "thread", "listener",
};

const char *gauge_text_name(enum gauge_text text)
{
	return text_names[text];
}

const char *gauge_resource_name(enum gauge_resource resource)
{
	return resource_names[resource];
}

/* ---- by identity ---- */

struct identity {
	guint64 key, birth_ns;
	enum gauge_resource resource;
};

static guint identity_hash(gconstpointer data)
{
	const struct identity *identity = data;
	guint64 mixed =
		(identity->key ^ identity->birth_ns * 31 ^ identity->resource) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

	return (guint)(mixed >> 32);
}

static gboolean identity_equal(gconstpointer left, gconstpointer right)
{
	const struct identity *a = left, *b = right;

	return a->key == b->key && a->birth_ns == b->birth_ns && a->resource == b->resource;
}

static void index_add(struct gauges *gauges, guint32 i)
{
	const struct gauge_row *row = gauges_row(gauges, i);
	struct identity identity = { row->key, row->birth_ns, row->resource };

	g_hash_table_insert(gauges->index, g_memdup2(&identity, sizeof(identity)), GUINT_TO_POINTER(i));
}

static void gauges_index(struct gauges *gauges)
{
	gauges->index = g_hash_table_new_full(identity_hash, identity_equal, g_free, NULL);
	for (guint32 i = 0; i < gauges->rows->len; i++)
		index_add(gauges, i);
}

struct gauges *gauges_new(void)
{
	struct gauges *gauges = g_new0(struct gauges, 1);

	gauges->rows = g_array_new(FALSE, TRUE, sizeof(struct gauge_row));
	gauges->strings = g_string_chunk_new(4096);
	return gauges;
}

void gauges_free(struct gauges *gauges)
{
	if (!gauges)
		return;
	g_array_unref(gauges->rows);
	g_clear_pointer(&gauges->index, g_hash_table_unref);
	g_string_chunk_free(gauges->strings);
	g_free(gauges);
}

void gauges_clear(struct gauges *gauges)
{
	g_array_set_size(gauges->rows, 0);
	g_clear_pointer(&gauges->index, g_hash_table_unref);
	g_string_chunk_clear(gauges->strings);
}

struct gauge_row *gauges_add(struct gauges *gauges, enum gauge_resource resource, guint64 key, guint64 birth_ns,
			     const char *name)
{
	struct gauge_row *row;

	if (gauges->rows->len >= GAUGES_ROWS_MAX)
		return NULL;
	g_array_set_size(gauges->rows, gauges->rows->len + 1);
	row = gauges_row(gauges, gauges->rows->len - 1);
	row->resource = resource;
	row->key = key;
	row->birth_ns = birth_ns;
	row->parent = GAUGE_NO_PARENT;
	row->name = g_string_chunk_insert(gauges->strings, name);
	if (gauges->index)
		index_add(gauges, gauges->rows->len - 1);
	return row;
}

void gauges_set_text(struct gauges *gauges, struct gauge_row *row, enum gauge_text text, const char *value)
{
	row->texts[text] = value ? g_string_chunk_insert(gauges->strings, value) : NULL;
}

struct gauge_row *gauges_find(struct gauges *gauges, enum gauge_resource resource, guint64 key, guint64 birth_ns)
{
	struct identity identity = { key, birth_ns, resource };
	gpointer index;

	if (!gauges->index)
		gauges_index(gauges);
	if (!g_hash_table_lookup_extended(gauges->index, &identity, NULL, &index))
		return NULL;
	return gauges_row(gauges, GPOINTER_TO_UINT(index));
}

/* ---- diff and merge ---- */

/* Values stay zero where they are not known, so that equal rows are equal bytes. */
static void row_subtract(struct gauge_row *row, const struct gauge_row *before)
{
	for (guint i = 0; i < GAUGES_COUNT; i++) {
		if (gauge_metrics[i].kind != GAUGE_COUNTER || !gauge_is_known(row, i))
			continue;
		if (gauge_is_known(before, i) && before->values[i] <= row->values[i])
			row->values[i] -= before->values[i];
		else
			gauge_forget(row, i);
	}
}

struct gauge_row *gauges_copy(struct gauges *gauges, const struct gauge_row *from)
{
	struct gauge_row *row = gauges_add(gauges, from->resource, from->key, from->birth_ns, from->name);

	if (!row)
		return NULL;
	row->parent = from->parent;
	row->dead = from->dead;
	for (guint i = 0; i < GAUGE_TEXTS; i++)
		gauges_set_text(gauges, row, i, from->texts[i]);
	memcpy(row->values, from->values, sizeof(row->values));
	memcpy(row->known, from->known, sizeof(row->known));
	return row;
}

struct gauges *gauges_diff(struct gauges *before, const struct gauges *after)
{
	struct gauges *changes = gauges_new();

	for (guint32 i = 0; i < after->rows->len; i++) {
		const struct gauge_row *now = gauges_row(after, i);
		const struct gauge_row *then = gauges_find(before, now->resource, now->key, now->birth_ns);
		struct gauge_row *row = gauges_copy(changes, now);

		if (then)
			row_subtract(row, then);
	}
	return changes;
}

void gauges_forget_newcomers(struct gauges *changes, struct gauges *before, enum gauge gauge)
{
	for (guint32 i = 0; i < changes->rows->len; i++) {
		struct gauge_row *row = gauges_row(changes, i);

		if (!gauges_find(before, row->resource, row->key, row->birth_ns))
			gauge_forget(row, gauge);
	}
}

static void row_add(struct gauges *into, struct gauge_row *row, const struct gauge_row *later)
{
	row->dead = later->dead;
	if (strcmp(row->name, later->name) != 0)
		row->name = g_string_chunk_insert(into->strings, later->name);
	for (guint i = 0; i < GAUGE_TEXTS; i++)
		if (later->texts[i] && g_strcmp0(row->texts[i], later->texts[i]) != 0)
			gauges_set_text(into, row, i, later->texts[i]);
	for (guint i = 0; i < GAUGES_COUNT; i++) {
		if (gauge_metrics[i].kind == GAUGE_LEVEL && gauge_is_known(later, i))
			gauge_set(row, i, later->values[i]);
		else if (gauge_metrics[i].kind == GAUGE_LEVEL || !gauge_is_known(row, i) || !gauge_is_known(later, i))
			gauge_forget(row, i);
		else
			row->values[i] += later->values[i];
	}
}

void gauges_merge(struct gauges *into, const struct gauges *from)
{
	/* Rows of `from` → of `into`: parents stand before their children. */
	g_autofree guint32 *place = g_new(guint32, from->rows->len + 1);

	for (guint32 i = 0; i < from->rows->len; i++) {
		const struct gauge_row *later = gauges_row(from, i);
		struct gauge_row *row = gauges_find(into, later->resource, later->key, later->birth_ns);

		if (row) {
			row_add(into, row, later);
		} else {
			row = gauges_copy(into, later);
			if (row && later->parent != GAUGE_NO_PARENT)
				row->parent = place[later->parent];
		}
		place[i] = row ? (guint32)(row - gauges_row(into, 0)) : GAUGE_NO_PARENT;
	}
}
