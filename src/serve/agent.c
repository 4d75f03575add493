/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/agent.h"

#include <cap-ng.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/units.h"
#include "serve/api.h"
#include "serve/measured.h"
#include "serve/recorder.h"
#include "serve/replay.h"
#include "serve/sampler.h"
#include "serve/service.h"
#include "serve/state.h"
#include "store/database.h"

#define AGENT_TICK_MS 1000
#define AGENT_PEEK_MS 500 /* after a tick: is there a new edge for who watches? */
#define AGENT_TICK_AT_MS 500 /* of each second, so that a reading a little early or late is still that second's */
#define AGENT_TRIM_TICKS 10
#define AGENT_RELEASE_TICKS 300 /* what the start took, and answers now and then */
#define AGENT_FAILURES_MAX 30 /* readings in a row */
#define AGENT_PROFILES "profiles"
#define AGENT_CAPTURES "captures"

struct agent {
	GMainLoop *loop;
	struct measured measured;
	struct sampler *samplers[2]; /* on CPU, blocked; NULL of a capture, as the recorder */
	struct replay *replay; /* NULL: this machine is watched */
	struct database *database; /* owned by the history; NULL: none */
	struct api api;
	char *token, *reader_token;
	GStrv hosts;
	gboolean is_tls;
	char *address;
	GPtrArray *notes;
	guint tick, peek, sources[3];
	guint failures;
	char *trouble;
	GError *end; /* why it could not go on */
	agent_reload_fn reload;
	void *user;
};

/* ---- ticks ---- */

static gboolean agent_tick(gpointer data);

static void agent_schedule(struct agent *agent)
{
	guint now_ms = (guint)(clock_realtime_ns() / NS_PER_MS % AGENT_TICK_MS);
	guint wait_ms = (AGENT_TICK_AT_MS + AGENT_TICK_MS - now_ms) % AGENT_TICK_MS;

	/* One that comes a little early would be followed by another at once. */
	agent->tick =
		g_timeout_add(wait_ms < AGENT_TICK_MS / 10 ? wait_ms + AGENT_TICK_MS : wait_ms, agent_tick, agent);
}

static gboolean agent_peek(gpointer data)
{
	struct agent *agent = data;

	agent->peek = 0;
	http_work_begin(agent->api.http);
	api_peek(&agent->api);
	http_work_end(agent->api.http);
	return G_SOURCE_REMOVE;
}

static gboolean agent_tick(gpointer data)
{
	struct agent *agent = data;
	g_autoptr(GError) error = NULL;
	guint64 children_ns = 0, children_bytes = 0;

	if (agent->replay) { /* nothing changes any more */
		http_sweep(agent->api.http);
		agent_schedule(agent);
		return G_SOURCE_REMOVE;
	}
	g_clear_pointer(&agent->trouble, g_free);
	if (live_tick(agent->api.live, &error)) {
		agent->failures = 0;
	} else {
		agent->trouble = g_strdup(error->message);
		if (!agent->failures++)
			g_warning("no reading: %s", error->message);
	}
	agent->api.trouble = agent->trouble;
	if (!agent->trouble)
		verdicts_tick(agent->api.verdicts);
	for (guint i = 0; i < G_N_ELEMENTS(agent->samplers); i++) {
		sampler_tick(agent->samplers[i]);
		children_ns += sampler_cpu_ns(agent->samplers[i]);
		children_bytes += sampler_peak_bytes(agent->samplers[i]);
	}
	if (!agent->trouble)
		recorder_tick(agent->api.recorder);
	budget_count_children(agent->api.budget, children_ns, children_bytes);
	budget_count_answers(agent->api.budget, http_counts(agent->api.http).cpu_ns);
	budget_tick(agent->api.budget, agent->api.live);
	http_sweep(agent->api.http);
	http_work_begin(agent->api.http);
	api_tick(&agent->api);
	http_work_end(agent->api.http);
	if (http_counts(agent->api.http).streams && !agent->peek)
		agent->peek = g_timeout_add(AGENT_PEEK_MS, agent_peek, agent);
	/* Containers that come and go leave the heap in pieces: pages without any are given back. */
	if (live_ticks(agent->api.live) % AGENT_RELEASE_TICKS == AGENT_TRIM_TICKS)
		own_release();
	else if (live_ticks(agent->api.live) % AGENT_TRIM_TICKS == 0)
		malloc_trim(0);
	if (agent->failures >= AGENT_FAILURES_MAX) {
		agent->end = g_steal_pointer(&error);
		g_main_loop_quit(agent->loop);
	}
	agent_schedule(agent);
	return G_SOURCE_REMOVE;
}

