/* SPDX-License-Identifier: Apache-2.0 */
/* Who pays for the BPF programs of this machine: their run time by the cgroup on whose CPU time they ran. The kernel's
 * BPF statistics must be on (cost_enable). */
#pragma once
#include <glib.h>

#include "probe/payers_record.h"

struct payers;

struct payer {
	guint64 cgroup_key; /* 0: nobody, the CPU was idle */
	guint32 program_id;
	guint64 run_count, run_time_ns;
};

/* Begins to charge; watches the first PAYERS_PROGRAMS of the ids, whose programs the caller keeps loaded. `v1_controller` as in probe_request.
 * NULL and `error` when the kernel or the rights do not allow it. */
struct payers *payers_open(const guint32 *program_ids, guint count, const char *v1_controller, GError **error);
void payers_close(struct payers *payers);
/* Ends; what was charged (array of struct payer, owned by the caller); `*lost_ns` was run but could not be charged. */
GArray *payers_finish(struct payers *payers, guint64 *lost_ns, GError **error);
