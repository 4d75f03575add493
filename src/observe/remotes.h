/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that are not on this machine, grouped: a container that talks to a thousand addresses talks to a few services. A peer's name
 * is what the container itself calls it (/etc/hosts), or what it asked DNS for when it was told the address; what has none
 * stays an address. Both are the container's own word: they name its own peers outside, never a container, and what DNS said is marked
 * (EDGE_END_TOLD). Of each container so many groups are told apart; all others are one, "other addresses". */
#pragma once
#include <glib.h>

#include "base/units.h"
#include "container/registry.h"

#define REMOTES_GROUPS 256 /* of a container, besides those its /etc/hosts names */
#define REMOTES_OTHER "other addresses"
#define REMOTES_TOLD 1024 /* addresses of one container with a name from DNS; the oldest make room */
#define REMOTES_TOLD_ALL 16384 /* and of all */
#define REMOTES_OWNERS 4096 /* containers whose peers are known; beyond that all are learnt anew */
/* Groups of a container that has no room for more are forgotten after so long. */
#define REMOTES_RENEW_NS (10 * 60 * NS_PER_S)

enum remotes_by {
	REMOTES_BY_ADDRESS = 0, /* each is itself */
	REMOTES_BY_NAME = 1,
	REMOTES_BY_SUBNET = 2,
	REMOTES_BY_PORT = 3, /* all are one */
};

struct remotes_how {
	enum remotes_by by;
	guint bits4, bits6; /* of a subnet */
};

/* "address", "name", "port", "subnet", "subnet=16" (of IPv4) or "subnet=16,48" (and of IPv6); FALSE and `error` for anything else. */
gboolean remotes_parse(const char *text, struct remotes_how *how, GError **error);

struct remotes;

/* Borrows the registry. */
struct remotes *remotes_new(struct registry *registry, const struct remotes_how *how);
void remotes_free(struct remotes *remotes);
/* What the peer at `address` of the container with that cgroup is called; valid until the next call. `*told`: DNS said so. */
const char *remotes_name(struct remotes *remotes, guint64 cgroup_key, const char *address, gboolean *told);
/* DNS has told the container that `name` is at `address`: from now on. Both are copied. */
void remotes_tell(struct remotes *remotes, guint64 cgroup_key, const char *address, const char *name);
