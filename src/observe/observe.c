/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/observe.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "kernel/cgroupfs.h"
#include "observe/allocators.h"
#include "observe/happen.h"
#include "observe/tally.h"
#include "observe/weave.h"
#include "probe/answers.h"
#include "probe/heap.h"
#include "probe/kernel_names.h"
#include "symbol/symbolizer.h"

#define OBSERVE_TICK_MS 100
#define OBSERVE_CALM_TICK_MS 400
#define OBSERVE_LONG_TICK_MS 1000 /* of probes that say when there is something to drain */
#define OBSERVE_COLLECT_NS NS_PER_S /* so often, lest a kernel's tables fill with those who are gone */

gboolean observe_target(struct registry *registry, const char *text, GPtrArray *targets, GError **error)
{
	g_autoptr(GPtrArray) all = NULL;
	guint before = targets->len;

	if (strcmp(text, "busiest") != 0)
		return target_resolve(registry, text, targets, error);
	all = registry_list(registry);
	for (guint i = 0; i < all->len; i++) {
		const struct container *container = g_ptr_array_index(all, i);
		struct target *target;

		if (container->dead || !container_is_container(container))
			continue;
		target = g_new0(struct target, 1);
		target->kind = TARGET_CONTAINER;
		target->container = container;
		target->text = g_strdup(container->name);
		g_ptr_array_add(targets, target);
	}
	return targets->len > before || target_resolve(registry, "all", targets, error);
}

gboolean observe_targets(struct registry *registry, char *const *names, GPtrArray *targets, GError **error)
{
	if (!names[0])
		return observe_target(registry, "all", targets, error);
	for (; *names; names++)
		if (!observe_target(registry, *names, targets, error))
			return FALSE;
	return TRUE;
}

static gboolean targets_want(const GPtrArray *targets, const struct container *owner)
{
	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind == TARGET_CONTAINER &&
		    (target->container == owner ||
		     /* the host is everything that is in no container: units and bare cgroups, too */
		     (target->container->runtime == RUNTIME_HOST && !container_is_container(owner))))
			return TRUE;
	}
	return FALSE;
}

/* tally_wants_fn */
static gboolean observe_wants(const void *targets, const struct container *owner)
{
	return targets_want(targets, owner);
}

static gboolean targets_are_processes(const GPtrArray *targets)
{
	for (guint i = 0; i < targets->len; i++)
		if (((const struct target *)g_ptr_array_index(targets, i))->kind != TARGET_PROCESS)
			return FALSE;
	return TRUE;
}

static gboolean targets_are_all(const GPtrArray *targets)
{
	for (guint i = 0; i < targets->len; i++)
		if (((const struct target *)g_ptr_array_index(targets, i))->kind == TARGET_ALL)
			return TRUE;
	return FALSE;
}

struct observe_scope {
	GArray *cgroups; /* of struct probe_cgroup */
	GArray *tgids; /* of guint32 */
	gboolean filter;
};

/* Whose cgroups the kernel half must know: of the host these are all that are no container's, so all are asked about (NULL). */
static GPtrArray *targets_owners(const GPtrArray *targets)
{
	GPtrArray *owners = g_ptr_array_new();

	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind == TARGET_CONTAINER && target->container->runtime == RUNTIME_HOST) {
			g_ptr_array_unref(owners);
			return NULL;
		}
		if (target->kind == TARGET_CONTAINER)
			g_ptr_array_add(owners, (gpointer)target->container);
	}
	return owners;
}

