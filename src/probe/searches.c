/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/searches.h"

#include <string.h>

#include "base/units.h"

#define SEARCHES_TRAILS 4096 /* processes remembered */
#define SEARCHES_MISSES 32 /* of one process */
#define SEARCHES_CHAIN_NS (5 * NS_PER_S) /* between the first miss and the answer */
#define SEARCHES_LIST_NS (10 * NS_PER_S) /* how long a search list is believed */
#define SEARCHES_LISTS 1024

#define LABEL_MAX 63

struct search_list {
	char **domains; /* NULL: not known */
	guint64 read_ns;
};

struct miss {
	struct search search; /* name NULL: taken */
	char name[SEARCHES_NAME];
};

/* What one process has asked for in vain lately; a ring. */
struct trail {
	struct miss misses[SEARCHES_MISSES];
	guint next;
	guint64 time_ns;
};

struct searches {
	searches_list_fn list;
	searches_wasted_fn wasted;
	void *user;
	GHashTable *trails; /* tgid → struct trail */
	GHashTable *lists; /* cgroup key → struct search_list */
	guint64 unknown;
};

/* ---- names ---- */

gboolean searches_name(const guint8 *question, gsize bytes, char name[SEARCHES_NAME])
{
	gsize at = 0, length = 0;

	while (at < bytes && question[at] != 0) {
		guint label = question[at++];

		if (label > LABEL_MAX || at + label > bytes)
			return FALSE;
		if (length > 0)
			name[length++] = '.';
		for (guint i = 0; i < label; i++) {
			guint8 byte = question[at++];

			if (length + 3 >= SEARCHES_NAME)
				return FALSE;
			if (byte == '.' || byte == '\\')
				name[length++] = '\\';
			name[length++] = byte ? g_ascii_tolower((char)byte) : '?';
		}
		if (length + 3 >= SEARCHES_NAME)
			return FALSE;
	}
	name[length] = '\0';
	return at < bytes; /* else it is cut: the root label is missing */
}

/* Length of `name` without the search domain at its end; 0: it does not end so. */
static gsize name_stem(const char *name, const char *domain)
{
	gsize length = strlen(name), tail = strlen(domain);

	if (length <= tail + 1 || name[length - tail - 1] != '.' || strcmp(name + length - tail, domain) != 0)
		return 0;
	return length - tail - 1;
}

static gboolean stem_is(const char *name, gsize length, const char *stem, gsize stem_length)
{
	return length == stem_length && memcmp(name, stem, length) == 0;
}

/* Do both names come from the same short one, by this search list? */
static gboolean names_related(const char *miss, const char *hit, char **domains)
{
	for (guint i = 0; domains[i]; i++) {
		gsize stem = name_stem(miss, domains[i]);

		if (!stem)
			continue;
		if (stem_is(hit, strlen(hit), miss, stem))
			return TRUE;
		for (guint other = 0; domains[other]; other++)
			if (other != i && stem_is(hit, name_stem(hit, domains[other]), miss, stem))
				return TRUE;
	}
	return FALSE;
}

/* ---- search lists ---- */

static void search_list_free(gpointer data)
{
	struct search_list *list = data;

	g_strfreev(list->domains);
	g_free(list);
}

static char **searches_domains(struct searches *searches, const struct search *search)
{
	struct search_list *list = g_hash_table_lookup(searches->lists, &search->cgroup_key);

	if (list && search->time_ns - list->read_ns < SEARCHES_LIST_NS)
		return list->domains;
	if (g_hash_table_size(searches->lists) >= SEARCHES_LISTS)
		g_hash_table_remove_all(searches->lists);
	list = g_new0(struct search_list, 1);
	list->read_ns = search->time_ns;
	list->domains = searches->list(searches->user, search);
	g_hash_table_insert(searches->lists, g_memdup2(&search->cgroup_key, sizeof(search->cgroup_key)), list);
	return list->domains;
}

/* ---- trails ---- */

static gboolean trail_is_old(gpointer key, gpointer value, gpointer now)
{
	(void)key;
	return *(const guint64 *)now - ((const struct trail *)value)->time_ns > SEARCHES_CHAIN_NS;
}

static struct trail *searches_trail(struct searches *searches, guint32 tgid, guint64 now_ns)
{
	struct trail *trail = g_hash_table_lookup(searches->trails, GUINT_TO_POINTER(tgid));

	if (trail)
		return trail;
	if (g_hash_table_size(searches->trails) >= SEARCHES_TRAILS)
		g_hash_table_foreach_remove(searches->trails, trail_is_old, &now_ns);
	if (g_hash_table_size(searches->trails) >= SEARCHES_TRAILS)
		return NULL;
	trail = g_new0(struct trail, 1);
	g_hash_table_insert(searches->trails, GUINT_TO_POINTER(tgid), trail);
	return trail;
}

void searches_miss(struct searches *searches, const struct search *search)
{
	struct trail *trail;
	struct miss *miss;

	if (!searches_domains(searches, search)) /* read now, while the process lives */
		searches->unknown++;
	trail = searches_trail(searches, search->tgid, search->time_ns);
	if (!trail)
		return;
	miss = &trail->misses[trail->next++ % SEARCHES_MISSES];
	miss->search = *search;
	g_strlcpy(miss->name, search->name, sizeof(miss->name));
	miss->search.name = miss->name;
	trail->time_ns = search->time_ns;
}

void searches_hit(struct searches *searches, const struct search *search)
{
	struct trail *trail = g_hash_table_lookup(searches->trails, GUINT_TO_POINTER(search->tgid));
	char **domains = trail ? searches_domains(searches, search) : NULL;

	for (guint i = 0; domains && i < SEARCHES_MISSES; i++) {
		struct miss *miss = &trail->misses[i];

		if (!miss->search.name || search->time_ns - miss->search.time_ns > SEARCHES_CHAIN_NS ||
		    !names_related(miss->name, search->name, domains))
			continue;
		searches->wasted(searches->user, &miss->search);
		miss->search.name = NULL;
	}
}

/* ---- life ---- */

struct searches *searches_new(searches_list_fn list, searches_wasted_fn wasted, void *user)
{
	struct searches *searches = g_new0(struct searches, 1);

	searches->list = list;
	searches->wasted = wasted;
	searches->user = user;
	searches->trails = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	searches->lists = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, search_list_free);
	return searches;
}

void searches_free(struct searches *searches)
{
	if (!searches)
		return;
	g_hash_table_unref(searches->trails);
	g_hash_table_unref(searches->lists);
	g_free(searches);
}

guint64 searches_unknown(const struct searches *searches)
{
	return searches->unknown;
}
