/* SPDX-License-Identifier: Apache-2.0 */
/* Loss counters of a kernel half → ledger. */
#pragma once
#include <glib.h>

#include "model/ledger.h"

/* Adds the per-CPU counters of the map `losses_fd` (bpf/loss.bpf.h) to `ledger`, LOSS_SEEN to `ledger->seen`. */
gboolean losses_read(int losses_fd, struct ledger *ledger, GError **error);
