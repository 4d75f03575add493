/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/look.h"

#include <math.h>

#include "base/clock.h"
#include "base/units.h"

#define NUMBER LOOK_UNIT_NUMBER
#define SHARE LOOK_UNIT_SHARE
#define RATE LOOK_UNIT_PER_SECOND
#define BYTES LOOK_UNIT_BYTES

const struct look_meta look_metas[LOOK_VALUES] = {
	[LOOK_LOAD_1] = { "load_1", "load 1 min", NUMBER, 0, FALSE, NULL }, /* judged by the number of CPUs */
	[LOOK_LOAD_5] = { "load_5", "5 min", NUMBER, 0, FALSE, NULL },
	[LOOK_LOAD_15] = { "load_15", "15 min", NUMBER, 0, FALSE, NULL },
	[LOOK_UPTIME] = { "uptime", "up", LOOK_UNIT_SECONDS, 0, FALSE, NULL },
	[LOOK_RUNNING] = { "running", "r", NUMBER, 0, FALSE, NULL }, /* likewise */
	[LOOK_BLOCKED] = { "blocked", "b", NUMBER, 4, FALSE,
			   "threads wait for disks: see the disks and fathom offcpu" },
	[LOOK_SWAPPED_IN] = { "swapped_in", "si", RATE, 1, FALSE, "memory comes back from swap: too little of it" },
	[LOOK_SWAPPED_OUT] = { "swapped_out", "so", RATE, 1, FALSE, "memory goes to swap: too little of it" },
	[LOOK_PAGED_IN] = { "read_bytes", "bi", LOOK_UNIT_BYTES_PER_SECOND, 0, FALSE, NULL },
	[LOOK_PAGED_OUT] = { "written_bytes", "bo", LOOK_UNIT_BYTES_PER_SECOND, 0, FALSE, NULL },
	[LOOK_INTERRUPTS] = { "interrupts", "in", RATE, 0, FALSE, NULL },
	[LOOK_SWITCHES] = { "switches", "cs", RATE, 0, FALSE, NULL },
	[LOOK_FORKS] = { "forks", "forks", RATE, 1000, FALSE, "many short-lived processes: fathom trace exec" },
	[LOOK_CPU_USER] = { "cpu_user", "usr", SHARE, 0, FALSE, NULL },
	[LOOK_CPU_NICE] = { "cpu_nice", "nice", SHARE, 0, FALSE, NULL },
	[LOOK_CPU_SYSTEM] = { "cpu_system", "sys", SHARE, 0.5, FALSE,
			      "half of all CPU time is the kernel's: fathom profile --kernel" },
	[LOOK_CPU_IOWAIT] = { "cpu_iowait", "iowait", SHARE, 0.2, FALSE, "CPUs idle because threads wait for disks" },
	[LOOK_CPU_IRQ] = { "cpu_irq", "irq", SHARE, 0.1, FALSE, "interrupts take much CPU: fathom latency irq" },
	[LOOK_CPU_SOFTIRQ] = { "cpu_softirq", "soft", SHARE, 0.2, FALSE,
			       "soft interrupts take much CPU: fathom latency softirq" },
	[LOOK_CPU_STEAL] = { "cpu_steal", "steal", SHARE, 0.1, FALSE,
			     "the hypervisor gives CPU time to other machines" },
	[LOOK_CPU_IDLE] = { "cpu_idle", "idle", SHARE, 0.05, TRUE, "all CPUs are busy: fathom top, fathom diagnose" },
	[LOOK_MEMORY_TOTAL] = { "memory_total", "total", BYTES, 0, FALSE, NULL },
	[LOOK_MEMORY_USED] = { "memory_used", "used", BYTES, 0, FALSE, NULL },
	[LOOK_MEMORY_FREE] = { "memory_free", "free", BYTES, 0, FALSE, NULL },
	[LOOK_MEMORY_SHARED] = { "memory_shared", "shared", BYTES, 0, FALSE, NULL },
	[LOOK_MEMORY_CACHE] = { "memory_cache", "buff/cache", BYTES, 0, FALSE, NULL },
	[LOOK_MEMORY_AVAILABLE] = { "memory_available", "available", BYTES, 0, FALSE, NULL },
	[LOOK_MEMORY_AVAILABLE_SHARE] = { "memory_available_share", "of total", SHARE, 0.1, TRUE,
					  "less than a tenth of memory is left: fathom top --sort mem" },
	[LOOK_SWAP_USED] = { "swap_used", "swap used", BYTES, 0, FALSE, NULL },
	[LOOK_STALLS] = { "reclaim_stalls", "stalls", RATE, 1, FALSE,
			  "threads have to make room in memory themselves: fathom blame memory" },
	[LOOK_OOM_KILLS] = { "oom_kills", "OOM kills", NUMBER, 1, FALSE, "processes were killed for lack of memory" },
	[LOOK_PRESSURE_CPU] = { "pressure_cpu", "cpu", SHARE, 0.5, FALSE,
				"somebody waits for a CPU half of the time: fathom blame cpu" },
	[LOOK_PRESSURE_MEMORY] = { "pressure_memory", "memory", SHARE, 0.05, FALSE,
				   "somebody waits for memory: fathom blame memory" },
	[LOOK_PRESSURE_IO] = { "pressure_io", "io", SHARE, 0.2, FALSE, "somebody waits for disks: fathom blame block" },
	[LOOK_TCP_ACTIVE] = { "tcp_active_opens", "active", RATE, 0, FALSE, NULL },
	[LOOK_TCP_PASSIVE] = { "tcp_passive_opens", "passive", RATE, 0, FALSE, NULL },
	[LOOK_TCP_RECEIVED] = { "tcp_segments_received", "iseg", RATE, 0, FALSE, NULL },
	[LOOK_TCP_SENT] = { "tcp_segments_sent", "oseg", RATE, 0, FALSE, NULL },
	[LOOK_TCP_FAILED] = { "tcp_failed_attempts", "atmptf", RATE, 5, FALSE,
			      "attempts to connect fail: fathom connections" },
	[LOOK_TCP_RESET] = { "tcp_resets", "estres", RATE, 5, FALSE, "connections are cut off: fathom connections" },
	[LOOK_TCP_RETRANSMITS] = { "tcp_retransmits", "retrans", RATE, 10, FALSE,
				   "segments are sent again (in part only because answers are late): fathom connections" },
	[LOOK_TCP_LISTEN_OVERFLOWS] = { "tcp_listen_overflows", "listen overflows", RATE, 0.1, FALSE,
					"a server does not accept fast enough" },
	[LOOK_UDP_OVERFLOWS] = { "udp_overflows", "udp overflows", RATE, 1, FALSE,
				 "datagrams are dropped at full buffers" },
	[LOOK_SOFTNET_DROPS] = { "softnet_drops", "softnet drops", RATE, 0.1, FALSE,
				 "the kernel drops packets before anybody sees them" },
	[LOOK_CONNTRACK_SHARE] = { "conntrack", "conntrack table", SHARE, 0.9, FALSE,
				   "the table of connections is nearly full: new ones will be dropped" },
	[LOOK_FILES_SHARE] = { "files", "file table", SHARE, 0.9, FALSE, "the machine's limit of open files is near" },
	[LOOK_THREADS_SHARE] = { "threads", "threads of limit", SHARE, 0.9, FALSE,
				 "the machine's limit of threads is near" },
};

