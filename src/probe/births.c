/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/births.h"

#include <bpf/libbpf.h>
#include <errno.h>

#include "probe/bpf/shared.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/ringread.h"

#define BIRTHS_LINKS 2

static const char *const births_programs[BIRTHS_LINKS] = { "births_mkdir", "births_rmdir" };

struct births {
	struct bpf_link *links[BIRTHS_LINKS];
	struct ringread *ring; /* NULL: they were left out */
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

gboolean births_size(struct bpf_object *object, const struct probe_request *request, GError **error)
{
	struct bpf_map *ring = bpf_object__find_map_by_name(object, "birth_ring");
	int result = request->births_told && ring ? bpf_map__set_autocreate(ring, false) : 0;

	for (gsize i = 0; request->births_told && result == 0 && i < BIRTHS_LINKS; i++) {
		struct bpf_program *program = bpf_object__find_program_by_name(object, births_programs[i]);

		result = program ? bpf_program__set_autoload(program, false) : 0;
	}
	if (result == 0)
		return TRUE;
	ladder_set_error(error, "cannot leave out the births of cgroups", -result);
	return FALSE;
}

static gboolean births_are_left_out(const struct bpf_object *object)
{
	const struct bpf_program *program = bpf_object__find_program_by_name(object, births_programs[0]);

	return program && !bpf_program__autoload(program);
}

static gboolean births_attach(struct births *births, struct bpf_object *object, GError **error)
{
	int ring = bpf_object__find_map_fd_by_name(object, "birth_ring");

	ladder_log_start();
	births->ring = ringread_open(ring, births_take, births);
	for (gsize i = 0; births->ring && i < BIRTHS_LINKS; i++) {
		struct bpf_program *program = bpf_object__find_program_by_name(object, births_programs[i]);

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
	if (!births_are_left_out(object) && !births_attach(births, object, error)) {
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
	ringread_close(births->ring);
	g_free(births);
}

int births_fd(const struct births *births)
{
	return births->ring ? ringread_fd(births->ring) : -1;
}

void births_drain(struct births *births)
{
	if (births->ring)
		ringread_consume(births->ring);
}
