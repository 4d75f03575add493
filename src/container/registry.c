/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup trees as nodes, one for each path and life: in the v2 hierarchy and the v1 hierarchy that names tasks the
 * same path is the same node with two keys. A node has an identity of its own when it is a container, a systemd unit or
 * a cgroup on its own; the owner of a node is the outermost container above it, else the nearest identity.
 *
 * Identification reads the runtimes' state and is done once for a node, when somebody asks about it, or for all when all
 * are listed: of the hundreds of cgroups of a machine a short measurement meets a few. It is repeated, less and less often,
 * while the node is new and no runtime has confirmed it: names appear later than cgroups, on a busy machine seconds later. A
 * cgroup in which no process was ever seen stays open, which costs one read of its cgroup.procs at each refresh. */
#include "container/registry.h"

#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/units.h"
#include "container/evidence.h"
#include "container/runtime.h"
#include "kernel/cgroupfs.h"
#include "kernel/procfs.h"

#define IDENTIFY_TRIES 4
#define IDENTIFY_ID 64 /* digits of an id that nobody chose */
#define IDENTIFY_ID_SHORT 12 /* of these, where there is no name yet */
#define IDENTIFY_LATE_NS (30 * NS_PER_S) /* a runtime has written its state by the time a process is that old */
#define IDENTIFY_AGAIN_NS (200 * NS_PER_MS) /* between refreshes, on being asked; twice that after each try */
#define RECORDED_ROOT "/proc/self/recorded" /* a directory that is never there */
#define ROOT_KEY 1 /* the kernfs id of the root of every hierarchy */
#define STRANGERS_MAX 65536

enum {
	TREE_V2 = 0,
	TREE_V1 = 1,
	TREES = 2
};

struct node {
	struct container container; /* first: a container's address is its node's. Meaningful when `is_own` */
	char *path;
	struct node *parent; /* NULL for the root and the dead */
	struct node *last_owner; /* of the dead */
	guint64 keys[TREES]; /* 0: not in that tree */
	guint32 parent_uid;
	guint32 seen; /* number of the last refresh that saw it */
	guint8 tries;
	enum verdict verdict;
	gboolean is_own, is_settled, is_dead;
	guint64 tried_ns, inhabited_ns; /* inhabited: since a process was first seen in it; 0: never */
	guint64 died; /* order of death */
};

struct registry {
	char *root;
	struct cgroupfs *cgroupfs;
	struct machine *machine;
	GHashTable *keys; /* guint64* in a node → node, living and dead */
	GHashTable *paths; /* path → node, the living; owns nothing */
	GHashTable *nodes; /* set of all nodes; owns them */
	GHashTable *strangers; /* keys sought in vain since the last refresh */
	GPtrArray *old_strings; /* replaced since the last refresh */
	GHashTable *renamed; /* of a recording: first name → last name */
	gboolean has_unasked; /* there may be nodes that nobody has asked about yet */
	struct node *host;
	guint32 tree_uid; /* owner of the root of the tree */
	guint32 refreshes;
	guint64 refreshed_ns; /* CLOCK_MONOTONIC: when the last one began */
	guint64 deaths;
};

static const struct cgroup_hierarchy *tree_hierarchy(const struct registry *registry, int tree)
{
	return tree == TREE_V2 ? registry->cgroupfs->unified : registry->cgroupfs->legacy;
}

static guint64 tree_key(int tree, guint64 inode)
{
	return tree == TREE_V2 ? inode : inode | CGROUP_KEY_V1;
}

/* ---- nodes ---- */

static void node_free(gpointer data)
{
	struct node *node = data;

	g_free(node->container.id);
	g_free(node->container.name);
	g_free(node->container.image);
	g_free(node->container.pod);
	g_free(node->container.pod_namespace);
	g_free(node->container.cgroup);
	g_free(node->path);
	g_free(node);
}

static struct node *node_owner(struct node *node)
{
	struct node *nearest = NULL, *outermost = NULL;

	if (node->is_dead)
		return node->last_owner;
	for (; node; node = node->parent) {
		if (node->is_own && !nearest)
			nearest = node;
		if (node->is_own && container_is_container(&node->container))
			outermost = node;
	}
	return outermost ? outermost : nearest;
}

static gboolean node_is_inside(const struct node *node)
{
	while ((node = node->parent))
		if (node->is_own && container_is_container(&node->container))
			return TRUE;
	return FALSE;
}

static int node_tree(const struct node *node)
{
	return node->keys[TREE_V2] ? TREE_V2 : TREE_V1;
}