const struct look_meta look_row_metas[LOOK_ROW_VALUES] = {
	[LOOK_ONE_CPU_BUSY] = { "busy", "busy", SHARE, 0.95, FALSE,
				"one CPU is full: a single thread, interrupts, or pinned work" },
	[LOOK_DISK_BUSY] = { "busy", "util", SHARE, 0.8, FALSE, "the device is busy nearly all the time" },
	[LOOK_DISK_WAIT] = { "wait", "await", LOOK_UNIT_SECONDS, 0.02, FALSE, "its requests take long" },
	[LOOK_NET_ERRORS] = { "errors", "errors", RATE, 0.1, FALSE, "the interface counts errors: cable, driver, MTU" },
	[LOOK_NET_DROPS] = { "drops", "drops", RATE, 1, FALSE, "the interface drops packets: its queue is full" },
};

/* ---- reckoning ---- */

static double level(guint64 value)
{
	return value == CENSUS_UNKNOWN ? NAN : (double)value;
}

static double rate(const struct look *look, guint64 before, guint64 now)
{
	if (before == CENSUS_UNKNOWN || now == CENSUS_UNKNOWN || now < before || look->seconds <= 0)
		return NAN;
	return (double)(now - before) / look->seconds;
}

static double part(guint64 value, guint64 of)
{
	return value == CENSUS_UNKNOWN || of == CENSUS_UNKNOWN || of == 0 ? NAN : (double)value / (double)of;
}

