/* SPDX-License-Identifier: Apache-2.0 */
#include "diagnose/fact.h"

#include <math.h>
#include <string.h>

#include "base/units.h"

const struct fact_meta fact_metas[FACTS] = {
	[FACT_NONE] = { "none", "nothing", FACT_UNIT_COUNT, "" },
	[FACT_ACTIVE] = { "active", "threads active at a time", FACT_UNIT_CORES,
			  "running, waiting and blocked time of threads" },
	[FACT_CPU_USED] = { "cpu_used", "CPU used", FACT_UNIT_CORES, "cpu.stat usage_usec" },
	[FACT_CPU_LIMIT] = { "cpu_limit", "CPU quota", FACT_UNIT_CORES, "cpu.max" },
	[FACT_CPU_WANTED] = { "cpu_wanted", "CPU wanted in its busiest periods", FACT_UNIT_CORES,
			      "cpu.max, throttled time of threads" },
	[FACT_CPU_DEMAND] = { "cpu_demand", "threads running or ready", FACT_UNIT_CORES,
			      "running and waiting time of threads" },
	[FACT_DEMAND_PART] = { "demand_part", "threads running or ready, of as many as CPUs it may use",
			       FACT_UNIT_SHARE, "running and waiting time of threads, cpuset.cpus.effective" },
	[FACT_THROTTLED_PERIODS] = { "throttled_periods", "throttled periods", FACT_UNIT_SHARE,
				     "cpu.stat nr_throttled / nr_periods" },
	[FACT_THROTTLED_SHARE] = { "throttled_share", "throttled time, of throttled and used", FACT_UNIT_SHARE,
				   "cpu.stat throttled_usec, usage_usec" },
	[FACT_THROTTLE_STALL] = { "throttle_stall", "stop each time", FACT_UNIT_SECONDS,
				  "cpu.stat throttled_usec / nr_throttled" },
	[FACT_CONTENTION] = { "contention", "waiting for a CPU, of waiting and running", FACT_UNIT_SHARE,
			      "sched_switch, or schedstat and cpu.pressure" },
	[FACT_WAIT_OTHERS] = { "wait_others", "waiting while others ran, of waiting and running", FACT_UNIT_SHARE,
			       "sched_switch: who had the CPU" },
	[FACT_WAIT_OWN] = { "wait_own", "waiting while its own threads ran, of waiting and running", FACT_UNIT_SHARE,
			    "sched_switch: who had the CPU" },
	[FACT_OTHERS_PART] = { "others_part", "part of the wait in which others ran", FACT_UNIT_SHARE,
			       "sched_switch: who had the CPU" },
	[FACT_CULPRIT_CPU] = { "culprit_cpu", "CPU the other used", FACT_UNIT_CORES, "cpu.stat usage_usec" },
	[FACT_CPUS] = { "cpus", "CPUs it may use", FACT_UNIT_COUNT, "cpuset.cpus.effective" },
	[FACT_CPUS_IDLE] = { "cpus_idle", "idle time of those CPUs", FACT_UNIT_SHARE, "/proc/stat" },
	[FACT_CPUS_IDLE_OUTSIDE] = { "cpus_idle_outside", "idle time of the other CPUs", FACT_UNIT_SHARE,
				     "/proc/stat" },
	[FACT_STEAL] = { "steal", "time stolen by the hypervisor", FACT_UNIT_SHARE, "/proc/stat steal" },
	[FACT_THREAD_READY] = { "thread_ready", "its busiest thread, running or waiting for a CPU", FACT_UNIT_SHARE,
				"schedstat of threads" },
	[FACT_THREAD_PART] = { "thread_part", "CPU of its busiest thread, of all it used", FACT_UNIT_SHARE,
			       "schedstat of threads, cpu.stat" },
	[FACT_PROCESS_CPU] = { "process_cpu", "CPU of its busiest process", FACT_UNIT_CORES, "schedstat of threads" },
	[FACT_TURNS] = { "turns", "threads that run in turns under an interpreter's lock", FACT_UNIT_COUNT,
			 "schedstat of threads, /proc/PID/exe" },
	[FACT_INTERPRETER_WAIT] = { "interpreter_wait", "threads waiting for the interpreter's lock", FACT_UNIT_CORES,
				    "futex waits that time out after milliseconds" },
	[FACT_UNREAD] = { "unread", "connections with something it has not read yet, each time it was looked at",
			  FACT_UNIT_COUNT, "sock_diag" },
	[FACT_COLLECTOR_CPU] = { "collector_cpu", "CPU used to collect garbage", FACT_UNIT_CORES,
				 "schedstat of threads named like collectors" },
	[FACT_COLLECTOR_SHARE] = { "collector_share", "CPU used to collect garbage, of all it used", FACT_UNIT_SHARE,
				   "schedstat of threads named like collectors, cpu.stat" },
	[FACT_MEMORY_USED] = { "memory_used", "memory used", FACT_UNIT_BYTES, "memory.current" },
	[FACT_MEMORY_LIMIT] = { "memory_limit", "memory limit", FACT_UNIT_BYTES, "memory.max" },
	[FACT_MEMORY_FILL] = { "memory_fill", "memory used, of its limit, at the fullest look", FACT_UNIT_SHARE,
			       "memory.current / memory.max" },
	[FACT_MEMORY_HIGH] = { "memory_high", "memory.high", FACT_UNIT_BYTES, "memory.high" },
	[FACT_MEMORY_PRESSURE] = { "memory_pressure", "time somebody waited for memory", FACT_UNIT_SHARE,
				   "memory.pressure some" },
	[FACT_MEMORY_WAIT] = { "memory_wait", "thread time waiting for memory and disks", FACT_UNIT_SHARE,
			       "sched_switch, or pressure" },
	[FACT_MEMORY_CPU] = { "memory_cpu", "thread time running to make room and to read pages in", FACT_UNIT_SHARE,
			      "samples of kernel stacks, or memory.pressure" },
	[FACT_REFAULTS] = { "refaults", "pages read back soon after they were dropped", FACT_UNIT_PER_SECOND,
			    "memory.stat workingset_refault_file, _anon" },
	[FACT_RECLAIM_OWN] = { "reclaim_own", "time making room below its own limit", FACT_UNIT_SHARE,
			       "mm_vmscan_memcg_reclaim" },
	[FACT_RECLAIM_MACHINE] = { "reclaim_machine", "time making room on the machine", FACT_UNIT_SHARE,
				   "mm_vmscan_direct_reclaim" },
	[FACT_HIGH_EVENTS] = { "high_events", "times above memory.high", FACT_UNIT_PER_SECOND, "memory.events high" },
	[FACT_SWAPPED_IN] = { "swapped_in", "pages swapped in again", FACT_UNIT_PER_SECOND,
			      "memory.stat workingset_refault_anon" },
	[FACT_SWAPPED_PART] = { "swapped_part", "part of what is read back that comes from swap", FACT_UNIT_SHARE,
				"memory.stat workingset_refault_anon, _file" },
	[FACT_OOM_LIMIT] = { "oom_limit", "processes killed at its memory limit", FACT_UNIT_COUNT,
			     "memory.events oom_kill, mark_victim" },
	[FACT_OOM_HOST] = { "oom_host", "processes killed because the machine had no memory", FACT_UNIT_COUNT,
			    "mark_victim" },
	[FACT_MACHINE_MEMORY_FREE] = { "machine_memory_free", "memory available on the machine", FACT_UNIT_SHARE,
				       "/proc/meminfo MemAvailable" },
	[FACT_MEMORY_GROWTH] = { "memory_growth", "its own memory grows, a second", FACT_UNIT_BYTES,
				 "memory.stat anon, again and again" },
	[FACT_MEMORY_LASTS] = { "memory_lasts", "time until its limit, if that goes on", FACT_UNIT_SECONDS,
				"memory.stat anon, memory.max" },
	[FACT_IO_PRESSURE] = { "io_pressure", "time somebody waited for I/O", FACT_UNIT_SHARE, "io.pressure some" },
	[FACT_IO_LIMIT_USED] = { "io_limit_used", "I/O, of its limit", FACT_UNIT_SHARE, "io.stat, io.max" },
	[FACT_DISK_WAIT] = { "disk_wait", "thread time waiting for disks", FACT_UNIT_SHARE, "sched_switch" },
	[FACT_DISK_OTHERS_PART] = { "disk_others_part", "part of the queueing in which others' requests were served",
				    FACT_UNIT_SHARE, "block_rq_issue, block_rq_complete" },
	[FACT_DISK_LATENCY] = { "disk_latency", "median time of a request in the device", FACT_UNIT_SECONDS,
				"block_rq_complete" },
	[FACT_DISK_QUEUE] = { "disk_queue", "requests in the device at a time", FACT_UNIT_CORES, "block_rq_complete" },
	[FACT_SYNC_WAIT] = { "sync_wait", "thread time waiting for fsync or the journal", FACT_UNIT_SHARE,
			     "sched_switch: fsync, jbd2" },
	[FACT_SYNC_PART] = { "sync_part", "part of the wait for disks that is for fsync or the journal",
			     FACT_UNIT_SHARE, "sched_switch: fsync, jbd2" },
	[FACT_FILE_LOCK_WAIT] = { "file_lock_wait", "thread time waiting for locks of files", FACT_UNIT_SHARE,
				  "sched_switch: flock, fcntl" },
	[FACT_KERNEL_LOCK_WAIT] = { "kernel_lock_wait", "thread time waiting for locks of the kernel", FACT_UNIT_SHARE,
				    "sched_switch: mutex, rwsem" },
	[FACT_LOCK_WAIT] = { "lock_wait", "thread time waiting for contended locks", FACT_UNIT_SHARE,
			     "futex waits for value 2 or with priority" },
	[FACT_PIDS_HITS] = { "pids_hits", "forks refused at the limit of pids", FACT_UNIT_COUNT, "pids.events max" },
	[FACT_PIDS_LIMIT] = { "pids_limit", "limit of pids", FACT_UNIT_COUNT, "pids.max" },
	[FACT_FILES_FILL] = { "files_fill", "open files, of the limit", FACT_UNIT_SHARE,
			      "/proc/PID/fd, /proc/PID/limits" },
	[FACT_FILES_LIMIT] = { "files_limit", "limit of open files", FACT_UNIT_COUNT, "/proc/PID/limits" },
	[FACT_NETWORK_WAIT] = { "network_wait", "threads waiting for sockets", FACT_UNIT_CORES, "sched_switch" },
	[FACT_LISTEN_OVERFLOWS] = { "listen_overflows", "connections dropped at a full accept queue", FACT_UNIT_COUNT,
				    "netstat ListenOverflows" },
	[FACT_REFUSED] = { "refused", "connections refused", FACT_UNIT_COUNT, "inet_sock_set_state" },
	[FACT_CONNECT_TIMEOUTS] = { "connect_timeouts", "connections without an answer", FACT_UNIT_COUNT,
				    "inet_sock_set_state, tcp_retransmit_skb" },
	[FACT_SYN_RETRANSMITS] = { "syn_retransmits", "first segments of connections sent again", FACT_UNIT_COUNT,
				   "netstat TCPSynRetrans" },
	[FACT_PORTS_REFUSED] = { "ports_refused", "attempts to connect without a free port", FACT_UNIT_COUNT,
				 "inet_sock_set_state before anything was sent" },
	[FACT_TCP_LOSS] = { "tcp_loss", "segments lost, of those sent", FACT_UNIT_SHARE,
			    "snmp RetransSegs less netstat TCPDSACKRecv, OutSegs" },
	[FACT_TCP_TIMEOUTS] = { "tcp_timeouts", "TCP timeouts", FACT_UNIT_PER_SECOND, "netstat TCPTimeouts" },
	[FACT_ZERO_WINDOWS] = { "zero_windows", "times a sender was told to stop", FACT_UNIT_COUNT,
				"netstat TCPToZeroWindowAdv" },
	[FACT_ACCEPT_WAITING] = { "accept_waiting", "connections that wait to be accepted, each time it was looked at",
				  FACT_UNIT_COUNT, "sock_diag" },
	[FACT_REQUESTS] = { "requests", "requests answered by the server it waits for longest", FACT_UNIT_COUNT,
			    "tcp_sendmsg, tcp_recvmsg" },
	[FACT_REQUEST_TIME] = { "request_time", "mean time until the first byte of its answers", FACT_UNIT_SECONDS,
				"tcp_sendmsg, tcp_recvmsg" },
	[FACT_REQUEST_WAIT] = { "request_wait", "requests under way to it at a time", FACT_UNIT_CORES,
				"tcp_sendmsg, tcp_recvmsg" },
	[FACT_REQUEST_PATH_PART] = { "request_path_part", "part of that time that a round trip on the network takes",
				     FACT_UNIT_SHARE, "srtt_us of its sockets" },
	[FACT_UDP_OVERFLOWS] = { "udp_overflows", "datagrams dropped at a full receive buffer", FACT_UNIT_COUNT,
				 "snmp Udp RcvbufErrors" },
	[FACT_NET_DROPS] = { "net_drops", "packets dropped at its interfaces", FACT_UNIT_PER_SECOND,
			     "/proc/PID/net/dev" },
	[FACT_QDISC_DROPS] = { "qdisc_drops", "packets dropped by tc at its interfaces", FACT_UNIT_PER_SECOND,
			       "rtnetlink, as tc -s qdisc" },
	[FACT_QDISC_LOST] = { "qdisc_lost", "of the packets that came there", FACT_UNIT_SHARE,
			      "rtnetlink, as tc -s qdisc" },
	[FACT_CONNTRACK_FILL] = { "conntrack_fill", "table of tracked connections, of its limit", FACT_UNIT_SHARE,
				  "nf_conntrack_count / nf_conntrack_max" },
	[FACT_CONNTRACK_LOST] = { "conntrack_lost", "packets dropped for want of an entry there", FACT_UNIT_COUNT,
				  "/proc/PID/net/stat/nf_conntrack drop, insert_failed" },
	[FACT_DNS_QUESTIONS] = { "dns_questions", "DNS questions", FACT_UNIT_COUNT, "cgroup_skb, port 53" },
	[FACT_DNS_UNANSWERED] = { "dns_unanswered", "DNS questions without answer", FACT_UNIT_COUNT,
				  "cgroup_skb, port 53" },
	[FACT_DNS_FAILED] = { "dns_failed", "DNS answers SERVFAIL or REFUSED", FACT_UNIT_COUNT, "cgroup_skb, port 53" },
	[FACT_DNS_UNKNOWN_NAMES] = { "dns_unknown_names", "DNS answers that there is no such name", FACT_UNIT_SHARE,
				     "cgroup_skb, port 53" },
	[FACT_DNS_LATENCY] = { "dns_latency", "time of the slowest hundredth of DNS answers", FACT_UNIT_SECONDS,
			       "cgroup_skb, port 53" },
	[FACT_LOST_THROTTLED] = { "lost_throttled", "thread time throttled", FACT_UNIT_SHARE, "sched_switch" },
	[FACT_LOST_CONTENTION] = { "lost_contention", "thread time waiting for a CPU", FACT_UNIT_SHARE,
				   "sched_switch, or schedstat and cpu.pressure" },
	[FACT_LOST_OTHERS] = { "lost_others", "thread time waiting while others ran", FACT_UNIT_SHARE, "sched_switch" },
	[FACT_LOST_OWN] = { "lost_own", "thread time waiting while its own threads ran", FACT_UNIT_SHARE,
			    "sched_switch" },
	[FACT_LOST_MEMORY] = { "lost_memory", "thread time that goes into what has to be read again", FACT_UNIT_SHARE,
			       "sched_switch and samples, or pressure" },
	[FACT_LOST_DISK] = { "lost_disk", "thread time waiting for disks", FACT_UNIT_SHARE,
			     "sched_switch, or pressure" },
	[FACT_LOST_DISK_OTHERS] = { "lost_disk_others", "thread time waiting behind others' requests", FACT_UNIT_SHARE,
				    "sched_switch, block_rq_issue" },
	[FACT_LOST_LOCK] = { "lost_lock", "thread time waiting for contended locks", FACT_UNIT_SHARE, "futex" },
	[FACT_LOST_STEAL] = { "lost_steal", "CPU time stolen", FACT_UNIT_SHARE, "/proc/stat steal" },
	[FACT_LOST_COLLECTOR] = { "lost_collector", "thread time collecting garbage", FACT_UNIT_SHARE,
				  "schedstat of threads named like collectors, sched_switch" },
	[FACT_LOST_INTERPRETER] = { "lost_interpreter", "thread time waiting for the interpreter's lock",
				    FACT_UNIT_SHARE, "futex, or schedstat of threads" },
	[FACT_ON_CPU] = { "on_cpu", "thread time running", FACT_UNIT_SHARE, "sched_switch" },
};

