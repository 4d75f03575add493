/* SPDX-License-Identifier: Apache-2.0 */
/* The user half of bpf/blame.bpf.h: sums by waiter and culprit, rows of a table, get their cgroups back. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/bpf/blame.h"
#include "probe/probe.h"
#include "probe/table.h"

extern const struct probe_label pairs_labels[];
extern const struct edges_column pairs_counters[]; /* wait, waits */

/* What a culprit that is no row is called. Ends with a NULL text. */
struct pairs_end {
	guint16 number;
	enum edge_end_kind kind;
	const char *text;
};

struct pairs;

/* `resource` ("cpu") and `ends` must stay valid. The table's own listener should have no bucket. */
struct pairs *pairs_open(struct bpf_object *object, struct table *table, const struct probe_listener *listener,
			 const char *resource, const struct pairs_end *ends);
void pairs_close(struct pairs *pairs);
/* Hands out what is new. The table's histograms of the same waits say what the pairs must add up to. */
gboolean pairs_collect(struct pairs *pairs, struct ledger *ledger, GError **error);
/* One pair by hand, for probes that find their culprits in user space. `reason`: value of a second
 * label, where the probe has one; may be NULL. */
void pairs_tell(struct pairs *pairs, const char *reason, const struct probe_end *source, const struct probe_end *target,
		guint64 ns, guint64 waits);
