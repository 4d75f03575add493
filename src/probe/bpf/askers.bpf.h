/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Cgroups that ask questions of DNS, shared by what hears that they will (askers.bpf.c) and what sees that they did (dns.bpf.c). */
#pragma once
#include "kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "askers.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ASKERS_MAX);
	__type(key, u64);
	__type(value, struct asker);
} askers SEC(".maps");
