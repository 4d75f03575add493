/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that can be wrong is found before the measurement: options, targets, the output file. What was measured
 * is never thrown away after it: Ctrl-C ends early with what there is. */
#include "cli/measure.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/own.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/source.h"
#include "container/registry.h"
#include "observe/observe.h"
#include "probe/allowance.h"
#include "probe/probe.h"
#include "render/render.h"
#include "symbol/debuginfod.h"

#define MEASURE_DURATION_MAX_NS (24 * 3600 * NS_PER_S)
#define MEASURE_BUDGET_MIN 0.001 /* per cent */
#define MEASURE_FREQUENCY_MAX_HZ 10000
#define MEASURE_EVERY_MAX 100000
#define MEASURE_SAMPLE_MAX_BYTES (G_GUINT64_CONSTANT(1) << 30)
#define MEASURE_PROGRESS_COLUMNS 30
#define MEASURE_RELEASE_NS (3 * NS_PER_S) /* who was running has been met by then, and read */
#define MEASURE_RELEASE_GROWTH 4
#define MEASURE_HURRY_NICE (-15) /* of 20: some two thirds of a CPU against ten others on it */

struct measure {
	const char *command; /* as typed; the probe may be another: memory --heap */
	const struct probe *probe;
	char *duration, *by, *threshold, *output, *format, *title, *rung;
	char *sample;
	int frequency_hz, every;
	double budget_percent;
	const struct measure_companion *companion; /* NULL: none */
	gboolean user, kernel, cycles, times, waker, inverted, quiet, json, java_map, inlined, lines, debuginfod, heap;
	guint64 duration_ns, threshold_ns, sample_bytes;
	enum observe_by by_what;
	const struct render_format *writer;
	GPtrArray *targets;
	gboolean progress_shown;
	guint64 release_ns; /* since the start: when memory is given back next */
	int nice; /* as we were started */
};

static void measure_clear(struct measure *measure)
{
	g_free(measure->duration);
	g_free(measure->by);
	g_free(measure->threshold);
	g_free(measure->sample);
	g_free(measure->output);
	g_free(measure->format);
	g_free(measure->title);
	g_free(measure->rung);
	if (measure->targets)
		g_ptr_array_unref(measure->targets);
}

