/* SPDX-License-Identifier: Apache-2.0 */
/* fathom serve: the agent, until it is told to stop. */
#include <stdio.h>
#include <string.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/source.h"
#include "serve/agent.h"

#define SERVE_CONFIG "/etc/fathom.conf"

struct serve {
	char *config_path; /* NULL: SERVE_CONFIG where it exists */
	char *scratch; /* of a capture: where its tokens are while it is shown; NULL: none, or --state */
	struct config given; /* on the command line; texts NULL, numbers -1 when not */
};

static gboolean serve_parse(struct serve *serve, int *argc, char ***argv, int *status)
{
	struct config *given = &serve->given;
	const GOptionEntry entries[] = {
		{ "config", 'c', 0, G_OPTION_ARG_FILENAME, &serve->config_path,
		  "Settings (default " SERVE_CONFIG " where it exists)", "FILE" },
		{ "listen", 'l', 0, G_OPTION_ARG_STRING, &given->listen,
		  "Where to answer: 127.0.0.1:7070 (default), [::1]:7070, port 0 for any, or none", "ADDRESS:PORT" },
		{ "socket", 's', 0, G_OPTION_ARG_FILENAME, &given->socket,
		  "Unix socket (default " CONFIG_SOCKET "), or none", "PATH" },
		{ "state", 0, 0, G_OPTION_ARG_FILENAME, &given->state,
		  "Directory for tokens and history (default " CONFIG_STATE ")", "DIRECTORY" },
		{ "allow-host", 0, 0, G_OPTION_ARG_STRING_ARRAY, &given->allow_hosts,
		  "Another name by which this machine is asked; may be repeated", "NAME" },
		{ "tls-certificate", 0, 0, G_OPTION_ARG_FILENAME, &given->tls_certificate, "Speak TLS (PEM)", "FILE" },
		{ "tls-key", 0, 0, G_OPTION_ARG_FILENAME, &given->tls_key, "Its key (PEM)", "FILE" },
		{ "no-bpf", 0, 0, G_OPTION_ARG_NONE, &given->no_bpf, "From files alone, without kernel programs",
		  NULL },
		{ "names", 0, 0, G_OPTION_ARG_NONE, &given->names,
		  "Peers outside by what DNS told the container (two ports of every packet are looked at)", NULL },
		{ "off", 0, 0, G_OPTION_ARG_STRING_ARRAY, &given->off,
		  "A part that is not watched: profile, offcpu, fs, dns, exec, connections, block, runq, oom; may be repeated",
		  "PART" },
		{ "profile-seconds", 0, 0, G_OPTION_ARG_INT, &given->profile_seconds,
		  "Length of a window of sampled stacks (default 60); 0: none", "SECONDS" },
		{ "offcpu-seconds", 0, 0, G_OPTION_ARG_INT, &given->offcpu_seconds,
		  "Length of a window of stacks of blocked threads, at most (default 10); 0: none", "SECONDS" },
		{ "offcpu-percent", 0, 0, G_OPTION_ARG_DOUBLE, &given->offcpu_percent,
		  "Of one core that these windows may take on average (default 0.1): it says how often there is one",
		  "PERCENT" },
		{ "metrics-containers", 0, 0, G_OPTION_ARG_INT, &given->exported_containers,
		  "Containers with labels of their own in /metrics (default 200); more are \"other\"", "N" },
		{ "history-mib", 0, 0, G_OPTION_ARG_INT, &given->history_mib,
		  "Room for history on disk (default 256); 0: in memory only", "MIB" },
		{ "memory-minutes", 0, 0, G_OPTION_ARG_INT, &given->memory_minutes,
		  "Of history that stand in memory where none is on disk (default 15)", "MINUTES" },
		{ "cpu-percent", 0, 0, G_OPTION_ARG_DOUBLE, &given->cpu_percent,
		  "Of one CPU that the agent may take before it sheds probes (default 1); 0: no bound", "PERCENT" },
		{ "memory-mib", 0, 0, G_OPTION_ARG_INT, &given->memory_mib, "Likewise its memory (default 40)", "MIB" },
		{ "map-mib", 0, 0, G_OPTION_ARG_INT, &given->map_mib, "Likewise its kernel maps (default 32)", "MIB" },
		{ "capture-mib", 0, 0, G_OPTION_ARG_INT, &given->capture_mib,
		  "Of a capture (fathom replay FILE serve): so much of each kind is held in memory (default 512)",
		  "MIB" },
		{ "trigger", 0, 0, G_OPTION_ARG_STRING_ARRAY, &given->triggers,
		  "When the flight recorder keeps the minutes before: throttling=0.5/10, block-latency=50ms/5, oom=off …; may be "
		  "repeated",
		  "NAME=BOUND[/READINGS]" },
		{ NULL },
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);

	*given = (struct config){ .profile_seconds = -1,
				  .offcpu_seconds = -1,
				  .offcpu_percent = -1,
				  .exported_containers = -1,
				  .history_mib = -1,
				  .memory_minutes = -1,
				  .cpu_percent = -1,
				  .memory_mib = -1,
				  .map_mib = -1,
				  .capture_mib = -1 };
	g_option_context_set_summary(context,
				     "The agent: what each container uses and loses, always on; with history, a web "
				     "page,\nan API and Prometheus metrics.");
	g_option_context_add_main_entries(context, entries, NULL);
	return command_parse(context, argc, argv, status);
}