static const struct cpu_time *cpu_numbered(const struct census *census, guint32 number)
{
	for (guint i = 0; census->cpus && i < census->cpus->each->len; i++)
		if (g_array_index(census->cpus->each, struct cpu_time, i).number == number)
			return &g_array_index(census->cpus->each, struct cpu_time, i);
	return NULL;
}

/* An idle CPU's iowait may go back (proc_stat(5)). */
static double grown(guint64 before, guint64 now)
{
	return now > before ? (double)(now - before) : 0;
}

static void cpu_add(struct look_cpu *cpu, const struct cpu_time *before, const struct cpu_time *now)
{
	cpu->user += grown(before->user_ns, now->user_ns);
	cpu->nice += grown(before->nice_ns, now->nice_ns);
	cpu->system += grown(before->system_ns, now->system_ns);
	cpu->iowait += grown(before->iowait_ns, now->iowait_ns);
	cpu->irq += grown(before->irq_ns, now->irq_ns);
	cpu->softirq += grown(before->softirq_ns, now->softirq_ns);
	cpu->steal += grown(before->steal_ns, now->steal_ns);
	cpu->idle += grown(before->idle_ns, now->idle_ns);
}

static void cpu_share(struct look_cpu *cpu)
{
	double *const times[] = { &cpu->user, &cpu->nice,    &cpu->system, &cpu->iowait,
				  &cpu->irq,  &cpu->softirq, &cpu->steal,  &cpu->idle };
	double all = 0;

	for (guint i = 0; i < G_N_ELEMENTS(times); i++)
		all += *times[i];
	for (guint i = 0; i < G_N_ELEMENTS(times); i++)
		*times[i] = all > 0 ? *times[i] / all : NAN;
}

void look_cpu(const struct look *look, guint i, struct look_cpu *cpu)
{
	const struct cpu_time *now = &g_array_index(look->now->cpus->each, struct cpu_time, i);
	const struct cpu_time *before = cpu_numbered(look->before, now->number);

	*cpu = (struct look_cpu){ 0 };
	if (before)
		cpu_add(cpu, before, now);
	cpu_share(cpu);
}

static void look_cpus(struct look *look)
{
	struct look_cpu all = { 0 };

	for (guint i = 0; look->now->cpus && i < look->now->cpus->each->len; i++) {
		const struct cpu_time *now = &g_array_index(look->now->cpus->each, struct cpu_time, i);
		const struct cpu_time *before = cpu_numbered(look->before, now->number);

		if (before)
			cpu_add(&all, before, now);
	}
	cpu_share(&all);
	look->values[LOOK_CPU_USER] = all.user;
	look->values[LOOK_CPU_NICE] = all.nice;
	look->values[LOOK_CPU_SYSTEM] = all.system;
	look->values[LOOK_CPU_IOWAIT] = all.iowait;
	look->values[LOOK_CPU_IRQ] = all.irq;
	look->values[LOOK_CPU_SOFTIRQ] = all.softirq;
	look->values[LOOK_CPU_STEAL] = all.steal;
	look->values[LOOK_CPU_IDLE] = all.idle;
	if (!look->now->cpus || !look->before->cpus)
		return;
	look->values[LOOK_RUNNING] = (double)look->now->cpus->running;
	look->values[LOOK_BLOCKED] = (double)look->now->cpus->blocked;
	look->values[LOOK_INTERRUPTS] = rate(look, look->before->cpus->interrupts, look->now->cpus->interrupts);
	look->values[LOOK_SWITCHES] = rate(look, look->before->cpus->switches, look->now->cpus->switches);
	look->values[LOOK_FORKS] = rate(look, look->before->cpus->forks, look->now->cpus->forks);
}