static gboolean measure_parse(struct measure *measure, int *argc, char ***argv, int *status)
{
	GOptionEntry common[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &measure->duration,
		  "How long to measure: seconds, or with a unit: 500ms, 2m (default 10)", "SECONDS" },
		{ "by", 0, 0, G_OPTION_ARG_STRING, &measure->by, "Keep apart: container, process (default) or thread",
		  "WHAT" },
		{ "user", 'U', 0, G_OPTION_ARG_NONE, &measure->user, "Only the user half of stacks", NULL },
		{ "kernel", 'K', 0, G_OPTION_ARG_NONE, &measure->kernel, "Only the kernel half of stacks", NULL },
		{ "inline", 0, 0, G_OPTION_ARG_NONE, &measure->inlined,
		  "Also functions inlined into others, where there is debug information", NULL },
		{ "lines", 0, 0, G_OPTION_ARG_NONE, &measure->lines,
		  "Also source files and lines, where there is debug information, and of Python", NULL },
		{ "debuginfod", 0, 0, G_OPTION_ARG_NONE, &measure->debuginfod,
		  "Fetch missing debug files from the servers in DEBUGINFOD_URLS", NULL },
		{ "java-map", 0, 0, G_OPTION_ARG_NONE, &measure->java_map,
		  "Ask Java 17+ for its methods' names: a file and SIGQUIT in its container, as jcmd does", NULL },
		{ "output", 'o', 0, G_OPTION_ARG_FILENAME, &measure->output,
		  "Write a file, format by its suffix (.svg .html .folded .json .pb.gz .speedscope.json); - is stdout",
		  "FILE" },
		{ "format", 0, 0, G_OPTION_ARG_STRING, &measure->format,
		  "Format instead of the suffix's: text svg html folded json pprof speedscope", "NAME" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &measure->json, "The same as --format json", NULL },
		{ "title", 0, 0, G_OPTION_ARG_STRING, &measure->title, "Heading of the picture", "TEXT" },
		{ "inverted", 0, 0, G_OPTION_ARG_NONE, &measure->inverted, "Picture with the root on top (icicle)",
		  NULL },
		{ "rung", 0, 0, G_OPTION_ARG_STRING, &measure->rung, "Attach this way only (see: fathom doctor)",
		  "NAME" },
		{ "budget", 0, 0, G_OPTION_ARG_DOUBLE, &measure->budget_percent,
		  "Share of the machine's CPU time above which fewer stacks are looked at (default 5)", "PERCENT" },
		{ "quiet", 'q', 0, G_OPTION_ARG_NONE, &measure->quiet, "No progress bar", NULL },
		{ NULL },
	};
	GOptionEntry sampling[] = {
		{ "frequency", 'F', 0, G_OPTION_ARG_INT, &measure->frequency_hz,
		  "Samples per second and CPU (default 99)", "HZ" },
		{ "cycles", 0, 0, G_OPTION_ARG_NONE, &measure->cycles,
		  "Sample by CPU cycles where the machine counts them", NULL },
		{ NULL },
	};
	GOptionEntry profiling[] = {
		{ "times", 0, 0, G_OPTION_ARG_NONE, &measure->times,
		  "Keep in JSON when each sample was taken, for heat maps of parts of seconds", NULL },
		{ NULL },
	};
	GOptionEntry faults[] = {
		{ "every", 0, 0, G_OPTION_ARG_INT, &measure->every,
		  "Look at one page fault in so many (default 16): each stands for that many pages", "N" },
		{ "heap", 0, 0, G_OPTION_ARG_NONE, &measure->heap,
		  "What programs allocate instead (uprobes on malloc and its kind), and what they do not free", NULL },
		{ "sample", 0, 0, G_OPTION_ARG_STRING, &measure->sample,
		  "Heap: look at one allocation in so many bytes (default 512k; 1 looks at each)", "BYTES" },
		{ NULL },
	};
	GOptionEntry blocking[] = {
		{ "threshold", 0, 0, G_OPTION_ARG_STRING, &measure->threshold,
		  "Leave out blocked intervals shorter than this, e.g. 1ms", "TIME" },
		{ "waker", 0, 0, G_OPTION_ARG_NONE, &measure->waker, "Also who ended each wait, with its stack", NULL },
		{ NULL },
	};
	g_autoptr(GOptionContext) context = g_option_context_new("[TARGET…]");

	g_option_context_set_summary(context, measure->probe->shows);
	g_option_context_set_description(
		context,
		"A TARGET is a container's name or id prefix, a pod, a pid, web:1 (pid inside), a cgroup\n"
		"path, host, all (default), or busiest (every running container). Several are taken together.\n");
	g_option_context_add_main_entries(context, common, NULL);
	if (measure->probe->unit == UNIT_BYTES)
		g_option_context_add_main_entries(context, faults, NULL);
	else if (strcmp(measure->probe->name, "offcpu") != 0)
		g_option_context_add_main_entries(context, sampling, NULL);
	if (strcmp(measure->probe->name, "profile") == 0)
		g_option_context_add_main_entries(context, profiling, NULL);
	if (strcmp(measure->probe->name, "offcpu") == 0)
		g_option_context_add_main_entries(context, blocking, NULL);
	return command_parse(context, argc, argv, status);
}

gboolean measure_rung_is_known(const struct probe *probe, const char *name, GError **error)
{
	if (!name)
		return TRUE;
	for (const struct rung *rung = probe->rungs; rung->name; rung++)
		if (strcmp(rung->name, name) == 0)
			return TRUE;
	return command_fail(error, "%s has no rung \"%s\": fathom doctor lists them", probe->name, name);
}

