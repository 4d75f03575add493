/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/remotes.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "kernel/hosts.h"
#include "probe/probe.h"

#define SUBNET_BITS4 24
#define SUBNET_BITS6 64
#define ADDRESS_BITS4 32
#define ADDRESS_BITS6 128
#define ANY "any address"

/* What is known of one container's peers. */
struct remotes_owner {
	GHashTable *hosts; /* address → name; NULL: none */
	GHashTable *told; /* address → name */
	GQueue order; /* of the addresses in `told`, oldest first; borrowed */
	GHashTable *groups, *told_groups; /* as sets */
	guint unnamed; /* of them: not by /etc/hosts */
	guint64 since_ns; /* they are gathered (CLOCK_MONOTONIC) */
};

struct remotes {
	struct registry *registry;
	struct remotes_how how;
	GHashTable *owners; /* cgroup key → struct remotes_owner */
	guint told; /* names of all owners */
};

/* ---- options ---- */

static gboolean bits_parse(const char *text, guint most, guint *bits)
{
	guint64 value;

	if (!text || !g_ascii_string_to_unsigned(text, 10, 1, most, &value, NULL))
		return FALSE;
	*bits = (guint)value;
	return TRUE;
}

static gboolean subnet_parse(const char *text, struct remotes_how *how)
{
	g_auto(GStrv) bits = g_strsplit(text, ",", -1);
	guint count = g_strv_length(bits);

	return count >= 1 && count <= 2 && bits_parse(bits[0], ADDRESS_BITS4, &how->bits4) &&
	       (count == 1 || bits_parse(bits[1], ADDRESS_BITS6, &how->bits6));
}

gboolean remotes_parse(const char *text, struct remotes_how *how, GError **error)
{
	static const char *const names[] = {
		[REMOTES_BY_ADDRESS] = "address",
		[REMOTES_BY_NAME] = "name",
		[REMOTES_BY_SUBNET] = "subnet",
		[REMOTES_BY_PORT] = "port",
	};

	*how = (struct remotes_how){ .bits4 = SUBNET_BITS4, .bits6 = SUBNET_BITS6 };
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		how->by = (enum remotes_by)i;
		if (strcmp(text, names[i]) == 0)
			return TRUE;
	}
	how->by = REMOTES_BY_SUBNET;
	if (g_str_has_prefix(text, "subnet=") && subnet_parse(text + strlen("subnet="), how))
		return TRUE;
	g_set_error(
		error, PROBE_ERROR, PROBE_ERROR_FAILED,
		"remotes by \"%s\" are not known: address, name, port, subnet or subnet=24,64 (bits of IPv4 and IPv6)",
		text);
	return FALSE;
}

/* ---- names ---- */

static void owner_free(gpointer data)
{
	struct remotes_owner *owner = data;

	g_clear_pointer(&owner->hosts, g_hash_table_unref);
	g_queue_clear(&owner->order);
	g_hash_table_unref(owner->told);
	g_hash_table_unref(owner->groups);
	g_hash_table_unref(owner->told_groups);
	g_free(owner);
}

static GHashTable *owner_hosts(struct remotes *remotes, const struct container *container)
{
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));

	if (!container || container->dead)
		return NULL;
	registry_pids(remotes->registry, container, pids);
	return pids->len ? hosts_load(g_array_index(pids, guint32, 0), NULL) : NULL;
}

/* One container, whichever of its cgroups. */
static struct remotes_owner *remotes_owner(struct remotes *remotes, guint64 cgroup_key)
{
	const struct container *container = registry_by_cgroup(remotes->registry, cgroup_key);
	guint64 key = container ? container->cgroup_key : cgroup_key;
	struct remotes_owner *owner = g_hash_table_lookup(remotes->owners, &key);

	if (owner)
		return owner;
	if (g_hash_table_size(remotes->owners) >= REMOTES_OWNERS) {
		g_hash_table_remove_all(remotes->owners);
		remotes->told = 0;
	}
	owner = g_new0(struct remotes_owner, 1);
	owner->since_ns = clock_monotonic_ns();
	owner->groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	owner->told_groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	owner->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	g_queue_init(&owner->order);
	if (remotes->how.by == REMOTES_BY_NAME)
		owner->hosts = owner_hosts(remotes, container);
	g_hash_table_insert(remotes->owners, g_memdup2(&key, sizeof(key)), owner);
	return owner;
}

