/* SPDX-License-Identifier: Apache-2.0 */
/* fathom use: the USE method as a table: of every resource its utilisation, saturation and errors, the machine's and the
 * container's side by side. What is not known is named, with the reason. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/command.h"
#include "observe/look.h"
#include "cli/measure.h"
#include "cli/source.h"
#include "cli/table.h"
#include "cli/who.h"
#include "observe/usage.h"
#include "observe/vitals.h"

#define USE_DURATION "1"
#define USE_DURATION_MIN_NS (100 * NS_PER_MS)
#define USE_DURATION_MAX_NS (3600 * NS_PER_S)

struct use {
	char *duration;
	gboolean json;
	guint64 duration_ns;
	struct registry *registry;
	struct usage *usage;
	struct vitals *vitals;
	struct look *look; /* NULL: of a capture that has no two readings of the machine */
	double seconds;
	struct gauges *before, *changes;
	GPtrArray *chosen; /* of const struct container * */
};

/* Where a cell's number comes from: of the machine a value of look.h, of a container gauges. */
enum cell_kind {
	CELL_NONE = 0, /* there is no such thing: `why` says so */
	CELL_LOOK, /* value `look` */
	CELL_LOOK_REST, /* what a share `look` leaves of the whole */
	CELL_SHARE, /* level a / level b */
	CELL_LEVEL, /* level a of level b, a count */
	CELL_TIME, /* counter a, ns, of the time: 1 = always */
	CELL_CORES, /* counter a, ns, in CPUs' worth, of the quota b if there is one */
	CELL_PART, /* counter a / counter b */
	CELL_RATE, /* counter a + counter b a second */
	CELL_BYTES, /* likewise, bytes */
	CELL_WORST_DISK, /* the busiest of the machine's */
	CELL_WORST_NET,
};

struct cell {
	enum cell_kind kind;
	int a, b; /* enum gauge, enum look_value; -1: none */
	const char *label; /* after the number */
	const char *why; /* it is not known, or there is nothing */
};

struct row {
	const char *resource;
	struct cell host[3], own[3]; /* utilisation, saturation, errors */
};

#define NONE(text)                                                                                                     \
	{                                                                                                              \
		CELL_NONE, -1, -1, NULL, text                                                                          \
	}

