/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/look_kept.h"

#include <string.h>

#include "base/units.h"

#define KIND_MACHINE "host machine"
#define KIND_NETWORK "host network"
#define KIND_CPU "host cpu"
#define KIND_DISK "host disk"
#define KIND_INTERFACE "host interface"
#define KIND_PROCESS "host process"
#define KEPT_CPUS_MAX 4096

struct member {
	const char *name;
	gsize offset;
};
/* clang-format off */
#define MEMBER(of, member) { #member, G_STRUCT_OFFSET(struct of, member) }
#define NETSTAT(member) { #member, G_STRUCT_OFFSET(struct census, netstat.member) }
/* clang-format on */

/* What a look tells, no more: at most EVENT_FIELDS_MAX each. */
static const struct member machine_members[] = {
	{ "load_1_milli", G_STRUCT_OFFSET(struct census, load_milli[0]) },
	{ "load_5_milli", G_STRUCT_OFFSET(struct census, load_milli[1]) },
	{ "load_15_milli", G_STRUCT_OFFSET(struct census, load_milli[2]) },
	MEMBER(census, uptime_ns),
	MEMBER(census, memory_total),
	MEMBER(census, memory_free),
	MEMBER(census, memory_available),
	MEMBER(census, buffers),
	MEMBER(census, cached),
	MEMBER(census, reclaimable),
	MEMBER(census, shared),
	MEMBER(census, swap_total),
	MEMBER(census, swap_free),
	MEMBER(census, paged_in),
	MEMBER(census, paged_out),
	MEMBER(census, swapped_in),
	MEMBER(census, swapped_out),
	MEMBER(census, stalled),
	MEMBER(census, oom_kills),
	MEMBER(census, files),
	MEMBER(census, files_max),
	MEMBER(census, threads),
	MEMBER(census, threads_max),
	MEMBER(census, pressure_cpu_ns),
	MEMBER(census, pressure_memory_ns),
	MEMBER(census, pressure_io_ns),
};
static const struct member network_members[] = {
	MEMBER(census, softnet_drops),	MEMBER(census, softnet_squeezes), MEMBER(census, conntrack),
	MEMBER(census, conntrack_max),	NETSTAT(tcp_active_opens),	  NETSTAT(tcp_passive_opens),
	NETSTAT(tcp_segments_received), NETSTAT(tcp_segments_sent),	  NETSTAT(tcp_failed_attempts),
	NETSTAT(tcp_resets_received),	NETSTAT(tcp_retransmits),	  NETSTAT(tcp_listen_overflows),
	NETSTAT(udp_overflows),
};
static const struct member cpu_members[] = {
	MEMBER(cpu_time, user_ns),    MEMBER(cpu_time, nice_ns),   MEMBER(cpu_time, system_ns),
	MEMBER(cpu_time, idle_ns),    MEMBER(cpu_time, iowait_ns), MEMBER(cpu_time, irq_ns),
	MEMBER(cpu_time, softirq_ns), MEMBER(cpu_time, steal_ns),
};
static const struct member cpus_members[] = {
	MEMBER(cpus, running),	  MEMBER(cpus, blocked), MEMBER(cpus, switches),
	MEMBER(cpus, interrupts), MEMBER(cpus, forks),
};
static const struct member disk_members[] = {
	MEMBER(census_disk, reads),	MEMBER(census_disk, read_bytes),  MEMBER(census_disk, read_ns),
	MEMBER(census_disk, writes),	MEMBER(census_disk, write_bytes), MEMBER(census_disk, write_ns),
	MEMBER(census_disk, in_flight), MEMBER(census_disk, busy_ns),	  MEMBER(census_disk, queued_ns),
};
static const struct member net_members[] = {
	MEMBER(census_net, received_bytes), MEMBER(census_net, received_packets), MEMBER(census_net, received_errors),
	MEMBER(census_net, received_drops), MEMBER(census_net, sent_bytes),	  MEMBER(census_net, sent_packets),
	MEMBER(census_net, sent_errors),    MEMBER(census_net, sent_drops),
};
static const struct {
	const char *name;
	enum gauge gauge;
} process_gauges[] = {
	{ "cpu", GAUGE_CPU },	    { "cpu_user", GAUGE_CPU_USER },	{ "cpu_system", GAUGE_CPU_SYSTEM },
	{ "memory", GAUGE_MEMORY }, { "io_read", GAUGE_IO_READ_BYTES }, { "io_write", GAUGE_IO_WRITE_BYTES },
};

G_STATIC_ASSERT(G_N_ELEMENTS(machine_members) <= EVENT_FIELDS_MAX);

/* ---- from readings ---- */

