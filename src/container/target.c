/* SPDX-License-Identifier: Apache-2.0 */
/* What a person types → containers and processes. Exact matches go before prefixes, names before numbers; several
 * candidates are never guessed between. */
#include <string.h>

#include "base/text.h"
#include "container/registry.h"
#include "kernel/procfs.h"

#define ID_PREFIX_MIN 3
#define POD_HOLDER "pause" /* what runtimes call the container that holds a pod's namespaces */
#define LISTED_MAX 8 /* candidates and near matches in a message */
#define NEAR_PART_MIN 3 /* a shorter name inside what was typed means nothing */
#define EDIT_TEXT_MAX 64 /* longer names are not compared letter by letter */

G_DEFINE_QUARK(fathom - target - error - quark, target_error)

static void target_free(gpointer data)
{
	struct target *target = data;

	g_free(target->text);
	g_free(target);
}

GPtrArray *target_array_new(void)
{
	return g_ptr_array_new_with_free_func(target_free);
}

static void target_add(GPtrArray *targets, enum target_kind kind, const struct container *container, guint32 pid,
		       const char *text)
{
	struct target *target = g_new0(struct target, 1);

	*target = (struct target){ .kind = kind, .container = container, .pid = pid, .text = g_strdup(text) };
	g_ptr_array_add(targets, target);
}

/* ---- ways to match a container ---- */

typedef gboolean (*match)(const struct container *container, const char *text);

static gboolean match_name(const struct container *container, const char *text)
{
	return container_is_container(container) && strcmp(container->name, text) == 0;
}

static gboolean match_id(const struct container *container, const char *text)
{
	return container_is_container(container) && strcmp(container->id, text) == 0;
}

/* "cart" for the container shown as "shop-1/cart". */
static gboolean match_in_pod(const struct container *container, const char *text)
{
	const char *slash = container->pod ? strrchr(container->name, '/') : NULL;

	return slash && strcmp(slash + 1, text) == 0;
}

static gboolean match_unit(const struct container *container, const char *text)
{
	gsize length = strlen(text);

	return container->runtime == RUNTIME_SYSTEMD && strncmp(container->name, text, length) == 0 &&
	       (container->name[length] == '\0' || strcmp(container->name + length, ".service") == 0);
}

static gboolean match_prefix(const struct container *container, const char *text)
{
	return container_is_container(container) && strlen(text) >= ID_PREFIX_MIN &&
	       g_str_has_prefix(container->id, text);
}

static gboolean match_pod(const struct container *container, const char *text)
{
	gsize space = container->pod_namespace ? strlen(container->pod_namespace) : 0;

	if (!container->pod)
		return FALSE;
	if (strcmp(container->pod, text) == 0)
		return TRUE;
	return space && strncmp(text, container->pod_namespace, space) == 0 && text[space] == '/' &&
	       strcmp(text + space + 1, container->pod) == 0;
}

static GPtrArray *matches(const GPtrArray *all, match matcher, const char *text)
{
	GPtrArray *found = g_ptr_array_new();

	for (guint i = 0; i < all->len; i++) {
		const struct container *container = g_ptr_array_index(all, i);

		if (!container->dead && matcher(container, text))
			g_ptr_array_add(found, (gpointer)container);
	}
	return found;
}

/* ---- messages ---- */

static void append_container(GString *message, const struct container *container)
{
	g_autofree char *name = text_terminal(container->name);

	g_string_append_printf(message, "%s (%s", name, container_runtime_name(container->runtime));
	if (container_is_container(container) && container->runtime != RUNTIME_OTHER) {
		g_autofree char *id = text_terminal(container->id);

		g_string_append_printf(message, " %.12s", id);
	}
	if (container->pod_namespace) {
		g_autofree char *space = text_terminal(container->pod_namespace);

		g_string_append_printf(message, ", namespace %s", space);
	}
	g_string_append_c(message, ')');
}

static gboolean ambiguous(const char *text, const GPtrArray *found, GError **error)
{
	g_autofree char *shown = text_terminal(text);
	g_autoptr(GString) message = g_string_new(NULL);

	g_string_append_printf(message, "\"%s\" is ambiguous, it may be ", shown);
	for (guint i = 0; i < MIN(found->len, (guint)LISTED_MAX); i++) {
		if (i)
			g_string_append(message, ", ");
		append_container(message, g_ptr_array_index(found, i));
	}
	if (found->len > LISTED_MAX)
		g_string_append_printf(message, " or %u more", found->len - LISTED_MAX);
	g_set_error_literal(error, TARGET_ERROR, TARGET_ERROR_AMBIGUOUS, message->str);
	return FALSE;
}

/* Letters to insert, delete or change between two short texts. */
static guint edit_distance(const char *left, const char *right)
{
	guint row[EDIT_TEXT_MAX + 1];
	gsize n = strlen(left), m = strlen(right);

	if (n > EDIT_TEXT_MAX || m > EDIT_TEXT_MAX)
		return G_MAXUINT;
	for (guint j = 0; j <= m; j++)
		row[j] = j;
	for (guint i = 1; i <= n; i++) {
		guint diagonal = row[0];

		row[0] = i;
		for (guint j = 1; j <= m; j++) {
			guint above = row[j];

			row[j] = MIN(MIN(row[j] + 1, row[j - 1] + 1), diagonal + (left[i - 1] != right[j - 1]));
			diagonal = above;
		}
	}
	return row[m];
}