/* ---- signals ---- */

static gboolean agent_stop(gpointer data)
{
	g_main_loop_quit(((struct agent *)data)->loop);
	return G_SOURCE_CONTINUE;
}

static gboolean agent_hangup(gpointer data)
{
	struct agent *agent = data;
	g_autoptr(GError) error = NULL;
	struct budget_limits limits;
	struct triggers triggers;
	struct config *config = agent->reload ? agent->reload(agent->user, &error) : NULL;

	if (!config) {
		g_warning("the settings stay as they were: %s",
			  error ? error->message : "there is no configuration file");
		return G_SOURCE_CONTINUE;
	}
	config_limits(config, &limits);
	budget_set_limits(agent->api.budget, &limits);
	if (agent->api.recorder && config_triggers(config, &triggers, NULL))
		recorder_set_triggers(agent->api.recorder, &triggers);
	g_message(
		"settings read again: the bounds of the budget and the triggers of the flight recorder are in force; all "
		"others need a restart");
	config_clear(config);
	g_free(config);
	return G_SOURCE_CONTINUE;
}

/* ---- making ---- */

static struct database *open_history(struct agent *agent, const struct config *config)
{
	g_autofree char *path = g_build_filename(config->state, "history.db", NULL);
	g_autoptr(GError) error = NULL;
	struct database *database;
	char *note = NULL;

	if (!config->history_mib || config->capture)
		return NULL;
	database = database_open(path, (guint64)config->history_mib << 20, &note, &error);
	if (note)
		g_ptr_array_add(agent->notes, note);
	if (!database)
		g_ptr_array_add(agent->notes, g_strdup_printf("history is kept in memory only: %s", error->message));
	return database;
}

static gboolean open_state(struct agent *agent, const struct config *config, GError **error)
{
	g_autofree char *profiles = g_build_filename(config->state, AGENT_PROFILES, NULL);
	g_autofree char *captures = g_build_filename(config->state, AGENT_CAPTURES, NULL);

	if (!state_open(config->state, error) || !state_open(profiles, error) || !state_open(captures, error))
		return FALSE;
	agent->token = state_token(config->state, "token", error);
	agent->reader_token = agent->token ? state_token(config->state, "token-reader", error) : NULL;
	if (!agent->reader_token)
		return FALSE;
	agent->api.jobs = jobs_new(profiles);
	agent->database = open_history(agent, config);
	agent->api.history = history_new(agent->database);
	agent->api.reel = reel_new(agent->database, REEL_SECONDS);
	agent->api.stacks = reel_new(agent->database, REEL_STACKS);
	history_set_minutes(agent->api.history, (guint)config->memory_minutes);
	reel_set_minutes(agent->api.reel, (guint)config->memory_minutes);
	reel_set_minutes(agent->api.stacks, (guint)config->memory_minutes);
	return TRUE;
}

static void open_verdicts(struct agent *agent)
{
	char *note;

	agent->api.verdicts = verdicts_new(agent->api.live, &note);
	if (note)
		g_ptr_array_add(agent->notes, note);
}

/* What of the capture is not shown, or was not right in it. */
static void note_capture(struct agent *agent, gint mib)
{
	const struct replay *replay = agent->replay;

	if (reel_oldest_ms(agent->api.reel) > replay->first_ms ||
	    reel_oldest_ms(agent->api.stacks) > replay->first_stacks_ms)
		g_ptr_array_add(agent->notes,
				g_strdup_printf("the capture is too long to be held: its latest %d MiB are shown "
						"(--from and --to choose a part, --capture-mib holds more)",
						mib));
	if (replay->late)
		g_ptr_array_add(agent->notes, g_strdup_printf("of the capture: %s", replay->late));
}