static void look_memory(struct look *look)
{
	const struct census *before = look->before, *now = look->now;
	double *values = look->values;

	values[LOOK_MEMORY_TOTAL] = level(now->memory_total);
	values[LOOK_MEMORY_FREE] = level(now->memory_free);
	values[LOOK_MEMORY_SHARED] = level(now->shared);
	values[LOOK_MEMORY_CACHE] = level(now->buffers) + level(now->cached) + level(now->reclaimable);
	values[LOOK_MEMORY_AVAILABLE] = level(now->memory_available);
	values[LOOK_MEMORY_USED] = values[LOOK_MEMORY_TOTAL] - values[LOOK_MEMORY_AVAILABLE];
	values[LOOK_MEMORY_AVAILABLE_SHARE] = part(now->memory_available, now->memory_total);
	values[LOOK_SWAP_USED] = level(now->swap_total) - level(now->swap_free);
	values[LOOK_SWAPPED_IN] = rate(look, before->swapped_in, now->swapped_in);
	values[LOOK_SWAPPED_OUT] = rate(look, before->swapped_out, now->swapped_out);
	values[LOOK_PAGED_IN] = rate(look, before->paged_in, now->paged_in) * 1024;
	values[LOOK_PAGED_OUT] = rate(look, before->paged_out, now->paged_out) * 1024;
	values[LOOK_STALLS] = rate(look, before->stalled, now->stalled);
	values[LOOK_OOM_KILLS] = rate(look, before->oom_kills, now->oom_kills) * look->seconds;
	values[LOOK_PRESSURE_CPU] = rate(look, before->pressure_cpu_ns, now->pressure_cpu_ns) / 1e9;
	values[LOOK_PRESSURE_MEMORY] = rate(look, before->pressure_memory_ns, now->pressure_memory_ns) / 1e9;
	values[LOOK_PRESSURE_IO] = rate(look, before->pressure_io_ns, now->pressure_io_ns) / 1e9;
}

static void look_network(struct look *look)
{
	const struct census *before = look->before, *now = look->now;
	double *values = look->values;

#define NETSTAT_RATE(member) rate(look, before->netstat.member, now->netstat.member)
	values[LOOK_TCP_ACTIVE] = NETSTAT_RATE(tcp_active_opens);
	values[LOOK_TCP_PASSIVE] = NETSTAT_RATE(tcp_passive_opens);
	values[LOOK_TCP_RECEIVED] = NETSTAT_RATE(tcp_segments_received);
	values[LOOK_TCP_SENT] = NETSTAT_RATE(tcp_segments_sent);
	values[LOOK_TCP_FAILED] = NETSTAT_RATE(tcp_failed_attempts);
	values[LOOK_TCP_RESET] = NETSTAT_RATE(tcp_resets_received);
	values[LOOK_TCP_RETRANSMITS] = NETSTAT_RATE(tcp_retransmits);
	values[LOOK_TCP_LISTEN_OVERFLOWS] = NETSTAT_RATE(tcp_listen_overflows);
	values[LOOK_UDP_OVERFLOWS] = NETSTAT_RATE(udp_overflows);
#undef NETSTAT_RATE
	values[LOOK_SOFTNET_DROPS] = rate(look, before->softnet_drops, now->softnet_drops);
	values[LOOK_CONNTRACK_SHARE] = part(now->conntrack, now->conntrack_max);
	values[LOOK_FILES_SHARE] = part(now->files, now->files_max);
	values[LOOK_THREADS_SHARE] = part(now->threads, now->threads_max);
}

