// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who makes whom wait at a block device.
 *
 * A device works on what is in flight (made, not yet done), so the time that passes is shared among the owners of
 * those requests by their number: each owner of a device has a clock that runs by his share of them. A request notes
 * the clocks when it is made; when it is done, what each has gained since is that owner's part in its wait. The parts
 * add up to the wait, the waiter's own requests included.
 *
 * Clocks are kept in a few places per device; a place is taken over when its owner has nothing in flight, which its
 * generation tells. Who finds no place has his share counted as somebody else's. Several CPUs may work on a device: whoever
 * moves its time on takes the interval for himself (one exchange), the rest are additions. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "queue.h"
#define TABLE_CLASSES QUEUE_WAITS
#include "bpf/births.bpf.h"
#include "bpf/blame.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/block.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/table.bpf.h"

#define QUEUE_DEVICES 256
#define QUEUE_REQUESTS 16384 /* in flight */
#define QUEUE_OWNERS 12 /* places; the last is for whoever finds none */
#define QUEUE_OTHERS (QUEUE_OWNERS - 1)
#define QUEUE_ROOMS 4 /* one for each program: they may interrupt each other */

struct owner {
	u32 row;
	u32 generation; /* of the place */
	s32 requests; /* in flight */
	u32 pad;
	u64 clock_ns;
};

struct device {
	u64 now_ns; /* up to here the clocks have run */
	s32 requests;
	u32 pad;
	struct owner owners[QUEUE_OWNERS];
};

struct flight {
	u64 made_ns;
	u32 row;
	u32 device;
	u32 place;
	u32 wanted;
	u32 generations[QUEUE_OWNERS];
	u64 clocks_ns[QUEUE_OWNERS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, QUEUE_DEVICES);
	__type(key, u32);
	__type(value, struct device);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, QUEUE_REQUESTS);
	__type(key, u64); /* address of the request */
	__type(value, struct flight);
} flights SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, QUEUE_ROOMS);
	__type(key, u32);
	__type(value, struct flight);
} flight_rooms SEC(".maps");

static __always_inline struct device *device_of(u32 number)
{
	struct device *device = bpf_map_lookup_elem(&devices, &number);

	if (!device) {
		static const struct device fresh;

		bpf_map_update_elem(&devices, &number, &fresh, BPF_NOEXIST);
		device = bpf_map_lookup_elem(&devices, &number);
	}
	return device;
}

/* Lets the clocks run up to `now`. */
static __always_inline void device_run(struct device *device, u64 now)
{
	u64 then = __sync_lock_test_and_set(&device->now_ns, now);
	s32 requests = device->requests;

	if (!then || now <= then || requests <= 0)
		return;
	for (u32 i = 0; i < QUEUE_OWNERS; i++) {
		s32 own = device->owners[i].requests;

		if (own > 0)
			__sync_fetch_and_add(&device->owners[i].clock_ns, (now - then) * (u32)own / (u32)requests);
	}
}

/* The place of `row`'s clock, taken if need be. */
static __always_inline u32 device_place(struct device *device, u32 row)
{
	u32 free = QUEUE_OTHERS;

	for (u32 i = 0; i < QUEUE_OTHERS; i++) {
		struct owner *owner = &device->owners[i];

		if (owner->row == row && owner->generation)
			return i;
		if (owner->requests <= 0 && free == QUEUE_OTHERS)
			free = i;
	}
	if (free < QUEUE_OTHERS) {
		device->owners[free].row = row;
		__sync_fetch_and_add(&device->owners[free].generation, 1);
	}
	return free;
}