static gboolean open_capture(struct agent *agent, const struct config *config, GError **error)
{
	const gsize bytes_max = (gsize)config->capture_mib << 20;

	history_hold(agent->api.history, bytes_max);
	reel_hold(agent->api.reel, bytes_max);
	reel_hold(agent->api.stacks, bytes_max);
	agent->api.live = live_new_replay(agent->api.history, agent->api.reel);
	agent->replay = replay_load(config->capture, config->capture_from_ms, config->capture_to_ms, agent->api.live,
				    agent->api.stacks, error);
	agent->api.replay = agent->replay;
	if (!agent->replay)
		return FALSE;
	note_capture(agent, config->capture_mib);
	open_verdicts(agent);
	verdicts_replay(agent->api.verdicts, agent->api.reel, agent->api.stacks, agent->replay->from_ms,
			agent->replay->to_ms);
	return TRUE;
}

static gboolean open_live(struct agent *agent, const struct config *config, GError **error)
{
	g_autofree char *profiles = NULL, *captures = NULL;
	const struct live_options options = { .no_bpf = config->no_bpf,
					      .exported_max = (guint)config->exported_containers,
					      .no_profile = config->profile_seconds == 0,
					      .no_offcpu = config->offcpu_seconds == 0,
					      .names = config->names,
					      .off = (const char *const *)config->off };
	const struct sampler_options on_cpu = { .part = LIVE_PROFILE, .window_s = (guint)config->profile_seconds };
	const struct sampler_options blocked = { .part = LIVE_OFFCPU,
						 .window_s = (guint)config->offcpu_seconds,
						 .share = config->offcpu_percent / 100 };
	struct triggers triggers;

	agent->api.live = live_new(&options, agent->api.history, agent->api.reel, error);
	if (!agent->api.live)
		return FALSE;
	profiles = g_build_filename(config->state, AGENT_PROFILES, NULL);
	captures = g_build_filename(config->state, AGENT_CAPTURES, NULL);
	agent->samplers[0] = sampler_new(agent->api.live, agent->api.stacks, profiles, &on_cpu);
	agent->samplers[1] = sampler_new(agent->api.live, agent->api.stacks, profiles, &blocked);
	agent->measured = (struct measured){ .live = agent->api.live, .stacks = agent->api.stacks };
	jobs_watch(agent->api.jobs, measured_keep, &agent->measured);
	if (!config_triggers(config, &triggers, error))
		return FALSE;
	agent->api.recorder = recorder_new(captures, agent->api.live, agent->api.reel, agent->api.stacks,
					   agent->samplers[1], &triggers);
	for (guint i = 0; i < LIVE_PARTS; i++) {
		const struct live_part_status *part = live_part(agent->api.live, (enum live_part)i);

		if (part->why)
			g_ptr_array_add(agent->notes, g_strdup_printf("%s: %s", part->name, part->why));
	}
	open_verdicts(agent);
	return TRUE;
}

static gboolean open_http(struct agent *agent, const struct config *config, GError **error)
{
	struct http_options options = {
		.unix_path = strcmp(config->socket, "none") == 0 ? NULL : config->socket,
		.tls_certificate = config->tls_certificate,
		.tls_key = config->tls_key,
	};

	if (!config_listen(config, &agent->address, &options.port, error))
		return FALSE;
	options.address = agent->address;
	agent->is_tls = config->tls_key != NULL;
	agent->hosts = g_strdupv(config->allow_hosts);
	agent->api.hosts = (const char *const *)agent->hosts;
	agent->api.token = agent->token;
	agent->api.reader_token = agent->reader_token;
	agent->api.http = http_new(&options, api_answer, &agent->api, error);
	return agent->api.http != NULL;
}

/* From here on we can do what readings and measurements on demand need, and no more: no mounting, no changing of other
 * processes, networks or files that are not ours. Children get at most what stays in the bounding set. */