static void node_attach(struct registry *registry, struct node *node, int tree, guint64 key)
{
	node->keys[tree] = key;
	/* A key's number may return after many cgroups: the living one has it. */
	g_hash_table_insert(registry->keys, g_memdup2(&key, sizeof(key)), node);
	if (!node->container.cgroup_key || tree == TREE_V2)
		node->container.cgroup_key = key;
}

/* ---- identification ---- */

static void set_string(struct registry *registry, char **string, char *value)
{
	if (*string)
		g_ptr_array_add(registry->old_strings, *string);
	*string = value;
}

static void set_string_if_known(struct registry *registry, char **string, char **value)
{
	if (*value)
		set_string(registry, string, g_steal_pointer(value));
}

static void node_set_start(struct registry *registry, struct node *node, guint32 pid)
{
	struct procfs_stat stat;

	if (!pid || !procfs_stat_read(registry->root, pid, &stat, NULL))
		return;
	node->container.init_pid = pid;
	node->container.start_realtime_ns = machine_start_realtime_ns(registry->machine, stat.start_ticks);
}

static void node_become_container(struct registry *registry, struct node *node, struct identity *identity,
				  struct evidence *evidence)
{
	struct container *container = &node->container;

	container->runtime = identity->runtime;
	node->is_own = TRUE;
	set_string_if_known(registry, &container->id, &identity->id);
	if (!identity->name)
		identity->name = g_strndup(container->id, IDENTIFY_ID_SHORT);
	set_string_if_known(registry, &container->name, &identity->name);
	set_string_if_known(registry, &container->image, &identity->image);
	set_string_if_known(registry, &container->pod, &identity->pod);
	set_string_if_known(registry, &container->pod_namespace, &identity->pod_namespace);
	node_set_start(registry, node, identity->init_pid ? identity->init_pid : evidence_eldest(evidence));
}

static void node_become_plain(struct node *node, const char *unit)
{
	struct container *container = &node->container;

	/* Below a unit: the unit's own business. */
	if (unit && strcmp(unit, node->path) != 0) {
		node->is_own = FALSE;
		return;
	}
	container->runtime = unit ? RUNTIME_SYSTEMD : RUNTIME_CGROUP;
	node->is_own = TRUE;
	if (container->id)
		return;
	container->id = unit ? g_path_get_basename(node->path) : g_strdup(node->path);
	container->name = g_strdup(container->id);
}

/* Units that never are containers need not be asked about. */
static gboolean unit_may_be_container(const char *unit, const char *path)
{
	const char *base = strrchr(path, '/') + 1;

	if (!unit)
		return TRUE;
	if (strcmp(unit, path) != 0) /* podman's libpod-payload-ID and nspawn's payload are below their service */
		return strstr(base, "payload") || g_str_has_prefix(base, "libpod-") ||
		       g_str_has_prefix(base, "docker-");
	if (g_str_has_suffix(base, ".service"))
		return g_str_has_prefix(base, "systemd-nspawn@");
	return g_str_has_suffix(base, ".scope") && strcmp(base, "init.scope") != 0 &&
	       !g_str_has_prefix(base, "session-");
}

static gboolean evidence_is_old(const struct evidence *evidence)
{
	guint64 since_ns;

	if (!evidence->eldest_ticks)
		return FALSE;
	since_ns = machine_start_realtime_ns(evidence->machine, evidence->eldest_ticks);
	return since_ns && since_ns + IDENTIFY_LATE_NS < clock_realtime_ns();
}

/* A runtime below (runc, a shim) knows its container before the one above it (docker, podman) has written its name: until
 * then an id as long as those is no name. */
static gboolean container_has_name(const struct container *container)
{
	return container->name && (!container->id || strlen(container->id) < IDENTIFY_ID ||
				   !g_str_has_prefix(container->id, container->name));
}

