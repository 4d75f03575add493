/* SPDX-License-Identifier: Apache-2.0 */
/* fathom host: the ten commands of the first sixty seconds (uptime, dmesg, vmstat, mpstat, pidstat, iostat, free, sar DEV,
 * sar TCP/ETCP, top) in one screen. What is abnormal is marked, and said in words below. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/command.h"
#include "observe/look.h"
#include "observe/look_kept.h"
#include "cli/measure.h"
#include "cli/source.h"
#include "cli/table.h"
#include "cli/who.h"
#include "observe/usage.h"

#define HOST_INTERVAL "1"
#define HOST_INTERVAL_MIN_NS (100 * NS_PER_MS)
#define HOST_INTERVAL_MAX_NS (3600 * NS_PER_S)
#define HOST_PROCESSES 10
#define HOST_PROCESSES_MAX 100000
#define HOST_NARROW 110 /* columns of a terminal in which not all of a process fits beside a container's name */
#define HOST_MESSAGES 5
#define HOST_MESSAGES_MAX 100000 /* records read of the kernel's ring */
#define HOST_MESSAGE_BYTES 8192
#define HOST_MESSAGE_RECENT_S 3600
#define HOST_CLEAR "\033[H\033[2J"
#define HOST_INDENT 6 /* of what does not fit on the line of its heading */
#define HOST_ROWS 32 /* CPUs, disks, interfaces shown as text; JSON has all */

struct host_message {
	double age_s;
	char *text; /* raw */
};

struct host {
	char *interval;
	int top, count;
	gboolean watch, json;
	guint64 interval_ns;
	struct registry *registry;
	struct usage *usage;
	struct gauges *processes;
	struct look *look;
	GArray *messages; /* of struct host_message, the last ones; NULL: may not be read */
	GHashTable *owners; /* pid → container, of a capture; NULL: this machine */
	GPtrArray *marks; /* of char *: what is abnormal, raw */
	guint cpus;
	guint columns, used; /* of the terminal (0: it is none), of the line that is being shown */
};

/* Text whose lines fit into the terminal; owned by the caller. */
static char *G_GNUC_PRINTF(1, 2) wrapped(const char *format, ...)
{
	GString *text = g_string_new(NULL);
	va_list arguments;

	va_start(arguments, format);
	g_string_vprintf(text, format, arguments);
	va_end(arguments);
	text_wrap(text, 0, table_terminal_width(stdout));
	return g_string_free(text, FALSE);
}

/* ---- marking ---- */

static void host_mark(struct host *host, const char *what, const char *value, const char *meaning)
{
	g_ptr_array_add(host->marks, g_strdup_printf("%s %s: %s", what, value, meaning));
}

static void print_heading(struct host *host, const char *heading)
{
	host->columns = table_terminal_width(stdout);
	host->used = text_columns(heading);
	table_print_styled(stdout, heading, TABLE_STRONG);
}

/* On a line of its own where it would be cut in two. */
static void print_value(struct host *host, const char *label, const char *text, gboolean abnormal)
{
	g_autofree char *marked = g_strdup_printf("%s!", text);
	guint wide = text_columns(label) + text_columns(text) + 3 + abnormal;

	host->used += wide;
	if (host->columns && host->used > host->columns) {
		printf("\n%*s", HOST_INDENT, "");
		host->used = HOST_INDENT + wide;
	}
	printf("  %s ", label);
	if (abnormal)
		table_print_styled(stdout, marked, TABLE_ALERT);
	else
		fputs(text, stdout);
}

static void show_value(struct host *host, const char *heading, enum look_value value)
{
	const struct look_meta *meta = &look_metas[value];
	double number = host->look->values[value];
	g_autofree char *text = look_format(meta->unit, number);
	gboolean abnormal = look_is_abnormal(meta, number);

	if (abnormal) {
		g_autofree char *what = g_strdup_printf("%s %s", heading, meta->label);

		host_mark(host, what, text, meta->meaning);
	}
	print_value(host, meta->label, text, abnormal);
}

