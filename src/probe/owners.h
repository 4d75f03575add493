/* SPDX-License-Identifier: Apache-2.0 */
/* The user half of bpf/owners.bpf.h, and when a row of a table makes room for others: its counts have been told, and go on
 * from nothing should it come back. */
#pragma once
#include <glib.h>

#include "base/units.h"

/* How many rows there may be, and how long one without news is kept. */
struct owners_sizes {
	guint32 rows, rows_owner;
	guint64 idle_ns; /* usually, */
	guint64 scarce_ns; /* and when three quarters of all rows are taken */
};

#define OWNERS_IDLE_NS (60 * NS_PER_S)
#define OWNERS_SCARCE_NS (2 * NS_PER_S)
#define OWNERS_SMALLEST_NS (100 * NS_PER_MS)

/* Whether a row that had its last news `idle_ns` ago makes room, when there are `rows`. */
gboolean owners_row_is_spare(const struct owners_sizes *sizes, guint64 idle_ns, guint rows);
/* `owner` has one row less. `owners_fd`: the map "owners". */
void owners_give_back(int owners_fd, guint64 owner);
