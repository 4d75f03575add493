/* SPDX-License-Identifier: Apache-2.0 */
/* blame memory. The kernel half says who waited for memory and who took how much; here each wait is laid on those who
 * took some between two collections, by their share. A limit of its own needs no culprit. Who is to blame for a page that
 * has to be read again depends on why it was given up: at the waiter's own limit, or because the machine was short; the
 * pages given up either way since the beginning say in which proportion. */
#include "probe/reclaim.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/units.h"
#include "probe/filter.h"
#include "probe/gather.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/pairs.h"
#include "reclaim.skel.h"

#define RECLAIM_VMSTAT_BYTES (64 << 10)

struct taker {
	guint64 cgroup_key;
	guint64 pages;
};

struct waiter {
	guint64 cgroup_key;
	const char *reason; /* NULL: it made room */
	struct probe_end source;
	guint64 ns, waits;
};

struct reclaim_run {
	struct reclaim_bpf *kernel;
	struct gather gather;
	struct pairs *pairs;
	GArray *takers, *waiters, *refaults; /* of the collection that goes on */
	GHashTable *given_up; /* cgroup key → pages given up at its limit, guint64, since the beginning */
	guint64 machine_before; /* pages that the machine had given up at the beginning */
	struct ledger_line told;
	guint64 taken_pages; /* since the beginning */
	gboolean has_told;
};

static const struct rung reclaim_rungs[] = {
	{ .name = "tp_btf/mm_vmscan_*_reclaim, mm_page_alloc",
	  .misses =
		  "whose allocations exactly: waits are shared by who allocated how much in the same second; which page was "
		  "given up because of whom: refaults are shared by how many pages were given up at the limit and for "
		  "the machine" },
	{ 0 },
};

static const struct probe_label reclaim_labels[] = { { "resource", PROBE_LABEL_TEXT },
						     { "reason", PROBE_LABEL_TEXT },
						     { 0 } };
static const struct pairs_end reclaim_ends[] = { { 0 } };

static const char *const kinds[RECLAIM_KINDS] = {
	[RECLAIM_LIMIT] = "limit",     [RECLAIM_MACHINE] = "machine",	[RECLAIM_TAKEN] = "taken",
	[RECLAIM_REFAULT] = "refault", [RECLAIM_GIVEN_UP] = "given up", [RECLAIM_KSWAPD] = "kswapd",
};
static const struct probe_end limit = { .kind = EDGE_END_QUOTA, .text = "its own memory limit" };

static gboolean reclaim_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	(void)owner;
	values[0].text = kinds[which];
	return TRUE;
}

static const struct table_ops reclaim_ops = { .classes = RECLAIM_KINDS, .values = 1, .values_of = reclaim_values };

/* Pages that kswapd and direct reclaim have given up since the machine started; limits' are not among them. */
static guint64 reclaim_machine_pages(void)
{
	static const char *const names[] = { "\npgsteal_kswapd ", "\npgsteal_direct ", "\npgsteal_khugepaged " };
	g_autofree char *text = file_read("/proc/vmstat", RECLAIM_VMSTAT_BYTES, NULL, NULL);
	guint64 pages = 0;

	for (gsize i = 0; text && i < G_N_ELEMENTS(names); i++) {
		const char *at = strstr(text, names[i]);

		pages += at ? g_ascii_strtoull(at + strlen(names[i]), NULL, 10) : 0;
	}
	return pages;
}

static void reclaim_give_up(struct reclaim_run *run, guint64 cgroup_key, guint64 pages)
{
	guint64 *known = g_hash_table_lookup(run->given_up, &cgroup_key);

	if (!known) {
		known = g_new0(guint64, 1);
		g_hash_table_insert(run->given_up, g_memdup2(&cgroup_key, sizeof(cgroup_key)), known);
	}
	*known += pages;
}

/* probe_listener.bucket of our own table. */
static void reclaim_bucket(void *user, const struct probe_bucket *bucket)
{
	struct reclaim_run *run = user;
	const char *kind = bucket->values[0].text;
	struct taker taker = { bucket->task->cgroup_key, bucket->counts->sum };
	struct waiter waiter = {
		.cgroup_key = taker.cgroup_key,
		.source = { .kind = EDGE_END_CONTAINER, .cgroup_key = taker.cgroup_key },
		.ns = bucket->counts->sum,
		.waits = bucket->counts->count,
	};

	if (kind == kinds[RECLAIM_TAKEN]) {
		run->taken_pages += taker.pages;
		g_array_append_val(run->takers, taker);
		return;
	}
	if (kind == kinds[RECLAIM_GIVEN_UP]) {
		reclaim_give_up(run, taker.cgroup_key, taker.pages);
		return;
	}
	run->told.events += waiter.waits;
	run->told.weight += waiter.ns;
	if (kind == kinds[RECLAIM_LIMIT]) {
		pairs_tell(run->pairs, NULL, &waiter.source, &limit, waiter.ns, waiter.waits);
		return;
	}
	if (kind == kinds[RECLAIM_KSWAPD])
		waiter.source = (struct probe_end){ .kind = EDGE_END_HOST, .text = "kswapd" };
	if (kind == kinds[RECLAIM_REFAULT])
		waiter.reason = "pages read again";
	g_array_append_val(kind == kinds[RECLAIM_REFAULT] ? run->refaults : run->waiters, waiter);
}