/* What is not known is left out. */
static void keep(struct events *events, guint64 realtime_ns, const char *kind, const char *name, const void *from,
		 const struct member *members, guint length)
{
	struct event_field fields[EVENT_FIELDS_MAX];
	struct event event = { .realtime_ns = realtime_ns, .kind = kind, .process = name, .fields = fields };

	for (guint i = 0; i < length; i++) {
		guint64 value;

		memcpy(&value, (const guint8 *)from + members[i].offset, sizeof(value));
		if (value != CENSUS_UNKNOWN)
			fields[event.field_count++] =
				(struct event_field){ .name = members[i].name, .unit = EVENT_COUNT, .number = value };
	}
	events_append(events, &event);
}

static void keep_cpus(struct events *events, guint64 realtime_ns, const struct cpus *cpus)
{
	keep(events, realtime_ns, KIND_CPU, NULL, cpus, cpus_members, G_N_ELEMENTS(cpus_members));
	for (guint i = 0; i < cpus->each->len; i++) {
		const struct cpu_time *time = &g_array_index(cpus->each, struct cpu_time, i);
		g_autofree char *number = g_strdup_printf("%u", time->number);

		keep(events, realtime_ns, KIND_CPU, number, time, cpu_members, G_N_ELEMENTS(cpu_members));
	}
}

void look_keep(struct events *events, guint64 realtime_ns, const struct census *census)
{
	keep(events, realtime_ns, KIND_MACHINE, NULL, census, machine_members, G_N_ELEMENTS(machine_members));
	keep(events, realtime_ns, KIND_NETWORK, NULL, census, network_members, G_N_ELEMENTS(network_members));
	if (census->cpus)
		keep_cpus(events, realtime_ns, census->cpus);
	for (guint i = 0; i < census->disks->len; i++) {
		const struct census_disk *disk = &g_array_index(census->disks, struct census_disk, i);

		keep(events, realtime_ns, KIND_DISK, disk->name, disk, disk_members, G_N_ELEMENTS(disk_members));
	}
	for (guint i = 0; i < census->nets->len; i++) {
		const struct census_net *net = &g_array_index(census->nets, struct census_net, i);

		keep(events, realtime_ns, KIND_INTERFACE, net->name, net, net_members, G_N_ELEMENTS(net_members));
	}
}

struct snapshot *look_keep_snapshot(guint64 realtime_ns, const struct census *census)
{
	struct snapshot *snapshot = snapshot_new(NULL);
	struct shape *shape = shape_new(SHAPE_EVENTS, LOOK_KEPT_PROBE, UNIT_COUNT);

	g_ptr_array_add(snapshot->shapes, shape);
	snapshot->start_realtime_ns = realtime_ns;
	look_keep(shape->events, realtime_ns, census);
	return snapshot;
}

static int by_cpu(gconstpointer left, gconstpointer right)
{
	guint64 a = 0, b = 0;

	gauge_get(*(const struct gauge_row *const *)left, GAUGE_CPU, &a);
	gauge_get(*(const struct gauge_row *const *)right, GAUGE_CPU, &b);
	return a == b ? 0 : a < b ? 1 : -1;
}

static void keep_process(struct events *events, guint64 realtime_ns, const struct gauge_row *row, const char *container)
{
	struct event_field fields[G_N_ELEMENTS(process_gauges) + 1];
	struct event event = { .realtime_ns = realtime_ns,
			       .kind = KIND_PROCESS,
			       .process = row->name,
			       .container = container,
			       .pid = (guint32)row->key,
			       .fields = fields };
	guint64 value;

	for (guint i = 0; i < G_N_ELEMENTS(process_gauges); i++)
		if (gauge_get(row, process_gauges[i].gauge, &value))
			fields[event.field_count++] = (struct event_field){ .name = process_gauges[i].name,
									    .unit = EVENT_COUNT,
									    .number = value };
	if (row->texts[GAUGE_TEXT_STATE])
		fields[event.field_count++] = (struct event_field){ .name = "state",
								    .unit = EVENT_TEXT,
								    .text = row->texts[GAUGE_TEXT_STATE] };
	events_append(events, &event);
}

void look_keep_processes(struct events *events, guint64 realtime_ns, const struct gauges *processes,
			 look_owner_fn container, void *user)
{
	g_autoptr(GPtrArray) rows = g_ptr_array_new();

	for (guint32 i = 0; i < processes->rows->len; i++)
		if (gauges_row(processes, i)->resource == GAUGE_RESOURCE_PROCESS)
			g_ptr_array_add(rows, gauges_row(processes, i));
	g_ptr_array_sort(rows, by_cpu);
	for (guint i = 0; i < MIN(rows->len, (guint)LOOK_KEPT_PROCESSES); i++) {
		const struct gauge_row *row = g_ptr_array_index(rows, i);

		keep_process(events, realtime_ns, row, container(user, (guint32)row->key));
	}
}

/* ---- back ---- */

