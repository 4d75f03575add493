/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/sampled.h"

#include "probe/bpf/shared.h"
#include "probe/copyplan.h"
#include "probe/filter.h"
#include "probe/ladder.h"
#include "probe/losses.h"
#include "probe/mapread.h"

#define SAMPLED_FEW_PROCESSES 16
#define SAMPLED_FEW_ENTRIES 512 /* an LRU map spreads its room over the CPUs, and forgets early when that is little */

guint32 sampled_ring_bytes(guint32 bytes_per_cpu, guint32 bytes_max)
{
	guint32 bytes = bytes_per_cpu;

	for (int cpus = libbpf_num_possible_cpus(); cpus > 1 && bytes < bytes_max; cpus = (cpus + 1) / 2)
		bytes *= 2;
	return bytes;
}

/* Of a few processes asked for by number there are not thousands to be remembered: half a millisecond of making maps. */
static gboolean sampled_size_processes(struct bpf_object *object, const struct probe_request *request, GError **error)
{
	static const char *const maps[] = { "stack_plans", "stack_named_plans", "stack_told" };
	gboolean is_few = request->filter && request->tgid_count <= SAMPLED_FEW_PROCESSES;

	for (gsize i = 0; is_few && i < request->cgroup_count; i++)
		is_few = !request->cgroups[i].wanted;
	for (guint i = 0; is_few && i < G_N_ELEMENTS(maps); i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, maps[i]);
		int result = map ? bpf_map__set_max_entries(map, SAMPLED_FEW_ENTRIES) : 0;

		if (result < 0) {
			ladder_set_error(error, "cannot make room for a few processes", -result);
			return FALSE;
		}
	}
	return TRUE;
}

gboolean sampled_load(struct sampled *sampled, struct kernel_btf *btf, struct bpf_object_skeleton *skeleton,
		      const struct probe_request *request, const struct probe_listener *listener, guint slots,
		      const char *what, GError **error)
{
	sampled->object = *skeleton->obj;
	sampled->listener = *listener;
	if (!filter_size(sampled->object, request, error) || !sampled_size_processes(sampled->object, request, error) ||
	    !copyplan_size(sampled->object, slots, error) || !kernel_btf_load(btf, skeleton, what, error) ||
	    !filter_fill(sampled->object, request, error))
		return FALSE;
	sampled->allowance = allowance_new(sampled->object, request->budget_share);
	allowance_delay(sampled->allowance);
	sampled->intake = intake_open(sampled->object, request, listener, error);
	return sampled->intake != NULL;
}

void sampled_close(struct sampled *sampled)
{
	g_clear_pointer(&sampled->allowance, allowance_free);
	g_clear_pointer(&sampled->intake, intake_close);
}

int sampled_fd(struct probe_run *run)
{
	return intake_fd(((struct sampled *)run)->intake);
}

gboolean sampled_drain(struct probe_run *run, GError **error)
{
	allowance_step(((struct sampled *)run)->allowance);
	return intake_drain(((struct sampled *)run)->intake, error);
}

gboolean sampled_is_calm(const struct probe_run *run)
{
	return intake_is_calm(((const struct sampled *)run)->intake);
}

void sampled_teach(struct probe_run *run, guint32 tgid, const struct python_process *process)
{
	intake_teach(((struct sampled *)run)->intake, tgid, process);
}

void sampled_tell(struct sampled *sampled, enum probe_state state, guint32 stack, guint64 events, guint64 weight)
{
	struct probe_weight told = {
		.task = intake_task(sampled->intake, stack),
		.stack = stack,
		.waker_stack = PROBE_NO_STACK,
		.state = state,
		.events = events,
		.weight = weight,
	};

	if (!told.task) {
		sampled->unsent.events += events;
		sampled->unsent.weight += weight;
	} else if (events > 0 && sampled->listener.weight) {
		sampled->listener.weight(sampled->listener.user, &told);
	}
}

/* mapread_fn: one distinct stack and how often it was seen. */
static void sampled_weigh(void *user, const void *key, const void *value)
{
	struct sampled *sampled = user;
	const struct stack_value *counted = value;

	(void)key;
	sampled_tell(sampled, PROBE_STATE_RUNNING, intake_stack(sampled->intake, counted->id), counted->events,
		     counted->weight);
}

/* intake_copied_fn: one distinct stack that was walked from copies. */
static void sampled_weigh_copied(void *user, guint32 stack, guint64 events, guint64 weight)
{
	sampled_tell(user, PROBE_STATE_RUNNING, stack, events, weight);
}

gboolean sampled_tell_counted(struct sampled *sampled, GError **error)
{
	int stacks = bpf_object__find_map_fd_by_name(sampled->object, "stacks");

	if (!intake_drain_rest(sampled->intake, error) ||
	    !mapread_each(stacks, sizeof(struct stack_key), sizeof(struct stack_value), sampled_weigh, sampled, error))
		return FALSE;
	intake_take_copied(sampled->intake, sampled_weigh_copied, sampled);
	intake_tell_moments(sampled->intake);
	return TRUE;
}

gboolean sampled_account(struct sampled *sampled, struct ledger *ledger, GError **error)
{
	if (!losses_read(bpf_object__find_map_fd_by_name(sampled->object, "losses"), ledger, error))
		return FALSE;
	if (sampled->unsent.events > 0)
		ledger_add(ledger, LEDGER_LOST_RING, sampled->unsent.events, sampled->unsent.weight);
	intake_account(sampled->intake, ledger);
	allowance_account_cost(sampled->allowance, ledger);
	return TRUE;
}
