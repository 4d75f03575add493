/* SPDX-License-Identifier: Apache-2.0 */
/* The list of probes. */
#include "probe/block.h"
#include "probe/cache.h"
#include "probe/calls.h"
#include "probe/dns.h"
#include "probe/drops.h"
#include "probe/fault.h"
#include "probe/heap.h"
#include "probe/interrupt.h"
#include "probe/memory.h"
#include "probe/offcpu.h"
#include "probe/peers.h"
#include "probe/probe.h"
#include "probe/profile.h"
#include "probe/queue.h"
#include "probe/reclaim.h"
#include "probe/runq.h"
#include "probe/tcp.h"
#include "probe/tcpevents.h"
#include "probe/tcptimes.h"
#include "probe/trace.h"

G_DEFINE_QUARK(probe - error - quark, probe_error)

/* clang-format off */
const struct probe *const probe_registry[] = {
	&probe_profile,
	&probe_offcpu,
	&probe_walltime,
	&probe_memory,
	&probe_heap,
	&probe_cache,
	&probe_runq,
	&probe_blame,
	&probe_blame_block,
	&probe_blame_memory,
	&probe_trace_exec,
	&probe_trace_exit,
	&probe_trace_oom,
	&probe_trace_signal,
	&probe_trace_open,
	&probe_trace_throttle,
	&probe_block,
	&probe_fs,
	&probe_syscall,
	&probe_fault,
	&probe_softirq,
	&probe_irq,
	&probe_futex,
	&probe_slow_block,
	&probe_slow_fs,
	&probe_slow_syscall,
	&probe_slow_futex,
	&probe_trace_block,
	&probe_connections,
	&probe_tcp,
	&probe_connect,
	&probe_rtt,
	&probe_first_byte,
	&probe_request,
	&probe_dns,
	&probe_resolvers,
	&probe_drops,
	&probe_peers,
	NULL,
};
/* clang-format on */

const struct probe *probe_find(const char *name)
{
	for (const struct probe *const *probe = probe_registry; *probe; probe++)
		if (g_str_equal((*probe)->name, name))
			return *probe;
	return NULL;
}
