/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/losses.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "probe/bpf/shared.h"
#include "probe/probe.h"

G_STATIC_ASSERT((int)LOSS_RING == LEDGER_LOST_RING && (int)LOSS_MAP == LEDGER_LOST_MAP);
G_STATIC_ASSERT((int)LOSS_STACK == LEDGER_LOST_STACK && (int)LOSS_STORAGE == LEDGER_LOST_STORAGE);
G_STATIC_ASSERT((int)LOSS_MISSED == LEDGER_LOST_MISSED && (int)LOSS_UNATTRIBUTED == LEDGER_LOST_UNATTRIBUTED);
G_STATIC_ASSERT((int)LOSS_FLOOD == LEDGER_LOST_FLOOD);
G_STATIC_ASSERT((int)LOSS_BELOW_THRESHOLD == LEDGER_BELOW_THRESHOLD);
G_STATIC_ASSERT((int)LOSS_OUT_OF_ORDER == LEDGER_OUT_OF_ORDER && (int)LOSS_SEEN == LEDGER_ITEMS);

static void losses_add(struct ledger *ledger, enum loss kind, guint64 events, guint64 weight)
{
	if (events == 0 && weight == 0)
		return;
	if (kind == LOSS_BIRTHS) {
		ledger_note(ledger,
			    g_strdup_printf("%" G_GUINT64_FORMAT " births and deaths of cgroups were not heard of",
					    events));
	} else if (kind == LOSS_SEEN) {
		ledger->seen.events += events;
		ledger->seen.weight += weight;
	} else {
		ledger_add(ledger, (enum ledger_item)kind, events, weight);
	}
}

gboolean losses_read(int losses_fd, struct ledger *ledger, GError **error)
{
	int cpus = libbpf_num_possible_cpus();
	g_autofree struct loss_line *lines = g_new0(struct loss_line, cpus > 0 ? cpus : 1);

	for (guint32 kind = 0; kind < LOSS_COUNT; kind++) {
		guint64 events = 0, weight = 0;

		if (cpus <= 0 || bpf_map_lookup_elem(losses_fd, &kind, lines) != 0) {
			g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot read the loss counters: %s",
				    g_strerror(errno));
			return FALSE;
		}
		for (int cpu = 0; cpu < cpus; cpu++) {
			events += lines[cpu].events;
			weight += lines[cpu].weight;
		}
		losses_add(ledger, kind, events, weight);
	}
	return TRUE;
}