static void show_values(struct host *host, const char *heading, enum look_value first, enum look_value last)
{
	print_heading(host, heading);
	for (guint i = first; i <= (guint)last; i++)
		show_value(host, heading, (enum look_value)i);
	putchar('\n');
}

/* Rows of tables: a cell, marked when it is abnormal. */
static void cell_row(struct host *host, struct table *table, const char *name, enum look_row_value value, double number)
{
	const struct look_meta *meta = &look_row_metas[value];
	g_autofree char *text = look_format(meta->unit, number);
	g_autofree char *what = g_strdup_printf("%s %s", name, meta->label);
	g_autofree char *marked = g_strdup_printf("%s!", text);

	if (!look_is_abnormal(meta, number)) {
		table_cell(table, text);
		return;
	}
	host_mark(host, what, text, meta->meaning);
	table_cell_styled(table, marked, TABLE_ALERT);
}

static void cell_plain(struct table *table, enum look_unit unit, double number)
{
	g_autofree char *text = look_format(unit, number);

	table_cell(table, text);
}

/* ---- sections ---- */

/* More threads that run or wait for disks than there are CPUs. */
static void show_load(struct host *host)
{
	double load = host->look->values[LOOK_LOAD_1], up_min = host->look->values[LOOK_UPTIME] / 60;
	g_autofree char *text = look_format(LOOK_UNIT_NUMBER, load), *cpus = g_strdup_printf("%u", host->cpus);
	g_autofree char *up = g_strdup_printf("%.0f h %02.0f min", floor(up_min / 60), floor(fmod(up_min, 60)));

	if (host->cpus && load >= 2 * host->cpus)
		host_mark(host, "load 1 min", text,
			  "twice as many threads as CPUs run, wait for one, or for disks: fathom diagnose says which");
	print_heading(host, "uptime");
	for (guint i = LOOK_LOAD_1; i < LOOK_UPTIME; i++) {
		g_autofree char *value = look_format(look_metas[i].unit, host->look->values[i]);

		print_value(host, look_metas[i].label, value, i == LOOK_LOAD_1 && host->cpus && load >= 2 * host->cpus);
	}
	print_value(host, "up", up, FALSE);
	print_value(host, "CPUs", cpus, FALSE);
	putchar('\n');
}

static void show_messages(struct host *host)
{
	guint recent = 0;
	g_autofree char *count = NULL;

	table_print_styled(stdout, "dmesg", TABLE_STRONG);
	if (!host->messages) {
		puts(host->owners ? "  not in a capture" : "  may not be read");
		return;
	}
	if (host->messages->len == 0)
		fputs("  no errors", stdout);
	putchar('\n');
	for (guint i = 0; i < host->messages->len; i++) {
		const struct host_message *message = &g_array_index(host->messages, struct host_message, i);
		g_autofree char *age = units_duration((guint64)(message->age_s * 1e9));
		g_autofree char *text = text_terminal(message->text), *lines = NULL;

		recent += message->age_s < HOST_MESSAGE_RECENT_S;
		lines = wrapped("  %s ago: %.200s", age, text);
		puts(lines);
	}
	count = g_strdup_printf("%u", recent);
	if (recent)
		host_mark(host, "kernel errors in the last hour", count, "read them: dmesg -T -l err+");
}