gboolean measure_capture_is_writable(const char *what, const char *path, GError **error)
{
	if (!g_str_has_suffix(path, ".json"))
		return command_fail(error, "%s are captured as .json: give -o another name than \"%s\"", what, path);
	return render_output_check(path, error);
}

static gboolean measure_check_heap(struct measure *measure, GError **error)
{
	if (measure->sample && !measure->heap)
		return command_fail(error, "--sample is about allocations: give it with --heap");
	if (measure->heap && measure->every)
		return command_fail(error, "--every is about page faults: with --heap give --sample");
	if (measure->sample && (!units_parse_bytes(measure->sample, &measure->sample_bytes) || !measure->sample_bytes ||
				measure->sample_bytes > MEASURE_SAMPLE_MAX_BYTES))
		return command_fail(error, "\"%s\" is no size to sample by: 1 (each allocation) to 1g",
				    measure->sample);
	return TRUE;
}

static gboolean measure_check(struct measure *measure, GError **error)
{
	static const char *const whats[] = { "container", "process", "thread" };
	const char *duration = measure->duration ? measure->duration : "10";

	if (!units_parse_duration(duration, NS_PER_S, &measure->duration_ns))
		return command_fail(error, "\"%s\" is not a duration: give seconds (10) or a unit (500ms, 2m)",
				    duration);
	if (measure->duration_ns < 10 * NS_PER_MS || measure->duration_ns > MEASURE_DURATION_MAX_NS)
		return command_fail(error, "a duration of %s is out of range: 10ms to 24h", duration);
	if (measure->frequency_hz < 1 || measure->frequency_hz > MEASURE_FREQUENCY_MAX_HZ)
		return command_fail(error, "a frequency of %d Hz is out of range: 1 to %d", measure->frequency_hz,
				    MEASURE_FREQUENCY_MAX_HZ);
	if (measure->budget_percent < MEASURE_BUDGET_MIN || measure->budget_percent > 100)
		return command_fail(error, "a budget of %g %% is out of range: %g to 100", measure->budget_percent,
				    MEASURE_BUDGET_MIN);
	if (measure->every < 0 || measure->every > MEASURE_EVERY_MAX)
		return command_fail(error, "one page fault in %d makes no sense: 1 to %d", measure->every,
				    MEASURE_EVERY_MAX);
	if (measure->threshold && !units_parse_duration(measure->threshold, NS_PER_S, &measure->threshold_ns))
		return command_fail(error, "\"%s\" is not a time: give e.g. 1ms", measure->threshold);
	if (measure->user && measure->kernel)
		return command_fail(error, "--user and --kernel exclude each other; without both you get both halves");
	if (measure->debuginfod && !debuginfod_is_configured())
		return command_fail(error, "--debuginfod needs DEBUGINFOD_URLS, the servers to ask (with sudo: "
					   "--preserve-env=DEBUGINFOD_URLS)");
	if (!measure_check_heap(measure, error))
		return FALSE;
	measure->by_what = OBSERVE_BY_PROCESS;
	if (measure->by) {
		guint i = 0;

		while (i < G_N_ELEMENTS(whats) && strcmp(measure->by, whats[i]) != 0)
			i++;
		if (i == G_N_ELEMENTS(whats))
			return command_fail(error, "--by %s is not known: container, process or thread", measure->by);
		measure->by_what = (enum observe_by)i;
	}
	if (!measure_rung_is_known(measure->probe, measure->rung, error))
		return FALSE;
	if (measure->json && measure->format)
		return command_fail(error, "--json and --format exclude each other");
	measure->writer =
		render_format_choose(measure->json ? "json" : measure->format, measure->output, "text", error);
	return measure->writer && (!measure->output || render_output_check(measure->output, error));
}

