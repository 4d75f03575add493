/* SPDX-License-Identifier: Apache-2.0 */
/* Queueing disciplines (tc) of a network namespace and the interfaces they belong to, by rtnetlink(7): what a shaper, or a
 * queue that is full, drops before the interface counts anything. */
#pragma once
#include <glib.h>
#include <net/if.h>

#include "kernel/netns.h"

#define QDISCS_MAX 4096 /* of one namespace */

/* One that packets enter: the root of an interface, or its ingress. Those below it are counted in it. */
struct qdisc {
	guint32 ifindex;
	guint64 packets, drops; /* since it was made */
	char kind[IFNAMSIZ]; /* "tbf" */
};
/* Array of struct qdisc, owned by the caller, without those that do nothing (noqueue); at most QDISCS_MAX. NULL and `error`:
 * not known. */
GArray *qdisc_list(const struct netns *netns, GError **error);

struct qdisc_link {
	guint32 ifindex;
	guint32 peer; /* the other end of a pair that leads into another namespace, as it is numbered there; 0: none */
	char name[IFNAMSIZ];
};
/* Array of struct qdisc_link, owned by the caller; at most QDISCS_MAX. NULL and `error`: not known. */
GArray *qdisc_links(const struct netns *netns, GError **error);
