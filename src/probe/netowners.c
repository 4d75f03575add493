/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/netowners.h"

#include "kernel/cgroupfs.h"

struct netowners {
	const struct probe_listener *listener;
	struct cgroupfs *cgroupfs; /* NULL: cannot be read */
	GHashTable *by_inode; /* number → cgroup key (guint64) */
};

struct netowners *netowners_new(const struct probe_listener *listener)
{
	struct netowners *owners = g_new0(struct netowners, 1);

	owners->listener = listener;
	owners->cgroupfs = cgroupfs_open("/", NULL);
	owners->by_inode = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	return owners;
}

void netowners_free(struct netowners *owners)
{
	if (!owners)
		return;
	cgroupfs_free(owners->cgroupfs);
	g_hash_table_unref(owners->by_inode);
	g_free(owners);
}

static guint64 netowners_meet(struct netowners *owners, const struct netns *netns)
{
	g_autofree char *path = NULL;
	guint64 key = cgroupfs_key_of(owners->cgroupfs, netns->pid, &path);

	if (!key || key == netowners_find(owners, netns->inode))
		return key;
	if (owners->listener->cgroup_born)
		owners->listener->cgroup_born(owners->listener->user, key, path);
	g_hash_table_replace(owners->by_inode, GUINT_TO_POINTER(netns->inode), g_memdup2(&key, sizeof(key)));
	return key;
}

void netowners_learn(struct netowners *owners, enum netowners_look what, netowners_fn met, void *user)
{
	g_autoptr(GArray) all = owners->cgroupfs ? netns_list() : NULL;

	if (g_hash_table_size(owners->by_inode) > NETOWNERS_REMEMBERED)
		g_hash_table_remove_all(owners->by_inode); /* those that are still there are met again now */
	for (guint i = 0; all && i < all->len; i++) {
		const struct netns *netns = &g_array_index(all, struct netns, i);
		guint64 key;

		if (what == NETOWNERS_NEW && netowners_knows(owners, netns->inode))
			continue;
		key = netowners_meet(owners, netns);
		if (key && met)
			met(user, netns, key);
	}
}

gboolean netowners_knows(const struct netowners *owners, guint32 inode)
{
	return g_hash_table_contains(owners->by_inode, GUINT_TO_POINTER(inode));
}

guint64 netowners_find(const struct netowners *owners, guint32 inode)
{
	const guint64 *key = g_hash_table_lookup(owners->by_inode, GUINT_TO_POINTER(inode));

	return key ? *key : 0;
}

void netowners_end(const struct netowners *owners, guint32 inode, struct probe_end *end)
{
	guint64 key = netowners_find(owners, inode);

	if (key)
		*end = (struct probe_end){ .kind = EDGE_END_CONTAINER, .cgroup_key = key };
	else
		*end = (struct probe_end){ .kind = EDGE_END_UNKNOWN, .text = NETOWNERS_NONE };
}