static void show_cpus(struct host *host)
{
	static const struct table_column columns[] = {
		{ "CPU", FALSE }, { "USR", TRUE },  { "NICE", TRUE },  { "SYS", TRUE },	 { "IOWAIT", TRUE },
		{ "IRQ", TRUE },  { "SOFT", TRUE }, { "STEAL", TRUE }, { "IDLE", TRUE }, { "BUSY", TRUE },
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));

	for (guint i = 0; i < host->cpus && i < HOST_ROWS; i++) {
		const struct cpu_time *time = &g_array_index(host->look->now->cpus->each, struct cpu_time, i);
		g_autofree char *name = g_strdup_printf("CPU %u", time->number);
		struct look_cpu cpu;

		look_cpu(host->look, i, &cpu);
		table_cell(table, name);
		cell_plain(table, LOOK_UNIT_SHARE, cpu.user);
		cell_plain(table, LOOK_UNIT_SHARE, cpu.nice);
		cell_plain(table, LOOK_UNIT_SHARE, cpu.system);
		cell_plain(table, LOOK_UNIT_SHARE, cpu.iowait);
		cell_plain(table, LOOK_UNIT_SHARE, cpu.irq);
		cell_plain(table, LOOK_UNIT_SHARE, cpu.softirq);
		cell_plain(table, LOOK_UNIT_SHARE, cpu.steal);
		cell_plain(table, LOOK_UNIT_SHARE, cpu.idle);
		cell_row(host, table, name, LOOK_ONE_CPU_BUSY, 1 - cpu.idle - cpu.iowait);
	}
	table_print(table, stdout);
}

static void show_disks(struct host *host)
{
	static const struct table_column columns[] = {
		{ "DISK", FALSE },   { "R/S", TRUE },	{ "W/S", TRUE },   { "READ", TRUE },
		{ "WRITTEN", TRUE }, { "AWAIT", TRUE }, { "QUEUE", TRUE }, { "UTIL", TRUE },
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));

	for (guint i = 0; i < host->look->now->disks->len && i < HOST_ROWS; i++) {
		struct look_disk disk;

		look_disk(host->look, i, &disk);
		table_cell(table, disk.name);
		cell_plain(table, LOOK_UNIT_PER_SECOND, disk.reads);
		cell_plain(table, LOOK_UNIT_PER_SECOND, disk.writes);
		cell_plain(table, LOOK_UNIT_BYTES_PER_SECOND, disk.read_bytes);
		cell_plain(table, LOOK_UNIT_BYTES_PER_SECOND, disk.write_bytes);
		cell_row(host, table, disk.name, LOOK_DISK_WAIT, disk.wait_s);
		cell_plain(table, LOOK_UNIT_NUMBER, round(disk.queue * 100) / 100);
		cell_row(host, table, disk.name, LOOK_DISK_BUSY, disk.busy);
	}
	table_print(table, stdout);
}

static void show_nets(struct host *host)
{
	static const struct table_column columns[] = {
		{ "INTERFACE", FALSE }, { "RXPCK/S", TRUE }, { "TXPCK/S", TRUE }, { "RECEIVED", TRUE },
		{ "SENT", TRUE },	{ "ERRORS", TRUE },  { "DROPS", TRUE },
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));

	for (guint i = 0; i < host->look->now->nets->len && i < HOST_ROWS; i++) {
		struct look_net net;

		look_net(host->look, i, &net);
		table_cell(table, net.name);
		cell_plain(table, LOOK_UNIT_PER_SECOND, net.received);
		cell_plain(table, LOOK_UNIT_PER_SECOND, net.sent);
		cell_plain(table, LOOK_UNIT_BYTES_PER_SECOND, net.received_bytes);
		cell_plain(table, LOOK_UNIT_BYTES_PER_SECOND, net.sent_bytes);
		cell_row(host, table, net.name, LOOK_NET_ERRORS, net.errors);
		cell_row(host, table, net.name, LOOK_NET_DROPS, net.drops);
	}
	table_print(table, stdout);
}

static int by_cpu(gconstpointer left, gconstpointer right)
{
	guint64 a = 0, b = 0;

	gauge_get(*(const struct gauge_row *const *)left, GAUGE_CPU, &a);
	gauge_get(*(const struct gauge_row *const *)right, GAUGE_CPU, &b);
	return a == b ? 0 : a < b ? 1 : -1;
}

/* Processes, the busiest first; array owned by the caller. */
static GPtrArray *host_processes(const struct host *host)
{
	GPtrArray *rows = g_ptr_array_new();

	for (guint32 i = 0; i < host->processes->rows->len; i++)
		if (gauges_row(host->processes, i)->resource == GAUGE_RESOURCE_PROCESS)
			g_ptr_array_add(rows, gauges_row(host->processes, i));
	g_ptr_array_sort(rows, by_cpu);
	return rows;
}