static __always_inline int queue_begin(struct request *request, u32 room)
{
	u64 address = (u64)request, now = bpf_ktime_get_ns();
	struct task_struct *task = (void *)bpf_get_current_task();
	struct table_key key;
	struct device *device;
	struct flight *flight;

	if (bpf_map_lookup_elem(&flights, &address))
		return 0;
	flight = bpf_map_lookup_elem(&flight_rooms, &room);
	if (!flight)
		return 0;
	flight->made_ns = now;
	flight->device = block_device(request);
	table_key_init(&key, task, block_owner(request, task), 0);
	flight->row = table_row(task, &key);
	flight->wanted = table_wants(task, flight->row);
	device = device_of(flight->device);
	if (!device) {
		loss_add(LOSS_MAP, 1, 0);
		return 0;
	}
	device_run(device, now);
	flight->place = device_place(device, flight->row);
	for (u32 i = 0; i < QUEUE_OWNERS; i++) {
		flight->generations[i] = device->owners[i].generation;
		flight->clocks_ns[i] = device->owners[i].clock_ns;
	}
	if (bpf_map_update_elem(&flights, &address, flight, BPF_NOEXIST) != 0) {
		loss_add(LOSS_MAP, 1, 0);
		return 0;
	}
	__sync_fetch_and_add(&device->requests, 1);
	if (flight->place < QUEUE_OWNERS)
		__sync_fetch_and_add(&device->owners[flight->place].requests, 1);
	return 0;
}

/* `flight` is over: its wait, by whose requests were in flight. The clocks have every request, whether it is charged or not. */
static __always_inline void queue_charge(const struct device *device, const struct flight *flight, u64 now, u32 many)
{
	u64 left = now - flight->made_ns;

	table_add_ns_many(flight->row, QUEUE_REQUEST, left, many);
	for (u32 i = 0; i < QUEUE_OTHERS; i++) {
		u64 part = device->owners[i].clock_ns - flight->clocks_ns[i];

		/* A place that had another owner in between: whose part is which is not known. */
		if (!part || device->owners[i].generation != flight->generations[i])
			continue;
		if (part > left)
			part = left;
		blame_add_many(flight->row, device->owners[i].row, part, many);
		left -= part;
	}
	if (left)
		blame_add_many(flight->row, BLAME_OTHERS, left, many);
}

static __always_inline int queue_end(struct request *request, bool done, u32 room)
{
	u64 address = (u64)request, now = bpf_ktime_get_ns();
	struct flight *known = bpf_map_lookup_elem(&flights, &address), *flight;
	struct device *device;
	u32 many;

	flight = bpf_map_lookup_elem(&flight_rooms, &room);
	if (!known || !flight)
		return 0;
	*flight = *known;
	if (bpf_map_delete_elem(&flights, &address) != 0)
		return 0;
	device = bpf_map_lookup_elem(&devices, &flight->device);
	if (!device)
		return 0;
	device_run(device, now);
	__sync_fetch_and_add(&device->requests, -1);
	if (flight->place < QUEUE_OWNERS)
		__sync_fetch_and_add(&device->owners[flight->place].requests, -1);
	many = done && flight->wanted && now > flight->made_ns ? budget_pick() : 0;
	if (many)
		queue_charge(device, flight, now, many);
	return 0;
}

SEC("btf_tp/block_rq_insert")
int BPF_PROG(queue_insert, struct request *request)
{
	return PACED(0, queue_begin(request, 0));
}

SEC("btf_tp/block_rq_issue")
int BPF_PROG(queue_issue, struct request *request)
{
	return PACED(1, queue_begin(request, 1));
}

/* Merged into another one: its data goes on, it does not. */
SEC("btf_tp/block_rq_merge")
int BPF_PROG(queue_merge, struct request *request)
{
	return PACED(2, queue_end(request, false, 2));
}

static __always_inline int complete_look(struct request *request, int status, unsigned int bytes)
{
	if (status == 0 && bytes < BPF_CORE_READ(request, __data_len)) /* more of it is still to come */
		return 0;
	return queue_end(request, true, 3);
}

SEC("btf_tp/block_rq_complete")
int BPF_PROG(queue_complete, struct request *request, int status, unsigned int bytes)
{
	return PACED(3, complete_look(request, status, bytes));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
