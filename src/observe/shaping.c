/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/shaping.h"

#include <unistd.h>

#include "kernel/procfs.h"
#include "kernel/qdisc.h"

struct shaping {
	guint32 inode; /* of the host's network namespace */
	GArray *qdiscs; /* of struct qdisc; NULL: not known */
	GArray *links; /* of struct qdisc_link; NULL: none of those qdiscs dropped anything */
};

static gboolean any_dropped(const GArray *qdiscs)
{
	for (guint i = 0; qdiscs && i < qdiscs->len; i++)
		if (g_array_index(qdiscs, struct qdisc, i).drops)
			return TRUE;
	return FALSE;
}

struct shaping *shaping_new(void)
{
	struct shaping *shaping = g_new0(struct shaping, 1);
	struct netns netns = { (guint32)procfs_host_namespace("/", NAMESPACE_NET), 1 };

	shaping->inode = netns.inode;
	shaping->qdiscs = qdisc_list(&netns, NULL);
	if (any_dropped(shaping->qdiscs))
		shaping->links = qdisc_links(&netns, NULL);
	return shaping;
}

void shaping_free(struct shaping *shaping)
{
	g_clear_pointer(&shaping->qdiscs, g_array_unref);
	g_clear_pointer(&shaping->links, g_array_unref);
	g_free(shaping);
}

static const struct qdisc_link *link_find(const GArray *links, guint32 ifindex)
{
	for (guint i = 0; links && i < links->len; i++)
		if (g_array_index(links, struct qdisc_link, i).ifindex == ifindex)
			return &g_array_index(links, struct qdisc_link, i);
	return NULL;
}

/* Adds those of one interface. */
static void shaped_add(struct shaped *shaped, guint64 *most, const GArray *qdiscs, guint32 ifindex, const char *name,
		       const char *where)
{
	for (guint i = 0; i < qdiscs->len; i++) {
		const struct qdisc *qdisc = &g_array_index(qdiscs, struct qdisc, i);

		if (qdisc->ifindex != ifindex)
			continue;
		shaped->packets += qdisc->packets;
		shaped->drops += qdisc->drops;
		if (qdisc->drops <= *most)
			continue;
		*most = qdisc->drops;
		g_free(shaped->worst);
		shaped->worst = g_strdup_printf("%s on %s%s", qdisc->kind, name, where);
	}
}

gboolean shaping_of(const struct shaping *shaping, guint32 pid, struct shaped *shaped)
{
	struct netns netns = { (guint32)procfs_namespace("/", pid, NAMESPACE_NET), pid };
	g_autoptr(GArray) qdiscs = NULL, links = NULL;
	guint64 most = 0;

	*shaped = (struct shaped){ 0 };
	if (!netns.inode || netns.inode == shaping->inode || !(qdiscs = qdisc_list(&netns, NULL)))
		return FALSE;
	if (!shaping->links && qdiscs->len == 0)
		return TRUE;
	links = qdisc_links(&netns, NULL);
	for (guint i = 0; links && i < links->len; i++) {
		const struct qdisc_link *own = &g_array_index(links, struct qdisc_link, i);
		const struct qdisc_link *other = own->peer ? link_find(shaping->links, own->peer) : NULL;

		shaped_add(shaped, &most, qdiscs, own->ifindex, own->name, "");
		/* Numbers are of a namespace: both ends have to name each other. */
		if (other && other->peer == own->ifindex)
			shaped_add(shaped, &most, shaping->qdiscs, other->ifindex, other->name, " of the host");
	}
	return links != NULL;
}