static void node_identify(struct registry *registry, struct node *node)
{
	g_autofree char *unit = systemd_unit_path(node->path);
	struct identity identity = { 0 };
	struct evidence evidence;
	enum verdict verdict;
	gboolean populated;

	node->tried_ns = clock_monotonic_ns();
	/* Whatever is in a container has no name of its own. */
	if (node_is_inside(node)) {
		node->is_own = FALSE;
		node->is_settled = TRUE;
		return;
	}
	if (!unit_may_be_container(unit, node->path)) {
		node_become_plain(node, unit);
		node->is_settled = TRUE;
		return;
	}
	evidence_init(&evidence, registry->machine, tree_hierarchy(registry, node_tree(node)), node->path,
		      node->parent_uid == registry->tree_uid);
	populated = evidence_direct(&evidence)->len > 0;
	if (populated && !node->inhabited_ns) {
		node->inhabited_ns = node->tried_ns;
		node->tries = 0;
	}
	/* Asked often enough, and nobody has moved in. */
	if (node->tries < IDENTIFY_TRIES || populated) {
		node->tries = (guint8)MIN(node->tries + 1, IDENTIFY_TRIES);
		verdict = runtime_identify(&evidence, &identity);
		if (verdict > VERDICT_NOT_MINE && verdict >= node->verdict) {
			node->verdict = verdict;
			node_become_container(registry, node, &identity, &evidence);
		} else if (node->verdict == VERDICT_NOT_MINE) {
			node_become_plain(node, unit);
		}
		node->is_settled = (verdict == VERDICT_CONFIRMED && container_has_name(&node->container)) ||
				   (populated && (evidence_is_old(&evidence) ||
						  node->tried_ns - node->inhabited_ns > IDENTIFY_LATE_NS));
	}
	identity_clear(&identity);
	evidence_clear(&evidence);
}

static gboolean node_is_unasked(const struct node *node)
{
	return !node->is_settled && node->tries == 0;
}

/* Those above come first: what is inside a container has no name of its own. */
static void node_ask(struct registry *registry, struct node *node)
{
	if (!node || node->is_dead || !registry->has_unasked)
		return;
	node_ask(registry, node->parent);
	if (node_is_unasked(node))
		node_identify(registry, node);
}

/* ---- births and deaths ---- */

static void node_bury(struct registry *registry, struct node *node)
{
	if (node->is_dead || node == registry->host)
		return;
	node->last_owner = node_owner(node);
	node->is_dead = node->container.dead = TRUE;
	node->container.init_pid = 0;
	node->died = ++registry->deaths;
	if (g_hash_table_lookup(registry->paths, node->path) == node)
		g_hash_table_remove(registry->paths, node->path);
}

static struct node *node_born(struct registry *registry, const char *path, int tree, guint64 key, guint32 parent_uid)
{
	g_autofree char *above = g_path_get_dirname(path);
	struct node *node = g_new0(struct node, 1);

	node->path = g_strdup(path);
	node->container.cgroup = g_strdup(path);
	node->parent = g_hash_table_lookup(registry->paths, above);
	node->parent_uid = parent_uid;
	g_hash_table_add(registry->nodes, node);
	g_hash_table_replace(registry->paths, node->path, node);
	node_attach(registry, node, tree, key);
	return node;
}

/* A cgroup that is there: known, known in the other tree, or new. */
static struct node *registry_see(struct registry *registry, int tree, const struct cgroup_seen *seen)
{
	guint64 key = tree_key(tree, seen->inode);
	struct node *node = g_hash_table_lookup(registry->paths, seen->path);

	if (strcmp(seen->path, "/") == 0) {
		node = registry->host;
		if (tree == TREE_V2 || !registry->cgroupfs->unified)
			registry->tree_uid = seen->parent_uid;
		if (node->keys[tree] != key) {
			node->keys[tree] = key;
			g_hash_table_insert(registry->keys, g_memdup2(&key, sizeof(key)), node);
		}
	} else if (node && node->keys[tree] == key) {
		/* as before */
	} else if (node && !node->keys[tree]) {
		node_attach(registry, node, tree, key);
	} else {
		if (node) /* same path, another life */
			node_bury(registry, node);
		node = node_born(registry, seen->path, tree, key, seen->parent_uid);
	}
	node->seen = registry->refreshes;
	return node;
}

struct scan {
	struct registry *registry;
	int tree;
};

static void scan_visit(const struct cgroup_seen *seen, gpointer data)
{
	struct scan *scan = data;

	registry_see(scan->registry, scan->tree, seen);
}

static void bury_unseen(struct registry *registry)
{
	g_autoptr(GPtrArray) gone = g_ptr_array_new();
	GHashTableIter nodes;
	gpointer value;

	g_hash_table_iter_init(&nodes, registry->paths);
	while (g_hash_table_iter_next(&nodes, NULL, &value))
		if (((struct node *)value)->seen != registry->refreshes)
			g_ptr_array_add(gone, value);
	for (guint i = 0; i < gone->len; i++)
		node_ask(registry, g_ptr_array_index(gone, i)); /* while all above it are known */
	for (guint i = 0; i < gone->len; i++)
		node_bury(registry, g_ptr_array_index(gone, i));
	/* Only now: the owner of one may be found through another. */
	for (guint i = 0; i < gone->len; i++)
		((struct node *)g_ptr_array_index(gone, i))->parent = NULL;
}

static int by_depth(gconstpointer left, gconstpointer right)
{
	const struct node *const *a = left, *const *b = right;

	return strcmp((*a)->path, (*b)->path); /* a parent's path is a prefix: it comes first */
}

