/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/payers.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "payers.skel.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/mapread.h"
#include "probe/probe.h"

struct payers {
	struct payers_bpf *kernel;
	struct bpf_link *link;
	guint32 ids[PAYERS_PROGRAMS];
	guint count;
};

static gboolean payers_load(struct payers *payers, const char *v1_controller, GError **error)
{
	static const char what[] = "cannot tell who pays for BPF programs";
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	struct probe_request request = { .v1_controller = v1_controller };
	struct filter_values values;

	payers->kernel = KERNEL_BTF_OPEN(payers, btf, what, error);
	if (!payers->kernel)
		return FALSE;
	filter_values_init(&values, &request);
	payers->kernel->rodata->v1_controller = values.v1_controller;
	payers->kernel->rodata->programs_count = payers->count;
	return kernel_btf_load(btf, payers->kernel->skeleton, what, error);
}

/* Runs the iterator over all programs once: it notes where the watched ones' counters are. */
static gboolean payers_find_counters(struct payers *payers, GError **error)
{
	int ids = bpf_map__fd(payers->kernel->maps.program_ids);
	struct bpf_link *link;
	gboolean ok;

	for (guint32 i = 0; i < payers->count; i++)
		bpf_map_update_elem(ids, &payers->ids[i], &i, BPF_ANY);
	link = kernel_btf_attach(payers->kernel->progs.payers_find);
	ok = kernel_btf_iterate(link, "cannot look at all BPF programs", error);
	bpf_link__destroy(link);
	return ok;
}

struct payers *payers_open(const guint32 *program_ids, guint count, const char *v1_controller, GError **error)
{
	struct payers *payers = g_new0(struct payers, 1);

	payers->count = MIN(count, (guint)PAYERS_PROGRAMS);
	if (payers->count) /* of none `program_ids` may be NULL */
		memcpy(payers->ids, program_ids, payers->count * sizeof(*program_ids));
	if (payers_load(payers, v1_controller, error) && payers_find_counters(payers, error)) {
		payers->link = kernel_btf_attach(payers->kernel->progs.payers_switch);
		if (payers->link)
			return payers;
		ladder_set_error(error, "cannot attach to sched_switch", errno);
	}
	payers_close(payers);
	return NULL;
}

void payers_close(struct payers *payers)
{
	if (!payers)
		return;
	bpf_link__destroy(payers->link);
	payers_bpf__destroy(payers->kernel);
	g_free(payers);
}

struct payers_reading {
	const struct payers *payers;
	GArray *result;
};

/* mapread_fn */
static void payers_take(void *user, const void *key, const void *value)
{
	const struct payers_reading *reading = user;
	const struct payer_key *who = key;
	const struct payer_sum *sum = value;
	struct payer payer = { .cgroup_key = who->cgroup_key,
			       .run_count = sum->run_count,
			       .run_time_ns = sum->run_time_ns };

	if (who->program >= reading->payers->count)
		return;
	payer.program_id = reading->payers->ids[who->program];
	g_array_append_val(reading->result, payer);
}

GArray *payers_finish(struct payers *payers, guint64 *lost_ns, GError **error)
{
	g_autoptr(GArray) result = g_array_new(FALSE, FALSE, sizeof(struct payer));
	struct payers_reading reading = { payers, result };

	g_clear_pointer(&payers->link, bpf_link__destroy);
	*lost_ns = payers->kernel->bss->payers_lost_ns;
	if (!mapread_each(bpf_map__fd(payers->kernel->maps.payers), sizeof(struct payer_key), sizeof(struct payer_sum),
			  payers_take, &reading, error))
		return NULL;
	return g_steal_pointer(&result);
}
