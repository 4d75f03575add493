/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/tcp_polled.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "kernel/cgroupfs.h"
#include "kernel/netns.h"
#include "kernel/procfs.h"
#include "kernel/sockdiag.h"

#define TABLE_BYTES_MAX (64u << 20) /* of one namespace's table: some 400,000 sockets */
#define CONNECTIONS_MAX (1u << 20)
#define CGROUP_ROOT 1 /* of every hierarchy: such sockets are told apart by who holds them */
#define SOCKET_LINK "socket:["

/* include/net/tcp_states.h, as /proc/net/tcp writes them */
enum state {
	STATE_ESTABLISHED = 1,
	STATE_CLOSE_WAIT = 8,
	STATE_LISTEN = 10,
};

struct address {
	guint8 bytes[16]; /* IPv4 in the first four */
	guint16 family; /* AF_INET (mapped ones, too) or AF_INET6 */
	guint16 port;
};

/* A socket as its namespace names it. All bytes are set: it is hashed. */
struct place {
	struct address local, remote;
	guint32 netns, pad;
};

/* What the kernel knows of a connection (tcp_info). */
struct progress {
	guint64 sent_bytes, received_bytes, sent_segments, received_segments, rtt_us;
};

struct connection {
	struct place place;
	struct progress now, told;
	guint64 inode, owner; /* owner: cgroup key, 0: not known (yet) */
	guint64 pass; /* in which it was seen last */
	gboolean is_new, is_client, is_told;
	struct connection *twin; /* the other end; NULL: elsewhere */
	/* As it was told: the same words must be used at its end. */
	guint64 client, server;
	gboolean both; /* ends are here */
};

/* A listening socket's drops since the last look. */
struct overflow {
	guint64 owner; /* cgroup key, 0: not known */
	guint32 netns, packets;
	guint16 port;
};

struct tcp_polled {
	struct probe_listener listener;
	struct cgroupfs *cgroupfs; /* NULL: cannot be read */
	GHashTable *connections; /* struct place → struct connection */
	GHashTable *listeners; /* netns << 16 | port, of this pass */
	GHashTable *owners; /* inode → cgroup key, of this pass */
	GHashTable *wanted; /* inodes whose owner is not known, of this pass */
	GHashTable *known; /* cgroup keys told of */
	GHashTable *drops_before, *drops; /* inode of a listening socket → its drops, at the last look and this one */
	GArray *overflows; /* of struct overflow, of this pass */
	guint64 pass, looked_ns;
};

/* ---- the tables ---- */

static guint place_hash(gconstpointer data)
{
	return bytes_hash(data, sizeof(struct place));
}

static gboolean place_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct place)) == 0;
}

/* "0100007F:0035": words as they lie in memory. */
static gboolean address_parse(const char *text, struct address *address)
{
	static const guint8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	gsize digits = strspn(text, "0123456789ABCDEF");

	memset(address, 0, sizeof(*address));
	if ((digits != 8 && digits != 32) || text[digits] != ':')
		return FALSE;
	for (gsize i = 0; i < digits / 8; i++) {
		char word[9] = "";
		guint32 value;

		memcpy(word, text + 8 * i, 8);
		value = (guint32)g_ascii_strtoull(word, NULL, 16);
		memcpy(address->bytes + 4 * i, &value, sizeof(value));
	}
	address->family = digits == 8 ? AF_INET : AF_INET6;
	address->port = (guint16)g_ascii_strtoull(text + digits + 1, NULL, 16);
	if (digits == 32 && memcmp(address->bytes, mapped, sizeof(mapped)) == 0) {
		memmove(address->bytes, address->bytes + 12, 4);
		memset(address->bytes + 4, 0, 12);
		address->family = AF_INET;
	}
	return TRUE;
}

static gboolean address_is_loopback(const struct address *address)
{
	static const guint8 loopback[16] = { [15] = 1 };

	if (address->family == AF_INET)
		return address->bytes[0] == 127;
	return memcmp(address->bytes, loopback, sizeof(loopback)) == 0;
}

static gpointer listener_key(guint32 netns, guint16 port)
{
	return (gpointer)(((guint64)netns << 16 | port) + 1);
}