static const struct row rows[] = {
	{ "CPU",
	  { { CELL_LOOK_REST, LOOK_CPU_IDLE, -1, "busy", NULL },
	    { CELL_LOOK, LOOK_PRESSURE_CPU, -1, "of the time somebody waits", "no pressure (PSI) in this kernel" },
	    { CELL_LOOK, LOOK_CPU_STEAL, -1, "stolen", NULL } },
	  { { CELL_CORES, GAUGE_CPU, GAUGE_CPU_LIMIT, "CPUs", "no cpu controller" },
	    { CELL_TIME, GAUGE_RUNQUEUE_WAIT, -1, "threads waiting", "no schedstat" },
	    NONE("CPUs tell no errors by container") } },
	{ "CPU quota",
	  { NONE("the machine has none"), NONE("the machine has none"), NONE("the machine has none") },
	  { { CELL_PART, GAUGE_CPU, GAUGE_CPU_LIMIT, "of its quota", "no quota" },
	    { CELL_PART, GAUGE_CPU_PERIODS_THROTTLED, GAUGE_CPU_PERIODS, "of periods throttled", "no quota" },
	    NONE("none are counted") } },
	{ "memory",
	  { { CELL_LOOK_REST, LOOK_MEMORY_AVAILABLE_SHARE, -1, "not available", NULL },
	    { CELL_LOOK, LOOK_PRESSURE_MEMORY, -1, "of the time somebody waits", "no pressure (PSI) in this kernel" },
	    { CELL_LOOK, LOOK_OOM_KILLS, -1, "OOM kills", NULL } },
	  { { CELL_SHARE, GAUGE_MEMORY, GAUGE_MEMORY_LIMIT, "of its limit", "no limit" },
	    { CELL_TIME, GAUGE_PRESSURE_MEMORY_SOME, -1, "of the time somebody waits", "no pressure (PSI) of its own" },
	    { CELL_RATE, GAUGE_OOM_KILLS, -1, "OOM kills", "no count in this cgroup version" } } },
	{ "page cache",
	  { { CELL_LOOK, LOOK_MEMORY_CACHE, -1, "cached", NULL },
	    { CELL_LOOK, LOOK_STALLS, -1, "threads making room", NULL },
	    NONE("none are counted") },
	  { { CELL_LEVEL, GAUGE_MEMORY_FILE, -1, "cached", "no memory controller" },
	    { CELL_RATE, GAUGE_REFAULTS_FILE, GAUGE_REFAULTS_ANON, "pages read back", "no memory.stat" },
	    NONE("none are counted") } },
	{ "swap",
	  { { CELL_LOOK, LOOK_SWAP_USED, -1, "used", NULL },
	    { CELL_LOOK, LOOK_SWAPPED_IN, -1, "pages back", NULL },
	    NONE("none are counted") },
	  { { CELL_LEVEL, GAUGE_MEMORY_SWAP, -1, "used", "swap is not accounted" },
	    { CELL_RATE, GAUGE_REFAULTS_ANON, -1, "pages back", "no memory.stat" },
	    NONE("none are counted") } },
	{ "disk",
	  { { CELL_WORST_DISK, -1, -1, NULL, "no disk was used" },
	    { CELL_LOOK, LOOK_PRESSURE_IO, -1, "of the time somebody waits", "no pressure (PSI) in this kernel" },
	    NONE("not by files: fathom latency block counts errors") },
	  { { CELL_BYTES, GAUGE_IO_READ_BYTES, GAUGE_IO_WRITE_BYTES, "read and written", "no io controller" },
	    { CELL_TIME, GAUGE_PRESSURE_IO_SOME, -1, "of the time somebody waits", "no pressure (PSI) of its own" },
	    NONE("not by files: fathom latency block counts errors") } },
	{ "network",
	  { { CELL_WORST_NET, -1, -1, NULL, "no interface" },
	    { CELL_LOOK, LOOK_SOFTNET_DROPS, -1, "dropped before anybody saw them", NULL },
	    { CELL_LOOK, LOOK_TCP_RETRANSMITS, -1, "sent again", NULL } },
	  { { CELL_BYTES, GAUGE_NET_RECEIVED_BYTES, GAUGE_NET_SENT_BYTES, "both ways", "no network of its own" },
	    { CELL_RATE, GAUGE_NET_DROPS, GAUGE_QDISC_DROPS, "dropped by its interfaces and tc",
	      "no network of its own" },
	    { CELL_RATE, GAUGE_TCP_RETRANSMITS, -1, "sent again", "no network of its own" } } },
	{ "accept queues",
	  { NONE("of each socket: ss -lt"),
	    { CELL_LOOK, LOOK_TCP_LISTEN_OVERFLOWS, -1, "overflows", NULL },
	    { CELL_LOOK, LOOK_TCP_FAILED, -1, "attempts failed", NULL } },
	  { NONE("of each socket: fathom enter NAME -- ss -lt"),
	    { CELL_RATE, GAUGE_TCP_LISTEN_OVERFLOWS, -1, "overflows", "no network of its own" },
	    { CELL_RATE, GAUGE_UDP_OVERFLOWS, -1, "datagrams dropped", "no network of its own" } } },
	{ "connections table",
	  { { CELL_LOOK, LOOK_CONNTRACK_SHARE, -1, "of nf_conntrack_max", "no connection tracking" },
	    NONE("none: it is full or not"),
	    NONE("per CPU: /proc/net/stat/nf_conntrack") },
	  { { CELL_SHARE, GAUGE_CONNTRACK, GAUGE_CONNTRACK_LIMIT, "of nf_conntrack_max",
	      "nothing tracked, or no network of its own" },
	    NONE("none: it is full or not"),
	    { CELL_RATE, GAUGE_CONNTRACK_DROPS, GAUGE_CONNTRACK_INSERT_FAILED, "packets dropped",
	      "nothing tracked, or no network of its own" } } },
	{ "threads",
	  { { CELL_LOOK, LOOK_THREADS_SHARE, -1, "of threads-max", NULL },
	    NONE("none: fork fails or does not"),
	    NONE("not counted: fathom trace exec") },
	  { { CELL_SHARE, GAUGE_PIDS, GAUGE_PIDS_LIMIT, "of its limit", "no limit" },
	    NONE("none: fork fails or does not"),
	    { CELL_RATE, GAUGE_PIDS_LIMIT_HITS, -1, "forks refused", "no pids controller" } } },
	{ "open files",
	  { { CELL_LOOK, LOOK_FILES_SHARE, -1, "of file-max", NULL },
	    NONE("none: open fails or does not"),
	    NONE("not counted: fathom trace open") },
	  { { CELL_SHARE, GAUGE_FILES, GAUGE_FILES_LIMIT, "of the nearest process's limit", "no process" },
	    NONE("none: open fails or does not"),
	    NONE("not counted: fathom trace open") } },
	{ "locks",
	  { NONE("not by files: fathom offcpu"), NONE("not by files: fathom offcpu"), NONE("none are counted") },
	  { NONE("not by files: fathom offcpu"), NONE("not by files: fathom latency futex"),
	    NONE("none are counted") } },
};

