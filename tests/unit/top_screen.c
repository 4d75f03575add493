/* SPDX-License-Identifier: Apache-2.0 */
/* The screen of fathom top with made-up containers that never change: its pictures are compared with golden ones
 * (tests/containers/test_top.py). usage: top_screen, on a terminal. */
#include <locale.h>
#include <stdio.h>

#include "base/units.h"
#include "tui/top.h"

#define SECOND_READING 2 /* rates are known from then on */

struct made {
	const char *name, *cgroup;
	int parent; /* index of its row; 0: the host */
	guint64 cpu_ms, cpu_limit_percent, throttled_ms, wait_ms,
		disk_ms; /* in the second that is shown; 0 limit: none */
	guint64 memory_mib, memory_limit_mib, pressure_ms, read_kib, net_kib, threads, pids_limit, oom_kills;
	gboolean dead, is_unit;
};

static const struct made made[] = {
	{ .name = "shop",
	  .cgroup = "/shop.slice",
	  .cpu_ms = 1250,
	  .wait_ms = 400,
	  .memory_mib = 900,
	  .threads = 30,
	  .is_unit = TRUE },
	{ .name = "web-1",
	  .cgroup = "/shop.slice/web-1",
	  .parent = 1,
	  .cpu_ms = 500,
	  .cpu_limit_percent = 50,
	  .throttled_ms = 400,
	  .wait_ms = 120,
	  .memory_mib = 300,
	  .memory_limit_mib = 512,
	  .net_kib = 2048,
	  .threads = 12,
	  .pids_limit = 100 },
	{ .name = "db",
	  .cgroup = "/shop.slice/db",
	  .parent = 1,
	  .cpu_ms = 750,
	  .wait_ms = 30,
	  .disk_ms = 250,
	  .memory_mib = 600,
	  .memory_limit_mib = 640,
	  .pressure_ms = 100,
	  .read_kib = 8000,
	  .threads = 18,
	  .oom_kills = 2 },
	{ .name = "caf\xc3\xa9-\xe6\x9d\xb1\xe4\xba\xac",
	  .cgroup = "/utf8",
	  .cpu_ms = 3,
	  .memory_mib = 4,
	  .threads = 1 },
	{ .name = "evil\033[2J\"<b>", .cgroup = "/evil\033[2J", .cpu_ms = 1, .memory_mib = 1, .threads = 1 },
	{ .name = "a-name-that-is-much-longer-than-the-column-for-names-has-room",
	  .cgroup = "/long",
	  .memory_mib = 10,
	  .threads = 2 },
	{ .name = "gone", .cgroup = "/gone", .cpu_ms = 20, .memory_mib = 1, .dead = TRUE },
};

struct screens {
	struct gauges *readings, *changes, *processes;
	GPtrArray *missed;
	int reads;
};

static void set_if(struct gauge_row *row, enum gauge gauge, guint64 value)
{
	if (value)
		gauge_set(row, gauge, value);
}

static void row_fill(struct gauges *gauges, struct gauge_row *row, const struct made *from)
{
	gauges_set_text(gauges, row, GAUGE_TEXT_CGROUP, from->cgroup);
	row->parent = (guint32)from->parent;
	row->dead = from->dead;
	gauge_set(row, GAUGE_CPU, from->cpu_ms * NS_PER_MS);
	set_if(row, GAUGE_CPU_LIMIT, from->cpu_limit_percent * NS_PER_S / 100);
	gauge_set(row, GAUGE_CPU_THROTTLED, from->throttled_ms * NS_PER_MS);
	gauge_set(row, GAUGE_RUNQUEUE_WAIT, from->wait_ms * NS_PER_MS);
	gauge_set(row, GAUGE_DISK_WAIT, from->disk_ms * NS_PER_MS);
	gauge_set(row, GAUGE_MEMORY, from->memory_mib << 20);
	gauge_set(row, GAUGE_MEMORY_WORKING_SET, from->memory_mib << 20);
	set_if(row, GAUGE_MEMORY_LIMIT, from->memory_limit_mib << 20);
	set_if(row, GAUGE_PRESSURE_MEMORY_SOME, from->pressure_ms * NS_PER_MS);
	gauge_set(row, GAUGE_IO_READ_BYTES, from->read_kib << 10);
	gauge_set(row, GAUGE_IO_WRITE_BYTES, 0);
	gauge_set(row, GAUGE_NET_SENT_BYTES, from->net_kib << 10);
	gauge_set(row, GAUGE_NET_RECEIVED_BYTES, 0);
	gauge_set(row, GAUGE_PIDS, from->threads);
	gauge_set(row, GAUGE_THREADS, from->threads);
	set_if(row, GAUGE_PIDS_LIMIT, from->pids_limit);
	gauge_set(row, GAUGE_OOM_KILLS, from->oom_kills);
}