static void members_set(void *into, const struct member *members, guint length, const struct event *event)
{
	for (guint i = 0; i < length; i++) {
		const struct event_field *field = event_find(event, members[i].name);
		guint64 value = field && field->unit == EVENT_COUNT ? field->number : CENSUS_UNKNOWN;

		memcpy((guint8 *)into + members[i].offset, &value, sizeof(value));
	}
}

static void cpu_back(struct census *census, const struct event *event)
{
	guint64 number;
	struct cpu_time time = { 0 };

	if (!census->cpus) {
		census->cpus = g_new0(struct cpus, 1);
		census->cpus->each = g_array_new(FALSE, FALSE, sizeof(struct cpu_time));
	}
	if (!event->process) {
		members_set(census->cpus, cpus_members, G_N_ELEMENTS(cpus_members), event);
		return;
	}
	if (!g_ascii_string_to_unsigned(event->process, 10, 0, G_MAXUINT32, &number, NULL) ||
	    census->cpus->each->len >= KEPT_CPUS_MAX)
		return;
	time.number = (guint32)number;
	members_set(&time, cpu_members, G_N_ELEMENTS(cpu_members), event);
	g_array_append_val(census->cpus->each, time);
}

static void disk_back(struct census *census, const struct event *event)
{
	struct census_disk disk = { 0 };

	if (!event->process || census->disks->len >= CENSUS_ROWS_MAX)
		return;
	g_strlcpy(disk.name, event->process, sizeof(disk.name));
	members_set(&disk, disk_members, G_N_ELEMENTS(disk_members), event);
	g_array_append_val(census->disks, disk);
}

static void net_back(struct census *census, const struct event *event)
{
	struct census_net net = { 0 };

	if (!event->process || census->nets->len >= CENSUS_ROWS_MAX)
		return;
	g_strlcpy(net.name, event->process, sizeof(net.name));
	members_set(&net, net_members, G_N_ELEMENTS(net_members), event);
	g_array_append_val(census->nets, net);
}

static struct census *census_unknown(void)
{
	struct census *census = g_new0(struct census, 1);
	struct netstat *netstat = &census->netstat;

	memset(netstat, 0xff, sizeof(*netstat)); /* CENSUS_UNKNOWN */
	census->dirty = census->writeback = census->scanned_direct = CENSUS_UNKNOWN;
	census->disks = g_array_new(FALSE, FALSE, sizeof(struct census_disk));
	census->nets = g_array_new(FALSE, FALSE, sizeof(struct census_net));
	return census;
}

struct census *look_kept(const struct events *events)
{
	struct census *census = census_unknown();
	gboolean has_machine = FALSE;

	for (const GList *link = events->rows.head; link; link = link->next) {
		const struct event *event = link->data;

		if (g_strcmp0(event->kind, KIND_MACHINE) == 0) {
			members_set(census, machine_members, G_N_ELEMENTS(machine_members), event);
			has_machine = TRUE;
		} else if (g_strcmp0(event->kind, KIND_NETWORK) == 0) {
			members_set(census, network_members, G_N_ELEMENTS(network_members), event);
		} else if (g_strcmp0(event->kind, KIND_CPU) == 0) {
			cpu_back(census, event);
		} else if (g_strcmp0(event->kind, KIND_DISK) == 0) {
			disk_back(census, event);
		} else if (g_strcmp0(event->kind, KIND_INTERFACE) == 0) {
			net_back(census, event);
		}
	}
	if (has_machine)
		return census;
	census_free(census);
	return NULL;
}

/* Counters add up; the memory and state of the last reading stand. */
static void process_back(const struct event *event, struct gauges *sums)
{
	struct gauge_row *row = gauges_find(sums, GAUGE_RESOURCE_PROCESS, event->pid, 0);
	const struct event_field *state = event_find(event, "state");

	if (!row)
		row = gauges_add(sums, GAUGE_RESOURCE_PROCESS, event->pid, 0, event->process);
	for (guint i = 0; row && i < G_N_ELEMENTS(process_gauges); i++) {
		const struct event_field *field = event_find(event, process_gauges[i].name);
		enum gauge gauge = process_gauges[i].gauge;
		guint64 before = 0;

		if (!field)
			continue;
		if (gauge_metrics[gauge].kind != GAUGE_LEVEL)
			gauge_get(row, gauge, &before);
		gauge_set(row, gauge, before + field->number);
	}
	if (row && state && state->unit == EVENT_TEXT)
		gauges_set_text(sums, row, GAUGE_TEXT_STATE, state->text);
}

void look_kept_processes(const struct events *events, struct gauges *sums, GHashTable *owners)
{
	for (const GList *link = events->rows.head; link; link = link->next) {
		const struct event *event = link->data;

		if (g_strcmp0(event->kind, KIND_PROCESS) != 0 || !event->process || !event->pid)
			continue;
		process_back(event, sums);
		if (event->container)
			g_hash_table_replace(owners, GUINT_TO_POINTER(event->pid), g_strdup(event->container));
	}
}