/* Shares out one wait; what rounding leaves goes to the last. */
static void reclaim_share(struct reclaim_run *run, const struct waiter *waiter, guint64 pages)
{
	struct probe_end nobody = { .kind = EDGE_END_UNKNOWN, .text = "nobody who was seen" };
	guint64 left = waiter->ns;

	for (guint i = 0; pages && i < run->takers->len; i++) {
		const struct taker *taker = &g_array_index(run->takers, struct taker, i);
		struct probe_end target = { .kind = EDGE_END_CONTAINER, .cgroup_key = taker->cgroup_key };
		guint64 part = i + 1 == run->takers->len
				       ? left
				       : (guint64)((double)waiter->ns * ((double)taker->pages / (double)pages));

		part = MIN(part, left);
		left -= part;
		if (part)
			pairs_tell(run->pairs, waiter->reason, &waiter->source, &target, part, waiter->waits);
	}
	if (left)
		pairs_tell(run->pairs, waiter->reason, &waiter->source, &nobody, left, waiter->waits);
}

/* The part of a wait for pages that were given up at the waiter's own limit is the limit's, the rest the takers'. */
static void reclaim_share_refault(struct reclaim_run *run, struct waiter *waiter, guint64 machine, guint64 pages)
{
	const struct probe_end before = { .kind = EDGE_END_UNKNOWN, .text = "given up before this was watched" };
	const guint64 *known = g_hash_table_lookup(run->given_up, &waiter->cgroup_key);
	double own = known ? (double)*known : 0;
	guint64 limits =
		own + (double)machine > 0 ? (guint64)((double)waiter->ns * (own / (own + (double)machine))) : 0;

	if (own == 0 && machine == 0) {
		pairs_tell(run->pairs, waiter->reason, &waiter->source, &before, waiter->ns, waiter->waits);
		return;
	}
	if (limits)
		pairs_tell(run->pairs, waiter->reason, &waiter->source, &limit, limits, waiter->waits);
	waiter->ns -= MIN(limits, waiter->ns);
	if (waiter->ns)
		reclaim_share(run, waiter, pages);
}

static void reclaim_blame(struct reclaim_run *run)
{
	guint64 pages = 0, machine_now = reclaim_machine_pages();
	guint64 machine = machine_now - MIN(run->machine_before, machine_now);

	for (guint i = 0; i < run->takers->len; i++)
		pages += g_array_index(run->takers, struct taker, i).pages;
	for (guint i = 0; i < run->waiters->len; i++)
		reclaim_share(run, &g_array_index(run->waiters, struct waiter, i), pages);
	for (guint i = 0; i < run->refaults->len; i++)
		reclaim_share_refault(run, &g_array_index(run->refaults, struct waiter, i), machine, pages);
	g_array_set_size(run->takers, 0);
	g_array_set_size(run->waiters, 0);
	g_array_set_size(run->refaults, 0);
}