static gboolean measure_targets(struct measure *measure, struct registry *registry, char **names, GError **error)
{
	measure->targets = target_array_new();
	if (!observe_targets(registry, names, measure->targets, error))
		return FALSE;
	for (guint i = 0; measure->heap && i < measure->targets->len; i++)
		if (((const struct target *)g_ptr_array_index(measure->targets, i))->kind == TARGET_ALL)
			return command_fail(error,
					    "say whose heap: breakpoints in every allocator of the machine are too "
					    "many");
	return TRUE;
}

static void measure_show_progress(struct measure *measure, guint64 elapsed_ns, guint64 duration_ns)
{
	guint done = (guint)(elapsed_ns * MEASURE_PROGRESS_COLUMNS / duration_ns);

	fprintf(stderr, "\r%s [", measure->probe->name);
	for (guint i = 0; i < MEASURE_PROGRESS_COLUMNS; i++)
		fputs(i < done ? "=" : " ", stderr);
	fprintf(stderr, "] %.1f of %.1f s  (Ctrl-C ends early) ", (double)elapsed_ns / 1e9, (double)duration_ns / 1e9);
	measure->progress_shown = TRUE;
}

static void measure_progress(void *user, guint64 elapsed_ns, guint64 duration_ns)
{
	struct measure *measure = user;

	if (measure->companion)
		measure->companion->tick(measure->companion->user);
	if (elapsed_ns >= measure->release_ns) {
		own_release();
		measure->release_ns *= MEASURE_RELEASE_GROWTH;
	}
	if (!measure->quiet && isatty(STDERR_FILENO))
		measure_show_progress(measure, elapsed_ns, duration_ns);
}

gboolean measure_last_is_told(const struct snapshot *last, const struct shape *shape, guint64 interval_ns)
{
	return last->duration_ns > interval_ns / 2 || !shape_is_empty(shape);
}

