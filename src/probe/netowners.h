/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the machine's network namespaces are: the cgroup of the first process there, which in a pod is the one that keeps it. What
 * is known is not forgotten when that process ends: what was counted there is told later. */
#pragma once
#include <glib.h>

#include "kernel/netns.h"
#include "probe/probe.h"

#define NETOWNERS_REMEMBERED 65536 /* most of them gone */
#define NETOWNERS_NONE "a network namespace without processes"

struct netowners;

/* `listener` outlives it: it is told of the cgroups that are met. */
struct netowners *netowners_new(const struct probe_listener *listener);
void netowners_free(struct netowners *owners);

enum netowners_look {
	NETOWNERS_NEW = 0, /* those that are not known yet */
	NETOWNERS_ALL = 1, /* the others, too: whose they are may have changed */
};
/* Of a namespace that was looked at. */
typedef void (*netowners_fn)(void *user, const struct netns *netns, guint64 cgroup_key);
/* Looks at every namespace that has a process. `met` may be NULL. */
void netowners_learn(struct netowners *owners, enum netowners_look what, netowners_fn met, void *user);

gboolean netowners_knows(const struct netowners *owners, guint32 inode);
/* Who that is, as an end of an edge: also when it is not known. */
void netowners_end(const struct netowners *owners, guint32 inode, struct probe_end *end);
/* Its cgroup key; 0: not known. */
guint64 netowners_find(const struct netowners *owners, guint32 inode);