/* Those of which not all is known: asked about before, or not yet. */
static void identify_unsettled(struct registry *registry, gboolean unasked)
{
	g_autoptr(GPtrArray) open = g_ptr_array_new();
	GHashTableIter nodes;
	gpointer value;

	g_hash_table_iter_init(&nodes, registry->paths);
	while (g_hash_table_iter_next(&nodes, NULL, &value))
		if (!((struct node *)value)->is_settled && node_is_unasked(value) == unasked)
			g_ptr_array_add(open, value);
	g_ptr_array_sort(open, by_depth);
	for (guint i = 0; i < open->len; i++)
		node_identify(registry, g_ptr_array_index(open, i));
}

/* Once a refresh. */
static void registry_ask_all(struct registry *registry)
{
	if (registry->has_unasked)
		identify_unsettled(registry, TRUE);
	registry->has_unasked = FALSE;
}

static int by_death(gconstpointer left, gconstpointer right)
{
	const struct node *a = *(struct node *const *)left, *b = *(struct node *const *)right;

	return a->died < b->died ? -1 : a->died > b->died;
}

/* Of those that go. A cgroup dies after all below it, but of many at a time not every death is heard of, and its path may be
 * another's by now. */
static void forget_parents(struct registry *registry, GHashTable *doomed)
{
	GHashTableIter iterator;
	gpointer value;

	g_hash_table_iter_init(&iterator, registry->nodes);
	while (g_hash_table_iter_next(&iterator, &value, NULL)) {
		struct node *node = value;
		g_autofree char *above = NULL;

		if (!node->parent || !g_hash_table_contains(doomed, node->parent))
			continue;
		above = g_path_get_dirname(node->path);
		node->parent = node->is_dead ? NULL : g_hash_table_lookup(registry->paths, above);
	}
}

/* Drops the oldest dead. An owner outlives what it owns, unless all go. */
static void drop_oldest_dead(struct registry *registry)
{
	g_autoptr(GPtrArray) dead = g_ptr_array_new();
	g_autoptr(GHashTable) doomed = g_hash_table_new(NULL, NULL);
	GHashTableIter iterator;
	gpointer value;

	if (g_hash_table_size(registry->nodes) <= g_hash_table_size(registry->paths) + REGISTRY_DEAD_MAX)
		return;
	g_hash_table_iter_init(&iterator, registry->nodes);
	while (g_hash_table_iter_next(&iterator, &value, NULL))
		if (((struct node *)value)->is_dead)
			g_ptr_array_add(dead, value);
	g_ptr_array_sort(dead, by_death);
	for (guint i = 0; i + REGISTRY_DEAD_MAX * 3 / 4 < dead->len; i++)
		g_hash_table_add(doomed, g_ptr_array_index(dead, i));
	for (guint count = 0; count != g_hash_table_size(doomed);) {
		count = g_hash_table_size(doomed);
		for (guint i = 0; i < dead->len; i++) {
			struct node *node = g_ptr_array_index(dead, i);

			if (node->last_owner && g_hash_table_contains(doomed, node->last_owner))
				g_hash_table_add(doomed, node);
		}
	}
	forget_parents(registry, doomed);
	g_hash_table_iter_init(&iterator, registry->keys);
	while (g_hash_table_iter_next(&iterator, NULL, &value))
		if (g_hash_table_contains(doomed, value))
			g_hash_table_iter_remove(&iterator);
	g_hash_table_iter_init(&iterator, doomed);
	while (g_hash_table_iter_next(&iterator, &value, NULL))
		g_hash_table_remove(registry->nodes, value);
}

gboolean registry_refresh(struct registry *registry, GError **error)
{
	if (!registry->machine)
		return TRUE; /* of a recording */
	registry->refreshes++;
	registry->refreshed_ns = clock_monotonic_ns();
	g_ptr_array_set_size(registry->old_strings, 0);
	g_hash_table_remove_all(registry->strangers);
	machine_refresh(registry->machine);
	for (int tree = 0; tree < TREES; tree++) {
		const struct cgroup_hierarchy *hierarchy = tree_hierarchy(registry, tree);
		struct scan scan = { .registry = registry, .tree = tree };

		if (hierarchy && !cgroup_hierarchy_walk(hierarchy, scan_visit, &scan, error))
			return FALSE;
	}
	bury_unseen(registry);
	identify_unsettled(registry, FALSE);
	registry->has_unasked = TRUE;
	drop_oldest_dead(registry);
	return TRUE;
}

