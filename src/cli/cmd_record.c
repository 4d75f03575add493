/* SPDX-License-Identifier: Apache-2.0 */
/* fathom record: everything the agent watches, and stacks, second by second into a capture file. */
#include <glib-unix.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/units.h"
#include "cli/command.h"
#include "observe/look_kept.h"
#include "observe/observe.h"
#include "observe/usage.h"
#include "render/render.h"
#include "serve/live.h"
#include "store/capture.h"

#define RECORD_TICK_NS NS_PER_S
#define RECORD_TICK_MIN_NS (RECORD_TICK_NS / 4) /* a second of which less is left belongs to the next */
#define RECORD_NICE (-10) /* an interval ends in time where all others want the CPU, too */
/* Stacks of programs that come and go add up: from so much memory on they are written, and begun anew, at most once in so long. */
#define RECORD_MEMORY_MIB 256
#define RECORD_MEMORY_MIB_MAX (1 << 20)
#define RECORD_ANEW_NS (20 * NS_PER_S)
#define RECORD_TRIM_TICKS 10
#define RECORD_REST_MIN_NS (50 * NS_PER_MS)
#define RECORD_DURATION_MAX_NS (24 * 3600 * NS_PER_S)
#define RECORD_FREQUENCY_HZ 99

/* What is observed besides what the agent watches always. */
static const struct aside {
	const char *probe;
	enum observe_by by;
	gboolean has_stacks; /* --no-stacks leaves it out */
	gboolean is_taken; /* each second; else what gathered over the whole time is the file's last segment */
} asides[] = {
	{ "profile", OBSERVE_BY_PROCESS, TRUE, FALSE },	    { "offcpu", OBSERVE_BY_PROCESS, TRUE, FALSE },
	{ "memory", OBSERVE_BY_PROCESS, TRUE, FALSE },	    { "cache", OBSERVE_BY_CONTAINER, FALSE, FALSE },
	{ "resolvers", OBSERVE_BY_CONTAINER, FALSE, TRUE },
};

struct watched {
	const struct aside *aside;
	struct observation *observation; /* NULL: refused */
	guint ready, tick; /* sources; 0: none */
};

struct record {
	char *output, *duration;
	gboolean no_stacks, no_bpf, quiet;
	int frequency_hz, memory_mib;
	guint64 duration_ns; /* 0: until told to stop */
	guint64 start_ns;
	GMainLoop *loop;
	struct live *live;
	struct reel *reel;
	struct capture_writer *writer;
	struct watched watched[G_N_ELEMENTS(asides)];
	struct observe_lore *lore; /* theirs */
	struct usage *processes;
	gboolean has_processes; /* they were read before: now what they did since is known */
	double look_s; /* of the reading of the machine that was written last */
	GPtrArray *targets;
	gint64 written_ms;
	guint64 read_ns; /* when the interval that runs began */
	guint intervals;
	guint tick; /* source */
	guint64 longest_ns; /* of all intervals */
	guint64 anew_ns; /* when the stacks were begun anew last */
	guint anew; /* how often */
	GError *error;
};

static gboolean record_check(struct record *record, GError **error)
{
	if (record->duration && !units_parse_duration(record->duration, NS_PER_S, &record->duration_ns))
		return command_fail(error, "\"%s\" is not a duration: give seconds (10) or a unit (500ms, 2m)",
				    record->duration);
	if (record->duration && (record->duration_ns < NS_PER_S || record->duration_ns > RECORD_DURATION_MAX_NS))
		return command_fail(error, "a duration of %s is out of range: 1s to 24h", record->duration);
	if (record->frequency_hz < 1 || record->frequency_hz > 1000)
		return command_fail(error, "a frequency of %d Hz is out of range: 1 to 1000", record->frequency_hz);
	if (record->memory_mib < 1 || record->memory_mib > RECORD_MEMORY_MIB_MAX)
		return command_fail(error, "--memory-mib of %d is out of range: 1 to %d", record->memory_mib,
				    RECORD_MEMORY_MIB_MAX);
	if (!record->output)
		return command_fail(error, "say where to: --output FILE" CAPTURE_SUFFIX);
	return render_output_check(record->output, error);
}

/* reel_packed_fn */
static void record_frame(void *user, gint64 time_ms, const guint8 *bytes, gsize length)
{
	struct record *record = user;

	record->written_ms = time_ms;
	record->intervals++;
	if (!record->error)
		capture_append(record->writer, time_ms, bytes, length, &record->error);
}

