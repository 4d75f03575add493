/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/interrupt.h"

#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "interrupt.skel.h"
#include "probe/filter.h"
#include "probe/gather.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"

#define IRQ_NAME_BYTES 4096

struct interrupt_run {
	struct interrupt_bpf *kernel;
	struct gather gather;
	gboolean soft;
};

static const struct rung irq_rungs[] = {
	{ .name = "tp_btf/irq_handler_entry+exit",
	  .misses = "interrupts without a handler of a device: timers, calls between CPUs, those of the hypervisor" },
	{ 0 },
};
static const struct rung softirq_rungs[] = {
	{ .name = "tp_btf/softirq_entry+exit",
	  .misses = "for whom it was done; interrupts that came in between are counted as part of it" },
	{ 0 },
};

/* In the order of the kernel's enum (include/linux/interrupt.h). */
static const char *const softirq_names[] = { "hi",	 "timer",   "net_tx", "net_rx",	 "block",
					     "irq_poll", "tasklet", "sched",  "hrtimer", "rcu" };

static gboolean softirq_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	guint64 vector = owner->key.label;

	(void)which;
	values[0].text = vector < G_N_ELEMENTS(softirq_names) ? softirq_names[vector] : "other";
	return TRUE;
}

/* "virtio0-input.0 (25)". There are few lines, so their names may stay for ever. */
static gboolean irq_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	g_autofree char *path = g_strdup_printf("/sys/kernel/irq/%u/actions", (guint)owner->key.label);
	g_autofree char *actions = file_read(path, IRQ_NAME_BYTES, NULL, NULL);
	g_autofree char *name =
		g_strdup_printf("%s (%u)", actions ? g_strstrip(actions) : "irq", (guint)owner->key.label);

	(void)which;
	values[0].text = g_intern_string(name);
	return TRUE;
}

static const struct table_ops softirq_ops = { .classes = 1, .values = 1, .values_of = softirq_values };
static const struct table_ops irq_ops = { .classes = 1, .values = 1, .values_of = irq_values };
static const struct probe_label softirq_labels[] = { { "softirq", PROBE_LABEL_TEXT }, { 0 } };
static const struct probe_label irq_labels[] = { { "irq", PROBE_LABEL_TEXT }, { 0 } };

static gboolean interrupt_load(struct interrupt_run *run, const struct gather_setup *setup, GError **error)
{
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	static const char what[] = "cannot load the interrupt program";
	struct filter_values values;

	run->kernel = KERNEL_BTF_OPEN(interrupt, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, setup->request);
	TABLE_SET(run->kernel->rodata, &values, setup->request, setup->rows);
	bpf_program__set_autoload(run->kernel->progs.interrupt_softirq_entry, run->soft);
	bpf_program__set_autoload(run->kernel->progs.interrupt_softirq_exit, run->soft);
	bpf_program__set_autoload(run->kernel->progs.interrupt_irq_entry, !run->soft);
	bpf_program__set_autoload(run->kernel->progs.interrupt_irq_exit, !run->soft);
	run->gather.object = run->kernel->obj;
	if (!gather_size(&run->gather, setup, error))
		return FALSE;
	return kernel_btf_load(btf, run->kernel->skeleton, what, error);
}

/* ladder_try_fn */
static gboolean interrupt_attach(void *user, const struct rung *rung, GError **error)
{
	struct interrupt_run *run = user;
	struct bpf_program *const programs[] = {
		run->soft ? run->kernel->progs.interrupt_softirq_entry : run->kernel->progs.interrupt_irq_entry,
		run->soft ? run->kernel->progs.interrupt_softirq_exit : run->kernel->progs.interrupt_irq_exit,
	};

	(void)rung;
	return gather_attach_all(&run->gather, programs, G_N_ELEMENTS(programs), error);
}

static const struct rung *interrupt_rungs(const struct interrupt_run *run)
{
	return run->soft ? softirq_rungs : irq_rungs;
}

static void interrupt_close(struct probe_run *opaque)
{
	struct interrupt_run *run = (struct interrupt_run *)opaque;

	if (!run)
		return;
	gather_close(&run->gather);
	interrupt_bpf__destroy(run->kernel);
	g_free(run);
}

static struct probe_run *interrupt_open(gboolean soft, const struct probe_request *request,
					const struct probe_listener *listener, GError **error)
{
	struct interrupt_run *run = g_new0(struct interrupt_run, 1);
	struct gather_setup setup = {
		.request = request,
		.listener = listener,
		.table = soft ? &softirq_ops : &irq_ops,
		.rows = table_rows_for(request, 1),
	};

	run->soft = soft;
	if (interrupt_load(run, &setup, error) && gather_open(&run->gather, &setup, error) &&
	    ladder_climb(interrupt_rungs(run), request->rung, interrupt_attach, run, NULL, error))
		return (struct probe_run *)run;
	interrupt_close((struct probe_run *)run);
	return NULL;
}

static struct probe_run *irq_open(const struct probe_request *request, const struct probe_listener *listener,
				  GError **error)
{
	return interrupt_open(FALSE, request, listener, error);
}

static struct probe_run *softirq_open(const struct probe_request *request, const struct probe_listener *listener,
				      GError **error)
{
	return interrupt_open(TRUE, request, listener, error);
}

static int interrupt_fd(struct probe_run *run)
{
	return gather_fd(&((struct interrupt_run *)run)->gather);
}

static gboolean interrupt_drain(struct probe_run *run, GError **error)
{
	return gather_drain(&((struct interrupt_run *)run)->gather, error);
}

static gboolean interrupt_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct interrupt_run *run = (struct interrupt_run *)opaque;

	ledger_set_rung(ledger, interrupt_rungs(run)->name, interrupt_rungs(run)->misses);
	return gather_collect(&run->gather, ledger, error);
}

static gboolean interrupt_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct interrupt_run *run = (struct interrupt_run *)opaque;

	ledger_set_rung(ledger, interrupt_rungs(run)->name, interrupt_rungs(run)->misses);
	return gather_finish(&run->gather, ledger, error);
}

const struct probe probe_softirq = {
	.name = "softirq",
	.shows = "soft interrupts: how long the kernel's deferred work (network, block, timers) takes at a time",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = softirq_rungs,
	.labels = softirq_labels,
	.open = softirq_open,
	.fd = interrupt_fd,
	.drain = interrupt_drain,
	.collect = interrupt_collect,
	.finish = interrupt_finish,
	.close = interrupt_close,
};

const struct probe probe_irq = {
	.name = "irq",
	.shows = "interrupt handlers of devices: how long each takes",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = irq_rungs,
	.labels = irq_labels,
	.open = irq_open,
	.fd = interrupt_fd,
	.drain = interrupt_drain,
	.collect = interrupt_collect,
	.finish = interrupt_finish,
	.close = interrupt_close,
};