guint64 registry_age_ns(const struct registry *registry)
{
	return clock_monotonic_ns() - registry->refreshed_ns;
}

static struct node *host_new(struct registry *registry)
{
	struct node *host = g_new0(struct node, 1);
	guint64 key = ROOT_KEY;

	host->path = g_strdup("/");
	host->container = (struct container){ .runtime = RUNTIME_HOST,
					      .id = g_strdup("host"),
					      .name = g_strdup("host"),
					      .cgroup = g_strdup("/"),
					      .init_pid = 1 };
	host->is_own = host->is_settled = TRUE;
	g_hash_table_add(registry->nodes, host);
	g_hash_table_insert(registry->paths, host->path, host);
	g_hash_table_insert(registry->keys, g_memdup2(&key, sizeof(key)), host);
	return host;
}

static struct registry *registry_alloc(const char *root, struct cgroupfs *cgroupfs)
{
	struct registry *registry = g_new0(struct registry, 1);

	registry->root = g_strdup(root);
	registry->cgroupfs = cgroupfs;
	registry->keys = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	registry->paths = g_hash_table_new(g_str_hash, g_str_equal);
	registry->nodes = g_hash_table_new_full(NULL, NULL, node_free, NULL);
	registry->strangers = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	registry->old_strings = g_ptr_array_new_with_free_func(g_free);
	registry->renamed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	registry->host = host_new(registry);
	return registry;
}

struct registry *registry_new_recorded(void)
{
	struct cgroupfs *none = g_new0(struct cgroupfs, 1);

	none->hierarchies = g_ptr_array_new();
	return registry_alloc(RECORDED_ROOT, none);
}

GHashTable *registry_renamed(struct registry *registry)
{
	return registry->renamed;
}

/* What was told before the name was known has the id, or its beginning. */
static void registry_note_name(struct registry *registry, const struct container *container)
{
	if (strlen(container->id) < IDENTIFY_ID || !container_has_name(container))
		return;
	g_hash_table_insert(registry->renamed, g_strdup(container->id), g_strdup(container->name));
	g_hash_table_insert(registry->renamed, g_strndup(container->id, IDENTIFY_ID_SHORT), g_strdup(container->name));
}

/* Recorded again. Who was an id, or a cgroup whose path ends with it, may have become a name. */
static void node_record_again(struct registry *registry, struct node *node, const struct container *seen)
{
	struct container *known = &node->container;

	if (!seen->id || !container_has_name(seen) || strcmp(known->name, seen->name) == 0 ||
	    g_strcmp0(known->cgroup, seen->cgroup) != 0)
		return;
	if (strstr(known->name, seen->id))
		g_hash_table_insert(registry->renamed, g_strdup(known->name), g_strdup(seen->name));
	else if (!g_str_has_prefix(seen->id, known->name))
		return;
	known->runtime = seen->runtime;
	set_string(registry, &known->id, g_strdup(seen->id));
	set_string(registry, &known->name, g_strdup(seen->name));
	set_string(registry, &known->image, g_strdup(seen->image));
	set_string(registry, &known->pod, g_strdup(seen->pod));
	set_string(registry, &known->pod_namespace, g_strdup(seen->pod_namespace));
	registry_note_name(registry, known);
}

void registry_record(struct registry *registry, const struct container *container)
{
	int tree = container->cgroup_key & CGROUP_KEY_V1 ? TREE_V1 : TREE_V2;
	struct node *node = g_hash_table_lookup(registry->keys, &container->cgroup_key);

	if (node)
		node_record_again(registry, node, container);
	if (node || container->runtime == RUNTIME_HOST)
		return;
	node = g_new0(struct node, 1);
	node->container = *container;
	node->container.id = g_strdup(container->id ? container->id : "");
	node->container.name = g_strdup(container->name);
	node->container.image = g_strdup(container->image);
	node->container.pod = g_strdup(container->pod);
	node->container.pod_namespace = g_strdup(container->pod_namespace);
	node->container.cgroup = g_strdup(container->cgroup);
	node->container.init_pid = 0; /* a number of another machine */
	registry_note_name(registry, &node->container);
	node->path = g_strdup(container->cgroup ? container->cgroup : container->name);
	node->is_own = node->is_settled = TRUE;
	node->is_dead = container->dead;
	node->keys[tree] = container->cgroup_key;
	g_hash_table_add(registry->nodes, node);
	g_hash_table_insert(registry->keys, g_memdup2(&container->cgroup_key, sizeof(container->cgroup_key)), node);
	if (!node->is_dead && !g_hash_table_contains(registry->paths, node->path))
		g_hash_table_insert(registry->paths, node->path, node);
}