/* ---- numbers ---- */

static gboolean level(const struct gauge_row *row, int gauge, double *value)
{
	guint64 number = 0;
	gboolean known = gauge >= 0 && gauge_get(row, (enum gauge)gauge, &number);

	*value = (double)number;
	return known;
}

struct number {
	double value; /* NAN: not known */
	enum look_unit unit;
	char *what; /* which of several; NULL: there is one */
};

/* The busiest disk or interface. */
static struct number worst_device(const struct use *use, gboolean disks)
{
	struct number worst = { NAN, disks ? LOOK_UNIT_SHARE : LOOK_UNIT_BYTES_PER_SECOND, NULL };
	guint count = disks ? use->look->now->disks->len : use->look->now->nets->len;
	const char *name = NULL;

	for (guint i = 0; i < count; i++) {
		struct look_disk disk = { 0 };
		struct look_net net = { 0 };
		double value;

		if (disks)
			look_disk(use->look, i, &disk);
		else
			look_net(use->look, i, &net);
		value = disks ? disk.busy : net.received_bytes + net.sent_bytes;
		if (isnan(value) || value <= worst.value)
			continue;
		worst.value = value;
		name = disks ? disk.name : net.name;
	}
	worst.what = g_strdup(name);
	return worst;
}

/* Of the machine's files, which a short capture does not have. */
static gboolean is_of_machine(const struct cell *cell)
{
	return cell->kind == CELL_LOOK || cell->kind == CELL_LOOK_REST || cell->kind == CELL_WORST_DISK ||
	       cell->kind == CELL_WORST_NET;
}

static struct number number_of(const struct use *use, const struct cell *cell, const struct gauge_row *row)
{
	double a = 0, b = 0, seconds = use->seconds;
	gboolean has_a = row && level(row, cell->a, &a), has_b = row && level(row, cell->b, &b);

	if (!use->look && is_of_machine(cell))
		return (struct number){ NAN, LOOK_UNIT_NUMBER, NULL };
	switch (cell->kind) {
	case CELL_LOOK:
		return (struct number){ use->look->values[cell->a], look_metas[cell->a].unit, NULL };
	case CELL_LOOK_REST:
		return (struct number){ 1 - use->look->values[cell->a], look_metas[cell->a].unit, NULL };
	case CELL_WORST_DISK:
	case CELL_WORST_NET:
		return worst_device(use, cell->kind == CELL_WORST_DISK);
	case CELL_SHARE:
		return (struct number){ has_a && has_b && b > 0 ? a / b : NAN, LOOK_UNIT_SHARE, NULL };
	case CELL_LEVEL:
		return (struct number){ has_a ? a : NAN, LOOK_UNIT_BYTES, NULL };
	case CELL_TIME:
		return (struct number){ has_a ? a / 1e9 / seconds : NAN,
					cell->a == GAUGE_RUNQUEUE_WAIT ? LOOK_UNIT_NUMBER : LOOK_UNIT_SHARE, NULL };
	case CELL_CORES:
		return (struct number){ has_a ? a / 1e9 / seconds : NAN, LOOK_UNIT_NUMBER, NULL };
	case CELL_PART:
		if (cell->b == GAUGE_CPU_LIMIT) /* CPU time of what the quota gives */
			return (struct number){ has_a && has_b && b > 0 ? a / seconds / b : NAN, LOOK_UNIT_SHARE,
						NULL };
		return (struct number){ has_a && has_b && b > 0 ? a / b : NAN, LOOK_UNIT_SHARE, NULL };
	case CELL_RATE:
		return (struct number){ has_a ? (a + (has_b ? b : 0)) / seconds : NAN, LOOK_UNIT_PER_SECOND, NULL };
	case CELL_BYTES:
		return (struct number){ has_a ? (a + (has_b ? b : 0)) / seconds : NAN, LOOK_UNIT_BYTES_PER_SECOND,
					NULL };
	case CELL_NONE:
	default:
		return (struct number){ NAN, LOOK_UNIT_NUMBER, NULL };
	}
}