/* `owner`: cgroup key, 0 when the kernel does not say. `progress`: NULL when it does not. */
static void polled_see(struct tcp_polled *polled, const struct place *place, guint64 inode, guint64 owner,
		       const struct progress *progress)
{
	struct connection *connection = g_hash_table_lookup(polled->connections, place);

	if (!connection) {
		if (g_hash_table_size(polled->connections) >= CONNECTIONS_MAX)
			return;
		connection = g_new0(struct connection, 1);
		connection->place = *place;
		connection->is_new = TRUE;
		if (progress && polled->pass == 1) /* before the start: not ours to tell */
			connection->told = *progress;
		g_hash_table_insert(polled->connections, &connection->place, connection);
	}
	connection->inode = inode;
	connection->pass = polled->pass;
	connection->twin = NULL;
	if (progress)
		connection->now = *progress;
	if (owner)
		connection->owner = owner;
	if (!connection->owner)
		g_hash_table_add(polled->wanted, g_memdup2(&inode, sizeof(inode)));
}

/* Fields of a line of /proc/PID/net/tcp or tcp6. */
enum field {
	FIELD_LOCAL = 1,
	FIELD_REMOTE = 2,
	FIELD_STATE = 3,
	FIELD_INODE = 9,
	FIELDS = 10,
};

/* `line` is taken apart. */
static void polled_line(struct tcp_polled *polled, guint32 netns, char *line)
{
	struct place place = { .netns = netns };
	const char *fields[FIELDS];
	guint64 state, inode;
	char *rest = NULL;

	for (guint i = 0; i < FIELDS; i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &rest);
		if (!fields[i])
			return;
	}
	if (!address_parse(fields[FIELD_LOCAL], &place.local) || !address_parse(fields[FIELD_REMOTE], &place.remote))
		return;
	state = g_ascii_strtoull(fields[FIELD_STATE], NULL, 16);
	inode = g_ascii_strtoull(fields[FIELD_INODE], NULL, 10);
	if (state == STATE_LISTEN)
		g_hash_table_add(polled->listeners, listener_key(netns, place.local.port));
	else if ((state == STATE_ESTABLISHED || state == STATE_CLOSE_WAIT) && inode != 0)
		polled_see(polled, &place, inode, 0, NULL);
}

static void polled_table(struct tcp_polled *polled, guint32 pid, guint32 netns, const char *name)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/net/%s", pid, name);
	g_autofree char *text = file_read(path, TABLE_BYTES_MAX, NULL, NULL);

	for (char *line = text, *end; line && *line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		else
			end = line + strlen(line);
		polled_line(polled, netns, line);
	}
}

static GArray *polled_pids(void)
{
	GArray *pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	DIR *proc = opendir("/proc");

	for (struct dirent *entry; proc && (entry = readdir(proc));) {
		guint32 pid = (guint32)g_ascii_strtoull(entry->d_name, NULL, 10);

		if (pid)
			g_array_append_val(pids, pid);
	}
	if (proc)
		closedir(proc);
	return pids;
}

/* ---- whose sockets they are ---- */

/* The key of a process's cgroup (see cgroupfs.h), of which the listener is told; 0: not known. */
static guint64 polled_owner(struct tcp_polled *polled, guint32 pid)
{
	g_autofree char *path = NULL;
	guint64 key = polled->cgroupfs ? cgroupfs_key_of(polled->cgroupfs, pid, &path) : 0;

	if (key && g_hash_table_add(polled->known, g_memdup2(&key, sizeof(key))) && polled->listener.cgroup_born)
		polled->listener.cgroup_born(polled->listener.user, key, path);
	return key;
}

void tcp_polled_each_process(struct tcp_polled *polled, void (*each)(void *user, guint64 cgroup_key, guint32 netns),
			     void *user)
{
	g_autoptr(GArray) pids = polled_pids();

	for (guint i = 0; i < pids->len; i++) {
		guint32 pid = g_array_index(pids, guint32, i);
		guint32 netns = (guint32)procfs_namespace("/", pid, NAMESPACE_NET);

		if (netns)
			each(user, polled_owner(polled, pid), netns);
	}
}

static void polled_descriptors(struct tcp_polled *polled, guint32 pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/fd", pid);
	DIR *directory = opendir(path);
	guint64 owner = 0;

	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		char link[64];
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);
		guint64 inode;

		if (length <= 0)
			continue;
		link[length] = '\0';
		if (!g_str_has_prefix(link, SOCKET_LINK))
			continue;
		inode = g_ascii_strtoull(link + strlen(SOCKET_LINK), NULL, 10);
		if (!g_hash_table_contains(polled->wanted, &inode))
			continue;
		if (!owner)
			owner = polled_owner(polled, pid);
		if (owner)
			g_hash_table_insert(polled->owners, g_memdup2(&inode, sizeof(inode)),
					    g_memdup2(&owner, sizeof(owner)));
	}
	if (directory)
		closedir(directory);
}