struct registry *registry_new(const char *root, GError **error)
{
	struct cgroupfs *cgroupfs = cgroupfs_open(root, error);
	struct registry *registry;
	struct procfs_stat stat;

	if (!cgroupfs)
		return NULL;
	registry = registry_alloc(root, cgroupfs);
	registry->machine = machine_new(root, cgroupfs);
	if (procfs_stat_read(root, 1, &stat, NULL))
		registry->host->container.start_realtime_ns =
			machine_start_realtime_ns(registry->machine, stat.start_ticks);
	if (!registry_refresh(registry, error)) {
		registry_free(registry);
		return NULL;
	}
	return registry;
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	g_hash_table_unref(registry->keys);
	g_hash_table_unref(registry->paths);
	g_hash_table_unref(registry->nodes);
	g_hash_table_unref(registry->strangers);
	g_ptr_array_unref(registry->old_strings);
	g_hash_table_unref(registry->renamed);
	machine_free(registry->machine);
	cgroupfs_free(registry->cgroupfs);
	g_free(registry->root);
	g_free(registry);
}

/* Adds the cgroup at `path` and those above it that are not known yet; NULL when it is not there. */
static struct node *registry_add_path(struct registry *registry, int tree, const char *path)
{
	const struct cgroup_hierarchy *hierarchy = tree_hierarchy(registry, tree);
	g_auto(GStrv) part = g_strsplit(path, "/", 0);
	g_autoptr(GString) above = g_string_new(NULL);
	struct node *node = registry->host;

	for (guint i = 1; part[i] && *part[i]; i++) {
		struct cgroup_seen seen;

		g_string_append_printf(above, "/%s", part[i]);
		if (!cgroup_hierarchy_look(hierarchy, above->str, &seen))
			return NULL;
		node = registry_see(registry, tree, &seen);
		if (!node->is_settled && !node->tries)
			node_identify(registry, node);
	}
	return node;
}

/* Who may make cgroups beside `path`; nobody known when the directory above is gone too. */
static guint32 parent_uid_of(const struct cgroup_hierarchy *hierarchy, const char *path)
{
	g_autofree char *above = g_path_get_dirname(path);
	g_autofree char *directory = cgroup_hierarchy_directory(hierarchy, above);
	struct stat st;

	return directory && lstat(directory, &st) == 0 ? st.st_uid : G_MAXUINT32;
}

void registry_note_birth(struct registry *registry, guint64 cgroup_key, const char *path)
{
	int tree = cgroup_key & CGROUP_KEY_V1 ? TREE_V1 : TREE_V2;
	struct node *node = g_hash_table_lookup(registry->keys, &cgroup_key);

	if (!cgroup_key || path[0] != '/' || !path[1] || !tree_hierarchy(registry, tree))
		return;
	if (node && !node->is_dead && strcmp(node->path, path) == 0)
		return;
	node = registry_add_path(registry, tree, path);
	if (node && node->keys[tree] == cgroup_key)
		return;
	/* Gone again before we could look: it keeps the name its path gives it. */
	node = g_hash_table_lookup(registry->paths, path);
	if (node && node->keys[tree] && node->keys[tree] != cgroup_key)
		return; /* a later life is known already */
	node = node_born(registry, path, tree, cgroup_key, parent_uid_of(tree_hierarchy(registry, tree), path));
	node->seen = registry->refreshes;
	node_identify(registry, node);
	registry_note_death(registry, cgroup_key);
}

void registry_note_death(struct registry *registry, guint64 cgroup_key)
{
	struct node *node = g_hash_table_lookup(registry->keys, &cgroup_key);

	if (!node || node->is_dead)
		return;
	/* A last chance to learn the name: its files may outlive it. */
	node_ask(registry, node);
	if (node->verdict > VERDICT_NOT_MINE && !node->is_settled)
		node_identify(registry, node);
	node_bury(registry, node);
}

/* ---- lookups ---- */

const struct container *registry_host(struct registry *registry)
{
	return &registry->host->container;
}

const struct cgroupfs *registry_cgroupfs(const struct registry *registry)
{
	return registry->cgroupfs;
}

const char *registry_root(const struct registry *registry)
{
	return registry->root;
}

/* A key never heard of: the kernel is asked for its path; where it cannot be asked, everything is scanned again. */
static struct node *registry_seek(struct registry *registry, guint64 key)
{
	int tree = key & CGROUP_KEY_V1 ? TREE_V1 : TREE_V2;
	const struct cgroup_hierarchy *hierarchy = tree_hierarchy(registry, tree);
	g_autofree char *path = NULL;
	gboolean known = FALSE;