void look_disk(const struct look *look, guint i, struct look_disk *disk)
{
	const struct census_disk *now = &g_array_index(look->now->disks, struct census_disk, i);
	const struct census_disk *before = census_disk(look->before, now->name);
	double requests;

	*disk = (struct look_disk){ .name = now->name };
	if (!before)
		before = now;
	disk->reads = rate(look, before->reads, now->reads);
	disk->writes = rate(look, before->writes, now->writes);
	disk->read_bytes = rate(look, before->read_bytes, now->read_bytes);
	disk->write_bytes = rate(look, before->write_bytes, now->write_bytes);
	disk->queue = rate(look, before->queued_ns, now->queued_ns) / 1e9;
	disk->busy = MIN(rate(look, before->busy_ns, now->busy_ns) / 1e9, 1);
	requests = disk->reads + disk->writes;
	disk->wait_s =
		requests > 0
			? (rate(look, before->read_ns, now->read_ns) + rate(look, before->write_ns, now->write_ns)) /
				  1e9 / requests
			: 0;
}

void look_net(const struct look *look, guint i, struct look_net *net)
{
	const struct census_net *now = &g_array_index(look->now->nets, struct census_net, i);
	const struct census_net *before = census_net(look->before, now->name);

	*net = (struct look_net){ .name = now->name };
	if (!before)
		before = now;
	net->received = rate(look, before->received_packets, now->received_packets);
	net->sent = rate(look, before->sent_packets, now->sent_packets);
	net->received_bytes = rate(look, before->received_bytes, now->received_bytes);
	net->sent_bytes = rate(look, before->sent_bytes, now->sent_bytes);
	net->errors =
		rate(look, before->received_errors + before->sent_errors, now->received_errors + now->sent_errors);
	net->drops = rate(look, before->received_drops + before->sent_drops, now->received_drops + now->sent_drops);
}

struct look *look_new(void)
{
	struct look *look = g_new0(struct look, 1);

	for (guint i = 0; i < LOOK_VALUES; i++)
		look->values[i] = NAN;
	look->now = census_read("/");
	look->read_s = (double)clock_monotonic_ns() / 1e9;
	return look;
}

static void look_reckon(struct look *look)
{
	static const enum look_value loads[] = { LOOK_LOAD_1, LOOK_LOAD_5, LOOK_LOAD_15 };

	for (guint i = 0; i < G_N_ELEMENTS(loads); i++)
		look->values[loads[i]] = level(look->now->load_milli[i]) / 1000;
	look->values[LOOK_UPTIME] = level(look->now->uptime_ns) / 1e9;
	look_cpus(look);
	look_memory(look);
	look_network(look);
}

void look_again(struct look *look)
{
	double now_s;

	census_free(look->before);
	look->before = look->now;
	look->now = census_read("/");
	now_s = (double)clock_monotonic_ns() / 1e9;
	look->seconds = now_s - look->read_s;
	look->read_s = now_s;
	look_reckon(look);
}

struct look *look_between(struct census *before, struct census *now, double seconds)
{
	struct look *look = g_new0(struct look, 1);

	look->before = before;
	look->now = now;
	look->seconds = now->uptime_ns != CENSUS_UNKNOWN && before->uptime_ns != CENSUS_UNKNOWN &&
					now->uptime_ns > before->uptime_ns
				? (double)(now->uptime_ns - before->uptime_ns) / (double)NS_PER_S
				: seconds;
	for (guint i = 0; i < LOOK_VALUES; i++)
		look->values[i] = NAN;
	look_reckon(look);
	return look;
}

void look_free(struct look *look)
{
	if (!look)
		return;
	census_free(look->before);
	census_free(look->now);
	g_free(look);
}

/* ---- words ---- */

gboolean look_is_abnormal(const struct look_meta *meta, double value)
{
	if (isnan(value) || meta->limit == 0)
		return FALSE;
	return meta->is_low ? value < meta->limit : value >= meta->limit;
}

