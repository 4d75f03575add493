/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables of histograms in the kernel.
 *
 * Every key gets a small dense number, its row. The hash map `table_keys` is the authority; in front of it stands
 * `table_cache`, a plain array of row numbers by hash of the key: a hit costs two array accesses and a comparison.
 * (Whether the cached row is this key's is seen from `table_owners`: a row's key does not change while it has one.)
 * Counts lie in one array indexed by CPU, row and class, so that no two CPUs write to the same place and nothing is
 * atomic: a program must not be interrupted by another one that writes to the same row and class.
 *
 * User space maps owners and cells, hands out differences, and takes rows back that nothing was added to for long: it
 * deletes the key, waits, zeroes the cells, and puts the number into `table_free`.
 *
 * Before including: TABLE_CLASSES, histograms kept for each key (default 1). */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "filter.bpf.h"
#include "loss.bpf.h"
#include "table.h"

#ifndef TABLE_CLASSES
#define TABLE_CLASSES 1
#endif
#define TABLE_CACHE 8192 /* a power of two */
#define TABLE_PIDNS_LEVELS 32 /* as MAX_PID_NS_LEVEL */
#define TABLE_ROWS 2048 /* user space sets the real number */

const volatile __u32 table_rows = 0; /* for each CPU; row 0 is nobody's */
const volatile bool table_by_process = false;
const volatile bool table_by_pidns = false;

__u32 table_next = 1; /* the first row never used */
__u32 table_cache[TABLE_CACHE];

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TABLE_ROWS);
	__type(key, struct table_key);
	__type(value, u32);
} table_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TABLE_ROWS);
	__type(key, u32);
	__type(value, struct table_owner);
} table_owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TABLE_ROWS);
	__type(key, u32);
	__type(value, struct histogram_cells);
} table_cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, TABLE_ROWS);
	__type(value, u32);
} table_free SEC(".maps");

static __always_inline u32 table_take_number(void)
{
	u32 row;

	if (bpf_map_pop_elem(&table_free, &row) == 0)
		return row;
	if (table_next >= table_rows)
		return TABLE_NO_ROW;
	row = __sync_fetch_and_add(&table_next, 1);
	return row < table_rows ? row : TABLE_NO_ROW;
}

/* A row for a key that has none in the cache. `key` and `task` belong together. */
static __noinline u32 table_row_slow(struct task_struct *task, struct table_key *key)
{
	u32 *known = bpf_map_lookup_elem(&table_keys, key), row;
	struct task_struct *leader;
	struct table_owner *owner;

	if (known)
		return *known;
	row = table_take_number();
	owner = row == TABLE_NO_ROW ? NULL : bpf_map_lookup_elem(&table_owners, &row);
	if (!owner)
		return TABLE_NO_ROW;
	leader = BPF_CORE_READ(task, group_leader);
	bpf_probe_read_kernel_str(owner->comm, sizeof(owner->comm), &leader->comm);
	owner->wanted = filter_wants_cgroup(task, key->cgroup_key); /* of all its tasks, not of this one alone */
	owner->key = *key;
	if (bpf_map_update_elem(&table_keys, key, &row, BPF_NOEXIST) == 0)
		return row;
	/* Another CPU was faster, or there is no memory. */
	owner->key.cgroup_key = 0;
	bpf_map_push_elem(&table_free, &row, 0);
	known = bpf_map_lookup_elem(&table_keys, key);
	return known ? *known : TABLE_NO_ROW;
}

static __always_inline u32 table_slot(const struct table_key *key)
{
	u64 mix = (key->cgroup_key ^ (u64)(key->tgid ^ key->pidns) << 32) * 0x9fb21c651e98df25ULL;

	return (u32)((mix ^ key->label * 0xd6e8feb86659fd93ULL) >> 40) & (TABLE_CACHE - 1);
}

/* Whose row `row` is. */
static __always_inline struct table_owner *table_owner(u32 row)
{
	return bpf_map_lookup_elem(&table_owners, &row);
}

/* The row of `key`, made if absent; TABLE_NO_ROW when there is no room. */
static __always_inline u32 table_row(struct task_struct *task, struct table_key *key)
{
	u32 at = table_slot(key), row = table_cache[at];
	struct table_owner *owner = table_owner(row);

	if (owner && owner->key.cgroup_key == key->cgroup_key && owner->key.label == key->label &&
	    owner->key.tgid == key->tgid && owner->key.pidns == key->pidns)
		return row;
	row = table_row_slow(task, key);
	table_cache[at] = row;
	return row;
}

static __always_inline u32 table_pidns_of(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	struct upid upid = {};

	if (level >= TABLE_PIDNS_LEVELS)
		return 0;
	bpf_core_read(&upid, sizeof(upid), &pid->numbers[level]);
	return BPF_CORE_READ(upid.ns, ns.inum);
}

/* The key of `task`, whose cgroup key is `cgroup_key`. */
static __always_inline void table_key_init(struct table_key *key, struct task_struct *task, u64 cgroup_key, u64 label)
{
	key->cgroup_key = cgroup_key;
	key->label = label;
	key->tgid = table_by_process ? READ(task, tgid) : 0;
	key->pidns = table_by_pidns ? table_pidns_of(task) : 0;
}

/* Is the task with row `row` one that was asked for? */
static __always_inline bool table_wants(struct task_struct *task, u32 row)
{
	struct table_owner *owner;

	if (!filter_on)
		return true;
	if (filter_by_tgid) {
		u32 tgid = READ(task, tgid);

		if (bpf_map_lookup_elem(&filter_tgids, &tgid))
			return true;
	}
	owner = table_owner(row);
	return owner && owner->wanted;
}

static __always_inline struct histogram_cells *table_cells_of(u32 row, u32 class)
{
	u32 index = (bpf_get_smp_processor_id() * table_rows + row) * TABLE_CLASSES + class;

	return bpf_map_lookup_elem(&table_cells, &index);
}

/* An event that lasted `ns` and stands for `many`, into bucket and sum. */
static __always_inline void table_add_ns_many(u32 row, u32 class, u64 ns, u32 many)
{
	struct histogram_cells *cells = row == TABLE_NO_ROW ? NULL : table_cells_of(row, class);
	u32 bucket;

	if (!cells) {
		loss_add(LOSS_MAP, many, ns * many);
		return;
	}
	bucket = histogram_cell_ns(ns);
	cells->sum += ns * many;
	if (ns > cells->max)
		cells->max = ns;
	if (bucket < HISTOGRAM_CELLS)
		cells->buckets[bucket] += many;
}

static __always_inline void table_add_ns(u32 row, u32 class, u64 ns)
{
	table_add_ns_many(row, class, ns, 1);
}

/* The same for bytes. */
static __always_inline void table_add_size_many(u32 row, u32 class, u64 size, u32 many)
{
	struct histogram_cells *cells = row == TABLE_NO_ROW ? NULL : table_cells_of(row, class);
	u32 bucket;

	if (!cells) {
		loss_add(LOSS_MAP, many, size * many);
		return;
	}
	bucket = histogram_cell_size(size);
	cells->sum += size * many;
	if (size > cells->max)
		cells->max = size;
	if (bucket < HISTOGRAM_CELLS)
		cells->buckets[bucket] += many;
}

static __always_inline void table_add_size(u32 row, u32 class, u64 size)
{
	table_add_size_many(row, class, size, 1);
}