static gboolean is_near(const struct container *container, const char *text)
{
	guint allowed = MAX(2u, (guint)strlen(text) / 3);

	if (strlen(text) < 2)
		return FALSE;
	if (strlen(container->name) >= NEAR_PART_MIN && strstr(text, container->name))
		return TRUE;
	if (container->pod && (strstr(text, container->pod) || edit_distance(text, container->pod) <= allowed))
		return TRUE;
	return strstr(container->name, text) || edit_distance(text, container->name) <= allowed;
}

static gboolean none_such(const GPtrArray *all, const char *text, GError **error)
{
	g_autofree char *shown = text_terminal(text);
	g_autoptr(GString) message = g_string_new(NULL);
	guint near = 0;

	for (guint i = 0; i < all->len; i++) {
		const struct container *container = g_ptr_array_index(all, i);

		if (container->dead && (match_name(container, text) || match_id(container, text))) {
			g_set_error(error, TARGET_ERROR, TARGET_ERROR_NONE_SUCH, "container \"%s\" has ended", shown);
			return FALSE;
		}
	}
	g_string_append_printf(message, "no container \"%s\"", shown);
	for (guint i = 0; i < all->len && near < LISTED_MAX; i++) {
		const struct container *container = g_ptr_array_index(all, i);

		if (container->dead || container->runtime <= RUNTIME_CGROUP || !is_near(container, text))
			continue;
		g_string_append(message, near++ ? ", " : "; did you mean ");
		append_container(message, container);
	}
	g_string_append(message, near ? "?" : " (fathom ps lists them)");
	g_set_error_literal(error, TARGET_ERROR, TARGET_ERROR_NONE_SUCH, message->str);
	return FALSE;
}

/* ---- resolving ---- */

/* Whether they are the lives of one container: in a capture one that was started anew is there with a cgroup for each. */
static gboolean is_one_container(const GPtrArray *found)
{
	const struct container *first = g_ptr_array_index(found, 0);

	if (!container_is_container(first) || first->runtime == RUNTIME_OTHER || !first->id)
		return FALSE;
	for (guint i = 1; i < found->len; i++) {
		const struct container *other = g_ptr_array_index(found, i);

		if (other->runtime != first->runtime || g_strcmp0(other->id, first->id) != 0)
			return FALSE;
	}
	return TRUE;
}

static gboolean is_number(const char *text, guint32 *number)
{
	guint64 value;

	if (!g_ascii_string_to_unsigned(text, 10, 1, G_MAXINT32, &value, NULL))
		return FALSE;
	*number = (guint32)value;
	return TRUE;
}

/* One container; the number of those found otherwise, in `found`. */
static const struct container *resolve_one(const GPtrArray *all, const char *text, GPtrArray **found)
{
	static const match matchers[] = { match_name, match_id, match_in_pod, match_unit, match_prefix };

	*found = NULL;
	for (guint i = 0; i < G_N_ELEMENTS(matchers); i++) {
		g_clear_pointer(found, g_ptr_array_unref);
		*found = matches(all, matchers[i], text);
		if ((*found)->len > 0)
			break;
	}
	return (*found)->len == 1 ? g_ptr_array_index(*found, 0) : NULL;
}

static gboolean resolve_pid(struct registry *registry, guint32 pid, const char *text, GPtrArray *targets,
			    GError **error)
{
	struct procfs_status status;
	const struct container *container;

	if (!procfs_status_read(registry_root(registry), pid, &status, NULL)) {
		g_set_error(error, TARGET_ERROR, TARGET_ERROR_NONE_SUCH, "no process %u", pid);
		return FALSE;
	}
	container = registry_by_pid(registry, pid, 0);
	target_add(targets, TARGET_PROCESS, container ? container : registry_host(registry), status.tgid, text);
	return TRUE;
}

/* Those of a pod's containers that have such a process; the one that only holds its namespaces where it is no other. */
static GPtrArray *pod_having(struct registry *registry, const GPtrArray *pod, guint32 inner)
{
	GPtrArray *having = g_ptr_array_new(), *holders = g_ptr_array_new();

	for (guint i = 0; i < pod->len; i++) {
		struct container *container = g_ptr_array_index(pod, i);

		if (registry_inner_pid(registry, container, inner))
			g_ptr_array_add(match_in_pod(container, POD_HOLDER) ? holders : having, container);
	}
	if (!having->len)
		g_ptr_array_extend(having, holders, NULL, NULL);
	g_ptr_array_unref(holders);
	return having;
}

