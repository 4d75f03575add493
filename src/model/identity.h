/* SPDX-License-Identifier: Apache-2.0 */
/* Who a container is, for tables: its cgroup key, which the kernel may give to another one day, and its birth. */
#pragma once
#include <glib.h>

struct identity {
	guint64 key, birth_ns;
};

/* GHashFunc, GEqualFunc of structures that begin with one. */
static inline guint identity_hash(gconstpointer data)
{
	const struct identity *identity = (const struct identity *)data;

	return (guint)((identity->key ^ identity->birth_ns * 31) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) >> 32);
}

static inline gboolean identity_equal(gconstpointer a, gconstpointer b)
{
	const struct identity *one = (const struct identity *)a, *other = (const struct identity *)b;

	return one->key == other->key && one->birth_ns == other->birth_ns;
}