/* Only when there are sockets nobody is known to own: looking through all descriptors is what costs. */
static void polled_owners(struct tcp_polled *polled)
{
	g_autoptr(GArray) pids = g_hash_table_size(polled->wanted) ? polled_pids() : NULL;
	GHashTableIter each;
	gpointer value;

	for (guint i = 0; pids && i < pids->len; i++)
		polled_descriptors(polled, g_array_index(pids, guint32, i));
	g_hash_table_iter_init(&each, polled->connections);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		struct connection *connection = value;
		const guint64 *owner = g_hash_table_lookup(polled->owners, &connection->inode);

		if (!connection->owner && owner)
			connection->owner = *owner;
	}
}

/* ---- namespaces ---- */

static void address_set(struct address *address, const struct sockdiag_end *end)
{
	memcpy(address->bytes, end->bytes, sizeof(address->bytes));
	address->family = end->family;
	address->port = end->port;
}

struct polled_namespace {
	struct tcp_polled *polled;
	const struct netns *netns;
};

/* A socket born since the last look began with none. */
static void polled_listener(struct polled_namespace *namespace, const struct sockdiag_socket *socket)
{
	struct tcp_polled *polled = namespace->polled;
	guint32 now = (guint32)socket->drops;
	guint32 before = GPOINTER_TO_UINT(g_hash_table_lookup(polled->drops_before, &socket->inode));
	struct overflow overflow = { socket->cgroup, namespace->netns->inode, now - before, socket->local.port };

	g_hash_table_add(polled->listeners, listener_key(overflow.netns, overflow.port));
	if (!now)
		return;
	g_hash_table_insert(polled->drops, g_memdup2(&socket->inode, sizeof(socket->inode)), GUINT_TO_POINTER(now));
	if (polled->pass == 1 || !overflow.packets)
		return;
	if (overflow.owner == CGROUP_ROOT || !overflow.owner)
		overflow.owner = polled_owner(polled, namespace->netns->pid);
	g_array_append_val(polled->overflows, overflow);
}

/* sockdiag_fn */
static void polled_socket(void *user, const struct sockdiag_socket *socket)
{
	struct polled_namespace *namespace = user;
	struct place place = { .netns = namespace->netns->inode };
	const struct progress progress = { socket->sent_bytes, socket->received_bytes, socket->sent_segments,
					   socket->received_segments, socket->rtt_us };

	address_set(&place.local, &socket->local);
	address_set(&place.remote, &socket->remote);
	if (socket->state == SOCKDIAG_LISTEN)
		polled_listener(namespace, socket);
	else if (socket->inode != 0)
		polled_see(namespace->polled, &place, socket->inode, socket->cgroup == CGROUP_ROOT ? 0 : socket->cgroup,
			   socket->has_tcp ? &progress : NULL);
}

/* Every network namespace once: by sock_diag, or, where we may not enter it, through the files of one of its processes. */
static void polled_tables(struct tcp_polled *polled)
{
	const guint32 states = SOCKDIAG_STATE(SOCKDIAG_ESTABLISHED) | SOCKDIAG_STATE(SOCKDIAG_CLOSE_WAIT) |
			       SOCKDIAG_STATE(SOCKDIAG_LISTEN);
	g_autoptr(GArray) all = netns_list();

	for (guint i = 0; i < all->len; i++) {
		const struct netns *netns = &g_array_index(all, struct netns, i);
		struct polled_namespace namespace = { polled, netns };

		if (sockdiag_each(netns, IPPROTO_TCP, states, TRUE, polled_socket, &namespace, NULL))
			continue;
		polled_table(polled, netns->pid, netns->inode, "tcp");
		polled_table(polled, netns->pid, netns->inode, "tcp6");
	}
}

/* ---- which ends belong together ---- */

/* By both addresses the other way round; loopback only within its own namespace. Where several namespaces use the same
 * addresses, none is chosen. */