static void record_segment(struct record *record, gint64 time_ms, const struct snapshot *snapshot)
{
	if (!record->error)
		capture_append_snapshot(record->writer, time_ms, snapshot, &record->error);
}

/* Before the interval they are of, which says that it is over. */
static void record_taken(struct record *record)
{
	gint64 now_ms = (gint64)(clock_realtime_ns() / NS_PER_MS);

	for (guint i = 0; i < G_N_ELEMENTS(asides); i++) {
		struct watched *watched = &record->watched[i];
		g_autoptr(snapshot_t) snapshot = NULL;

		if (!watched->observation || !asides[i].is_taken)
			continue;
		snapshot = observation_take(watched->observation, NULL);
		if (snapshot && !shape_is_empty(g_ptr_array_index(snapshot->shapes, 0)))
			record_segment(record, now_ms, snapshot);
	}
}

/* look_owner_fn */
static const char *owner_of(void *user, guint32 pid)
{
	const struct container *owner = registry_by_pid(user, pid, 0);

	return owner && container_is_container(owner) ? owner->name : NULL;
}

/* The machine as it was read last, once, and who used its CPUs since the reading before. */
static void record_look(struct record *record, gint64 time_ms)
{
	const struct look *look = live_looked(record->live);
	g_autoptr(snapshot_t) snapshot = NULL;
	g_autoptr(gauges_t) processes = NULL;
	struct events *events;

	if (!look || look->read_s <= record->look_s)
		return;
	record->look_s = look->read_s;
	snapshot = look_keep_snapshot((guint64)time_ms * NS_PER_MS, look->now);
	events = snapshot_find(snapshot, SHAPE_EVENTS)->events;
	processes = gauges_new();
	if (usage_processes(record->processes, 0, FALSE, processes, NULL) && record->has_processes)
		look_keep_processes(events, snapshot->start_realtime_ns, processes, owner_of,
				    live_registry(record->live));
	record->has_processes = TRUE;
	record_segment(record, time_ms, snapshot);
}

static void record_interval(struct record *record)
{
	guint64 began_ns = record->read_ns;

	record_taken(record);
	record->read_ns = clock_monotonic_ns();
	record->longest_ns = MAX(record->longest_ns, record->read_ns - began_ns);
	if (live_tick(record->live, record->error ? NULL : &record->error)) {
		reel_each_packed(record->reel, record->written_ms, G_MAXINT64, record_frame, record);
		record_look(record, record->written_ms);
	}
}

/* What came after the last whole interval, unless it is next to nothing. */
static void record_rest(struct record *record)
{
	if (!record->error && clock_monotonic_ns() - record->read_ns >= RECORD_REST_MIN_NS)
		record_interval(record);
}

/* GSourceFunc of signals. */
static gboolean record_stop(gpointer data)
{
	g_main_loop_quit(((struct record *)data)->loop);
	return G_SOURCE_CONTINUE;
}

/* From one of its sources, which ends when the probe fails. */
static gboolean watched_drain(struct watched *watched, guint *source)
{
	if (observation_drain(watched->observation, NULL))
		return G_SOURCE_CONTINUE;
	*source = 0;
	return G_SOURCE_REMOVE;
}

/* GUnixFDSourceFunc */
static gboolean watched_ready(gint fd, GIOCondition condition, gpointer data)
{
	struct watched *watched = data;

	(void)fd;
	(void)condition;
	return watched_drain(watched, &watched->ready);
}

/* GSourceFunc: processes that end soon are looked at while they live. */
static gboolean watched_tick(gpointer data)
{
	struct watched *watched = data;

	return watched_drain(watched, &watched->tick);
}

static void watched_start(struct record *record, struct watched *watched, const struct aside *aside)
{
	const struct observe_options options = {
		.probe = probe_find(aside->probe),
		.targets = record->targets,
		.by = aside->by,
		.frequency_hz = strcmp(aside->probe, "profile") == 0 ? (guint32)record->frequency_hz : 0,
		.stop_fd = -1,
		.lore = record->lore,
	};
	g_autoptr(GError) error = NULL;
	guint tick_ms;

	watched->aside = aside;
	watched->observation = observation_open(live_registry(record->live), &options, &error);
	if (!watched->observation) {
		command_complain("record", "%s is left out: %s", aside->probe, error->message);
		return;
	}
	tick_ms = observation_tick_ms(watched->observation);
	if (observation_fd(watched->observation) >= 0)
		watched->ready = g_unix_fd_add(observation_fd(watched->observation), G_IO_IN, watched_ready, watched);
	if (tick_ms)
		watched->tick = g_timeout_add(tick_ms, watched_tick, watched);
}