static void scope_init(struct observe_scope *scope, struct registry *registry, const GPtrArray *targets)
{
	g_autoptr(GPtrArray) owners = targets_owners(targets);
	g_autoptr(GArray) known = NULL;

	scope->filter = TRUE;
	scope->cgroups = g_array_new(FALSE, FALSE, sizeof(struct probe_cgroup));
	scope->tgids = g_array_new(FALSE, FALSE, sizeof(guint32));
	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		if (target->kind == TARGET_ALL)
			scope->filter = FALSE;
		else if (target->kind == TARGET_PROCESS)
			g_array_append_val(scope->tgids, target->pid);
	}
	if (scope->filter)
		known = registry_cgroups(registry, owners);
	for (guint i = 0; known && i < known->len; i++) {
		const struct registry_cgroup *cgroup = &g_array_index(known, struct registry_cgroup, i);
		struct probe_cgroup entry = { .key = cgroup->key,
					      .wanted = cgroup->owner && targets_want(targets, cgroup->owner) };

		g_array_append_val(scope->cgroups, entry);
	}
}

static void scope_clear(struct observe_scope *scope)
{
	g_array_unref(scope->cgroups);
	g_array_unref(scope->tgids);
}

static char *observe_title(const struct observe_options *options)
{
	g_autoptr(GString) names = g_string_new(NULL);

	for (guint i = 0; i < options->targets->len; i++) {
		const struct target *target = g_ptr_array_index(options->targets, i);

		if (i == 5) {
			g_string_append_printf(names, " and %u more", options->targets->len - i);
			break;
		}
		g_string_append_printf(names, "%s%s", i ? ", " : "", target->text);
	}
	return g_strdup_printf("%s of %s", options->probe->name, names->str);
}

struct observe_lore {
	struct symbolizer *symbolizer; /* the others' are beside it; sees no process */
	struct kernel_names *kernel_names;
};

struct observe_lore *observe_lore_new(void)
{
	struct observe_lore *lore = g_new0(struct observe_lore, 1);

	lore->symbolizer = symbolizer_new();
	lore->kernel_names = kernel_names_new();
	return lore;
}

void observe_lore_free(struct observe_lore *lore)
{
	if (!lore)
		return;
	symbolizer_free(lore->symbolizer);
	kernel_names_free(lore->kernel_names);
	g_free(lore);
}

/* One run in progress. What the probe tells goes to `weave`, `tally` or `happen`, by the probe's shape. */
struct observe_session {
	struct registry *registry;
	const struct observe_options *options;
	struct symbolizer *symbolizer; /* with `weave` */
	struct allocators *allocators; /* NULL: the probe wants none */
	struct observe_lore *lore; /* of the symbolizer; NULL: somebody else's */
	struct weave *weave;
	struct tally *tally;
	struct happen *happen;
	struct answers *answers; /* of DNS, which name those outside; NULL: not asked for, or refused */
	struct snapshot *snapshot; /* being filled */
	struct shape *shape; /* of it */
	struct probe_run *run;
	guint64 start_ns; /* of the run */
	guint64 since_ns; /* start of `snapshot` */
	guint64 next_collect_ns, next_slot_ns, next_interval_ns; /* CLOCK_MONOTONIC; G_MAXUINT64: never */
	guint intervals; /* handed out */
};

static void session_begin_snapshot(struct observe_session *session)
{
	const struct observe_options *options = session->options;
	g_autofree char *title = observe_title(options);

	session->snapshot = snapshot_new(title);
	session->snapshot->frequency_hz = options->frequency_hz;
	session->shape = shape_new(options->probe->shape, options->probe->name, options->probe->unit);
	g_ptr_array_add(session->snapshot->shapes, session->shape);
	if (session->shape->events && options->event_limit)
		session->shape->events->limit = options->event_limit;
	if (session->happen)
		happen_into(session->happen, session->shape);
	if (session->tally)
		tally_into(session->tally, session->shape, options->slot_ns);
}

static void session_stamp(struct observe_session *session, guint64 now_ns)
{
	const struct observe_options *options = session->options;

	session->since_ns = now_ns;
	session->snapshot->start_realtime_ns = clock_realtime_ns();
	session->next_slot_ns = options->slot_ns ? now_ns + options->slot_ns : G_MAXUINT64;
}

static gboolean session_collect(struct observe_session *session, GError **error)
{
	session->next_collect_ns = clock_monotonic_ns() + OBSERVE_COLLECT_NS;
	g_return_val_if_fail(session->options->probe->collect, FALSE);
	if (session->answers)
		answers_drain(session->answers); /* names come before the connections made with them */
	return session->options->probe->collect(session->run, &session->shape->ledger, error);
}

