/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* blame block: who had requests in flight while others waited for theirs. */
#pragma once
#include "bpf/blame.h"
#include "bpf/table.h"

enum queue_wait {
	QUEUE_REQUEST = 0, /* from when a request was made to when it was done */
	QUEUE_WAITS = 1,
};

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_blame_block;
#endif
