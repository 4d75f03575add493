/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Cgroups that come and go while we watch: a container that lived for a moment still gets its name. Part of every
 * kernel half (an object of its own would cost a second reading of the kernel's BTF, some 25 ms).
 *
 * Where BIRTHS_OF_WANTED is defined and TRUE (it needs filter.bpf.h), those born outside what is wanted are not told: to find the name of each
 * costs a hundred times what a sample does. */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "cgroup.bpf.h"
#include "loss.bpf.h"
#include "shared.h"

#define BIRTH_RING_BYTES (256 << 10)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BIRTH_RING_BYTES);
} birth_ring SEC(".maps");

/* The key user space knows the cgroup by; 0 for v1 hierarchies that name nobody. */
static __always_inline u64 birth_key(struct cgroup *cgroup)
{
	int index;

	if (BPF_CORE_READ(cgroup, root, hierarchy_id) == 0)
		return BPF_CORE_READ(cgroup, kn, id);
	index = cgroup_v1_index();
	if (index < 0 || !(BPF_CORE_READ(cgroup, root, subsys_mask) & (1U << (index & 31))))
		return 0;
	return BPF_CORE_READ(cgroup, kn, id) | CGROUP_V1_BIT;
}

#ifdef BIRTHS_OF_WANTED
static __always_inline const u8 *birth_filter(u64 key)
{
	const u8 *known = bpf_map_lookup_elem(&filter_cgroups, &key);

	return known ?: bpf_map_lookup_elem(&filter_later, &key);
}

/* A cgroup is born as wanted as its parent. Of one nobody knows of, everything is told. */
static __always_inline bool birth_concerns(struct cgroup *cgroup, u64 key, bool died)
{
	u64 parent = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id) | (key & CGROUP_V1_BIT);
	const u8 *known;
	u8 unwanted = 0;

	if (!filter_on || !(BIRTHS_OF_WANTED))
		return true;
	if (died && bpf_map_lookup_elem(&filter_cgroups, &key))
		return true; /* it had its name, perhaps not its last */
	known = birth_filter(died ? key : parent);
	if (!known || *known)
		return true;
	bpf_map_update_elem(&filter_later, &key, &unwanted, BPF_ANY); /* so its children know it */
	return false;
}
#else
static __always_inline bool birth_concerns(struct cgroup *cgroup, u64 key, bool died)
{
	return true;
}
#endif

static __always_inline void birth_tell(struct cgroup *cgroup, const char *path, bool died)
{
	struct birth_record *record;
	u64 key = birth_key(cgroup);
	long bytes;

	if (key == 0 || !birth_concerns(cgroup, key, died))
		return;
	record = bpf_ringbuf_reserve(&birth_ring, sizeof(*record), 0);
	if (!record) {
		loss_add(LOSS_BIRTHS, 1, 0);
		return;
	}
	record->time_ns = bpf_ktime_get_ns();
	record->key = key;
	record->died = died;
	bytes = bpf_probe_read_kernel_str(record->path, sizeof(record->path), path);
	record->path_bytes = bytes > 0 ? bytes : 0;
	bpf_ringbuf_submit(record, 0);
}

SEC("btf_tp/cgroup_mkdir")
int BPF_PROG(births_mkdir, struct cgroup *cgroup, const char *path)
{
	birth_tell(cgroup, path, false);
	return 0;
}

SEC("btf_tp/cgroup_rmdir")
int BPF_PROG(births_rmdir, struct cgroup *cgroup, const char *path)
{
	birth_tell(cgroup, path, true);
	return 0;
}
