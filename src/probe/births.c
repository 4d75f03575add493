/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/births.h"

#include <bpf/libbpf.h>
#include <errno.h>

#include "probe/bpf/shared.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"

#define BIRTHS_LINKS 2

struct births {
	struct bpf_link *links[BIRTHS_LINKS];
	struct ring_buffer *ring;
	struct probe_listener listener;
};

static int births_take(void *user, void *data, size_t bytes)
{
	struct births *births = user;
	const struct birth_record *record = data;

	if (bytes < sizeof(*record) || record->path_bytes > sizeof(record->path))
		return 0;
	if (record->died && births->listener.cgroup_died)
		births->listener.cgroup_died(births->listener.user, record->key);
	if (!record->died && births->listener.cgroup_born)
		births->listener.cgroup_born(births->listener.user, record->key,
					     record->path_bytes > 0 ? record->path : "");
	return 0;
}

static gboolean births_attach(struct births *births, struct bpf_object *object, GError **error)
{
	static const char *const programs[] = { "births_mkdir", "births_rmdir" };
	int ring = bpf_object__find_map_fd_by_name(object, "birth_ring");

	G_STATIC_ASSERT(G_N_ELEMENTS(programs) == BIRTHS_LINKS);
	ladder_log_start();
	births->ring = ring_buffer__new(ring, births_take, births, NULL);
	for (gsize i = 0; births->ring && i < BIRTHS_LINKS; i++) {
		struct bpf_program *program = bpf_object__find_program_by_name(object, programs[i]);

		births->links[i] = program ? kernel_btf_attach(program) : NULL;
		if (!births->links[i]) {
			ladder_set_error(error, "cannot watch the birth of cgroups", program ? errno : ENOENT);
			return FALSE;
		}
	}
	if (!births->ring)
		ladder_set_error(error, "cannot map the ring of births", errno);
	return births->ring != NULL;
}

struct births *births_open(struct bpf_object *object, const struct probe_listener *listener, GError **error)
{
	struct births *births = g_new0(struct births, 1);

	births->listener = *listener;
	if (!births_attach(births, object, error)) {
		births_close(births);
		return NULL;
	}
	return births;
}

void births_close(struct births *births)
{
	if (!births)
		return;
	for (gsize i = 0; i < BIRTHS_LINKS; i++)
		bpf_link__destroy(births->links[i]);
	ring_buffer__free(births->ring);
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