/* Ctrl-C and SIGTERM become a readable descriptor; -1 when that fails (then they end the program as usual). */
int measure_stop_fd(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -1;
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

void measure_signals_restore(int stop_fd)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (stop_fd >= 0) {
		struct signalfd_siginfo swallowed;

		while (read(stop_fd, &swallowed, sizeof(swallowed)) > 0)
			;
		close(stop_fd);
	}
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

/* Somebody waits: for the measurement to begin, and for its result when it is over. On a crowded machine each turn of that
 * would be long: go first, for the few hundredths of a second of CPU that it takes. Refused: then not. */
static void measure_hurry(void *user)
{
	const struct itimerval never = { 0 };

	(void)user;
	setitimer(ITIMER_REAL, &never, NULL);
	setpriority(PRIO_PROCESS, 0, MEASURE_HURRY_NICE);
}

/* Handler of SIGALRM: the time is over. */
static void measure_due(int number)
{
	(void)number;
	setpriority(PRIO_PROCESS, 0, MEASURE_HURRY_NICE);
}

/* While it measures, the program takes its turn as it was told to. The end may find it in the middle of something, say a large
 * program's tables: where forty others want the CPU, a quarter of a second of that is five. So it hurries from then on, wherever
 * it is. */
static void measure_calm(void *user)
{
	const struct measure *measure = user;
	const struct sigaction due = { .sa_handler = measure_due, .sa_flags = SA_RESTART };
	const struct itimerval end = {
		.it_value = { .tv_sec = (time_t)(measure->duration_ns / NS_PER_S),
			      .tv_usec = (suseconds_t)(measure->duration_ns % NS_PER_S / NS_PER_US) },
	};

	setpriority(PRIO_PROCESS, 0, measure->nice);
	if (sigaction(SIGALRM, &due, NULL) == 0)
		setitimer(ITIMER_REAL, &end, NULL);
}

static struct snapshot *measure_observe(struct measure *measure, struct registry *registry, GError **error)
{
	struct observe_options options = {
		.probe = measure->probe,
		.targets = measure->targets,
		.duration_ns = measure->duration_ns,
		.by = measure->by_what,
		.frequency_hz = strcmp(measure->probe->name, "offcpu") == 0 || measure->probe->unit == UNIT_BYTES
					? 0
					: (guint32)measure->frequency_hz,
		.every = (guint32)measure->every,
		.budget_share = measure->budget_percent / 100,
		.sample_bytes = measure->sample_bytes,
		.cycles = measure->cycles,
		.moments = measure->times,
		.no_user = measure->kernel,
		.no_kernel = measure->user,
		.waker = measure->waker,
		.threshold_ns = measure->threshold_ns,
		.java_map = measure->java_map,
		.inlined = measure->inlined,
		.lines = measure->lines,
		.debuginfod = measure->debuginfod,
		.rung = measure->rung,
		.stop_fd = measure_stop_fd(),
		.progress = measure_progress,
		.progress_user = measure,
		.started = measure_calm,
		.ended = measure_hurry,
	};
	struct snapshot *snapshot;

	if (measure->companion)
		measure->companion->begin(measure->companion->user, registry, measure->targets);
	snapshot = source_observe(registry, &options, error);
	if (measure->companion && snapshot)
		measure->companion->end(measure->companion->user, snapshot);
	measure_signals_restore(options.stop_fd);
	if (measure->progress_shown)
		fprintf(stderr, "\r\033[K");
	return snapshot;
}

static int measure_write(struct measure *measure, struct snapshot *snapshot)
{
	const struct shape *shape = snapshot_find(snapshot, measure->probe->shape);
	struct render_options options = { .title = measure->title, .inverted = measure->inverted };
	g_autoptr(GError) error = NULL;

	if (!measure->output)
		render_options_for_terminal(&options);
	if (!render_write_file(snapshot, measure->writer, &options, measure->output ? measure->output : "-", &error)) {
		command_complain(measure->command, "%s", error->message);
		return EXIT_FAILED;
	}
	if (measure->companion && !measure->output && strcmp(measure->writer->name, "text") == 0)
		measure->companion->print(measure->companion->user);
	if (measure->output && strcmp(measure->output, "-") != 0)
		fprintf(stderr, "wrote %s\n", measure->output);
	if (!ledger_is_conclusive(&shape->ledger)) {
		command_complain(measure->command,
				 "inconclusive: only %.1f %% of what happened is in this result (see its ledger)",
				 100 * ledger_coverage(&shape->ledger));
		return EXIT_INCONCLUSIVE;
	}
	return EXIT_OK;
}

static int measure_run(struct measure *measure, char **names)
{
	g_autoptr(GError) error = NULL;
	struct registry *registry = NULL;
	struct snapshot *snapshot = NULL;
	int status = EXIT_USAGE;

	measure_hurry(measure);
	if (measure_check(measure, &error) && source_need_bpf(measure->command) &&
	    (registry = source_registry(&error)) && measure_targets(measure, registry, names, &error)) {
		snapshot = measure_observe(measure, registry, &error);
		status = snapshot ? measure_write(measure, snapshot) : EXIT_FAILED;
	}
	if (error)
		command_complain(measure->command, "%s", error->message);
	snapshot_free(snapshot);
	registry_free(registry);
	return status;
}

int measure_main(const char *probe, int argc, char **argv)
{
	return measure_main_with(probe, NULL, argc, argv);
}

int measure_main_with(const char *probe, const struct measure_companion *companion, int argc, char **argv)
{
	struct measure measure = {
		.command = probe,
		.probe = probe_find(probe),
		.frequency_hz = 99,
		.budget_percent = 100 * ALLOWANCE_SHARE,
		.companion = companion,
		.release_ns = MEASURE_RELEASE_NS,
	};
	int status;

	measure.nice = getpriority(PRIO_PROCESS, 0);
	if (!measure.probe) {
		command_complain(probe, "this build has no such probe");
		return EXIT_FAILED;
	}
	if (measure_parse(&measure, &argc, &argv, &status)) {
		if (measure.heap)
			measure.probe = probe_find("heap");
		status = measure_run(&measure, argv + 1);
	}
	measure_clear(&measure);
	return status;
}
