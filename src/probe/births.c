/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/births.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "births.skel.h"
#include "probe/bpf/shared.h"
#include "probe/filter.h"
#include "probe/ladder.h"
#include "probe/losses.h"

struct births {
	struct births_bpf *kernel;
	struct ring_buffer *ring;
	struct probe_listener listener;
};

static int births_take(void *user, void *data, size_t bytes)
{
	struct births *births = user;
	struct birth_record *record = data;

	if (bytes < sizeof(*record))
		return 0;
	record->path[sizeof(record->path) - 1] = '\0';
	if (record->died && births->listener.cgroup_died)
		births->listener.cgroup_died(births->listener.user, record->key);
	if (!record->died && births->listener.cgroup_born)
		births->listener.cgroup_born(births->listener.user, record->key,
					     record->path_bytes > 0 ? record->path : "");
	return 0;
}

static gboolean births_load(struct births *births, const struct probe_request *request, GError **error)
{
	static const char what[] = "cannot watch the birth of cgroups";
	struct filter_values values;
	int result;

	ladder_log_start();
	births->kernel = births_bpf__open();
	if (!births->kernel) {
		ladder_set_error(error, what, errno);
		return FALSE;
	}
	filter_values_init(&values, request);
	births->kernel->rodata->v1_controller = values.v1_controller;
	result = births_bpf__load(births->kernel);
	if (result == 0)
		result = births_bpf__attach(births->kernel);
	if (result == 0)
		births->ring = ring_buffer__new(bpf_map__fd(births->kernel->maps.birth_ring), births_take, births, NULL);
	if (result != 0 || !births->ring) {
		ladder_set_error(error, what, result != 0 ? -result : errno);
		return FALSE;
	}
	return TRUE;
}

struct births *births_open(const struct probe_request *request, const struct probe_listener *listener, GError **error)
{
	struct births *births = g_new0(struct births, 1);

	births->listener = *listener;
	if (!births_load(births, request, error)) {
		births_close(births);
		return NULL;
	}
	return births;
}

void births_close(struct births *births)
{
	if (!births)
		return;
	ring_buffer__free(births->ring);
	births_bpf__destroy(births->kernel);
	g_free(births);
}

int births_fd(const struct births *births)
{
	return ring_buffer__epoll_fd(births->ring);
}

void births_drain(struct births *births)
{
	ring_buffer__consume(births->ring);
}

void births_account(struct births *births, struct ledger *ledger)
{
	struct ledger own = { 0 };

	if (losses_read(bpf_map__fd(births->kernel->maps.losses), &own, NULL) && own.items[LEDGER_LOST_RING].events > 0)
		ledger_note(ledger, g_strdup_printf("%" G_GUINT64_FORMAT " births of cgroups were not heard of",
						    own.items[LEDGER_LOST_RING].events));
	ledger_clear(&own);
}
