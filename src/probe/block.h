/* SPDX-License-Identifier: Apache-2.0 */
/* Block I/O: what both halves agree on. */
#pragma once
#include "bpf/event.h"
#include "bpf/table.h"

/* The two histograms of each key. */
enum block_time {
	BLOCK_QUEUE = 0, /* from when the request was made to when the device got it (the last time) */
	BLOCK_DEVICE = 1, /* from then to when it was done */
	BLOCK_TIMES = 2,
};

/* A key's label: what the request is. */
#define BLOCK_LABEL(device, operation, size) ((__u64)(device) << 32 | (__u64)(operation) << 8 | (size))
#define BLOCK_LABEL_DEVICE(label) ((__u32)((label) >> 32)) /* major << 20 | minor */
#define BLOCK_LABEL_OPERATION(label) ((__u32)((label) >> 8 & 0xffffff))
#define BLOCK_LABEL_SIZE(label) ((__u32)((label)&0xff))

#define BLOCK_SIZES 6 /* 0: no data; 1: up to 4 KiB, 2: 16, 3: 64, 4: 256, 5: more */

struct block_record {
	struct event_head head;
	__u64 bytes, sector;
	__u64 queue_ns, device_ns;
	__u32 device; /* major << 20 | minor */
	__u32 flags; /* cmd_flags: operation in the low 8 bits */
	__u32 status; /* blk_status_t */
	__u32 requeues;
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_block, probe_slow_block, probe_trace_block;
#endif