static const char *why_unknown(const struct use *use, const struct cell *cell)
{
	if (!use->look && is_of_machine(cell))
		return "not in this capture";
	return cell->why ? cell->why : "cannot be read";
}

/* What is used is known, and there is nothing it could be a share of: "1.2 GiB (no limit)"; NULL: not so. Owned by the caller. */
static char *unlimited_text(const struct cell *cell, const struct gauge_row *row)
{
	g_autofree char *text = NULL;
	double used, limit;

	if (cell->kind == CELL_PART && row && level(row, GAUGE_CPU, &used) && !level(row, GAUGE_CPU_LIMIT, &limit))
		return g_strdup_printf("– (%s)", cell->why);
	if (cell->kind != CELL_SHARE || !row || !level(row, cell->a, &used) || level(row, cell->b, &limit))
		return NULL;
	text = look_format(cell->a == GAUGE_MEMORY ? LOOK_UNIT_BYTES : LOOK_UNIT_NUMBER, used);
	return g_strdup_printf("%s (%s)", text, cell->why);
}

/* "12.3 % of its limit", "? (cannot be read)"; owned by the caller. */
static char *cell_text(const struct use *use, const struct cell *cell, const struct gauge_row *row)
{
	struct number number = number_of(use, cell, row);
	g_autofree char *value = look_format(number.unit, number.value), *what = number.what;
	g_autofree char *unlimited = unlimited_text(cell, row);

	if (cell->kind == CELL_NONE)
		return g_strdup_printf("– (%s)", cell->why);
	if (isnan(number.value))
		return unlimited ? g_steal_pointer(&unlimited) : g_strdup_printf("? (%s)", why_unknown(use, cell));
	if (what)
		return g_strdup_printf("%s %s", what, value);
	return g_strdup_printf("%s %s", value, cell->label);
}

/* ---- outputs ---- */

static void use_print_machine(const struct use *use)
{
	static const struct table_column columns[] = {
		{ "RESOURCE", FALSE },
		{ "UTILISATION", FALSE },
		{ "SATURATION", FALSE },
		{ "ERRORS", FALSE },
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		table_cell_styled(table, rows[i].resource, TABLE_STRONG);
		for (guint j = 0; j < 3; j++) {
			g_autofree char *text = cell_text(use, &rows[i].host[j], NULL);

			table_cell_styled(table, text, strchr("?\342", text[0]) ? TABLE_DIM : TABLE_PLAIN);
		}
	}
	table_print_folded(table, stdout);
}