static gboolean reclaim_load(struct reclaim_run *run, const struct gather_setup *setup, GError **error)
{
	static const char what[] = "cannot load the reclaim program";
	struct filter_values values;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	run->kernel = KERNEL_BTF_OPEN(reclaim, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, setup->request);
	TABLE_SET(run->kernel->rodata, &values, setup->request, setup->rows);
	run->gather.object = run->kernel->obj;
	if (!gather_size(&run->gather, setup, error))
		return FALSE;
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

/* ladder_try_fn */
static gboolean reclaim_attach(void *user, const struct rung *rung, GError **error)
{
	struct reclaim_run *run = user;
	struct bpf_program *const programs[] = {
		run->kernel->progs.reclaim_machine_begin, run->kernel->progs.reclaim_machine_end,
		run->kernel->progs.reclaim_limit_begin,	  run->kernel->progs.reclaim_limit_end,
		run->kernel->progs.reclaim_kswapd_begin,  run->kernel->progs.reclaim_kswapd_end,
		run->kernel->progs.reclaim_switch,	  run->kernel->progs.reclaim_alloc,
	};

	(void)rung;
	return gather_attach_all(&run->gather, programs, G_N_ELEMENTS(programs), error);
}

static void reclaim_close(struct probe_run *opaque)
{
	struct reclaim_run *run = (struct reclaim_run *)opaque;

	if (!run)
		return;
	pairs_close(run->pairs);
	gather_close(&run->gather);
	reclaim_bpf__destroy(run->kernel);
	g_array_unref(run->takers);
	g_array_unref(run->waiters);
	g_array_unref(run->refaults);
	g_hash_table_unref(run->given_up);
	g_free(run);
}

static struct probe_run *reclaim_open(const struct probe_request *request, const struct probe_listener *listener,
				      GError **error)
{
	struct reclaim_run *run = g_new0(struct reclaim_run, 1);
	struct probe_listener own = {
		.user = run,
		.bucket = reclaim_bucket,
	};
	struct gather_setup setup = {
		.request = request,
		.listener = &own,
		.table = &reclaim_ops,
		.rows = MIN(table_rows_for(request, RECLAIM_KINDS), BLAME_ROWS_MAX),
	};

	run->takers = g_array_new(FALSE, FALSE, sizeof(struct taker));
	run->waiters = g_array_new(FALSE, FALSE, sizeof(struct waiter));
	run->refaults = g_array_new(FALSE, FALSE, sizeof(struct waiter));
	run->given_up = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	run->machine_before = reclaim_machine_pages();
	if (reclaim_load(run, &setup, error) && gather_open(&run->gather, &setup, error) &&
	    ladder_climb(reclaim_rungs, request->rung, reclaim_attach, run, NULL, error)) {
		run->pairs = pairs_open(run->kernel->obj, run->gather.table, listener, "memory", reclaim_ends);
		return (struct probe_run *)run;
	}
	reclaim_close((struct probe_run *)run);
	return NULL;
}

static int reclaim_fd(struct probe_run *run)
{
	return gather_fd(&((struct reclaim_run *)run)->gather);
}

static gboolean reclaim_drain(struct probe_run *run, GError **error)
{
	return gather_drain(&((struct reclaim_run *)run)->gather, error);
}

/* Where nobody waited this is all there is to tell. */
static void reclaim_note(struct reclaim_run *run, struct ledger *ledger)
{
	guint64 page = (guint64)sysconf(_SC_PAGESIZE), limits = 0, machine = reclaim_machine_pages();
	g_autofree char *taken = units_bytes(run->taken_pages * page), *of_machine = NULL, *of_limits = NULL;
	GHashTableIter each;
	gpointer pages;

	g_hash_table_iter_init(&each, run->given_up);
	while (g_hash_table_iter_next(&each, NULL, &pages))
		limits += *(guint64 *)pages;
	of_machine = units_bytes((machine - MIN(run->machine_before, machine)) * page);
	of_limits = units_bytes(limits * page);
	ledger_note(
		ledger,
		g_strdup_printf("memory taken since watching began: %s; given up: %s because the machine was short, "
				"%s at limits of those watched",
				taken, of_machine, of_limits));
}

static gboolean reclaim_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct reclaim_run *run = (struct reclaim_run *)opaque;
	struct ledger lost = { 0 };
	gboolean right = table_collect(run->gather.table, &lost, error);

	reclaim_blame(run);
	lost.seen = run->told;
	for (guint item = 0; item < LEDGER_LOST_END; item++)
		lost.seen.events += lost.items[item].events;
	ledger_set_rung(ledger, reclaim_rungs[0].name, reclaim_rungs[0].misses);
	if (access("/proc/pressure/memory", F_OK) != 0)
		ledger_note(ledger,
			    g_strdup("this kernel keeps no pressure stall information (psi=1): waits for pages that "
				     "are read again are not known"));
	run->has_told |= run->told.events > 0;
	run->told = (struct ledger_line){ 0 };
	ledger_merge(ledger, &lost);
	ledger_clear(&lost);
	return right;
}

static gboolean reclaim_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct reclaim_run *run = (struct reclaim_run *)opaque;
	gboolean right;

	gather_detach(&run->gather);
	right = reclaim_collect(opaque, ledger, error);
	if (!run->has_told)
		reclaim_note(run, ledger);
	return right;
}

const struct probe probe_blame_memory = {
	.name = "blame memory",
	.shows = "memory: who took it while others had to make room, or to read again what was given up",
	.shape = SHAPE_EDGES,
	.unit = UNIT_NANOSECONDS,
	.rungs = reclaim_rungs,
	.labels = reclaim_labels,
	.counters = pairs_counters,
	.open = reclaim_open,
	.fd = reclaim_fd,
	.drain = reclaim_drain,
	.collect = reclaim_collect,
	.finish = reclaim_finish,
	.close = reclaim_close,
};
