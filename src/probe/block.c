/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/block.h"

#include <errno.h>

#include "block.skel.h"
#include "probe/fields.h"
#include "probe/filter.h"
#include "probe/gather.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"

#define BLOCK_FLIGHTS_FRUGAL 4096 /* requests under way */
#define BLOCK_OPERATION_MASK 0xff
#define BLOCK_SECTOR_BYTES 512
#define BLOCK_EVENT_ROWS 64 /* the table is not used then */

struct block_run {
	struct block_bpf *kernel;
	struct gather gather;
	const char *kind; /* of events */
};

/* include/linux/blk_types.h, enum req_op; flags beside it. */
static const char *block_operation(guint32 operation)
{
	static const struct {
		guint32 value;
		const char *name;
	} names[] = {
		{ 0, "read" },	       { 1, "write" },	      { 2, "flush" },	     { 3, "discard" },
		{ 5, "secure erase" }, { 7, "zone append" },  { 9, "write zeroes" }, { 10, "zone open" },
		{ 11, "zone close" },  { 12, "zone finish" }, { 13, "zone reset" },  { 15, "zone reset" },
		{ 34, "driver in" },   { 35, "driver out" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
		if (names[i].value == operation)
			return names[i].name;
	return "other";
}

/* include/linux/blk_types.h, BLK_STS_…; NULL: all went well. */
static const char *block_status(guint32 status)
{
	static const char *const names[] = {
		NULL,
		"not supported",
		"timeout",
		"no space",
		"transport",
		"target",
		"reservation conflict",
		"medium",
		"protection",
		"resource",
		"I/O error",
		NULL,
		"would block",
		"device resource",
		"zone resource",
		"zone open limit",
		"zone active limit",
		"offline",
		"duration limit",
		NULL,
		"invalid",
	};

	return status < G_N_ELEMENTS(names) && names[status] ? names[status] : status ? "unknown" : NULL;
}

static const struct rung block_rungs[] = {
	{ .name = "tp_btf/block_rq_*",
	  .misses = "the time a limit of the cgroup (io.max) holds I/O back before it becomes a request, and devices "
		    "without requests (most of device mapper, md, zram: their I/O is seen at the disks below)" },
	{ 0 },
};

/* ---- histograms ---- */

static gboolean block_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	static const char *const times[BLOCK_TIMES] = { "queue", "device" };
	static const char *const sizes[BLOCK_SIZES] = { "none",	     "to 4 KiB",   "to 16 KiB",
							"to 64 KiB", "to 256 KiB", "above 256 KiB" };
	guint32 size = BLOCK_LABEL_SIZE(owner->key.label);

	values[0].text = times[which];
	values[1].number = BLOCK_LABEL_DEVICE(owner->key.label);
	values[2].text = block_operation(BLOCK_LABEL_OPERATION(owner->key.label));
	values[3].text = size < BLOCK_SIZES ? sizes[size] : NULL;
	return TRUE;
}

static const struct table_ops block_table_ops = { .classes = BLOCK_TIMES, .values = 4, .values_of = block_values };

static const struct probe_label block_labels[] = {
	{ "time", PROBE_LABEL_TEXT },
	{ "device", PROBE_LABEL_DEVICE },
	{ "operation", PROBE_LABEL_TEXT },
	{ "size", PROBE_LABEL_TEXT },
	{ 0 },
};

/* ---- events ---- */

/* eventring_decode_fn */
static gboolean block_decode(void *user, struct eventring *ring, const struct event_head *head, gsize bytes)
{
	const struct block_run *run = user;
	const struct block_record *record = (const void *)head;
	struct fields fields = { 0 };
	struct probe_field *device;

	if (bytes < sizeof(*record))
		return FALSE;
	device = field_add(&fields, "device", EVENT_TEXT);
	device->owner = PROBE_OWNER_DEVICE;
	device->field.number = record->device;
	field_text(&fields, "operation", block_operation(record->flags & BLOCK_OPERATION_MASK));
	field_number(&fields, "size", EVENT_BYTES, record->bytes);
	if (record->sector != G_MAXUINT64)
		field_number(&fields, "offset", EVENT_BYTES, record->sector * BLOCK_SECTOR_BYTES);
	field_number(&fields, "queue", EVENT_NANOSECONDS, record->queue_ns);
	field_number(&fields, "device_time", EVENT_NANOSECONDS, record->device_ns);
	field_number(&fields, "latency", EVENT_NANOSECONDS, record->queue_ns + record->device_ns);
	if (record->requeues)
		field_number(&fields, "requeues", EVENT_COUNT, record->requeues);
	field_text(&fields, "error", block_status(record->status));
	eventring_tell(ring, head, run->kind, fields.each, fields.count);
	return TRUE;
}

/* ---- running ---- */

static gboolean block_load(struct block_run *run, const struct gather_setup *setup, GError **error)
{
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	static const char what[] = "cannot load the block I/O program";
	struct filter_values values;

	run->kernel = KERNEL_BTF_OPEN(block, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, setup->request);
	TABLE_SET(run->kernel->rodata, &values, setup->request, setup->rows);
	EVENTRING_SET(run->kernel->rodata, setup->request);
	if (setup->request->frugal)
		bpf_map__set_max_entries(run->kernel->maps.block_flights, BLOCK_FLIGHTS_FRUGAL);
	run->kernel->rodata->block_events = setup->decode != NULL;
	run->kernel->rodata->block_over_ns = setup->request->threshold_ns;
	run->gather.object = run->kernel->obj;
	if (!gather_size(&run->gather, setup, error))
		return FALSE;
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

/* ladder_try_fn */
static gboolean block_attach(void *user, const struct rung *rung, GError **error)
{
	struct block_run *run = user;
	struct bpf_program *const programs[] = {
		run->kernel->progs.block_insert, run->kernel->progs.block_issue,    run->kernel->progs.block_requeue,
		run->kernel->progs.block_merge,	 run->kernel->progs.block_complete,
	};

	(void)rung;
	return gather_attach_all(&run->gather, programs, G_N_ELEMENTS(programs), error);
}

static void block_close(struct probe_run *opaque)
{
	struct block_run *run = (struct block_run *)opaque;

	if (!run)
		return;
	gather_close(&run->gather);
	block_bpf__destroy(run->kernel);
	g_free(run);
}

/* `kind` NULL: histograms. */
static struct probe_run *block_start(const struct probe_request *request, const struct probe_listener *listener,
				     const char *kind, GError **error)
{
	struct block_run *run = g_new0(struct block_run, 1);
	struct gather_setup setup = {
		.request = request,
		.listener = listener,
		.table = kind ? NULL : &block_table_ops,
		.decode = kind ? block_decode : NULL,
		.user = run,
		.rows = kind ? BLOCK_EVENT_ROWS : table_rows_for(request, BLOCK_TIMES),
	};

	run->kind = kind;
	if (block_load(run, &setup, error) && gather_open(&run->gather, &setup, error) &&
	    ladder_climb(block_rungs, request->rung, block_attach, run, NULL, error))
		return (struct probe_run *)run;
	block_close((struct probe_run *)run);
	return NULL;
}

static struct probe_run *block_open(const struct probe_request *request, const struct probe_listener *listener,
				    GError **error)
{
	return block_start(request, listener, NULL, error);
}

static struct probe_run *block_open_slow(const struct probe_request *request, const struct probe_listener *listener,
					 GError **error)
{
	return block_start(request, listener, "slow", error);
}

static struct probe_run *block_open_trace(const struct probe_request *request, const struct probe_listener *listener,
					  GError **error)
{
	struct probe_request all = *request;

	all.threshold_ns = 0;
	return block_start(&all, listener, "block", error);
}

static int block_fd(struct probe_run *run)
{
	return gather_fd(&((struct block_run *)run)->gather);
}

static gboolean block_drain(struct probe_run *run, GError **error)
{
	return gather_drain(&((struct block_run *)run)->gather, error);
}

static void block_account(struct ledger *ledger)
{
	if (!ledger->rung)
		ledger->rung = g_strdup(block_rungs[0].name);
	if (!ledger->misses)
		ledger->misses = g_strdup(block_rungs[0].misses);
}

static gboolean block_collect(struct probe_run *run, struct ledger *ledger, GError **error)
{
	block_account(ledger);
	return gather_collect(&((struct block_run *)run)->gather, ledger, error);
}

static gboolean block_finish(struct probe_run *run, struct ledger *ledger, GError **error)
{
	block_account(ledger);
	return gather_finish(&((struct block_run *)run)->gather, ledger, error);
}

const struct probe probe_block = {
	.name = "block",
	.shows = "block I/O latency: in the queue and in the device, by device, operation and size",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = block_rungs,
	.labels = block_labels,
	.open = block_open,
	.fd = block_fd,
	.drain = block_drain,
	.collect = block_collect,
	.finish = block_finish,
	.close = block_close,
};

const struct probe probe_slow_block = {
	.name = "slow block",
	.shows = "block I/O that takes long",
	.shape = SHAPE_EVENTS,
	.unit = UNIT_COUNT,
	.rungs = block_rungs,
	.open = block_open_slow,
	.fd = block_fd,
	.drain = block_drain,
	.finish = block_finish,
	.close = block_close,
};

const struct probe probe_trace_block = {
	.name = "trace block",
	.shows = "every block I/O",
	.shape = SHAPE_EVENTS,
	.unit = UNIT_COUNT,
	.rungs = block_rungs,
	.open = block_open_trace,
	.fd = block_fd,
	.drain = block_drain,
	.finish = block_finish,
	.close = block_close,
};