static void take_text(char **into, const char *given)
{
	if (!given)
		return;
	g_free(*into);
	*into = g_strdup(given);
}

/* After those of the file, so that they win. */
static void take_triggers(struct config *config, const struct config *given)
{
	g_autoptr(GStrvBuilder) all = g_strv_builder_new();

	if (config->triggers)
		g_strv_builder_addv(all, (const char **)config->triggers);
	if (given->triggers)
		g_strv_builder_addv(all, (const char **)given->triggers);
	g_strfreev(config->triggers);
	config->triggers = g_strv_builder_end(all);
}

/* What was given wins over the file. */
static void serve_override(struct config *config, const struct config *given)
{
	take_text(&config->listen, given->listen);
	take_text(&config->socket, given->socket);
	take_text(&config->state, given->state);
	take_text(&config->tls_certificate, given->tls_certificate);
	take_text(&config->tls_key, given->tls_key);
	config->no_bpf = config->no_bpf || given->no_bpf;
	config->names = config->names || given->names;
	if (given->off) {
		g_strfreev(config->off);
		config->off = g_strdupv(given->off);
	}
	if (given->allow_hosts) {
		g_strfreev(config->allow_hosts);
		config->allow_hosts = g_strdupv(given->allow_hosts);
	}
	if (given->profile_seconds != -1)
		config->profile_seconds = given->profile_seconds;
	if (given->offcpu_seconds != -1)
		config->offcpu_seconds = given->offcpu_seconds;
	if (given->offcpu_percent != -1)
		config->offcpu_percent = given->offcpu_percent;
	if (given->exported_containers != -1)
		config->exported_containers = given->exported_containers;
	if (given->history_mib != -1)
		config->history_mib = given->history_mib;
	if (given->memory_minutes != -1)
		config->memory_minutes = given->memory_minutes;
	if (given->cpu_percent != -1)
		config->cpu_percent = given->cpu_percent;
	if (given->memory_mib != -1)
		config->memory_mib = given->memory_mib;
	if (given->map_mib != -1)
		config->map_mib = given->map_mib;
	if (given->capture_mib != -1)
		config->capture_mib = given->capture_mib;
	take_triggers(config, given);
}

/* Below `fathom replay` the capture is shown: no rights are needed, so nothing lies where only root may write. */
static void serve_replay(const struct serve *serve, struct config *config)
{
	if (!source_capture())
		return;
	take_text(&config->capture, source_capture());
	source_range(&config->capture_from_ms, &config->capture_to_ms);
	take_text(&config->socket, "none");
	take_text(&config->state, serve->scratch);
}

/* agent_reload_fn: the settings as they are now; owned by the caller. */
static struct config *serve_settings(void *user, GError **error)
{
	const struct serve *serve = user;
	const char *path = serve->config_path;
	struct config *config = g_new0(struct config, 1);

	if (!path && access(SERVE_CONFIG, F_OK) == 0)
		path = SERVE_CONFIG;
	config_init(config);
	if (!path || config_load(config, path, error)) {
		serve_override(config, &serve->given);
		serve_replay(serve, config);
		if (config_check(config, error))
			return config;
	}
	config_clear(config);
	g_free(config);
	return NULL;
}

static void serve_say(const struct agent *agent, const struct config *config)
{
	g_autofree char *link = agent_link(agent);
	const GPtrArray *notes = agent_notes(agent);

	for (guint i = 0; i < notes->len; i++)
		command_complain("serve", "%s", (const char *)g_ptr_array_index(notes, i));
	if (strcmp(config->socket, "none") != 0)
		printf("socket: %s\n", config->socket);
	if (link)
		printf("page:   %s\n", link);
	fflush(stdout);
}

static int serve_run(struct serve *serve)
{
	g_autoptr(GError) error = NULL;
	struct config *config = serve_settings(serve, &error);
	struct agent *agent = NULL;
	int status = EXIT_USAGE;

	if (config && (config->no_bpf || source_need_bpf("serve"))) {
		agent = agent_new(config, FATHOM_VERSION, serve_settings, serve, &error);
		status = EXIT_FAILED;
	}
	if (agent) {
		serve_say(agent, config);
		if (agent_run(agent, &error))
			status = EXIT_OK;
	}
	if (error)
		command_complain("serve", "%s", error->message);
	agent_free(agent);
	if (config)
		config_clear(config);
	g_free(config);
	return status;
}

/* What the agent leaves in its directory when it has shown a capture. */
static void scratch_remove(const char *directory)
{
	static const char *const names[] = { "token", "token-reader", "profiles", "captures", "." };

	for (guint i = 0; directory && i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path =
			strcmp(names[i], ".") == 0 ? g_strdup(directory) : g_build_filename(directory, names[i], NULL);

		g_remove(path);
	}
}

int cmd_serve(int argc, char **argv)
{
	struct serve serve = { 0 };
	int status;

	if (serve_parse(&serve, &argc, &argv, &status)) {
		if (source_capture() && !serve.given.state)
			serve.scratch = g_dir_make_tmp("fathom-replay-XXXXXX", NULL);
		if (argc > 1) {
			command_complain("serve", "\"%s\" is no option: serve takes no targets", argv[1]);
			status = EXIT_USAGE;
		} else {
			status = serve_run(&serve);
		}
	}
	scratch_remove(serve.scratch);
	g_free(serve.scratch);
	g_free(serve.config_path);
	config_clear(&serve.given);
	return status;
}
