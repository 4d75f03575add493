/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Was a segment sent again? Since Linux 6.17 tcp_retransmit_skb is told also when it was not, with the reason as its third argument,
 * which programs must not even name where there is none. */
#pragma once
#include "sock_types.h"
#include <linux/bpf.h>

const volatile bool retransmit_tells = false; /* there is a third argument */

/* Nothing was sent, and nothing was counted by the kernel: the segment still lies in a queue here, its receiver has no room, there
 * is no way to it, or no memory. */
static __always_inline bool retransmit_failed(int error)
{
	return error == -EBUSY || error == -EAGAIN || error == -EHOSTUNREACH || error == -ENOMEM || error == -EINVAL;
}

/* In a program on tcp_retransmit_skb, of its context. */
#define RETRANSMIT_FAILED(ctx) (retransmit_tells && retransmit_failed((int)(ctx)[2]))