/* Machine and container, cell by cell. */
static void use_print_both(const struct use *use, const struct gauge_row *row)
{
	static const char *const kinds[] = { "utilisation", "saturation", "errors" };
	const struct table_column columns[] = {
		{ "RESOURCE", FALSE },
		{ "", FALSE },
		{ "HOST", FALSE },
		{ "CONTAINER", FALSE },
	};
	g_autoptr(table_t) table = table_new(columns, G_N_ELEMENTS(columns));
	g_autofree char *safe = text_terminal(row->name);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		for (guint j = 0; j < 3; j++) {
			g_autofree char *host = cell_text(use, &rows[i].host[j], NULL);
			g_autofree char *own = cell_text(use, &rows[i].own[j], row);

			table_cell_styled(table, j ? " " : rows[i].resource, TABLE_STRONG);
			table_cell_styled(table, kinds[j], TABLE_DIM);
			table_cell_styled(table, host, strchr("?\342", host[0]) ? TABLE_DIM : TABLE_PLAIN);
			table_cell_styled(table, own, strchr("?\342", own[0]) ? TABLE_DIM : TABLE_PLAIN);
		}
	}
	table_print_styled(stdout, safe, TABLE_STRONG);
	putchar('\n');
	table_print_folded(table, stdout);
}

static void json_cell(struct json_writer *json, const struct use *use, const char *key, const struct cell *cell,
		      const struct gauge_row *row)
{
	static const char *const units[] = { "number", "share", "per_second", "bytes", "bytes_per_second", "seconds" };
	struct number number = number_of(use, cell, row);

	json_begin_object(json, key);
	json_double(json, "value", number.value); /* NAN: null */
	if (isnan(number.value)) {
		json_string(json, "unknown", why_unknown(use, cell));
	} else {
		json_string(json, "unit", units[number.unit]);
		json_string(json, "of", number.what ? number.what : cell->label);
	}
	json_end_object(json);
	g_free(number.what);
}

static void use_print_json(const struct use *use, const struct gauge_row *row)
{
	static const char *const kinds[] = { "utilisation", "saturation", "errors" };
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	json_string(&json, "container", row ? row->name : NULL);
	json_double(&json, "interval_s", use->seconds);
	json_begin_array(&json, "resources");
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		json_begin_object(&json, NULL);
		json_string(&json, "resource", rows[i].resource);
		json_begin_object(&json, "host");
		for (guint j = 0; j < 3; j++)
			json_cell(&json, use, kinds[j], &rows[i].host[j], NULL);
		json_end_object(&json);
		if (row) {
			json_begin_object(&json, "container");
			for (guint j = 0; j < 3; j++)
				json_cell(&json, use, kinds[j], &rows[i].own[j], row);
			json_end_object(&json);
		}
		json_end_object(&json);
	}
	json_end_array(&json);
	json_end_object(&json);
	puts(out->str);
}

/* Of a container, a unit or another cgroup. */
static const struct gauge_row *use_row(const struct use *use, guint64 key)
{
	const struct gauge_row *row = NULL;

	for (enum gauge_resource kind = GAUGE_RESOURCE_CONTAINER; !row && kind <= GAUGE_RESOURCE_CGROUP; kind++)
		row = gauges_find(use->changes, kind, key, 0);
	return row;
}

/* FALSE when something was asked for and nothing of it could be read. */
static gboolean use_print(const struct use *use)
{
	guint shown = 0;

	for (guint i = 0; i < use->chosen->len; i++) {
		const struct container *container = g_ptr_array_index(use->chosen, i);
		const struct gauge_row *row = use_row(use, container->cgroup_key);

		if (!row)
			continue;
		if (use->json)
			use_print_json(use, row);
		else
			use_print_both(use, row);
		shown++;
	}
	if (shown || use->chosen->len)
		return shown > 0;
	if (use->json)
		use_print_json(use, NULL);
	else
		use_print_machine(use);
	return TRUE;
}

/* ---- running ---- */

/* A reading; owned by the usage. */
static struct gauges *use_read(struct use *use, GError **error)
{
	struct gauges *now = usage_read(use->usage, error);

	if (now) {
		vitals_add(use->vitals, now);
		if (!usage_is_watching(use->usage))
			vitals_add_waits(use->vitals, now);
	}
	return now;
}

static gboolean use_measure(struct use *use, GError **error)
{
	struct pollfd fd = { .fd = measure_stop_fd(), .events = POLLIN };
	struct gauges *now;

	use->before = use_read(use, error);
	use->look = look_new();
	if (use->before)
		poll(&fd, 1, (int)(use->duration_ns / NS_PER_MS));
	measure_signals_restore(fd.fd);
	look_again(use->look);
	use->seconds = use->look->seconds;
	now = use->before ? use_read(use, error) : NULL;
	use->changes = now ? gauges_diff(use->before, now) : NULL;
	return use->changes != NULL;
}

