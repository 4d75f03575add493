/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/owners.h"

#include <bpf/bpf.h>

gboolean owners_row_is_spare(const struct owners_sizes *sizes, guint64 idle_ns, guint rows)
{
	gboolean scarce = (guint64)rows * 4 > (guint64)sizes->rows * 3;

	return idle_ns >= (scarce ? sizes->scarce_ns : sizes->idle_ns);
}

void owners_give_back(int owners_fd, guint64 owner)
{
	guint32 rows;

	/* The kernel half may count one more just now: then the owner may have one row too many. */
	if (bpf_map_lookup_elem(owners_fd, &owner, &rows) != 0 || rows == 0)
		return;
	rows--;
	bpf_map_update_elem(owners_fd, &owner, &rows, BPF_EXIST);
}