const char *const fact_text_names[FACT_TEXTS] = {
	[TEXT_CPU_CULPRIT] = "cpu_culprit",
	[TEXT_MEMORY_CULPRIT] = "memory_culprit",
	[TEXT_DISK_CULPRIT] = "disk_culprit",
	[TEXT_CPU_LIMIT_OF] = "cpu_limit_of",
	[TEXT_MEMORY_LIMIT_OF] = "memory_limit_of",
	[TEXT_PIDS_LIMIT_OF] = "pids_limit_of",
	[TEXT_OOM_VICTIM] = "oom_victim",
	[TEXT_PEER] = "peer",
	[TEXT_DEVICE] = "device",
	[TEXT_KERNEL_LOCK_IN] = "kernel_lock_in",
	[TEXT_RESOLVER] = "resolver",
	[TEXT_SERVER] = "server",
	[TEXT_WAITS_FOR] = "waits_for",
	[TEXT_ENGINE] = "engine",
	[TEXT_RUNTIME] = "runtime",
	[TEXT_POD] = "pod",
	[TEXT_QDISC] = "qdisc",
	[TEXT_BUSIEST] = "busiest",
	[TEXT_BUSIEST_PID] = "busiest_pid",
	[TEXT_INTERPRETER] = "interpreter",
};