/* What gathered over the whole time is the last segment's. */
static void watched_end(struct record *record, struct watched *watched)
{
	g_autoptr(snapshot_t) snapshot = NULL;
	g_autoptr(GError) error = NULL;

	if (!watched->observation)
		return;
	if (watched->ready)
		g_source_remove(watched->ready);
	if (watched->tick)
		g_source_remove(watched->tick);
	snapshot = observation_finish(watched->observation, &error);
	observation_close(watched->observation);
	*watched = (struct watched){ .aside = watched->aside };
	if (!snapshot) {
		command_complain("record", "%s is left out: %s", watched->aside->probe, error->message);
		return;
	}
	record_segment(record, MAX(record->written_ms, 1), snapshot);
}

static void asides_start(struct record *record)
{
	record->lore = observe_lore_new();
	record->anew_ns = clock_monotonic_ns();
	for (guint i = 0; i < G_N_ELEMENTS(asides) && !record->no_bpf; i++)
		if (!asides[i].has_stacks || !record->no_stacks)
			watched_start(record, &record->watched[i], &asides[i]);
}

static void asides_end(struct record *record)
{
	for (guint i = 0; i < G_N_ELEMENTS(asides); i++)
		watched_end(record, &record->watched[i]);
	g_clear_pointer(&record->lore, observe_lore_free);
}

/* What happens between the two is in no stack; a reader sees it by the segments' times. */
static void record_bound(struct record *record)
{
	if (own_resident_bytes() < (guint64)record->memory_mib << 20 ||
	    clock_monotonic_ns() - record->anew_ns < RECORD_ANEW_NS)
		return;
	asides_end(record);
	malloc_trim(0);
	asides_start(record);
	record->anew++;
}

static gboolean record_tick(gpointer data);

/* Intervals end at whole seconds since the start: one that ended late is followed by a shorter one. */
static void record_schedule(struct record *record)
{
	guint64 now_ns = clock_monotonic_ns();
	guint64 left_ns = RECORD_TICK_NS - (now_ns - record->start_ns) % RECORD_TICK_NS;

	if (left_ns < RECORD_TICK_MIN_NS)
		left_ns += RECORD_TICK_NS;
	record->tick = g_timeout_add((guint)((left_ns + NS_PER_MS - 1) / NS_PER_MS), record_tick, record);
}

/* GSourceFunc: one interval is over. */
static gboolean record_tick(gpointer data)
{
	struct record *record = data;

	record_interval(record);
	if (record->intervals % RECORD_TRIM_TICKS == 0) {
		malloc_trim(0); /* programs that come and go leave the heap in pieces */
		record_bound(record);
	}
	if (!record->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%u s, %.1f MiB (Ctrl-C ends) ", record->intervals,
			(double)capture_written(record->writer) / (1 << 20));
	if (record->error || (record->duration_ns && clock_monotonic_ns() - record->start_ns >= record->duration_ns))
		g_main_loop_quit(record->loop);
	record_schedule(record);
	return G_SOURCE_REMOVE;
}

static gboolean record_open(struct record *record, struct history *history, GError **error)
{
	const struct live_options options = {
		.no_bpf = record->no_bpf, .no_profile = TRUE, .no_offcpu = TRUE, .exported_max = 1
	};

	record->live = live_new(&options, history, record->reel, error);
	if (!record->live)
		return FALSE;
	for (guint i = 0; i < LIVE_PARTS; i++) {
		const struct live_part_status *part = live_part(record->live, (enum live_part)i);

		if (part->state == LIVE_REFUSED)
			command_complain("record", "%s is left out: %s", part->name, part->why);
	}
	record->targets = target_array_new();
	if (!target_resolve(live_registry(record->live), "all", record->targets, error))
		return FALSE;
	record->writer = capture_create(record->output, error);
	return record->writer != NULL;
}