/* A slot of time is over: what has gathered belongs to it. */
static gboolean session_slot(struct observe_session *session, guint64 now_ns, GError **error)
{
	guint64 slot_ns = session->options->slot_ns;

	g_return_val_if_fail(slot_ns > 0, FALSE);
	if (!session_collect(session, error))
		return FALSE;
	tally_slot(session->tally, (guint32)MIN((now_ns - session->since_ns) / slot_ns, HISTOGRAM_SLOTS_MAX - 1));
	while (session->next_slot_ns <= now_ns)
		session->next_slot_ns += slot_ns;
	return TRUE;
}

/* The last names, and what was not looked at. */
static void session_account_answers(struct observe_session *session)
{
	if (!session->answers)
		return;
	answers_drain(session->answers);
	answers_account(session->answers, &session->shape->ledger);
}

/* An interval is over: it is handed out, and a new one begins. `*more`: whether to go on. */
static gboolean session_interval(struct observe_session *session, guint64 now_ns, gboolean *more, GError **error)
{
	const struct observe_options *options = session->options;
	g_autoptr(snapshot_t) done = session->snapshot;

	if (!session_collect(session, error)) {
		done = NULL; /* stays the session's */
		return FALSE;
	}
	session_account_answers(session);
	done->duration_ns = now_ns - session->since_ns;
	session_begin_snapshot(session);
	session_stamp(session, now_ns);
	while (session->next_interval_ns <= now_ns)
		session->next_interval_ns += options->interval_ns;
	session->intervals++;
	*more = options->interval(options->interval_user, done);
	return TRUE;
}

/* answers_fn */
static void session_told(void *user, guint64 cgroup_key, const char *address, const char *name)
{
	remotes_tell(tally_remotes(((struct observe_session *)user)->tally), cgroup_key, address, name);
}

/* Names of those outside, as containers are told them by DNS from now on. */
static void session_listen(struct observe_session *session)
{
	const struct observe_options *options = session->options;
	g_autoptr(GError) error = NULL;

	if (options->remotes.by != REMOTES_BY_NAME || !session->tally)
		return;
	session->answers = answers_open(cgroupfs_v1_controller(registry_cgroupfs(session->registry)), session_told,
					session, &error);
	if (!session->answers)
		ledger_note(&session->shape->ledger,
			    g_strdup_printf("names that DNS tells are not seen: %s", error->message));
}

static void session_progress(const struct observe_session *session, guint64 elapsed_ns)
{
	const struct observe_options *options = session->options;

	if (options->progress && options->duration_ns)
		options->progress(options->progress_user, MIN(elapsed_ns, options->duration_ns), options->duration_ns);
}