	if (!hierarchy || g_hash_table_contains(registry->strangers, &key))
		return NULL;
	path = cgroup_hierarchy_path(hierarchy, key & ~CGROUP_KEY_V1, &known);
	if (path)
		registry_add_path(registry, tree, path);
	else if (!known)
		registry_refresh(registry, NULL);
	if (!g_hash_table_contains(registry->keys, &key) && g_hash_table_size(registry->strangers) < STRANGERS_MAX)
		g_hash_table_add(registry->strangers, g_memdup2(&key, sizeof(key)));
	return g_hash_table_lookup(registry->keys, &key);
}

static const struct container *owner_of(struct registry *registry, struct node *node)
{
	struct node *owner;

	node_ask(registry, node);
	owner = node_owner(node);
	if (owner && !owner->is_settled && !owner->is_dead && (owner->tries < IDENTIFY_TRIES || owner->inhabited_ns) &&
	    clock_monotonic_ns() - owner->tried_ns > IDENTIFY_AGAIN_NS << owner->tries)
		node_identify(registry, owner);
	return owner ? &owner->container : NULL;
}

const struct container *registry_by_cgroup(struct registry *registry, guint64 cgroup_key)
{
	struct node *node = g_hash_table_lookup(registry->keys, &cgroup_key);

	if (!node)
		node = cgroup_key ? registry_seek(registry, cgroup_key) : registry->host;
	return node ? owner_of(registry, node) : NULL;
}

struct registry_counts registry_counts(const struct registry *registry)
{
	guint living = g_hash_table_size(registry->paths), all = g_hash_table_size(registry->nodes);

	return (struct registry_counts){ .living = living, .dead = all - MIN(all, living) };
}

gboolean registry_is_alive(struct registry *registry, guint64 cgroup_key)
{
	const struct node *node = g_hash_table_lookup(registry->keys, &cgroup_key);

	return node && !node->is_dead;
}

static struct node *node_by_path(struct registry *registry, int tree, const char *path)
{
	struct node *node = g_hash_table_lookup(registry->paths, path);

	return node && (node == registry->host || node->keys[tree]) ? node : registry_add_path(registry, tree, path);
}

const struct container *registry_by_path(struct registry *registry, const char *path)
{
	struct node *node = path[0] == '/' ? g_hash_table_lookup(registry->paths, path) : NULL;

	for (int tree = 0; !node && path[0] == '/' && tree < TREES; tree++)
		if (tree_hierarchy(registry, tree))
			node = registry_add_path(registry, tree, path);
	return node ? owner_of(registry, node) : NULL;
}

static const struct procfs_cgroup *cgroup_of_tree(const struct registry *registry, const GArray *cgroups, int tree)
{
	const struct cgroup_hierarchy *hierarchy = tree_hierarchy(registry, tree);

	for (guint i = 0; hierarchy && i < cgroups->len; i++) {
		const struct procfs_cgroup *cgroup = &g_array_index(cgroups, struct procfs_cgroup, i);

		if (strcmp(cgroup->controllers, hierarchy->controllers) == 0)
			return cgroup;
	}
	return NULL;
}

/* The same rule as in the kernel programs: v2, unless that is the root and v1 says more. */
static struct node *node_by_cgroups(struct registry *registry, const GArray *cgroups)
{
	for (int tree = 0; tree < TREES; tree++) {
		const struct procfs_cgroup *cgroup = cgroup_of_tree(registry, cgroups, tree);

		if (cgroup && strcmp(cgroup->path, "/") != 0)
			return cgroup->deleted ? NULL : node_by_path(registry, tree, cgroup->path);
	}
	return registry->host;
}

const struct container *registry_by_pid(struct registry *registry, guint32 pid, guint64 start_ticks)
{
	g_autoptr(GArray) cgroups = procfs_cgroups_read(registry->root, pid, NULL);
	struct procfs_stat stat;
	struct node *node;

	/* The start time is read after the cgroup: had the pid been given away meanwhile, it would differ. */
	if (!cgroups ||
	    (start_ticks && (!procfs_stat_read(registry->root, pid, &stat, NULL) || stat.start_ticks != start_ticks)))
		return NULL;
	node = node_by_cgroups(registry, cgroups);
	return node ? owner_of(registry, node) : NULL;
}

static int by_life_runtime_name(gconstpointer left, gconstpointer right)
{
	const struct container *a = *(struct container *const *)left, *b = *(struct container *const *)right;

	if (a->dead != b->dead)
		return a->dead ? 1 : -1;
	if (a->runtime != b->runtime)
		return a->runtime < b->runtime ? -1 : 1;
	return strcmp(a->name, b->name);
}