/* "10.1.2.0/24"; NULL: no address. */
static char *subnet_of(const struct remotes_how *how, const char *address)
{
	char text[INET6_ADDRSTRLEN];
	guint8 bytes[16];
	int family = inet_pton(AF_INET, address, bytes) == 1	? AF_INET
		     : inet_pton(AF_INET6, address, bytes) == 1 ? AF_INET6
								: 0;
	guint bits = family == AF_INET ? how->bits4 : how->bits6;

	if (!family)
		return NULL;
	for (guint i = 0; i < (family == AF_INET ? ADDRESS_BITS4 : ADDRESS_BITS6) / 8; i++) {
		guint kept = bits > i * 8 ? MIN(bits - i * 8, 8) : 0;

		bytes[i] &= (guint8)(0xff00 >> kept);
	}
	inet_ntop(family, bytes, text, sizeof(text));
	return g_strdup_printf("%s/%u", text, bits);
}

static char *group_of(const struct remotes *remotes, const char *address)
{
	char *subnet;

	switch (remotes->how.by) {
	case REMOTES_BY_SUBNET:
		subnet = subnet_of(&remotes->how, address);
		return subnet ? subnet : g_strdup(address);
	case REMOTES_BY_PORT:
		return g_strdup(ANY);
	case REMOTES_BY_NAME:
	case REMOTES_BY_ADDRESS:
		break;
	}
	return g_strdup(address);
}

/* Who watches for ever meets ever new ones. */
static void owner_renew(struct remotes_owner *owner)
{
	guint64 now_ns = clock_monotonic_ns();

	if (now_ns - owner->since_ns < REMOTES_RENEW_NS)
		return;
	owner->since_ns = now_ns;
	owner->unnamed = 0;
	g_hash_table_remove_all(owner->groups);
	g_hash_table_remove_all(owner->told_groups);
}

/* The group as the owner has it, made if there is room; NULL when there is none. `counts`: it takes some of that room. */
static const char *owner_group(struct remotes_owner *owner, GHashTable *groups, const char *group, gboolean counts)
{
	char *known = g_hash_table_lookup(groups, group);

	if (known)
		return known;
	if (counts && owner->unnamed >= REMOTES_GROUPS)
		owner_renew(owner);
	if (counts && owner->unnamed >= REMOTES_GROUPS)
		return NULL;
	owner->unnamed += counts;
	known = g_strdup(group);
	g_hash_table_insert(groups, known, known);
	return known;
}

const char *remotes_name(struct remotes *remotes, guint64 cgroup_key, const char *address, gboolean *told)
{
	struct remotes_owner *owner = remotes_owner(remotes, cgroup_key);
	const char *host = owner->hosts ? g_hash_table_lookup(owner->hosts, address) : NULL;
	const char *name = host ? NULL : g_hash_table_lookup(owner->told, address);
	g_autofree char *group = host || name ? NULL : group_of(remotes, address);
	const char *known;

	*told = FALSE;
	if (strcmp(address, REMOTES_OTHER) == 0)
		return REMOTES_OTHER;
	if (name) {
		known = owner_group(owner, owner->told_groups, name, TRUE);
		*told = known != NULL;
	} else {
		known = owner_group(owner, owner->groups, host ? host : group, !host);
	}
	return known ? known : REMOTES_OTHER;
}

void remotes_tell(struct remotes *remotes, guint64 cgroup_key, const char *address, const char *name)
{
	struct remotes_owner *owner = remotes_owner(remotes, cgroup_key);
	char *kept;

	if (g_hash_table_contains(owner->told, address)) {
		g_hash_table_insert(owner->told, g_strdup(address), g_strdup(name)); /* keeps the first key */
		return;
	}
	if (owner->order.length >= REMOTES_TOLD || (remotes->told >= REMOTES_TOLD_ALL && owner->order.length)) {
		g_hash_table_remove(owner->told, g_queue_pop_head(&owner->order));
		remotes->told--;
	}
	if (remotes->told >= REMOTES_TOLD_ALL)
		return;
	kept = g_strdup(address);
	g_hash_table_insert(owner->told, kept, g_strdup(name));
	g_queue_push_tail(&owner->order, kept);
	remotes->told++;
}

struct remotes *remotes_new(struct registry *registry, const struct remotes_how *how)
{
	struct remotes *remotes = g_new0(struct remotes, 1);

	remotes->registry = registry;
	remotes->how = *how;
	remotes->owners = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, owner_free);
	return remotes;
}

void remotes_free(struct remotes *remotes)
{
	if (!remotes)
		return;
	g_hash_table_unref(remotes->owners);
	g_free(remotes);
}