/* Milliseconds until something is due, at most a tick. */
static int session_timeout_ms(const struct observe_session *session, guint64 now_ns)
{
	gboolean waits = session->options->probe->says_when && !session->options->progress;
	gboolean is_calm = session->options->probe->is_calm && session->options->probe->is_calm(session->run);
	guint64 tick_ms = waits ? OBSERVE_LONG_TICK_MS : is_calm ? OBSERVE_CALM_TICK_MS : OBSERVE_TICK_MS;
	guint64 due_ns = MIN(session->next_collect_ns, MIN(session->next_slot_ns, session->next_interval_ns));

	if (session->options->duration_ns)
		due_ns = MIN(due_ns, session->start_ns + session->options->duration_ns);
	if (due_ns <= now_ns)
		return 0;
	return (int)MIN((due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS, tick_ms);
}

/* The last interval is what the run ends with, so that nothing falls between the two. */
static gboolean session_is_over(const struct observe_session *session, guint64 now_ns)
{
	const struct observe_options *options = session->options;

	if (options->duration_ns && now_ns - session->start_ns >= options->duration_ns)
		return TRUE;
	return options->interval_count && session->intervals + 1 >= options->interval_count &&
	       now_ns >= session->next_interval_ns;
}

/* An interval that was cut short looks like the others: its rates and counts say less. */
static void session_note_partial(struct observe_session *session)
{
	g_autofree char *length = NULL, *whole = NULL;

	if (session->next_interval_ns == G_MAXUINT64 || clock_monotonic_ns() >= session->next_interval_ns)
		return;
	length = units_duration(session->snapshot->duration_ns);
	whole = units_duration(session->options->interval_ns);
	ledger_note(&session->shape->ledger, g_strdup_printf(OBSERVE_PARTIAL "%s of an interval of %s", length, whole));
}

/* Waits until the end. FALSE and `error` only when the probe fails. */
static gboolean session_wait(struct observe_session *session, GError **error)
{
	const struct observe_options *options = session->options;
	struct pollfd fds[] = {
		{ .fd = options->probe->fd(session->run), .events = POLLIN },
		{ .fd = options->stop_fd, .events = POLLIN },
	};
	gboolean more = TRUE;

	while (more) {
		guint64 now_ns = clock_monotonic_ns();

		session_progress(session, now_ns - session->start_ns);
		if (now_ns >= session->next_collect_ns && !session_collect(session, error))
			return FALSE;
		if (now_ns >= session->next_slot_ns && !session_slot(session, now_ns, error))
			return FALSE;
		if (session_is_over(session, now_ns))
			return TRUE;
		if (now_ns >= session->next_interval_ns && !session_interval(session, now_ns, &more, error))
			return FALSE;
		if (!more)
			return TRUE;
		if (poll(fds, G_N_ELEMENTS(fds), session_timeout_ms(session, now_ns)) > 0 && fds[1].revents)
			return TRUE;
		if (!options->probe->drain(session->run, error))
			return FALSE;
		if (session->answers)
			answers_drain(session->answers);
	}
	return TRUE;
}

/* splice_teach_fn */
static void session_teach(void *user, guint32 tgid, const struct python_process *process)
{
	struct observe_session *session = user;

	session->options->probe->teach(session->run, tgid, process);
}

/* The last that the probe has to say. */
static gboolean session_finish(struct observe_session *session, GError **error)
{
	if (!session->options->probe->finish(session->run, &session->shape->ledger, error))
		return FALSE;
	if (session->weave)
		weave_end(session->weave);
	return TRUE;
}

static gboolean session_measure(struct observe_session *session, const struct probe_request *request, GError **error)
{
	const struct observe_options *options = session->options;
	const struct probe_listener *listener = session->weave	  ? weave_listener(session->weave)
						: session->happen ? happen_listener(session->happen)
								  : tally_listener(session->tally);
	gboolean ok;

	session->run = options->probe->open(request, listener, error);
	if (!session->run)
		return FALSE;
	session_listen(session);
	if (session->weave && options->probe->teach)
		splice_set_teacher(weave_splice(session->weave), session_teach, session);
	session->start_ns = clock_monotonic_ns();
	session_stamp(session, session->start_ns);
	session->next_collect_ns = options->probe->collect ? session->start_ns + OBSERVE_COLLECT_NS : G_MAXUINT64;
	session->next_interval_ns = options->interval_ns ? session->start_ns + options->interval_ns : G_MAXUINT64;
	if (options->started)
		options->started(options->progress_user);
	ok = session_wait(session, error);
	if (options->ended)
		options->ended(options->progress_user);
	session->snapshot->duration_ns = clock_monotonic_ns() - session->since_ns;
	session_note_partial(session);
	session_account_answers(session);
	ok = ok && session_finish(session, error);
	options->probe->close(session->run);
	return ok;
}

/* symbolizer_namer_fn: symbol/ may not know probe/, where BPF programs live. */
static enum symbolizer_namer_answer observe_name_kernel(void *user, guint64 address,
							struct symbolizer_kernel_name *name)
{
	struct kernel_name found;

	switch (kernel_names_find(user, address, &found)) {
	case KERNEL_NAMES_FOUND:
		*name = (struct symbolizer_kernel_name){ found.name, found.module, found.offset };
		return SYMBOLIZER_NAMER_FOUND;
	case KERNEL_NAMES_NONE:
		return SYMBOLIZER_NAMER_NONE;
	case KERNEL_NAMES_CANNOT:
	default:
		return SYMBOLIZER_NAMER_CANNOT;
	}
}

/* The interpreters that run already, before the first sample: of the processes asked for, or of all. */
static void session_see_interpreters(struct observe_session *session)
{
	const GPtrArray *targets = session->options->targets;
	struct splice *splice = weave_splice(session->weave);

	if (!targets_are_processes(targets)) {
		splice_see_all(splice);
		return;
	}
	for (guint i = 0; i < targets->len; i++)
		splice_see(splice, ((const struct target *)g_ptr_array_index(targets, i))->pid);
}

static void session_open(struct observe_session *session)
{
	const struct observe_options *options = session->options;
	struct observe_lore *lore = options->lore;

	if (options->probe->shape == SHAPE_EVENTS) {
		session->happen = happen_new(session->registry, options->event, options->event_user);
		session_begin_snapshot(session);
		return;
	}
	if (options->probe->shape != SHAPE_CALLTREE) {
		session->tally = tally_new(session->registry, options->probe, options->by, &options->remotes);
		if (!targets_are_all(options->targets))
			tally_only(session->tally, observe_wants, options->targets);
		session_begin_snapshot(session);
		return;
	}
	session_begin_snapshot(session);
	if (!lore)
		lore = session->lore = observe_lore_new();
	session->symbolizer = symbolizer_new_beside(lore->symbolizer);
	symbolizer_configure(session->symbolizer, &(struct symbolizer_options){
							  .java_map = options->java_map,
							  .inlined = options->inlined,
							  .debuginfod = options->debuginfod,
							  .lines = options->lines,
						  });
	symbolizer_set_namer(session->symbolizer, observe_name_kernel, lore->kernel_names);
	session->weave = weave_new(session->registry, session->symbolizer, session->shape, options->by);
	if (options->probe->teach && !options->no_user)
		session_see_interpreters(session);
}

/* What the symbolizer has to say goes to the ledger. */
static void session_note_symbols(struct observe_session *session)
{
	const GPtrArray *notes = session->symbolizer ? symbolizer_notes(session->symbolizer) : NULL;
	char *stripped = session->symbolizer ? symbolizer_stripped(session->symbolizer) : NULL;

	for (guint i = 0; notes && i < notes->len; i++)
		ledger_note(&session->shape->ledger, g_strdup(g_ptr_array_index(notes, i)));
	if (stripped)
		ledger_note(&session->shape->ledger, stripped);
}

static void session_close(struct observe_session *session)
{
	allocators_free(session->allocators);
	answers_close(session->answers);
	weave_free(session->weave);
	tally_free(session->tally);
	happen_free(session->happen);
	symbolizer_free(session->symbolizer);
	observe_lore_free(session->lore);
	snapshot_free(session->snapshot);
}

static guint32 observe_deaf(void)
{
	const char *text = g_getenv(OBSERVE_DEAF);

	return text ? (guint32)g_ascii_strtoull(text, NULL, 10) : 0;
}

static struct probe_request observe_request(struct registry *registry, const struct observe_options *options,
					    const struct observe_scope *scope)
{
	return (struct probe_request){
		.filter = scope->filter,
		.cgroups = (const struct probe_cgroup *)scope->cgroups->data,
		.cgroup_count = scope->cgroups->len,
		.tgids = (const guint32 *)scope->tgids->data,
		.tgid_count = scope->tgids->len,
		.v1_controller = cgroupfs_v1_controller(registry_cgroupfs(registry)),
		.frequency_hz = options->frequency_hz,
		.duration_ns = options->duration_ns,
		.every = options->every,
		.budget_share = options->budget_share,
		.sample_bytes = options->sample_bytes,
		.moments = options->moments,
		.frugal = options->frugal,
		.births_told = options->births_told,
		.askers = options->askers,
		.smallest = g_getenv(OBSERVE_SMALLEST) != NULL,
		.deaf = observe_deaf(),
		.cycles = options->cycles,
		.no_user = options->no_user,
		.no_kernel = options->no_kernel,
		.lines = options->lines,
		.by_thread = options->by == OBSERVE_BY_THREAD,
		.by_process = options->by == OBSERVE_BY_PROCESS || options->by == OBSERVE_BY_PID ||
			      options->by == OBSERVE_BY_THREAD,
		.by_pidns = options->by == OBSERVE_BY_PIDNS,
		.peers = options->peers,
		.waker = options->waker,
		.threshold_ns = options->threshold_ns,
		.event_rate = options->event_rate,
		.arguments = options->arguments,
		.rung = options->rung,
	};
}

/* FALSE and `error` when nothing can be watched. */
static gboolean session_find_allocators(struct observe_session *session, GError **error)
{
	struct allocators *found;

	if (session->options->probe != &probe_heap)
		return TRUE;
	found = allocators_find(session->registry, session->options->targets);
	session->allocators = found;
	if (found->sites->len > 0)
		return TRUE;
	g_set_error(
		error, PROBE_ERROR, PROBE_ERROR_FAILED,
		"no allocator (malloc and its kind) was found in what %u %s of the target mapped: a program that is linked "
		"statically and stripped has one without a name",
		found->processes, found->processes == 1 ? "process" : "processes");
	return FALSE;
}

/* Which files have breakpoints, and what was left out. */
static void session_note_allocators(struct observe_session *session)
{
	struct ledger *ledger = &session->shape->ledger;
	const struct allocators *found = session->allocators;
	g_autofree char *files = NULL;

	if (!found)
		return;
	g_ptr_array_add(found->files, NULL);
	files = g_strjoinv(", ", (char **)found->files->pdata);
	ledger_note(ledger,
		    g_strdup_printf("allocators watched: %s (whoever has these files mapped pays for the breakpoints)",
				    files));
	if (found->without > 0)
		ledger_note(ledger,
			    g_strdup_printf("%u of %u processes have no allocator with a symbol: theirs is not seen",
					    found->without, found->processes));
	if (found->is_cut)
		ledger_note(ledger, g_strdup("there were too many processes or files to look into all of them"));
}

struct snapshot *observe_run(struct registry *registry, const struct observe_options *options, GError **error)
{
	struct observe_session session = { .registry = registry, .options = options };
	struct snapshot *snapshot = NULL;
	struct observe_scope scope;
	struct probe_request request;

	if ((options->interval_ns || options->slot_ns) && !options->probe->collect) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "%s can only be summed up at its end",
			    options->probe->name);
		return NULL;
	}
	if (!session_find_allocators(&session, error)) {
		allocators_free(session.allocators);
		return NULL;
	}
	session_open(&session);
	scope_init(&scope, registry, options->targets);
	request = observe_request(registry, options, &scope);
	if (session.allocators) {
		request.sites = (const struct probe_site *)session.allocators->sites->data;
		request.site_count = session.allocators->sites->len;
	}
	if (session_measure(&session, &request, error)) {
		session_note_symbols(&session);
		session_note_allocators(&session);
		snapshot = g_steal_pointer(&session.snapshot);
	}
	scope_clear(&scope);
	session_close(&session);
	return snapshot;
}

