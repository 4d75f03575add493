/* SPDX-License-Identifier: Apache-2.0 */
/* fathom diagnose: is it the container, its neighbours or the host? One observation, one diagnosis (diagnose/), in words. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/measure.h"
#include "cli/source.h"
#include "cli/table.h"
#include "container/registry.h"
#include "diagnose/report.h"
#include "observe/checkup.h"

#define DIAGNOSE_DURATION "10"
#define DIAGNOSE_DURATION_MIN_NS NS_PER_S
#define DIAGNOSE_DURATION_MAX_NS (3600 * NS_PER_S)
#define DIAGNOSE_CONFIG_BYTES_MAX (64u << 10)

struct diagnose_command {
	char *duration, *thresholds;
	gboolean json, markdown, files, exit_zero, all, list, quiet, timing;
	guint64 duration_ns;
	struct diagnose_config config;
	GArray *keys; /* cgroup keys of the targets; NULL: all */
	gboolean progress_shown;
};

static gboolean diagnose_load(struct diagnose_command *command, GError **error)
{
	const char *path = command->thresholds ? command->thresholds : DIAGNOSE_CONFIG_PATH;
	g_autofree char *text = NULL;
	gsize length = 0;

	diagnose_config_init(&command->config);
	if (!command->thresholds && access(path, R_OK) != 0)
		return TRUE;
	text = file_read(path, DIAGNOSE_CONFIG_BYTES_MAX, &length, error);
	if (!text)
		return FALSE;
	if (diagnose_config_load(&command->config, text, length, error))
		return TRUE;
	g_prefix_error(error, "%s: ", path);
	return FALSE;
}

static gboolean diagnose_check(struct diagnose_command *command, GError **error)
{
	const char *duration = command->duration ? command->duration : DIAGNOSE_DURATION;

	if (!units_parse_duration(duration, NS_PER_S, &command->duration_ns))
		return command_fail(error, "\"%s\" is not a duration: give seconds (10) or a unit (500ms, 2m)",
				    duration);
	if (command->duration_ns < DIAGNOSE_DURATION_MIN_NS || command->duration_ns > DIAGNOSE_DURATION_MAX_NS)
		return command_fail(error, "a duration of %s is out of range: 1s to 1h", duration);
	if (command->json && command->markdown)
		return command_fail(error, "--json and --markdown exclude each other");
	return diagnose_load(command, error);
}

static gboolean diagnose_targets(struct diagnose_command *command, struct registry *registry, char **names,
				 GError **error)
{
	g_autoptr(GPtrArray) targets = target_array_new();

	for (; *names; names++)
		if (!target_resolve(registry, *names, targets, error))
			return FALSE;
	if (targets->len == 0)
		return TRUE;
	command->keys = g_array_new(FALSE, FALSE, sizeof(guint64));
	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind == TARGET_ALL) {
			g_clear_pointer(&command->keys, g_array_unref);
			return TRUE;
		}
		if (!target->container || !container_is_container(target->container))
			return command_fail(error,
					    "\"%s\" is in no container: fathom host and fathom use look at the machine",
					    target->text);
		g_array_append_val(command->keys, target->container->cgroup_key);
	}
	return TRUE;
}

static void diagnose_progress(void *user, guint64 elapsed_ns, guint64 duration_ns)
{
	struct diagnose_command *command = user;

	if (command->quiet || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\rlooking for %.1f of %.1f s (Ctrl-C ends early) ", (double)elapsed_ns / 1e9,
		(double)duration_ns / 1e9);
	command->progress_shown = TRUE;
}

static int diagnose_report(struct diagnose_command *command, const struct checkup *checkup)
{
	guint64 began_ns = clock_thread_ns();
	g_autoptr(diagnosis_t) diagnosis = diagnose(checkup->whole, checkup->windows, &command->config);
	guint64 took_ns = clock_thread_ns() - began_ns;
	struct report_options options = {
		.snapshot = checkup->whole,
		.refused = checkup->refused,
		.is_files = command->files,
		.bold = isatty(STDOUT_FILENO) && !g_getenv("NO_COLOR"),
		.all = command->all,
		.columns = table_terminal_width(stdout),
	};
	g_autoptr(GString) out = g_string_new(NULL);

	if (command->keys)
		diagnosis_only(diagnosis, command->keys);
	if (command->json) {
		report_json(out, diagnosis, &options);
		g_string_append_c(out, '\n');
	} else if (command->markdown) {
		report_markdown(out, diagnosis, &options);
	} else {
		report_text(out, diagnosis, &options);
	}
	fwrite(out->str, 1, out->len, stdout);
	if (fflush(stdout) != 0 || ferror(stdout))
		return EXIT_INCONCLUSIVE;
	if (command->timing)
		fprintf(stderr,
			"attached in %.0f ms, told %.0f ms after the window, engine %.2f ms of CPU time, %u containers\n",
			(double)checkup->started_ns / 1e6, (double)(clock_monotonic_ns() - checkup->ended_ns) / 1e6,
			(double)took_ns / 1e6, diagnosis->facts->subjects->len);
	if (diagnosis->findings->len)
		return command->exit_zero ? EXIT_OK : EXIT_FAILED;
	return diagnosis_is_conclusive(diagnosis) && checkup->refused->len == 0 ? EXIT_OK : EXIT_INCONCLUSIVE;
}

