/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one probe from now until standard input ends, and prints what it told, raw: for tests of truth and cost.
 *
 * usage: probe_watch PROBE [--tgid PID]... [--cgroup KEY]... [--threads] [--waker] [--threshold NS] [--rung RUNG]
 * Prints "READY" when everything is attached, then, at the end, tab-separated:
 *   WEIGHT <state> <tgid> <tid> <comm> <syscall> <flags> <events> <ns> <max> <kernel frames> <user frames> <waker comm>
 *   LEDGER <name> <events> <weight>      lost items and "seen", "expected"
 *   NOTE <text> */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "probe/probe.h"

struct watch {
	GArray *stacks; /* of struct probe_stack, without frames */
	GArray *cgroups; /* of struct probe_cgroup */
	GArray *tgids; /* of guint32 */
};

static void watch_stack(void *user, const struct probe_stack *stack)
{
	struct watch *watch = user;

	g_assert(stack->id == watch->stacks->len);
	g_array_append_vals(watch->stacks, stack, 1);
}

static void watch_weight(void *user, const struct probe_weight *weight)
{
	static const char *const states[PROBE_STATES] = { "running", "blocked", "woken", "preempted", "throttled" };
	const struct watch *watch = user;
	struct probe_stack stack = { .syscall = -1 };
	const char *waker = "";

	if (weight->stack != PROBE_NO_STACK)
		stack = g_array_index(watch->stacks, struct probe_stack, weight->stack);
	if (weight->waker_stack != PROBE_NO_STACK)
		waker = g_array_index(watch->stacks, struct probe_stack, weight->waker_stack).task.comm;
	printf("WEIGHT\t%s\t%u\t%u\t%s\t%d\t%u\t%" G_GUINT64_FORMAT "\t%" G_GUINT64_FORMAT "\t%" G_GUINT64_FORMAT
	       "\t%u\t%u\t%s\n",
	       states[weight->state], weight->task->tgid, weight->task->tid, weight->task->comm, stack.syscall,
	       stack.flags, weight->events, weight->weight, weight->max, stack.kernel_count, stack.user_count, waker);
}

static void watch_print_ledger(const struct ledger *ledger)
{
	printf("LEDGER\tseen\t%" G_GUINT64_FORMAT "\t%" G_GUINT64_FORMAT "\n", ledger->seen.events,
	       ledger->seen.weight);
	printf("LEDGER\texpected\t0\t%" G_GUINT64_FORMAT "\n", ledger->expected_weight);
	for (guint item = 0; item < LEDGER_ITEMS; item++)
		if (item < G_N_ELEMENTS(ledger->items) && (ledger->items[item].events || ledger->items[item].weight))
			printf("LEDGER\t%s\t%" G_GUINT64_FORMAT "\t%" G_GUINT64_FORMAT "\n", ledger_item_name(item),
			       ledger->items[item].events, ledger->items[item].weight);
	for (guint i = 0; ledger->notes && i < ledger->notes->len; i++)
		printf("NOTE\t%s\n", (const char *)g_ptr_array_index(ledger->notes, i));
}

static gboolean watch_until_eof(const struct probe *probe, struct probe_run *run, GError **error)
{
	struct pollfd news[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = probe->fd(run), .events = POLLIN } };
	char nothing[64];

	for (;;) {
		if (poll(news, G_N_ELEMENTS(news), -1) < 0)
			continue;
		if (news[1].revents && !probe->drain(run, error))
			return FALSE;
		if (news[0].revents && read(STDIN_FILENO, nothing, sizeof(nothing)) <= 0)
			return TRUE;
	}
}

static gboolean watch_run(const struct probe *probe, const struct probe_request *request, struct watch *watch,
			  GError **error)
{
	const struct probe_listener listener = { .user = watch, .stack = watch_stack, .weight = watch_weight };
	struct probe_run *run = probe->open(request, &listener, error);
	struct ledger ledger = { 0 };
	gboolean right;

	if (!run)
		return FALSE;
	printf("READY\n");
	fflush(stdout);
	right = watch_until_eof(probe, run, error) && probe->finish(run, &ledger, error);
	if (right)
		watch_print_ledger(&ledger);
	ledger_clear(&ledger);
	probe->close(run);
	return right;
}

/* One option and its value; FALSE when it is none. */
static gboolean watch_option(struct watch *watch, struct probe_request *request, const char *name, const char *value)
{
	struct probe_cgroup cgroup = { .wanted = TRUE };
	guint32 tgid;

	if (g_str_equal(name, "--tgid")) {
		tgid = g_ascii_strtoull(value, NULL, 10);
		g_array_append_val(watch->tgids, tgid);
		request->filter = TRUE;
	} else if (g_str_equal(name, "--cgroup")) {
		cgroup.key = g_ascii_strtoull(value, NULL, 0);
		g_array_append_val(watch->cgroups, cgroup);
		request->filter = TRUE;
	} else if (g_str_equal(name, "--threshold")) {
		request->threshold_ns = g_ascii_strtoull(value, NULL, 10);
	} else if (g_str_equal(name, "--rung")) {
		request->rung = value;
	} else {
		return FALSE;
	}
	return TRUE;
}

static gboolean watch_options(struct watch *watch, struct probe_request *request, int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		if (g_str_equal(argv[i], "--threads"))
			request->by_thread = TRUE;
		else if (g_str_equal(argv[i], "--waker"))
			request->waker = TRUE;
		else if (i + 1 < argc && watch_option(watch, request, argv[i], argv[i + 1]))
			i++;
		else
			return FALSE;
	}
	request->cgroups = (const struct probe_cgroup *)(gpointer)watch->cgroups->data;
	request->cgroup_count = watch->cgroups->len;
	request->tgids = (const guint32 *)(gpointer)watch->tgids->data;
	request->tgid_count = watch->tgids->len;
	return TRUE;
}

int main(int argc, char **argv)
{
	struct watch watch = {
		.stacks = g_array_new(FALSE, FALSE, sizeof(struct probe_stack)),
		.cgroups = g_array_new(FALSE, FALSE, sizeof(struct probe_cgroup)),
		.tgids = g_array_new(FALSE, FALSE, sizeof(guint32)),
	};
	struct probe_request request = { 0 };
	const struct probe *probe = argc > 1 ? probe_find(argv[1]) : NULL;
	g_autoptr(GError) error = NULL;

	if (!probe || !watch_options(&watch, &request, argc, argv)) {
		fprintf(stderr, "usage: probe_watch PROBE [--tgid PID] [--cgroup KEY] [--threads] [--waker] "
				"[--threshold NS] [--rung RUNG]\n");
		return 2;
	}
	if (!watch_run(probe, &request, &watch, &error)) {
		fprintf(stderr, "probe_watch: %s\n", error->message);
		return 1;
	}
	return 0;
}