static void host_fill(struct gauge_row *row)
{
	gauge_set(row, GAUGE_CPU, 1300 * NS_PER_MS);
	gauge_set(row, GAUGE_CPUS, 2);
	gauge_set(row, GAUGE_CPU_LIMIT, 2 * NS_PER_S);
	gauge_set(row, GAUGE_MEMORY_WORKING_SET, G_GUINT64_CONSTANT(3) << 30);
	gauge_set(row, GAUGE_MEMORY_LIMIT, G_GUINT64_CONSTANT(8) << 30);
}

static struct gauges *containers_new(void)
{
	struct gauges *gauges = gauges_new();

	host_fill(gauges_add(gauges, GAUGE_RESOURCE_HOST, 0, 0, "host"));
	for (guint i = 0; i < G_N_ELEMENTS(made); i++)
		row_fill(gauges,
			 gauges_add(gauges, made[i].is_unit ? GAUGE_RESOURCE_UNIT : GAUGE_RESOURCE_CONTAINER, i + 1, 0,
				    made[i].name),
			 &made[i]);
	return gauges;
}

static struct gauges *processes_new(void)
{
	struct gauges *gauges = gauges_new();

	for (guint i = 0; i < 3; i++) {
		struct gauge_row *row =
			gauges_add(gauges, GAUGE_RESOURCE_PROCESS, 4000 + i, 0, i ? "work\033[2Jer" : "postgres");

		gauges_set_text(gauges, row, GAUGE_TEXT_STATE, i ? "S" : "R");
		gauges_set_text(gauges, row, GAUGE_TEXT_INNER_PID, i ? "17" : "1");
		gauge_set(row, GAUGE_CPU, (300 - 100 * i) * NS_PER_MS);
		gauge_set(row, GAUGE_RUNQUEUE_WAIT, 10 * i * NS_PER_MS);
		gauge_set(row, GAUGE_MEMORY, (guint64)(i + 1) << 24);
		gauge_set(row, GAUGE_THREADS, i + 1);
	}
	return gauges;
}

static gboolean screens_read(void *user, const struct tui_top_want *want, struct gauge_interval *containers,
			     struct gauge_interval *processes, GError **error)
{
	struct screens *screens = user;
	gboolean has_rates = ++screens->reads >= SECOND_READING;

	(void)error;
	*containers = (struct gauge_interval){ .readings = screens->readings, .length_ns = has_rates ? NS_PER_S : 0 };
	if (has_rates)
		containers->changes = screens->changes;
	if (want->processes)
		*processes = (struct gauge_interval){ .readings = screens->processes,
						      .changes = screens->processes,
						      .length_ns = NS_PER_S };
	return TRUE;
}

static char *screens_start(void *user)
{
	(void)user;
	return NULL;
}

static const GPtrArray *screens_missed(void *user)
{
	return ((struct screens *)user)->missed;
}

static GPtrArray *screens_measure(void *user, enum tui_top_measure what, const struct gauge_row *row, char **note,
				  GError **error)
{
	(void)user, (void)what, (void)row;
	*note = NULL;
	g_set_error(error, g_quark_from_static_string("made-up"), 1, "nothing is measured here");
	return NULL;
}

int main(void)
{
	struct screens screens = { .readings = containers_new(),
				   .changes = containers_new(),
				   .processes = processes_new(),
				   .missed = g_ptr_array_new() };
	const struct tui_top_feed feed = { .user = &screens,
					   .read = screens_read,
					   .start = screens_start,
					   .missed = screens_missed,
					   .measure = screens_measure };
	const struct tui_top_options options = { .interval_ns = 3600 * NS_PER_S,
						 .stop_fd = -1,
						 .sort = GAUGE_COLUMN_LOST };
	g_autoptr(GError) error = NULL;
	gboolean good;

	setlocale(LC_ALL, "");
	good = tui_top_run(&feed, &options, &error);

	if (!good)
		fprintf(stderr, "top_screen: %s\n", error->message);
	gauges_free(screens.readings);
	gauges_free(screens.changes);
	gauges_free(screens.processes);
	g_ptr_array_unref(screens.missed);
	return good ? 0 : 1;
}