/* NULL: in no container. */
static const char *container_of_pid(const struct host *host, guint64 pid)
{
	const struct container *owner;

	if (host->owners)
		return g_hash_table_lookup(host->owners, GUINT_TO_POINTER((guint)pid));
	owner = registry_by_pid(host->registry, (guint32)pid, 0);

	return owner && container_is_container(owner) ? owner->name : NULL;
}

static void cell_gauge(struct table *table, const struct host *host, const struct gauge_row *row, enum gauge gauge,
		       enum look_unit unit)
{
	guint64 value;
	gboolean known = gauge_get(row, gauge, &value);

	if (!known)
		cell_plain(table, unit, NAN);
	else if (unit == LOOK_UNIT_SHARE)
		cell_plain(table, unit, (double)value / 1e9 / host->look->seconds);
	else if (unit == LOOK_UNIT_BYTES)
		cell_plain(table, unit, (double)value);
	else
		cell_plain(table, unit, (double)value / host->look->seconds);
}

static const struct {
	const char *heading;
	enum gauge gauge;
	enum look_unit unit;
	gboolean wide; /* left out where there is little room */
} process_numbers[] = {
	{ "CPU", GAUGE_CPU, LOOK_UNIT_SHARE, FALSE },
	{ "USR", GAUGE_CPU_USER, LOOK_UNIT_SHARE, TRUE },
	{ "SYS", GAUGE_CPU_SYSTEM, LOOK_UNIT_SHARE, TRUE },
	{ "MEMORY", GAUGE_MEMORY, LOOK_UNIT_BYTES, FALSE },
	{ "READ", GAUGE_IO_READ_BYTES, LOOK_UNIT_BYTES_PER_SECOND, FALSE },
	{ "WRITTEN", GAUGE_IO_WRITE_BYTES, LOOK_UNIT_BYTES_PER_SECOND, FALSE },
};

static void show_process(const struct host *host, struct table *table, const struct gauge_row *row, gboolean is_narrow)
{
	const char *container = container_of_pid(host, row->key);

	table_cell_number(table, row->key, TRUE);
	for (guint i = 0; i < G_N_ELEMENTS(process_numbers); i++)
		if (!is_narrow || !process_numbers[i].wide)
			cell_gauge(table, host, row, process_numbers[i].gauge, process_numbers[i].unit);
	if (!is_narrow)
		table_cell(table, row->texts[GAUGE_TEXT_STATE]);
	table_cell_styled(table, container ? container : "the host", container ? TABLE_STRONG : TABLE_DIM);
	table_cell(table, row->name);
}

static void show_processes(struct host *host)
{
	guint width = table_terminal_width(stdout), count = 0, wanted = host->top ? (guint)host->top : HOST_PROCESSES;
	struct table_column columns[G_N_ELEMENTS(process_numbers) + 4] = { 0 };
	gboolean is_narrow = width && width < HOST_NARROW;
	g_autoptr(GPtrArray) rows = host_processes(host);
	g_autoptr(table_t) table = NULL;

	columns[count++] = (struct table_column){ "PID", TRUE };
	for (guint i = 0; i < G_N_ELEMENTS(process_numbers); i++)
		if (!is_narrow || !process_numbers[i].wide)
			columns[count++] = (struct table_column){ process_numbers[i].heading, TRUE };
	if (!is_narrow)
		columns[count++] = (struct table_column){ "STATE", FALSE };
	columns[count++] = (struct table_column){ "CONTAINER", FALSE };
	columns[count++] = (struct table_column){ "COMMAND", FALSE };
	table = table_new(columns, count);
	for (guint i = 0; i < rows->len && i < wanted; i++)
		show_process(host, table, g_ptr_array_index(rows, i), is_narrow);
	printf("%u processes\n", rows->len);
	table_print(table, stdout);
}