static void polled_pair(struct tcp_polled *polled)
{
	g_autoptr(GHashTable) anywhere = g_hash_table_new(place_hash, place_equal);
	g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
	GHashTableIter each;
	gpointer value;

	g_hash_table_iter_init(&each, polled->connections);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		struct connection *connection = value;
		struct place *key = g_memdup2(&connection->place, sizeof(*key));

		key->netns = 0;
		g_ptr_array_add(keys, key);
		g_hash_table_replace(anywhere, key, g_hash_table_contains(anywhere, key) ? NULL : connection);
	}
	g_hash_table_iter_init(&each, polled->connections);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		struct connection *connection = value;
		struct place mirror = { connection->place.remote, connection->place.local, connection->place.netns, 0 };

		connection->twin = g_hash_table_lookup(polled->connections, &mirror);
		mirror.netns = 0;
		if (!connection->twin && !address_is_loopback(&mirror.local))
			connection->twin = g_hash_table_lookup(anywhere, &mirror);
	}
}

static gboolean polled_listens(const struct tcp_polled *polled, const struct connection *connection)
{
	return g_hash_table_contains(polled->listeners,
				     listener_key(connection->place.netns, connection->place.local.port));
}

/* Decides once, when the connection is first told of. */
static void polled_decide(const struct tcp_polled *polled, struct connection *connection)
{
	const struct connection *twin = connection->twin;

	connection->is_client = !polled_listens(polled, connection);
	if (twin && twin->is_told)
		connection->is_client = !twin->is_client;
	connection->both = twin != NULL;
	connection->client = connection->is_client ? connection->owner : twin ? twin->owner : 0;
	connection->server = !connection->is_client ? connection->owner : twin ? twin->owner : 0;
}

/* ---- what is told ---- */

static void polled_end(guint64 owner, gboolean here, const char *address, struct probe_end *end)
{
	*end = (struct probe_end){ .kind = EDGE_END_CONTAINER, .cgroup_key = owner };
	if (owner)
		return;
	*end = here ? (struct probe_end){ .kind = EDGE_END_UNKNOWN, .text = "a process we may not look into" }
		    : (struct probe_end){ .kind = EDGE_END_EXTERNAL, .text = address };
}

enum moment {
	MOMENT_EXISTS,
	MOMENT_BEGINS,
	MOMENT_GOES_ON,
	MOMENT_ENDS,
};

/* Only of the end whose numbers count; segments and bytes a socket takes back (it cannot) would be none. */
static void polled_progress(struct connection *connection, struct tcp_polled_edge *edge)
{
	const struct progress *now = &connection->now, *told = &connection->told;

	edge->sent_bytes = now->sent_bytes - MIN(now->sent_bytes, told->sent_bytes);
	edge->received_bytes = now->received_bytes - MIN(now->received_bytes, told->received_bytes);
	edge->sent_segments = (guint32)(now->sent_segments - told->sent_segments); /* wrap at 2^32 */
	edge->received_segments = (guint32)(now->received_segments - told->received_segments);
	connection->told = *now;
}

static void polled_tell(struct connection *connection, enum moment moment, tcp_polled_fn tell, void *user)
{
	const struct place *place = &connection->place;
	char address[INET6_ADDRSTRLEN] = "", port[8];
	/* What has both ends here is counted at its client's, but for being accepted. */
	gboolean counts = connection->is_client || !connection->both;
	struct tcp_polled_edge edge = {
		.port = port,
		.is_client = connection->is_client,
		.remote = address,
		.netns = place->netns,
		.all_sent_bytes = connection->now.sent_bytes,
		.all_received_bytes = connection->now.received_bytes,
	};

	inet_ntop(place->remote.family, place->remote.bytes, address, sizeof(address));
	g_snprintf(port, sizeof(port), "%d", connection->is_client ? place->remote.port : place->local.port);
	polled_end(connection->client, connection->is_client || connection->both, address, &edge.client);
	polled_end(connection->server, !connection->is_client || connection->both, address, &edge.server);
	if (counts)
		polled_progress(connection, &edge);
	if (counts && moment != MOMENT_ENDS)
		edge.rtt_us = connection->now.rtt_us;
	if (moment == MOMENT_ENDS)
		edge.closes = counts;
	else if (moment == MOMENT_EXISTS)
		edge.existing = counts;
	else if (moment == MOMENT_BEGINS && connection->is_client)
		edge.opens = 1;
	else if (moment == MOMENT_BEGINS)
		edge.accepts = 1;
	if (moment != MOMENT_GOES_ON || (counts && connection->now.rtt_us))
		tell(user, &edge);
}

