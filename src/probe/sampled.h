/* SPDX-License-Identifier: Apache-2.0 */
/* What probes share that yield stacks with weights: loading, the intake, and handing out what was counted. A run of such a
 * probe begins with a struct sampled; then sampled_fd, _drain and _teach are the probe's own. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/allowance.h"
#include "probe/intake.h"
#include "probe/kernel_btf.h"
#include "probe/probe.h"

struct sampled {
	struct bpf_object *object; /* the skeleton's */
	struct intake *intake;
	struct allowance *allowance; /* what fewer stacks stand for is the probe's to say */
	struct probe_listener listener;
	struct ledger_line unsent; /* of stacks whose records never came */
};

/* A power of two for a ring with room for `bytes_per_cpu` (a power of two) of each CPU, at most `bytes_max`. */
guint32 sampled_ring_bytes(guint32 bytes_per_cpu, guint32 bytes_max);

/* Sizes maps, loads the opened skeleton whose constants are set, fills filters, opens the intake. `slots`: STACK_SLOTS of the
 * kernel half. `what` begins the error. */
gboolean sampled_load(struct sampled *sampled, struct kernel_btf *btf, struct bpf_object_skeleton *skeleton,
		      const struct probe_request *request, const struct probe_listener *listener, guint slots,
		      const char *what, GError **error);
void sampled_close(struct sampled *sampled);

int sampled_fd(struct probe_run *run);
gboolean sampled_drain(struct probe_run *run, GError **error);
gboolean sampled_is_calm(const struct probe_run *run);
void sampled_teach(struct probe_run *run, guint32 tgid, const struct python_process *process);

/* One weight of a stack (an id as the intake gives them). */
void sampled_tell(struct sampled *sampled, enum probe_state state, guint32 stack, guint64 events, guint64 weight);
/* When the kernel half has stopped: hands out what it counted in `stacks` and sent uncounted, all of it running. */
gboolean sampled_tell_counted(struct sampled *sampled, GError **error);
/* At the end: losses, and what could not be heard. */
gboolean sampled_account(struct sampled *sampled, struct ledger *ledger, GError **error);