/* ---- the kernel's messages ---- */

static void message_clear(gpointer data)
{
	g_free(((struct host_message *)data)->text);
}

/* "6,339,5140900,-;text\n" and lines of more: Documentation/ABI/testing/dev-kmsg. Errors and worse. */
static void host_message(struct host *host, char *record)
{
	struct host_message message;
	char *at, *end, *text = strchr(record, ';');
	guint64 priority = g_ascii_strtoull(record, &at, 10), stamp_us;

	if (!text || *at != ',' || (priority & 7) > 3)
		return;
	g_ascii_strtoull(at + 1, &at, 10);
	stamp_us = *at == ',' ? g_ascii_strtoull(at + 1, NULL, 10) : 0;
	end = strchr(text, '\n');
	if (end)
		*end = '\0';
	message.age_s = MAX(host->look->values[LOOK_UPTIME] - (double)stamp_us / 1e6, 0);
	message.text = g_strdup(text + 1);
	if (host->messages->len == HOST_MESSAGES)
		g_array_remove_index(host->messages, 0);
	g_array_append_val(host->messages, message);
}

static void host_read_messages(struct host *host)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[HOST_MESSAGE_BYTES + 1];

	g_clear_pointer(&host->messages, g_array_unref);
	if (fd < 0)
		return;
	host->messages = g_array_new(FALSE, FALSE, sizeof(struct host_message));
	g_array_set_clear_func(host->messages, message_clear);
	for (guint i = 0; i < HOST_MESSAGES_MAX; i++) {
		ssize_t bytes = read(fd, record, HOST_MESSAGE_BYTES);

		if (bytes < 0 && errno == EPIPE) /* overwritten meanwhile: the next one is the oldest there is */
			continue;
		if (bytes <= 0)
			break;
		record[bytes] = '\0';
		host_message(host, record);
	}
	close(fd);
}

/* ---- outputs ---- */

static void host_print(struct host *host)
{
	g_ptr_array_set_size(host->marks, 0);
	show_load(host);
	show_messages(host);
	show_values(host, "vmstat", LOOK_RUNNING, LOOK_FORKS);
	show_values(host, "mpstat", LOOK_CPU_USER, LOOK_CPU_IDLE);
	show_cpus(host);
	show_values(host, "free", LOOK_MEMORY_TOTAL, LOOK_OOM_KILLS);
	show_values(host, "pressure", LOOK_PRESSURE_CPU, LOOK_PRESSURE_IO);
	show_disks(host);
	show_nets(host);
	show_values(host, "TCP", LOOK_TCP_ACTIVE, LOOK_SOFTNET_DROPS);
	show_values(host, "limits", LOOK_CONNTRACK_SHARE, LOOK_THREADS_SHARE);
	show_processes(host);
	putchar('\n');
	if (host->marks->len == 0)
		table_print_wrapped(stdout, "Nothing abnormal. Is one container slow? fathom diagnose NAME\n");
	for (guint i = 0; i < host->marks->len; i++) {
		g_autofree char *text = text_terminal(g_ptr_array_index(host->marks, i));
		g_autofree char *lines = wrapped("  %s", text);

		table_print_styled(stdout, "! ", TABLE_ALERT);
		puts(lines + strlen("! "));
	}
	fflush(stdout);
}

static void json_processes(struct json_writer *json, const struct host *host)
{
	g_autoptr(GPtrArray) rows = host_processes(host);

	json_begin_array(json, "processes");
	for (guint i = 0; i < rows->len && (!host->top || i < (guint)host->top); i++) {
		const struct gauge_row *row = g_ptr_array_index(rows, i);
		guint64 cpu_ns, memory_bytes;

		json_begin_object(json, NULL);
		json_uint(json, "pid", row->key);
		json_string(json, "command", row->name);
		json_string(json, "container", container_of_pid(host, row->key));
		json_string(json, "state", row->texts[GAUGE_TEXT_STATE]);
		json_double(json, "cpu",
			    gauge_get(row, GAUGE_CPU, &cpu_ns) ? (double)cpu_ns / 1e9 / host->look->seconds : NAN);
		if (gauge_get(row, GAUGE_MEMORY, &memory_bytes))
			json_uint(json, "memory_bytes", memory_bytes);
		else
			json_null(json, "memory_bytes");
		json_end_object(json);
	}
	json_end_array(json);
}

