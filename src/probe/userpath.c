/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/userpath.h"

#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "probe/bpf/hash.h"

G_STATIC_ASSERT(USER_PLACES <= PROBE_BASIS_MAX);

/* All stacks of one thread group with the same RIP and RSP. */
struct userpath_place {
	struct stack_key key;
	guint count, next; /* variants told; the one to be replaced when there is no room */
	struct stack_key prints[USER_VARIANTS];
};

struct userpath {
	int map_fd;
	struct stack_key seed;
	guint count; /* paths told */
	GHashTable *processes; /* tgid → GHashTable of struct userpath_place by key */
};

/* Of the places: what the kernel half compares. */
static struct stack_key userpath_print(const struct user_path *path, const struct stack_key *seed,
				       const struct probe_copy *copy)
{
	struct stack_key print = *seed;

	if (path->registers & USER_PATH_BP)
		stack_hash_word(&print, copy->bp);
	if (path->registers & USER_PATH_R10)
		stack_hash_word(&print, copy->r10);
	for (guint i = 0; i < path->count; i++) {
		guint64 word;

		memcpy(&word, copy->bytes + path->at[i] * sizeof(word), sizeof(word));
		stack_hash_word(&print, word);
	}
	return print;
}

static int userpath_compare(const void *left, const void *right)
{
	return *(const guint16 *)left - *(const guint16 *)right;
}

gboolean userpath_make(struct user_path *path, const struct stack_key *seed, const struct probe_copy *copy,
		       const struct probe_basis *basis)
{
	guint count = 0;

	memset(path, 0, sizeof(*path));
	if (basis->overflow || basis->count > USER_PLACES || copy->address != copy->sp - STACK_COPY_RED_ZONE)
		return FALSE;
	for (guint i = 0; i < basis->count; i++) {
		if (basis->at[i] % 8 != 0 || basis->at[i] + 8 > copy->length || basis->at[i] / 8 > G_MAXUINT16)
			return FALSE;
		path->at[i] = (guint16)(basis->at[i] / 8);
	}
	qsort(path->at, basis->count, sizeof(path->at[0]), userpath_compare);
	for (guint i = 0; i < basis->count; i++)
		if (count == 0 || path->at[count - 1] != path->at[i])
			path->at[count++] = path->at[i];
	memset(path->at + count, 0, (USER_PLACES - count) * sizeof(path->at[0]));
	path->count = count;
	path->registers = (basis->has_bp ? USER_PATH_BP : 0) | (basis->has_r10 ? USER_PATH_R10 : 0);
	path->print = userpath_print(path, seed, copy);
	return TRUE;
}

static guint userpath_key_hash(gconstpointer key)
{
	return (guint)((const struct stack_key *)key)->hash[0];
}

static gboolean userpath_key_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct stack_key)) == 0;
}

struct userpath *userpath_new(int map_fd, const struct stack_key *seed)
{
	struct userpath *userpath = g_new0(struct userpath, 1);

	userpath->map_fd = map_fd;
	userpath->seed = *seed;
	userpath->processes = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_hash_table_destroy);
	return userpath;
}

void userpath_free(struct userpath *userpath)
{
	if (!userpath)
		return;
	g_hash_table_destroy(userpath->processes);
	g_free(userpath);
}

static void userpath_forget_places(struct userpath *userpath, GHashTable *places)
{
	GHashTableIter each;
	gpointer value;

	g_hash_table_iter_init(&each, places);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		struct userpath_place *place = value;
		struct stack_key key = place->key;

		for (guint i = 0; i < place->count; i++, key.hash[1]++)
			bpf_map_delete_elem(userpath->map_fd, &key);
		userpath->count -= place->count;
	}
}

void userpath_forget(struct userpath *userpath, guint32 tgid)
{
	GHashTable *places = userpath ? g_hash_table_lookup(userpath->processes, GUINT_TO_POINTER(tgid)) : NULL;

	if (!places)
		return;
	userpath_forget_places(userpath, places);
	g_hash_table_remove(userpath->processes, GUINT_TO_POINTER(tgid));
}

/* Full: those in use are soon learned again. */
static void userpath_forget_all(struct userpath *userpath)
{
	GHashTableIter each;
	gpointer places;

	g_hash_table_iter_init(&each, userpath->processes);
	while (g_hash_table_iter_next(&each, NULL, &places)) {
		userpath_forget_places(userpath, places);
		g_hash_table_iter_remove(&each);
	}
}

/* The same as print_place in offcpu.bpf.c. */
static struct stack_key userpath_key(const struct userpath *userpath, guint32 tgid, const struct probe_copy *copy)
{
	struct stack_key key = userpath->seed;

	stack_hash_word(&key, tgid);
	stack_hash_word(&key, copy->ip);
	stack_hash_word(&key, copy->sp);
	return key;
}

static struct userpath_place *userpath_place(struct userpath *userpath, guint32 tgid, const struct stack_key *key)
{
	GHashTable *places = g_hash_table_lookup(userpath->processes, GUINT_TO_POINTER(tgid));
	struct userpath_place *place;

	if (!places) {
		places = g_hash_table_new_full(userpath_key_hash, userpath_key_equal, NULL, g_free);
		g_hash_table_insert(userpath->processes, GUINT_TO_POINTER(tgid), places);
	}
	place = g_hash_table_lookup(places, key);
	if (!place) {
		place = g_new0(struct userpath_place, 1);
		place->key = *key;
		g_hash_table_insert(places, &place->key, place);
	}
	return place;
}

void userpath_learn(struct userpath *userpath, guint32 tgid, const struct probe_copy *copy,
		    const struct probe_basis *basis)
{
	struct stack_key key = userpath_key(userpath, tgid, copy);
	struct userpath_place *place;
	struct user_path path;
	guint variant;

	if (!userpath_make(&path, &userpath->seed, copy, basis))
		return;
	if (userpath->count >= USER_PATHS)
		userpath_forget_all(userpath);
	place = userpath_place(userpath, tgid, &key);
	for (guint i = 0; i < place->count; i++)
		if (memcmp(&place->prints[i], &path.print, sizeof(path.print)) == 0)
			return;
	variant = place->count < USER_VARIANTS ? place->count : place->next++ % USER_VARIANTS;
	key.hash[1] += variant;
	if (bpf_map_update_elem(userpath->map_fd, &key, &path, BPF_ANY) != 0)
		return; /* the kernel half goes on without it: more copies, none wrong */
	place->prints[variant] = path.print;
	if (variant == place->count) {
		place->count++;
		userpath->count++;
	}
}