/* Whose they were the kernel does not say. */
static void polled_tell_overflows(const struct tcp_polled *polled, tcp_polled_fn tell, void *user)
{
	for (guint i = 0; i < polled->overflows->len; i++) {
		const struct overflow *overflow = &g_array_index(polled->overflows, struct overflow, i);
		char port[8];
		struct tcp_polled_edge edge = { .port = port,
						.netns = overflow->netns,
						.overflows = overflow->packets };

		g_snprintf(port, sizeof(port), "%u", overflow->port);
		polled_end(0, FALSE, "other addresses", &edge.client);
		polled_end(overflow->owner, TRUE, NULL, &edge.server);
		tell(user, &edge);
	}
}

/* And what has become of those that were told of. */
static void polled_tell_new(struct tcp_polled *polled, tcp_polled_fn tell, void *user)
{
	GHashTableIter each;
	gpointer value;

	g_hash_table_iter_init(&each, polled->connections);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		struct connection *connection = value;

		if (!connection->is_new || connection->is_told) {
			polled_tell(connection, MOMENT_GOES_ON, tell, user);
			continue;
		}
		polled_decide(polled, connection);
		connection->is_told = TRUE;
		connection->is_new = FALSE;
		polled_tell(connection, polled->pass == 1 ? MOMENT_EXISTS : MOMENT_BEGINS, tell, user);
	}
}

static void polled_tell_gone(struct tcp_polled *polled, tcp_polled_fn tell, void *user)
{
	GHashTableIter each;
	gpointer value;

	g_hash_table_iter_init(&each, polled->connections);
	while (g_hash_table_iter_next(&each, NULL, &value)) {
		struct connection *connection = value;

		if (connection->pass == polled->pass)
			continue;
		if (connection->is_told)
			polled_tell(connection, MOMENT_ENDS, tell, user);
		g_hash_table_iter_remove(&each);
	}
}

static GHashTable *polled_inodes(void)
{
	return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

static void polled_look(struct tcp_polled *polled)
{
	polled->pass++;
	polled->looked_ns = clock_monotonic_ns();
	g_hash_table_remove_all(polled->listeners);
	g_hash_table_remove_all(polled->owners);
	g_hash_table_remove_all(polled->wanted);
	g_hash_table_unref(polled->drops_before);
	polled->drops_before = polled->drops;
	polled->drops = polled_inodes();
	g_array_set_size(polled->overflows, 0);
	polled_tables(polled);
	polled_owners(polled);
}

void tcp_polled_collect(struct tcp_polled *polled, gboolean now, tcp_polled_fn tell, void *user)
{
	if (polled->pass == 1) { /* the look at the start */
		polled_pair(polled);
		polled_tell_new(polled, tell, user);
	}
	if (!now && clock_monotonic_ns() - polled->looked_ns < TCP_POLLED_NS)
		return;
	polled_look(polled);
	polled_tell_gone(polled, tell, user);
	polled_tell_overflows(polled, tell, user);
	polled_pair(polled);
	polled_tell_new(polled, tell, user);
}

struct tcp_polled *tcp_polled_open(const struct probe_listener *listener, GError **error)
{
	struct tcp_polled *polled;

	if (access("/proc/self/net/tcp", R_OK) != 0) {
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED, "/proc/PID/net/tcp cannot be read");
		return NULL;
	}
	polled = g_new0(struct tcp_polled, 1);
	polled->listener = *listener;
	polled->cgroupfs = cgroupfs_open("/", NULL);
	polled->connections = g_hash_table_new_full(place_hash, place_equal, NULL, g_free);
	polled->listeners = g_hash_table_new(NULL, NULL);
	polled->owners = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	polled->wanted = polled_inodes();
	polled->known = polled_inodes();
	polled->drops_before = polled_inodes();
	polled->drops = polled_inodes();
	polled->overflows = g_array_new(FALSE, FALSE, sizeof(struct overflow));
	polled_look(polled);
	return polled;
}

void tcp_polled_close(struct tcp_polled *polled)
{
	if (!polled)
		return;
	cgroupfs_free(polled->cgroupfs);
	g_hash_table_unref(polled->connections);
	g_hash_table_unref(polled->listeners);
	g_hash_table_unref(polled->owners);
	g_hash_table_unref(polled->wanted);
	g_hash_table_unref(polled->known);
	g_hash_table_unref(polled->drops_before);
	g_hash_table_unref(polled->drops);
	g_array_unref(polled->overflows);
	g_free(polled);
}
