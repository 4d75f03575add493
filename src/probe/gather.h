/* SPDX-License-Identifier: Apache-2.0 */
/* What probes share that can do both: count into tables of histograms (table.h), or tell of single happenings
 * (eventring.h). Their kernel halves include both, or tables only; a run does one of the two. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/allowance.h"
#include "probe/eventring.h"
#include "probe/table.h"

#define GATHER_LINKS 16
#define GATHER_RING_BYTES (4 << 20)
#define GATHER_RING_BYTES_MIN (64 << 10) /* not used, but it must be */

struct gather {
	struct bpf_object *object; /* the skeleton's */
	struct table *table; /* NULL: events */
	struct eventring *ring; /* NULL: histograms */
	struct allowance *allowance; /* NULL: what it costs is bounded otherwise (gather_unmeasured) */
	int fd;
	struct bpf_link *links[GATHER_LINKS];
	guint link_count;
};

/* What a run is asked for. */
struct gather_setup {
	const struct probe_request *request;
	const struct probe_listener *listener;
	const struct table_ops *table; /* histograms; NULL: events */
	eventring_decode_fn decode; /* events */
	void *user; /* of decode */
	guint32 rows;
};

/* Before loading: sizes rings and tables. */
gboolean gather_size(struct gather *gather, const struct gather_setup *setup, GError **error);
/* After loading. */
gboolean gather_open(struct gather *gather, const struct gather_setup *setup, GError **error);
/* What it costs is not measured from now on, and all is looked at. */
void gather_unmeasured(struct gather *gather);
/* Attaches a program (by its section); adds the link. `what` begins the error: "cannot attach to …". */
gboolean gather_attach(struct gather *gather, struct bpf_program *program, GError **error);
/* Several, in this order; when one cannot be attached none is. */
gboolean gather_attach_all(struct gather *gather, struct bpf_program *const *programs, gsize count, GError **error);
void gather_detach(struct gather *gather);
void gather_close(struct gather *gather);

int gather_fd(const struct gather *gather);
gboolean gather_drain(struct gather *gather, GError **error);
gboolean gather_collect(struct gather *gather, struct ledger *ledger, GError **error);
/* Detaches and hands out the rest. */
gboolean gather_finish(struct gather *gather, struct ledger *ledger, GError **error);