/* "shop-1:1" of a pod: a process of that one of its containers which has it. */
static gboolean resolve_inner_of_pod(struct registry *registry, const GPtrArray *pod, guint32 inner, const char *text,
				     GPtrArray *targets, GError **error)
{
	g_autoptr(GPtrArray) having = pod_having(registry, pod, inner);
	g_autofree char *shown = text_terminal(text);
	guint32 pid;

	if (having->len > 1)
		return ambiguous(text, having, error);
	pid = having->len ? registry_inner_pid(registry, g_ptr_array_index(having, 0), inner) : 0;
	if (!pid) {
		g_set_error(error, TARGET_ERROR, TARGET_ERROR_NONE_SUCH,
			    "\"%s\": no container of that pod has a process %u", shown, inner);
		return FALSE;
	}
	target_add(targets, TARGET_PROCESS, g_ptr_array_index(having, 0), pid, text);
	return TRUE;
}

/* "web:1"; TRUE also when it is not of that form, then `*done` is FALSE. */
static gboolean resolve_inner(struct registry *registry, const GPtrArray *all, const char *text, GPtrArray *targets,
			      gboolean *done, GError **error)
{
	const char *colon = strrchr(text, ':');
	g_autofree char *name = colon ? g_strndup(text, (gsize)(colon - text)) : NULL;
	g_autoptr(GPtrArray) found = NULL, pod = NULL;
	const struct container *container;
	guint32 inner, pid;

	*done = FALSE;
	if (!colon || colon == text || !is_number(colon + 1, &inner))
		return TRUE;
	*done = TRUE;
	container = resolve_one(all, name, &found);
	if (!container && !found->len && (pod = matches(all, match_pod, name))->len)
		return resolve_inner_of_pod(registry, pod, inner, text, targets, error);
	if (!container)
		return found->len > 1 ? ambiguous(name, found, error) : none_such(all, name, error);
	pid = registry_inner_pid(registry, container, inner);
	if (!pid) {
		g_autofree char *shown = text_terminal(container->name);

		g_set_error(error, TARGET_ERROR, TARGET_ERROR_NONE_SUCH, "no process %u in container %s", inner, shown);
		return FALSE;
	}
	target_add(targets, TARGET_PROCESS, container, pid, text);
	return TRUE;
}

static gboolean resolve_path(struct registry *registry, const char *text, GPtrArray *targets, GError **error)
{
	g_autofree char *path = g_strdup(text);
	const struct container *container;
	gsize length = strlen(path);

	while (length > 1 && path[length - 1] == '/')
		path[--length] = '\0';
	container = registry_by_path(registry, path);
	if (!container) {
		g_autofree char *shown = text_terminal(text);

		g_set_error(error, TARGET_ERROR, TARGET_ERROR_NONE_SUCH, "no cgroup %s", shown);
		return FALSE;
	}
	target_add(targets, TARGET_CONTAINER, container, 0, text);
	return TRUE;
}

static gboolean resolve_pod(const GPtrArray *all, const char *text, GPtrArray *targets, gboolean *done, GError **error)
{
	g_autoptr(GPtrArray) pod = matches(all, match_pod, text);
	const struct container *first = pod->len ? g_ptr_array_index(pod, 0) : NULL;

	*done = pod->len > 0;
	for (guint i = 1; i < pod->len; i++) {
		const struct container *other = g_ptr_array_index(pod, i);

		if (g_strcmp0(first->pod_namespace, other->pod_namespace) != 0)
			return ambiguous(text, pod, error);
	}
	for (guint i = 0; i < pod->len; i++)
		target_add(targets, TARGET_CONTAINER, g_ptr_array_index(pod, i), 0, text);
	return TRUE;
}

gboolean target_resolve(struct registry *registry, const char *text, GPtrArray *targets, GError **error)
{
	g_autoptr(GPtrArray) all = NULL, found = NULL;
	const struct container *container;
	struct procfs_stat stat;
	gboolean done;
	guint32 pid = 0;

	if (strcmp(text, "all") == 0 || strcmp(text, "host") == 0) {
		target_add(targets, *text == 'a' ? TARGET_ALL : TARGET_CONTAINER, registry_host(registry), 0, text);
		return TRUE;
	}
	if (text[0] == '/')
		return resolve_path(registry, text, targets, error);
	all = registry_list(registry);
	if (!resolve_pod(all, text, targets, &done, error))
		return FALSE;
	if (done)
		return TRUE;
	container = resolve_one(all, text, &found);
	/* A pid goes before what is only the beginning of an id. */
	if (is_number(text, &pid) && !(container && !match_prefix(container, text)) &&
	    (found->len == 0 || procfs_stat_read(registry_root(registry), pid, &stat, NULL)))
		return resolve_pid(registry, pid, text, targets, error);
	if (container) {
		target_add(targets, TARGET_CONTAINER, container, 0, text);
		return TRUE;
	}
	if (found->len > 1 && is_one_container(found)) {
		for (guint i = 0; i < found->len; i++)
			target_add(targets, TARGET_CONTAINER, g_ptr_array_index(found, i), 0, text);
		return TRUE;
	}
	if (found->len > 1)
		return ambiguous(text, found, error);
	if (!resolve_inner(registry, all, text, targets, &done, error))
		return FALSE;
	return done || none_such(all, text, error);
}
