/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel names one of its own addresses: run by user space, attached to nothing. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "kernel_names_text.h"

__u64 kernel_name_address = 0;
char kernel_name_text[KERNEL_NAME_TEXT_BYTES] = {};

SEC("syscall")
int kernel_name(void *ctx)
{
	static const char format[] = "%pS";
	__u64 values[] = { kernel_name_address };

	return bpf_snprintf(kernel_name_text, sizeof(kernel_name_text), format, values, sizeof(values));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