char *look_format(enum look_unit unit, double value)
{
	g_autofree char *text = NULL;

	if (isnan(value))
		return g_strdup("-");
	switch (unit) {
	case LOOK_UNIT_SHARE:
		return g_strdup_printf("%.1f %%", 100 * value);
	case LOOK_UNIT_PER_SECOND:
		return g_strdup_printf(value >= 10 || value == 0 ? "%.0f/s" : "%.1f/s", value);
	case LOOK_UNIT_BYTES:
		return units_bytes((guint64)llround(MAX(value, 0)));
	case LOOK_UNIT_BYTES_PER_SECOND:
		text = units_bytes((guint64)llround(MAX(value, 0)));
		return g_strconcat(text, "/s", NULL);
	case LOOK_UNIT_SECONDS:
		return units_duration((guint64)llround(value * 1e9));
	case LOOK_UNIT_NUMBER:
	default:
		return g_strdup_printf(value == floor(value) ? "%.0f" : "%.2f", value);
	}
}

/* ---- JSON ---- */

static void write_value(struct json_writer *json, const struct look_meta *meta, double value, const char *key)
{
	json_begin_object(json, key);
	json_double(json, "value", value); /* NAN: null */
	json_bool(json, "abnormal", look_is_abnormal(meta, value));
	json_end_object(json);
}

static void write_rows(const struct look *look, struct json_writer *json)
{
	json_begin_array(json, "cpus");
	for (guint i = 0; look->now->cpus && i < look->now->cpus->each->len; i++) {
		struct look_cpu cpu;

		look_cpu(look, i, &cpu);
		json_begin_object(json, NULL);
		json_uint(json, "cpu", g_array_index(look->now->cpus->each, struct cpu_time, i).number);
		json_double(json, "user", cpu.user);
		json_double(json, "nice", cpu.nice);
		json_double(json, "system", cpu.system);
		json_double(json, "iowait", cpu.iowait);
		json_double(json, "irq", cpu.irq);
		json_double(json, "softirq", cpu.softirq);
		json_double(json, "steal", cpu.steal);
		json_double(json, "idle", cpu.idle);
		write_value(json, &look_row_metas[LOOK_ONE_CPU_BUSY], 1 - cpu.idle - cpu.iowait, "busy");
		json_end_object(json);
	}
	json_end_array(json);
	json_begin_array(json, "disks");
	for (guint i = 0; i < look->now->disks->len; i++) {
		struct look_disk disk;

		look_disk(look, i, &disk);
		json_begin_object(json, NULL);
		json_string(json, "name", disk.name);
		json_double(json, "reads_per_s", disk.reads);
		json_double(json, "writes_per_s", disk.writes);
		json_double(json, "read_bytes_per_s", disk.read_bytes);
		json_double(json, "write_bytes_per_s", disk.write_bytes);
		json_double(json, "queue", disk.queue);
		write_value(json, &look_row_metas[LOOK_DISK_WAIT], disk.wait_s, "wait_s");
		write_value(json, &look_row_metas[LOOK_DISK_BUSY], disk.busy, "busy");
		json_end_object(json);
	}
	json_end_array(json);
	json_begin_array(json, "interfaces");
	for (guint i = 0; i < look->now->nets->len; i++) {
		struct look_net net;

		look_net(look, i, &net);
		json_begin_object(json, NULL);
		json_string(json, "name", net.name);
		json_double(json, "received_packets_per_s", net.received);
		json_double(json, "sent_packets_per_s", net.sent);
		json_double(json, "received_bytes_per_s", net.received_bytes);
		json_double(json, "sent_bytes_per_s", net.sent_bytes);
		write_value(json, &look_row_metas[LOOK_NET_ERRORS], net.errors, "errors_per_s");
		write_value(json, &look_row_metas[LOOK_NET_DROPS], net.drops, "drops_per_s");
		json_end_object(json);
	}
	json_end_array(json);
}

void look_write(const struct look *look, struct json_writer *json)
{
	json_double(json, "interval_s", look->seconds);
	json_begin_object(json, "values");
	for (guint i = 0; i < LOOK_VALUES; i++)
		write_value(json, &look_metas[i], look->values[i], look_metas[i].name);
	json_end_object(json);
	write_rows(look, json);
}