static void record_loop(struct record *record)
{
	guint sources[2];

	setpriority(PRIO_PROCESS, 0, MIN(RECORD_NICE, getpriority(PRIO_PROCESS, 0))); /* if it may */
	asides_start(record);
	record->loop = g_main_loop_new(NULL, FALSE);
	record->start_ns = clock_monotonic_ns();
	record->read_ns = record->start_ns;
	live_tick(record->live, NULL); /* the first reading: intervals begin here */
	record->processes = usage_new(live_registry(record->live), &(struct usage_options){ .no_bpf = TRUE });
	sources[0] = g_unix_signal_add(SIGINT, record_stop, record);
	sources[1] = g_unix_signal_add(SIGTERM, record_stop, record);
	record_schedule(record);
	g_main_loop_run(record->loop);
	g_source_remove(record->tick);
	for (guint i = 0; i < G_N_ELEMENTS(sources); i++)
		g_source_remove(sources[i]);
	g_main_loop_unref(record->loop);
	record_rest(record);
	live_look(record->live); /* so that there are two of them, however short it was */
	if (record->written_ms)
		record_look(record, record->written_ms);
	asides_end(record);
	if (!record->quiet && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* What it has; and where intervals were not a second, how long they were. */
static void record_say(const struct record *record, guint64 bytes)
{
	g_autofree char *size = units_bytes(bytes);

	fprintf(stderr, "wrote %s: %u intervals, %s\n", record->output, record->intervals, size);
	if (record->longest_ns > RECORD_TICK_NS + RECORD_TICK_MIN_NS)
		fprintf(stderr,
			"the longest interval took %.1f s instead of 1, since the recorder had no CPU in time: all that "
			"happened is in it, but not when\n",
			(double)record->longest_ns / (double)NS_PER_S);
	if (record->anew)
		fprintf(stderr,
			"stacks were written and begun anew %u times, lest they take too much memory: each time some tenths "
			"of a second are in none\n",
			record->anew);
}

static int record_run(struct record *record)
{
	struct history *history = history_new(NULL);
	g_autoptr(GError) error = NULL;
	int status = EXIT_FAILED;

	record->reel = reel_new(NULL, REEL_SECONDS);
	history_set_minutes(history, 1); /* nobody asks: all is written at once */
	reel_set_minutes(record->reel, 1);
	if (record_open(record, history, &error)) {
		guint64 bytes;

		record_loop(record);
		bytes = capture_written(record->writer);
		if (record->error)
			g_propagate_error(&error, g_steal_pointer(&record->error));
		if (capture_close(record->writer, error ? NULL : &error) && !error) {
			if (!record->quiet)
				record_say(record, bytes);
			status = EXIT_OK;
		}
	}
	if (error)
		command_complain("record", "%s", error->message);
	usage_free(record->processes);
	live_free(record->live);
	reel_free(record->reel);
	history_free(history);
	if (record->targets)
		g_ptr_array_unref(record->targets);
	return status;
}

int cmd_record(int argc, char **argv)
{
	struct record record = { .frequency_hz = RECORD_FREQUENCY_HZ, .memory_mib = RECORD_MEMORY_MIB };
	const GOptionEntry entries[] = {
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &record.output, "The capture file to write", "FILE" },
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &record.duration,
		  "How long: seconds, or with a unit: 30s, 2m (default: until Ctrl-C)", "SECONDS" },
		{ "frequency", 'F', 0, G_OPTION_ARG_INT, &record.frequency_hz,
		  "Stacks of running threads: samples per second and CPU (default 99)", "HZ" },
		{ "memory-mib", 0, 0, G_OPTION_ARG_INT, &record.memory_mib,
		  "Memory from which on stacks are written and begun anew (default 256)", "MIB" },
		{ "no-stacks", 0, 0, G_OPTION_ARG_NONE, &record.no_stacks, "No stacks: smaller, and cheaper", NULL },
		{ "no-bpf", 0, 0, G_OPTION_ARG_NONE, &record.no_bpf, "From files alone, without kernel programs",
		  NULL },
		{ "quiet", 'q', 0, G_OPTION_ARG_NONE, &record.quiet, "No word about what is going on", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	int status;

	g_option_context_set_summary(
		context, "Records what happens on this machine, second by second: what containers use, their\n"
			 "connections, latencies, events and stacks. fathom replay shows it, on any machine.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (command_parse(context, &argc, &argv, &status)) {
		status = EXIT_USAGE;
		if (argc > 1)
			command_complain("record", "everybody is recorded: name \"%s\" to fathom replay", argv[1]);
		else if (!record_check(&record, &error))
			command_complain("record", "%s", error->message);
		else if (record.no_bpf || command_need_bpf("record"))
			status = record_run(&record);
	}
	g_free(record.output);
	g_free(record.duration);
	return status;
}