enum fact fact_find(const char *name, gsize length)
{
	for (guint i = 0; i < FACTS; i++)
		if (strlen(fact_metas[i].name) == length && memcmp(fact_metas[i].name, name, length) == 0)
			return (enum fact)i;
	return FACTS;
}

/* Three digits at most, no zeros behind the point. */
static char *plain(double value)
{
	char *text = g_strdup_printf("%.*f", value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2, value);

	if (strchr(text, '.')) {
		gsize length = strlen(text);

		while (text[length - 1] == '0')
			text[--length] = '\0';
		if (text[length - 1] == '.')
			text[length - 1] = '\0';
	}
	return text;
}

char *fact_format(enum fact_unit unit, double value)
{
	g_autofree char *number = plain(unit == FACT_UNIT_SHARE ? round(1000 * value) / 10 : value);

	switch (unit) {
	case FACT_UNIT_SHARE:
		return g_strdup_printf("%s %%", number);
	case FACT_UNIT_SECONDS:
		return units_duration((guint64)llround(value * 1e9));
	case FACT_UNIT_BYTES:
		return units_bytes((guint64)llround(value));
	case FACT_UNIT_PER_SECOND:
		return g_strdup_printf("%s/s", number);
	case FACT_UNIT_CORES:
	case FACT_UNIT_COUNT:
	default:
		return g_steal_pointer(&number);
	}
}
