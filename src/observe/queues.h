/* SPDX-License-Identifier: Apache-2.0 */
/* What connections wait in: the accept queues of listening TCP sockets, whose they are and what they refused, and the
 * tables of tracked connections (conntrack): how full, what they refused, and which containers fill them. From the
 * kernel's lists (kernel/sockdiag.h, conntrack.h), without kernel programs. */
#pragma once
#include <glib.h>

#include "container/registry.h"
#include "model/gauges.h"
#include "model/ledger.h"

#define QUEUES_LISTENERS_MAX 4096

/* Adds to a reading: to the row of each container its fullest accept queue and what all of them refused, and the table of
 * its network namespace where nobody else is in it; to the host's row the host's table. `detail`: also a row for each
 * listening socket (below its container's; containers the reading does not have get a row), and whose the entries of the
 * host's table are; without it that is only looked at when the table is half full. What could not be read is noted in
 * `ledger` (may be NULL). */
void queues_add(struct registry *registry, struct gauges *gauges, gboolean detail, struct ledger *ledger);