/* ---- several at once ---- */

struct observe_together {
	const struct observe_options *common;
	struct observe_options *each; /* the sessions' */
	struct observe_lore *lore; /* theirs */
	struct observe_session *sessions;
	guint count; /* of those that run */
	struct pollfd *fds; /* one each, then the one that ends early */
	guint64 start_ns;
};

/* FALSE when it is refused: then it does not count. */
static gboolean together_open(struct observe_together *together, struct registry *registry,
			      const struct observe_options *options, GPtrArray *refused)
{
	struct observe_session *session = &together->sessions[together->count];
	g_autoptr(GError) error = NULL;
	struct probe_request request;
	struct observe_scope scope;

	*session = (struct observe_session){ .registry = registry, .options = options };
	session_open(session);
	scope_init(&scope, registry, options->targets);
	request = observe_request(registry, options, &scope);
	session->run = options->probe->open(&request,
					    session->weave    ? weave_listener(session->weave)
					    : session->happen ? happen_listener(session->happen)
							      : tally_listener(session->tally),
					    &error);
	scope_clear(&scope);
	if (!session->run) {
		g_ptr_array_add(refused, g_strdup_printf("%s: %s", options->probe->name, error->message));
		session_close(session);
		return FALSE;
	}
	if (session->weave && options->probe->teach)
		splice_set_teacher(weave_splice(session->weave), session_teach, session);
	together->fds[together->count] = (struct pollfd){ .fd = options->probe->fd(session->run), .events = POLLIN };
	together->count++;
	return TRUE;
}