GPtrArray *registry_list(struct registry *registry)
{
	GPtrArray *list = g_ptr_array_new();
	GHashTableIter nodes;
	gpointer value;

	registry_ask_all(registry);
	g_hash_table_iter_init(&nodes, registry->nodes);
	while (g_hash_table_iter_next(&nodes, &value, NULL)) {
		struct node *node = value;

		/* A unit or cgroup that turned out to be inside a container is none any more. */
		if (node->is_own && node_owner(node) == node)
			g_ptr_array_add(list, &node->container);
	}
	g_ptr_array_sort(list, by_life_runtime_name);
	return list;
}

GPtrArray *registry_list_living(struct registry *registry)
{
	GPtrArray *list = g_ptr_array_new();
	GHashTableIter nodes;
	gpointer value;

	registry_ask_all(registry);
	g_hash_table_iter_init(&nodes, registry->paths);
	while (g_hash_table_iter_next(&nodes, NULL, &value)) {
		struct node *node = value;

		if (node->is_own && node_owner(node) == node)
			g_ptr_array_add(list, &node->container);
	}
	return list;
}

/* An owner is at a node's own path or above it. */
static gboolean node_may_belong(const struct node *node, const GPtrArray *owners)
{
	for (guint i = 0; i < owners->len; i++) {
		const struct node *owner = g_ptr_array_index(owners, i);
		gsize length = strlen(owner->path);

		if (strncmp(node->path, owner->path, length) == 0 &&
		    (node->path[length] == '/' || node->path[length] == '\0'))
			return TRUE;
	}
	return FALSE;
}

GArray *registry_cgroups(struct registry *registry, const GPtrArray *owners)
{
	GArray *cgroups = g_array_new(FALSE, FALSE, sizeof(struct registry_cgroup));
	GHashTableIter keys;
	gpointer key, value;

	if (!owners)
		registry_ask_all(registry);
	g_hash_table_iter_init(&keys, registry->keys);
	while (g_hash_table_iter_next(&keys, &key, &value)) {
		struct node *node = value, *owner = NULL;
		struct registry_cgroup cgroup = { .key = *(guint64 *)key };

		if (node->is_dead)
			continue;
		if (!owners || node_may_belong(node, owners)) {
			node_ask(registry, node);
			owner = node_owner(node);
		}
		cgroup.owner = owner ? &owner->container : NULL;
		g_array_append_val(cgroups, cgroup);
	}
	return cgroups;
}

/* ---- processes ---- */

/* Those of the root cgroup that no v1 cgroup claims. */
static void host_pids(struct registry *registry, GArray *pids)
{
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(guint32));
	const struct cgroup_hierarchy *hierarchy =
		tree_hierarchy(registry, registry->cgroupfs->unified ? TREE_V2 : TREE_V1);

	cgroup_hierarchy_pids(hierarchy, "/", FALSE, all);
	for (guint i = 0; i < all->len; i++) {
		guint32 pid = g_array_index(all, guint32, i);

		if (!registry->cgroupfs->legacy || registry_by_pid(registry, pid, 0) == registry_host(registry))
			g_array_append_val(pids, pid);
	}
}

void registry_pids(struct registry *registry, const struct container *container, GArray *pids)
{
	const struct node *node = (const struct node *)container;

	if (node->is_dead || !registry->machine)
		return;
	if (node == registry->host) {
		host_pids(registry, pids);
		return;
	}
	/* The v1 tree has those who never joined v2; a task in both is listed in the first. A cgroup that holds identities
	 * of others (a slice) has only what is directly in it. */
	for (int tree = 0; tree < TREES; tree++) {
		guint before = pids->len;

		if (!node->keys[tree])
			continue;
		cgroup_hierarchy_pids(tree_hierarchy(registry, tree), node->path,
				      container_is_container(container) || container->runtime == RUNTIME_SYSTEMD, pids);
		if (pids->len > before)
			break;
	}
}

guint32 registry_inner_pid(struct registry *registry, const struct container *container, guint32 inner_pid)
{
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	struct procfs_status init, status;
	guint32 level;

	if (!container->init_pid || !procfs_status_read(registry->root, container->init_pid, &init, NULL) ||
	    init.levels == 0)
		return 0;
	level = init.levels - 1; /* the container's own pid namespace, whatever it nests */
	registry_pids(registry, container, pids);
	for (guint i = 0; i < pids->len; i++) {
		guint32 pid = g_array_index(pids, guint32, i);

		if (procfs_status_read(registry->root, pid, &status, NULL) && status.levels > level &&
		    status.inner_tgid[level] == inner_pid)
			return status.tgid;
	}
	return 0;
}