/* source_gauges_fn */
static gboolean use_recorded(void *user, guint64 realtime_ns, guint64 length_ns, struct gauges *changes)
{
	struct use *use = user;

	(void)realtime_ns;
	if (!use->changes)
		use->changes = gauges_new();
	gauges_merge(use->changes, changes);
	use->seconds += (double)length_ns / 1e9;
	return TRUE;
}

/* Of the machine what happened between the first and the last reading of it; beside containers it may be missing. */
static gboolean use_replay_machine(struct use *use, gboolean alone, GError **error)
{
	g_autoptr(GError) missing = NULL;

	use->look = source_look(alone ? error : &missing);
	if (alone && use->look)
		use->seconds = use->look->seconds;
	return use->look || !alone;
}

static int use_replay(struct use *use, char **targets)
{
	g_autoptr(GError) error = NULL;
	gboolean alone = !*targets;

	use->registry = who_registry("use");
	if (use->registry)
		use->chosen = alone ? g_ptr_array_new() : who_choose(use->registry, "use", targets, FALSE);
	if (!use->chosen)
		return EXIT_USAGE;
	if (use_replay_machine(use, alone, &error) &&
	    (alone || (source_each_gauges(use_recorded, use, &error) && use->changes)) && use_print(use))
		return EXIT_OK;
	command_complain("use", "%s", error ? error->message : "the capture holds nothing of what was asked for");
	return EXIT_FAILED;
}

static int use_run(struct use *use, char **targets)
{
	const char *duration = use->duration ? use->duration : USE_DURATION;
	struct usage_options options = { .all = *targets != NULL }; /* a unit or any cgroup may be meant */
	g_autoptr(GError) error = NULL, refused = NULL;

	if (!units_parse_duration(duration, NS_PER_S, &use->duration_ns) || use->duration_ns < USE_DURATION_MIN_NS ||
	    use->duration_ns > USE_DURATION_MAX_NS) {
		command_complain("use", "a duration of \"%s\" makes no sense: give 100ms to 1h", duration);
		return EXIT_USAGE;
	}
	use->registry = who_registry("use");
	if (!use->registry)
		return EXIT_FAILED;
	use->chosen = *targets ? who_choose(use->registry, "use", targets, FALSE) : g_ptr_array_new();
	if (!use->chosen)
		return EXIT_USAGE;
	use->usage = usage_new(use->registry, &options);
	use->vitals = vitals_new(use->registry);
	usage_watch(use->usage, &refused); /* refused: files tell the rest */
	if (!use_measure(use, &error)) {
		command_complain("use", "%s", error->message);
		return EXIT_FAILED;
	}
	if (use_print(use))
		return EXIT_OK;
	command_complain("use", "what was asked for is gone, or has no cgroup files to be read");
	return EXIT_FAILED;
}

int cmd_use(int argc, char **argv)
{
	struct use use = { 0 };
	const GOptionEntry entries[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &use.duration,
		  "How long to look: seconds, or with a unit (default " USE_DURATION ")", "SECONDS" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &use.json, "One JSON object a line for each container", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("[TARGET…]");
	int status;

	g_option_context_set_summary(
		context, "The USE method: utilisation, saturation and errors of every resource, the machine's\n"
			 "and the container's side by side; without a TARGET the machine's.");
	g_option_context_set_description(
		context, "A TARGET is a container's name or id prefix, a pod, a cgroup path, or all.\n");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status)) {
		/* said already */
	} else if (source_capture()) {
		status = use_replay(&use, argv + 1);
	} else if (guest_is_inside()) {
		status = guest_show(&(struct guest_options){ "use", use.duration, .json = use.json });
	} else
		status = use_run(&use, argv + 1);
	look_free(use.look);
	gauges_free(use.changes);
	vitals_free(use.vitals);
	usage_free(use.usage);
	if (use.chosen)
		g_ptr_array_unref(use.chosen);
	registry_free(use.registry);
	g_free(use.duration);
	return status;
}