/* What a capture holds, as if it had been looked at just now; NULL and `error`. */
static struct checkup *diagnose_recorded(GError **error)
{
	GPtrArray *windows = NULL;
	struct snapshot *whole = source_whole(CHECKUP_WINDOWS, &windows, error);
	struct checkup *checkup;

	if (!whole)
		return NULL;
	checkup = g_new0(struct checkup, 1);
	checkup->whole = whole;
	checkup->windows = windows;
	checkup->refused = g_ptr_array_new_with_free_func(g_free);
	return checkup;
}

static int diagnose_measure(struct diagnose_command *command, struct registry *registry, GError **error)
{
	struct checkup_options options = {
		.duration_ns = command->duration_ns,
		.files = command->files,
		.stop_fd = measure_stop_fd(),
		.progress = diagnose_progress,
		.progress_user = command,
	};
	g_autoptr(checkup_t) checkup =
		source_capture() ? diagnose_recorded(error) : checkup_run(registry, &options, error);

	measure_signals_restore(options.stop_fd);
	if (command->progress_shown)
		fprintf(stderr, "\r\033[K");
	return checkup ? diagnose_report(command, checkup) : EXIT_INCONCLUSIVE;
}

static int diagnose_list(const struct diagnose_command *command)
{
	for (guint i = 1; i < THRESHOLDS; i++) {
		const struct threshold_meta *meta = &threshold_metas[i];
		g_autofree char *value = fact_format(meta->unit, command->config.thresholds[i]);

		printf("%-20s %-10s %s\n", meta->name, value,
		       command->config.is_changed[i] ? "as configured" : meta->source);
	}
	return EXIT_OK;
}

static int diagnose_guest(const struct diagnose_command *command)
{
	struct guest_options options = {
		.command = "diagnose",
		.duration = command->duration,
		.json = command->json,
		.markdown = command->markdown,
		.is_diagnosis = TRUE,
		.files = command->files,
	};
	int status = guest_show(&options);

	return status == EXIT_FAILED && command->exit_zero ? EXIT_OK : status;
}

static int diagnose_run(struct diagnose_command *command, char **targets)
{
	g_autoptr(GError) error = NULL;
	struct registry *registry = NULL;
	int status = EXIT_USAGE;

	if (diagnose_check(command, &error)) {
		if (command->list)
			return diagnose_list(command);
		if (guest_is_inside() && !source_capture())
			return diagnose_guest(command);
		registry = source_registry(&error);
		if (registry && diagnose_targets(command, registry, targets, &error))
			status = diagnose_measure(command, registry, &error);
	}
	if (error)
		command_complain("diagnose", "%s", error->message);
	registry_free(registry);
	return status;
}

int cmd_diagnose(int argc, char **argv)
{
	struct diagnose_command command = { 0 };
	const GOptionEntry entries[] = {
		{ "duration", 'd', 0, G_OPTION_ARG_STRING, &command.duration,
		  "How long to look: seconds, or with a unit: 5s, 2m (default " DIAGNOSE_DURATION ")", "SECONDS" },
		{ "files", 0, 0, G_OPTION_ARG_NONE, &command.files,
		  "From files alone, without kernel programs: verdicts on CPU, memory and limits", NULL },
		{ "all", 'a', 0, G_OPTION_ARG_NONE, &command.all, "Also list what was checked when something was found",
		  NULL },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &command.json, "One JSON object", NULL },
		{ "markdown", 0, 0, G_OPTION_ARG_NONE, &command.markdown, "Markdown, to paste into a ticket", NULL },
		{ "exit-zero", 0, 0, G_OPTION_ARG_NONE, &command.exit_zero,
		  "Exit status 0 also when something is found", NULL },
		{ "thresholds", 0, 0, G_OPTION_ARG_FILENAME, &command.thresholds,
		  "Thresholds from this file instead of " DIAGNOSE_CONFIG_PATH, "FILE" },
		{ "list-thresholds", 0, 0, G_OPTION_ARG_NONE, &command.list, "Print all thresholds and end", NULL },
		{ "timing", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &command.timing, "Say how long it took", NULL },
		{ "quiet", 'q', 0, G_OPTION_ARG_NONE, &command.quiet, "No word about what is going on", NULL },
		G_OPTION_ENTRY_NULL,
	};
	g_autoptr(GOptionContext) context = g_option_context_new("[TARGET…]");
	int status;

	g_option_context_set_summary(
		context, "Is it the container, its neighbours or the host? Verdicts with evidence, what would\n"
			 "prove them wrong, and what to do. Exit status: 0 nothing found, 1 a finding,\n"
			 "3 inconclusive.");
	g_option_context_set_description(
		context,
		"A TARGET is a container's name or id prefix, a pod, a pid, a cgroup path, or all (default).\n");
	g_option_context_add_main_entries(context, entries, NULL);
	if (command_parse(context, &argc, &argv, &status))
		status = diagnose_run(&command, argv + 1);
	g_free(command.duration);
	g_free(command.thresholds);
	if (command.keys)
		g_array_unref(command.keys);
	return status;
}
