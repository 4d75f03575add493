/* SPDX-License-Identifier: Apache-2.0 */
/* Where programs hang that must see each packet of DNS, for who watches for ever.
 *
 * A program on packets of the root cgroup is called for each packet of the machine, and being called is what it costs. While there
 * are few that is where they hang: nothing is missed. When there are many they hang on those cgroups alone that have asked within
 * the last minute, and packets of all others pass no hook at all. Who asks is heard by hooks that are passed when a socket is
 * connected, or sends without being so (askers.bpf.c): a cgroup that had not asked for a minute is heard a moment later, and
 * what it asked until then is counted (askers_unheard). Now and then all packets are looked at for a moment, to see whether there are
 * few again, and who asks on sockets that were connected long ago.
 *
 * Where the root cgroup's own processes ask, and where more ask than there is room for, they stay where they are.
 *
 * A packet may be seen twice while they move, and where one cgroup that asks is above another: programs must know it again. */
#pragma once
#ifdef __bpf__
#include "bpf/kernel_types.h"
#endif
#include <linux/types.h>

#define ASKERS_MAX 1024 /* cgroups that are remembered */
#define ASKERS_RING_BYTES 4096

struct asker {
	__u64 asked_ns; /* CLOCK_MONOTONIC, the last time that is known */
	__u32 is_heard; /* its packets are looked at */
	__u32 pad;
};

#ifndef __bpf__
#include <glib.h>

#include "base/units.h"

#define ASKERS_PROGRAMS 2
#define ASKERS_SHARE 0.001 /* what is on for part of the time only takes as much */
#define ASKERS_PASS_NS 100 /* a call of a program that does nothing, with what the kernel does for it */
#define ASKERS_GROUPS_MAX 256 /* that programs hang on */
#define ASKERS_MEMORY_NS (60 * NS_PER_S) /* after its last question a cgroup is heard so long */

struct askers;

/* Begins to hear who asks. `share` of the machine's CPU time: packets that take so much, or more, are many (ASKERS_SHARE; 0: all are). To
 * be called while there is little in memory (hanger.h). NULL and `error`: the caller hangs its programs on the root cgroup. */
struct askers *askers_new(double share, GError **error);
void askers_free(struct askers *askers);
/* The table of struct asker by key of cgroup (unified hierarchy), for programs that see who asks; owned by it. */
int askers_map(const struct askers *askers);

/* Hangs the loaded `programs` (descriptors; ingress and egress of cgroup_skb, answers first) until askers_take_down. FALSE and `error`. */
gboolean askers_hang(struct askers *askers, const int programs[ASKERS_PROGRAMS], GError **error);
void askers_take_down(struct askers *askers);
/* Readable when a step is due; owned by it. */
int askers_fd(const struct askers *askers);
/* To be called then, and now and then: the programs were called `passes` times so far. */
void askers_step(struct askers *askers, guint64 passes);
/* TRUE: they have hung on single cgroups since the last call. `*unheard`: questions, at least, that were asked by who was not heard
 * meanwhile. */
gboolean askers_account(struct askers *askers, guint64 *unheard);

/* Are so many calls in `length_ns` too many for `cpus` CPUs? Pure: for tests. */
gboolean askers_too_many(guint64 passes, guint64 length_ns, guint cpus, double share);
#endif
