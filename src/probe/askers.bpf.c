/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is about to ask a question of DNS: whose socket is connected to port 53, or sends a datagram there. These hooks are not on the way
 * of packets: connections and datagrams of sockets that are not connected pass them once. */
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "askers.h"
#include "bpf/askers.bpf.h"

#define DNS_PORT 53
#define ALLOW 1

/* Wakes user space up: with the key of a cgroup that was not known. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, ASKERS_RING_BYTES);
} askers_ring SEC(".maps");

bool askers_eased = false; /* packets are looked at of cgroups that are heard alone */
bool askers_full = false; /* there was no room for one */
__u64 askers_unheard = 0; /* times that somebody asked who was not heard */

static __always_inline void asker_is_new(u64 key, u64 now)
{
	struct asker fresh = { .asked_ns = now };

	if (bpf_map_update_elem(&askers, &key, &fresh, BPF_NOEXIST) != 0)
		askers_full = true;
	else if (bpf_ringbuf_output(&askers_ring, &key, sizeof(key), 0) != 0)
		bpf_map_delete_elem(&askers, &key); /* the next time, then */
}

static __always_inline int asks(u32 port)
{
	struct asker *known;
	u64 key, now;

	if (port != bpf_htons(DNS_PORT))
		return ALLOW;
	key = bpf_get_current_cgroup_id();
	now = bpf_ktime_get_ns();
	known = bpf_map_lookup_elem(&askers, &key);
	if (known)
		known->asked_ns = now;
	else
		asker_is_new(key, now);
	if (askers_eased && !(known && known->is_heard))
		__sync_fetch_and_add(&askers_unheard, 1);
	return ALLOW;
}

SEC("cgroup/connect4")
int askers_connect4(struct bpf_sock_addr *context)
{
	return asks(context->user_port);
}

SEC("cgroup/connect6")
int askers_connect6(struct bpf_sock_addr *context)
{
	return asks(context->user_port);
}

SEC("cgroup/sendmsg4")
int askers_sendmsg4(struct bpf_sock_addr *context)
{
	return asks(context->user_port);
}

SEC("cgroup/sendmsg6")
int askers_sendmsg6(struct bpf_sock_addr *context)
{
	return asks(context->user_port);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