/* All are attached: what the first ones have gathered until now is left out. */
static gboolean together_begin(struct observe_together *together, GError **error)
{
	for (guint i = 0; i < together->count; i++) {
		struct observe_session *session = &together->sessions[i];

		if (session->options->probe->collect) {
			if (!session_collect(session, error))
				return FALSE;
			snapshot_free(session->snapshot);
			session_begin_snapshot(session);
		}
		session->start_ns = clock_monotonic_ns();
		session_stamp(session, session->start_ns);
		session->next_collect_ns =
			session->options->probe->collect ? session->start_ns + OBSERVE_COLLECT_NS : G_MAXUINT64;
		session->next_interval_ns = G_MAXUINT64;
	}
	together->start_ns = clock_monotonic_ns();
	return TRUE;
}

static gboolean together_step(struct observe_together *together, guint64 now_ns, GError **error)
{
	for (guint i = 0; i < together->count; i++) {
		struct observe_session *session = &together->sessions[i];

		if (now_ns >= session->next_collect_ns && !session_collect(session, error))
			return FALSE;
		if (!session->options->probe->drain(session->run, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean together_wait(struct observe_together *together, GError **error)
{
	const struct observe_options *common = together->common;
	guint64 end_ns = common->duration_ns ? together->start_ns + common->duration_ns : G_MAXUINT64;

	for (;;) {
		guint64 now_ns = clock_monotonic_ns();

		if (common->progress && common->duration_ns)
			common->progress(common->progress_user, MIN(now_ns - together->start_ns, common->duration_ns),
					 common->duration_ns);
		if (now_ns >= end_ns)
			return TRUE;
		if (poll(together->fds, together->count + 1,
			 (int)MIN((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS, OBSERVE_TICK_MS)) > 0 &&
		    together->fds[together->count].revents)
			return TRUE;
		if (!together_step(together, clock_monotonic_ns(), error))
			return FALSE;
	}
}

/* Their shapes, all in the first one's snapshot. */
static struct snapshot *together_finish(struct observe_together *together, GError **error)
{
	g_autoptr(snapshot_t) all = snapshot_new(NULL);
	guint64 duration_ns = clock_monotonic_ns() - together->start_ns;

	all->duration_ns = duration_ns;
	all->start_realtime_ns = clock_realtime_ns() - duration_ns;
	for (guint i = 0; i < together->count; i++) {
		struct observe_session *session = &together->sessions[i];

		if (!session_finish(session, error))
			return NULL;
		session_note_symbols(session);
		g_ptr_array_add(all->shapes, g_ptr_array_steal_index(session->snapshot->shapes, 0));
	}
	return g_steal_pointer(&all);
}

struct snapshot *observe_run_together(struct registry *registry, const struct observe_options *common,
				      const struct observe_options *each, guint count, void (*ready)(void *user),
				      GPtrArray *refused, struct observe_together **rest, GError **error)
{
	struct observe_together *together = *rest = g_new0(struct observe_together, 1);
	struct snapshot *snapshot = NULL;

	together->common = common;
	together->each = g_memdup2(each, count * sizeof(*each));
	together->sessions = g_new0(struct observe_session, count);
	together->fds = g_new0(struct pollfd, count + 1);
	together->lore = observe_lore_new();
	for (guint i = 0; i < count; i++)
		together->each[i].lore = together->lore;
	for (guint i = 0; i < count; i++)
		together_open(together, registry, &together->each[i], refused);
	together->fds[together->count] = (struct pollfd){ .fd = common->stop_fd, .events = POLLIN };
	if (together_begin(together, error)) {
		if (ready)
			ready(common->progress_user);
		if (together_wait(together, error)) {
			if (common->ended)
				common->ended(common->progress_user);
			snapshot = together_finish(together, error);
		}
	}
	together->common = NULL; /* the caller's */
	return snapshot;
}

void observe_together_free(struct observe_together *together)
{
	if (!together)
		return;
	for (guint i = 0; i < together->count; i++) {
		together->sessions[i].options->probe->close(together->sessions[i].run);
		session_close(&together->sessions[i]);
	}
	observe_lore_free(together->lore);
	g_free(together->sessions);
	g_free(together->each);
	g_free(together->fds);
	g_free(together);
}

/* ---- for ever ---- */

struct observation {
	struct observe_session session;
	struct observe_options options;
};

static const struct probe_listener *session_listener(const struct observe_session *session)
{
	return session->weave	 ? weave_listener(session->weave)
	       : session->happen ? happen_listener(session->happen)
				 : tally_listener(session->tally);
}

struct observation *observation_open(struct registry *registry, const struct observe_options *options, GError **error)
{
	struct observation *observation;
	struct observe_session *session;
	struct probe_request request;
	struct observe_scope scope;

	g_return_val_if_fail(options->probe->collect || options->probe->shape == SHAPE_EVENTS ||
				     options->probe->shape == SHAPE_CALLTREE,
			     NULL);
	observation = g_new0(struct observation, 1);
	observation->options = *options;
	session = &observation->session;
	session->registry = registry;
	session->options = &observation->options;
	session_open(session);
	scope_init(&scope, registry, options->targets);
	request = observe_request(registry, options, &scope);
	session->run = options->probe->open(&request, session_listener(session), error);
	scope_clear(&scope);
	if (!session->run) {
		observation_close(observation);
		return NULL;
	}
	session_listen(session);
	if (session->weave && options->probe->teach)
		splice_set_teacher(weave_splice(session->weave), session_teach, session);
	session_stamp(session, clock_monotonic_ns());
	return observation;
}

int observation_fd(const struct observation *observation)
{
	return observation->options.probe->fd(observation->session.run);
}

guint observation_tick_ms(const struct observation *observation)
{
	return observation->options.probe->says_when ? 0 : OBSERVE_TICK_MS;
}

gboolean observation_drain(struct observation *observation, GError **error)
{
	return observation->options.probe->drain(observation->session.run, error);
}

struct snapshot *observation_take(struct observation *observation, GError **error)
{
	struct observe_session *session = &observation->session;
	guint64 now_ns = clock_monotonic_ns();
	struct snapshot *done;

	if (!observation_drain(observation, error))
		return NULL;
	if (observation->options.probe->collect && !session_collect(session, error))
		return NULL;
	session_account_answers(session);
	done = g_steal_pointer(&session->snapshot);
	done->duration_ns = now_ns - session->since_ns;
	session_begin_snapshot(session);
	session_stamp(session, now_ns);
	return done;
}

struct snapshot *observation_finish(struct observation *observation, GError **error)
{
	struct observe_session *session = &observation->session;

	session->snapshot->duration_ns = clock_monotonic_ns() - session->since_ns;
	if (!session_finish(session, error))
		return NULL;
	session_note_symbols(session);
	return g_steal_pointer(&session->snapshot);
}

void observation_close(struct observation *observation)
{
	if (!observation)
		return;
	if (observation->session.run)
		observation->options.probe->close(observation->session.run);
	session_close(&observation->session);
	g_free(observation);
}