static void host_print_json(struct host *host)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	look_write(host->look, &json);
	json_begin_array(&json, "messages");
	for (guint i = 0; host->messages && i < host->messages->len; i++) {
		const struct host_message *message = &g_array_index(host->messages, struct host_message, i);

		json_begin_object(&json, NULL);
		json_double(&json, "age_s", message->age_s);
		json_string(&json, "text", message->text);
		json_end_object(&json);
	}
	json_end_array(&json);
	json_processes(&json, host);
	json_end_object(&json);
	puts(out->str);
	fflush(stdout);
}

static void host_show(struct host *host)
{
	host->cpus = host->look->now->cpus ? host->look->now->cpus->each->len : 0;
	if (host->json)
		host_print_json(host);
	else
		host_print(host);
}

/* ---- running ---- */

/* FALSE: Ctrl-C. What was seen until then is shown, too, unless it is next to nothing. */
static gboolean host_wait(const struct host *host, int stop_fd)
{
	struct pollfd fd = { .fd = stop_fd, .events = POLLIN };

	return poll(&fd, 1, (int)(host->interval_ns / NS_PER_MS)) <= 0;
}

static gboolean host_look(struct host *host, int stop_fd, GError **error)
{
	gboolean goes_on = TRUE;
	guint shown = 0;

	if (!usage_processes(host->usage, 0, FALSE, host->processes, error))
		return FALSE;
	while (goes_on) {
		guint64 since_ns = clock_monotonic_ns();

		goes_on = host_wait(host, stop_fd);
		if (!goes_on && clock_monotonic_ns() - since_ns < HOST_INTERVAL_MIN_NS)
			break;
		look_again(host->look);
		if (!usage_processes(host->usage, 0, FALSE, host->processes, error))
			return FALSE;
		host_read_messages(host);
		if (host->watch && !host->json && isatty(STDOUT_FILENO))
			fputs(HOST_CLEAR, stdout);
		host_show(host);
		shown++;
		if (ferror(stdout) || !host->watch || (host->count && shown >= (guint)host->count))
			break;
	}
	return TRUE;
}

/* ---- of a capture ---- */

struct host_replay {
	struct host *host;
	struct census *before, *now; /* the reading that is kept, and the latest; NULL: none yet */
	gint64 before_ms, now_ms;
	guint readings, shown;
};

/* What happened between the reading that is kept and the latest, which then is the one that is kept. */
static void host_replay_show(struct host_replay *replay)
{
	struct host *host = replay->host;

	look_free(host->look);
	host->look = look_between(replay->before, g_steal_pointer(&replay->now),
				  (double)(replay->now_ms - replay->before_ms) / 1000);
	replay->before = census_copy(host->look->now);
	replay->before_ms = replay->now_ms;
	host_show(host);
	gauges_free(host->processes);
	host->processes = gauges_new();
	replay->shown++;
}

/* source_look_fn */
static gboolean host_replay_reading(void *user, gint64 time_ms, const struct events *events)
{
	struct host_replay *replay = user;
	struct host *host = replay->host;
	struct census *census = look_kept(events);

	if (!census)
		return TRUE;
	replay->readings++;
	if (!replay->before) {
		replay->before = census;
		replay->before_ms = time_ms;
		return TRUE;
	}
	census_free(replay->now);
	replay->now = census;
	look_kept_processes(events, host->processes, host->owners);
	replay->now_ms = time_ms;
	if (host->watch)
		host_replay_show(replay);
	return !host->count || replay->shown < (guint)host->count;
}

