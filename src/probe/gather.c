/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/gather.h"

#include <errno.h>

#include "probe/filter.h"
#include "probe/ladder.h"

gboolean gather_size(struct gather *gather, const struct gather_setup *setup, GError **error)
{
	struct bpf_map *ring = bpf_object__find_map_by_name(gather->object, "event_ring");
	gboolean events = setup->decode != NULL;

	if (ring)
		bpf_map__set_max_entries(ring, events ? GATHER_RING_BYTES : GATHER_RING_BYTES_MIN);
	return table_size(gather->object, setup->request, events ? 1 : setup->table->classes, setup->rows, error);
}

gboolean gather_open(struct gather *gather, const struct gather_setup *setup, GError **error)
{
	gather->allowance = allowance_new(gather->object, setup->request->budget_share);
	if (!setup->decode) {
		gather->table =
			table_open(gather->object, setup->request, setup->listener, setup->table, setup->rows, error);
		if (!gather->table)
			return FALSE;
		gather->fd = table_fd(gather->table);
	} else {
		if (filter_fill(gather->object, setup->request, error))
			gather->ring =
				eventring_open(gather->object, setup->listener, setup->decode, setup->user, error);
		if (!gather->ring)
			return FALSE;
		gather->fd = eventring_fd(gather->ring);
	}
	return TRUE;
}

void gather_unmeasured(struct gather *gather)
{
	g_clear_pointer(&gather->allowance, allowance_free);
}

gboolean gather_attach(struct gather *gather, struct bpf_program *program, GError **error)
{
	g_autofree char *what = g_strdup_printf("cannot attach to %s", bpf_program__section_name(program));
	struct bpf_link *link;

	g_return_val_if_fail(gather->link_count < GATHER_LINKS, FALSE);
	link = bpf_program__attach(program);
	if (!link) {
		ladder_set_error(error, what, errno);
		return FALSE;
	}
	gather->links[gather->link_count++] = link;
	return TRUE;
}

gboolean gather_attach_all(struct gather *gather, struct bpf_program *const *programs, gsize count, GError **error)
{
	for (gsize i = 0; i < count; i++) {
		if (!gather_attach(gather, programs[i], error)) {
			gather_detach(gather);
			return FALSE;
		}
	}
	return TRUE;
}

void gather_detach(struct gather *gather)
{
	while (gather->link_count > 0)
		bpf_link__destroy(gather->links[--gather->link_count]);
}

void gather_close(struct gather *gather)
{
	gather_detach(gather);
	g_clear_pointer(&gather->allowance, allowance_free);
	g_clear_pointer(&gather->table, table_close);
	g_clear_pointer(&gather->ring, eventring_close);
}

int gather_fd(const struct gather *gather)
{
	return gather->fd;
}

gboolean gather_drain(struct gather *gather, GError **error)
{
	allowance_step(gather->allowance);
	if (gather->ring)
		return eventring_drain(gather->ring, error);
	table_drain(gather->table);
	return TRUE;
}

gboolean gather_collect(struct gather *gather, struct ledger *ledger, GError **error)
{
	allowance_step(gather->allowance);
	allowance_account(gather->allowance, ledger);
	return table_collect(gather->table, ledger, error);
}

gboolean gather_finish(struct gather *gather, struct ledger *ledger, GError **error)
{
	gather_detach(gather);
	allowance_account_cost(gather->allowance, ledger);
	if (gather->ring)
		return eventring_drain(gather->ring, error) && eventring_account(gather->ring, ledger, error);
	if (!gather_collect(gather, ledger, error))
		return FALSE;
	return gather_collect(gather, ledger, error); /* rows that were being taken back, too */
}