static void drop_capabilities(struct agent *agent, gboolean wants_bpf)
{
	static const struct {
		unsigned int capability;
		gboolean is_ours; /* else of the children that measure alone */
	} kept[] = {
		{ CAP_BPF, TRUE }, /* a part that was shed is loaded again */
		{ CAP_PERFMON, TRUE },
		{ CAP_SYS_PTRACE, TRUE }, /* /proc/PID/root, /net of containers */
		{ CAP_DAC_READ_SEARCH, TRUE }, /* what rootless runtimes leave on disk */
		{ CAP_SYSLOG, TRUE }, /* addresses of kernel functions */
		{ CAP_SYS_RESOURCE, TRUE }, /* locked memory, where it is not accounted by cgroup */
		{ CAP_KILL, TRUE }, /* a measurement that takes too long */
		{ CAP_SETUID, FALSE }, /* children that parse give up their identity */
		{ CAP_SETGID, FALSE },
	};
	gboolean have[G_N_ELEMENTS(kept)], may_bound, needs_admin;

	capng_get_caps_process();
	for (guint i = 0; i < G_N_ELEMENTS(kept); i++)
		have[i] = capng_have_capability(CAPNG_PERMITTED, kept[i].capability) > 0;
	may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) > 0;
	/* Runtimes that know neither of the two give the one that held both before they were made. */
	needs_admin = wants_bpf && capng_have_capability(CAPNG_PERMITTED, CAP_SYS_ADMIN) > 0 &&
		      !(capng_have_capability(CAPNG_PERMITTED, CAP_BPF) > 0 &&
			capng_have_capability(CAPNG_PERMITTED, CAP_PERFMON) > 0);
	capng_clear(CAPNG_SELECT_BOTH);
	if (needs_admin)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, CAP_SYS_ADMIN);
	for (guint i = 0; i < G_N_ELEMENTS(kept); i++) {
		if (have[i] && kept[i].is_ours)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i].capability);
		capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, kept[i].capability);
	}
	if (capng_apply(may_bound ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0)
		g_ptr_array_add(agent->notes, g_strdup("capabilities that are not needed could not be given up"));
}

struct agent *agent_new(const struct config *config, const char *version, agent_reload_fn reload, void *user,
			GError **error)
{
	struct agent *agent = g_new0(struct agent, 1);
	struct budget_limits limits;

	/* Readings of large files must not leave the heap in pieces: small arenas, trimmed early. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 256 << 10);
	signal(SIGPIPE, SIG_IGN);
	agent->loop = g_main_loop_new(NULL, FALSE);
	agent->notes = g_ptr_array_new_with_free_func(g_free);
	agent->api.version = version;
	agent->reload = reload;
	agent->user = user;
	config_limits(config, &limits);
	agent->api.budget = budget_new(&limits);
	if (!open_state(agent, config, error) || !(config->capture ? open_capture : open_live)(agent, config, error) ||
	    !open_http(agent, config, error)) {
		agent_free(agent);
		return NULL;
	}
	drop_capabilities(agent, !config->no_bpf && !config->capture);
	malloc_trim(0); /* of what loading took */
	return agent;
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	http_free(agent->api.http);
	jobs_free(agent->api.jobs);
	verdicts_free(agent->api.verdicts);
	recorder_free(agent->api.recorder);
	for (guint i = 0; i < G_N_ELEMENTS(agent->samplers); i++)
		sampler_free(agent->samplers[i]);
	live_free(agent->api.live);
	replay_free(agent->replay);
	reel_free(agent->api.reel);
	reel_free(agent->api.stacks);
	history_free(agent->api.history);
	budget_free(agent->api.budget);
	g_main_loop_unref(agent->loop);
	g_ptr_array_unref(agent->notes);
	g_strfreev(agent->hosts);
	g_free(agent->address);
	g_free(agent->token);
	g_free(agent->reader_token);
	g_free(agent->trouble);
	g_clear_error(&agent->end);
	g_free(agent);
}

gboolean agent_run(struct agent *agent, GError **error)
{
	agent->sources[0] = g_unix_signal_add(SIGTERM, agent_stop, agent);
	agent->sources[1] = g_unix_signal_add(SIGINT, agent_stop, agent);
	agent->sources[2] = g_unix_signal_add(SIGHUP, agent_hangup, agent);
	agent_tick(agent);
	service_ready();
	g_main_loop_run(agent->loop);
	for (guint i = 0; i < G_N_ELEMENTS(agent->sources); i++)
		g_source_remove(agent->sources[i]);
	g_source_remove(agent->tick);
	if (agent->peek)
		g_source_remove(agent->peek);
	if (!agent->end)
		return TRUE;
	g_propagate_error(error, g_steal_pointer(&agent->end));
	return FALSE;
}

char *agent_link(const struct agent *agent)
{
	gboolean is_v6 = agent->address && strchr(agent->address, ':');

	if (!agent->address)
		return NULL;
	return g_strdup_printf("%s://%s%s%s:%u/#token=%s", agent->is_tls ? "https" : "http", is_v6 ? "[" : "",
			       agent->address, is_v6 ? "]" : "", http_port(agent->api.http), agent->token);
}

const GPtrArray *agent_notes(const struct agent *agent)
{
	return agent->notes;
}
