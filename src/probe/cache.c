/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/cache.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache.skel.h"
#include "probe/filter.h"
#include "probe/gather.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"

struct cache_run {
	struct cache_bpf *kernel;
	struct gather gather;
	struct gather_setup setup;
	const struct rung *rung;
	char *why_not;
};

static const struct rung cache_rungs[] = {
	{ .name = "tp_btf/mm_filemap_get_pages, mm_filemap_add_to_page_cache",
	  .misses = "file systems that do without the page cache or have one of their own (zfs), and mapped files; a "
		    "page that somebody else brings at the same moment is a hit" },
	{ .name = "fexit/filemap_read, tp_btf/mm_filemap_add_to_page_cache",
	  .misses = "what is asked for by sendfile and splice, file systems that do without the page cache or have one "
		    "of their own (zfs), and mapped files; a page that somebody else brings at the same moment is a "
		    "hit" },
	{ 0 },
};
#define CACHE_RUNG_TRACEPOINT (&cache_rungs[0])

/* System calls that read files. */
static const guint16 cache_calls[] = { SYS_read,     SYS_readv,	 SYS_pread64,	      SYS_preadv,	 SYS_preadv2,
				       SYS_sendfile, SYS_splice, SYS_copy_file_range, SYS_io_uring_enter };
/* Of these those whose third argument is the length of what is read. */
static const guint16 cache_calls_sized[] = { SYS_read, SYS_pread64 };
/* The same ones of 32-bit programs on x86 (arch/x86/entry/syscalls/syscall_32.tbl), with sendfile64. */
static const guint16 cache_calls_32[] = { 3, 145, 180, 333, 378, 187, 239, 313, 377, 426 };

static gboolean cache_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	(void)owner;
	values[0].text = which == CACHE_BROUGHT ? CACHE_TEXT_BROUGHT : CACHE_TEXT_ASKED;
	return TRUE;
}

static const struct table_ops cache_ops = { .classes = CACHE_KINDS, .values = 1, .values_of = cache_values };
static const struct probe_label cache_labels[] = { { "pages", PROBE_LABEL_TEXT }, { 0 } };

static guint cache_page_shift(void)
{
	return (guint)g_bit_nth_lsf((gulong)sysconf(_SC_PAGESIZE), -1);
}

static void cache_bits(const guint16 *calls, gsize count, __u64 *bits)
{
	for (gsize i = 0; i < count; i++)
		bits[calls[i] / 64] |= G_GUINT64_CONSTANT(1) << calls[i] % 64;
}

static gboolean cache_load(struct cache_run *run, const struct rung *rung, GError **error)
{
	static const char what[] = "cannot load the page cache program";
	gboolean tracepoint = rung == CACHE_RUNG_TRACEPOINT;
	struct filter_values values;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	ladder_log_start();
	run->kernel = cache_bpf__open_opts(kernel_btf_options(btf));
	if (!run->kernel) {
		ladder_set_error(error, what, errno);
		return FALSE;
	}
	filter_values_init(&values, run->setup.request);
	TABLE_SET(run->kernel->rodata, &values, run->setup.request, run->setup.rows);
	run->kernel->rodata->cache_page_shift = cache_page_shift();
	cache_bits(cache_calls, G_N_ELEMENTS(cache_calls), run->kernel->rodata->cache_calls);
	cache_bits(cache_calls_sized, G_N_ELEMENTS(cache_calls_sized), run->kernel->rodata->cache_calls_sized);
	cache_bits(cache_calls_32, G_N_ELEMENTS(cache_calls_32), run->kernel->rodata->cache_calls_32);
	bpf_program__set_autoload(run->kernel->progs.cache_lookup, tracepoint);
	bpf_program__set_autoload(run->kernel->progs.cache_read_done, !tracepoint);
	run->gather.object = run->kernel->obj;
	if (!gather_size(&run->gather, &run->setup, error))
		return FALSE;
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

/* ladder_try_fn */
static gboolean cache_attach(void *user, const struct rung *rung, GError **error)
{
	struct cache_run *run = user;

	if (cache_load(run, rung, error) && gather_open(&run->gather, &run->setup, error) &&
	    gather_attach(&run->gather,
			  rung == CACHE_RUNG_TRACEPOINT ? run->kernel->progs.cache_lookup
							: run->kernel->progs.cache_read_done,
			  error) &&
	    gather_attach(&run->gather, run->kernel->progs.cache_add, error))
		return TRUE;
	gather_close(&run->gather);
	g_clear_pointer(&run->kernel, cache_bpf__destroy);
	return FALSE;
}

static void cache_close(struct probe_run *opaque)
{
	struct cache_run *run = (struct cache_run *)opaque;

	if (!run)
		return;
	gather_close(&run->gather);
	g_clear_pointer(&run->kernel, cache_bpf__destroy);
	g_free(run->why_not);
	g_free(run);
}

static struct probe_run *cache_open(const struct probe_request *request, const struct probe_listener *listener,
				    GError **error)
{
	struct cache_run *run = g_new0(struct cache_run, 1);

	run->setup = (struct gather_setup){
		.request = request,
		.listener = listener,
		.table = &cache_ops,
		.rows = table_rows_for(request, CACHE_KINDS),
	};
	run->rung = ladder_climb(cache_rungs, request->rung, cache_attach, run, &run->why_not, error);
	if (run->rung)
		return (struct probe_run *)run;
	cache_close((struct probe_run *)run);
	return NULL;
}

static int cache_fd(struct probe_run *run)
{
	return gather_fd(&((struct cache_run *)run)->gather);
}

static gboolean cache_drain(struct probe_run *run, GError **error)
{
	return gather_drain(&((struct cache_run *)run)->gather, error);
}

static void cache_account(const struct cache_run *run, struct ledger *ledger)
{
	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
}

static gboolean cache_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct cache_run *run = (struct cache_run *)opaque;

	cache_account(run, ledger);
	return gather_collect(&run->gather, ledger, error);
}

static gboolean cache_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct cache_run *run = (struct cache_run *)opaque;

	cache_account(run, ledger);
	return gather_finish(&run->gather, ledger, error);
}

const struct probe probe_cache = {
	.name = "cache",
	.shows = "reads of files: pages asked for, and pages that had to be brought into the page cache",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_COUNT,
	.rungs = cache_rungs,
	.labels = cache_labels,
	.open = cache_open,
	.fd = cache_fd,
	.drain = cache_drain,
	.collect = cache_collect,
	.finish = cache_finish,
	.close = cache_close,
};