/* Over all of the range that is asked for, or with --watch from reading to reading. */
static gboolean host_replay(struct host *host, GError **error)
{
	struct host_replay replay = { .host = host };
	gboolean ok;

	host->owners = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	ok = source_each_look(host_replay_reading, &replay, error);
	if (ok && replay.now && !replay.shown)
		host_replay_show(&replay);
	if (ok && !replay.shown)
		ok = source_look_lacks(replay.readings, error);
	census_free(replay.before);
	census_free(replay.now);
	return ok;
}

static gboolean host_check(struct host *host, GError **error)
{
	const char *interval = host->interval ? host->interval : HOST_INTERVAL;

	if (!units_parse_duration(interval, NS_PER_S, &host->interval_ns) || host->interval_ns < HOST_INTERVAL_MIN_NS ||
	    host->interval_ns > HOST_INTERVAL_MAX_NS)
		return command_fail(error, "an interval of \"%s\" makes no sense: give 100ms to 1h", interval);
	if (host->top < 0 || host->top > HOST_PROCESSES_MAX)
		return command_fail(error, "--top %d is out of range: 1 to %d", host->top, HOST_PROCESSES_MAX);
	if (host->count < 0 || (host->count && !host->watch))
		return command_fail(error, "--count counts what --watch shows: give it with --watch and above 0");
	return TRUE;
}

static int host_run(struct host *host)
{
	struct usage_options options = { 0 };
	g_autoptr(GError) error = NULL, refused = NULL;
	int status = EXIT_USAGE, stop_fd;

	if (source_capture()) {
		if (host_check(host, &error))
			status = host_replay(host, &error) ? EXIT_OK : EXIT_FAILED;
	} else if (host_check(host, &error) && (host->registry = registry_new("/", &error))) {
		stop_fd = measure_stop_fd();
		host->usage = usage_new(host->registry, &options);
		usage_watch(host->usage, &refused); /* refused: /proc tells nearly as much */
		host->look = look_new();
		status = host_look(host, stop_fd, &error) ? EXIT_OK : EXIT_FAILED;
		measure_signals_restore(stop_fd);
	}
	if (error)
		command_complain("host", "%s", error->message);
	return status;
}

int cmd_host(int argc, char **argv)
{
	struct host host = { .processes = gauges_new(), .marks = g_ptr_array_new_with_free_func(g_free) };
	const GOptionEntry entries[] = {
		{ "interval", 'i', 0, G_OPTION_ARG_STRING, &host.interval,
		  "Time between the two readings rates are of (default " HOST_INTERVAL ")", "SECONDS" },
		{ "watch", 'w', 0, G_OPTION_ARG_NONE, &host.watch, "Again and again, until Ctrl-C", NULL },
		{ "count", 'n', 0, G_OPTION_ARG_INT, &host.count, "With --watch: end after so many", "N" },
		{ "top", 0, 0, G_OPTION_ARG_INT, &host.top, "So many processes (default 10; JSON: all)", "N" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &host.json, "One JSON object a line for each reading", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	int status;

	g_option_context_set_summary(
		context, "The first sixty seconds on a machine in one screen: uptime, dmesg, vmstat, mpstat,\n"
			 "pidstat, iostat, free, sar; what is abnormal is marked and explained.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status)) {
		/* said already */
	} else if (guest_is_inside() && !source_capture()) {
		status = guest_show(&(struct guest_options){ "host", host.interval, .json = host.json });
	} else {
		if (argc > 1) {
			command_complain("host",
					 "\"%s\": this looks at the whole machine; of one container: fathom use NAME",
					 argv[1]);
			status = EXIT_USAGE;
		} else {
			status = host_run(&host);
		}
	}
	look_free(host.look);
	usage_free(host.usage);
	registry_free(host.registry);
	if (host.owners)
		g_hash_table_unref(host.owners);
	if (host.messages)
		g_array_unref(host.messages);
	gauges_free(host.processes);
	g_ptr_array_unref(host.marks);
	g_free(host.interval);
	return status;
}
