/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/peers.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/units.h"
#include "kernel/procfs.h"
#include "peers.skel.h"
#include "probe/births.h"
#include "probe/cgroup_root.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/losses.h"
#include "probe/mapread.h"
#include "probe/netowners.h"
#include "probe/owners.h"
#include "probe/tcp.h"

#define PEERS_LOOK_NS (2 * NS_PER_S) /* between two looks at the machine's namespaces */
#define PEERS_WALK_NS NS_PER_S /* between two walks over all files, */
#define PEERS_WALK_SHARE 100 /* and more where one takes longer than one part in so many of that */
#define PEERS_REMEMBERED 65536 /* cgroups and addresses: most of them gone */
#define PEERS_LINKS 2
#define PEERS_PORT 16 /* "65535/udp" */

static const struct probe_label peers_labels[] = { { "port", PROBE_LABEL_TEXT }, { 0 } };

static const struct rung peers_rungs[] = {
	{ .name = "cgroup_skb",
	  .misses =
		  "who is behind a translated address of datagrams; of unix sockets: bytes, sockets nobody holds open, and "
		  "connections that came and went between two walks" },
	{ 0 },
};

static const struct owners_sizes peers_sizes_usual = { PEERS_ROWS, PEERS_ROWS_OWNER, OWNERS_IDLE_NS, OWNERS_SCARCE_NS };
static const struct owners_sizes peers_sizes_smallest = { PEERS_ROWS_SMALLEST, PEERS_ROWS_OWNER_SMALLEST,
							  OWNERS_SMALLEST_NS, OWNERS_SMALLEST_NS };

/* What was handed out of a row. */
struct peers_told {
	struct peers_count count;
	guint64 news_ns; /* CLOCK_MONOTONIC: when it last had grown */
};

struct peers_run {
	struct probe_listener listener;
	struct probe_request request;
	const struct owners_sizes *sizes;
	const struct rung *rung;
	char *why_not;
	struct peers_bpf *kernel;
	struct bpf_link *links[PEERS_LINKS], *walk;
	struct births *births;
	struct cgroupfs *cgroupfs; /* NULL: cannot be read */
	GHashTable *told; /* struct peers_key → struct peers_told */
	GHashTable *unix_told; /* struct peers_unix_key → guint64: open when told */
	struct netowners *namespaces;
	GHashTable *inside; /* cgroup key → inode of the namespace its processes are in */
	GHashTable *addresses; /* struct netns_address → inode */
	guint64 looked_ns;
	guint64 next_walk_ns; /* over all files */
	gboolean walked;
};

/* ---- the machine's namespaces ---- */

static guint address_hash(gconstpointer data)
{
	return bytes_hash(data, sizeof(struct netns_address));
}

static gboolean address_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct netns_address)) == 0;
}

/* A process: whose it is, and where. */
static void peers_learn_process(struct peers_run *run, guint32 pid)
{
	guint32 inode = (guint32)procfs_namespace("/", pid, NAMESPACE_NET);
	g_autofree char *path = NULL;
	guint64 key = inode ? cgroupfs_key_of(run->cgroupfs, pid, &path) : 0;

	if (!key)
		return;
	if (run->listener.cgroup_born && !g_hash_table_contains(run->inside, &key))
		run->listener.cgroup_born(run->listener.user, key, path);
	g_hash_table_replace(run->inside, g_memdup2(&key, sizeof(key)), GUINT_TO_POINTER(inode));
}

/* netowners_fn */
static void peers_learn_addresses(void *user, const struct netns *netns, guint64 cgroup_key)
{
	struct peers_run *run = user;
	g_autoptr(GArray) addresses = netns_addresses(netns, NULL);

	(void)cgroup_key;
	for (guint i = 0; addresses && i < addresses->len; i++)
		g_hash_table_replace(run->addresses,
				     g_memdup2(&g_array_index(addresses, struct netns_address, i),
					       sizeof(struct netns_address)),
				     GUINT_TO_POINTER(netns->inode));
}

/* What has gathered of those that are gone; those that are still there are met again now. */
static void peers_forget(struct peers_run *run)
{
	GHashTable *const all[] = { run->inside, run->addresses };

	for (guint i = 0; i < G_N_ELEMENTS(all); i++)
		if (g_hash_table_size(all[i]) > PEERS_REMEMBERED)
			g_hash_table_remove_all(all[i]);
}

static void peers_learn(struct peers_run *run)
{
	DIR *proc = opendir("/proc");

	run->looked_ns = clock_monotonic_ns();
	peers_forget(run);
	for (struct dirent *entry; run->cgroupfs && proc && (entry = readdir(proc));) {
		guint32 pid = (guint32)g_ascii_strtoull(entry->d_name, NULL, 10);

		if (pid)
			peers_learn_process(run, pid);
	}
	if (proc)
		closedir(proc);
	netowners_learn(run->namespaces, NETOWNERS_ALL, peers_learn_addresses, run);
}

static guint32 peers_inside(const struct peers_run *run, guint64 owner)
{
	return GPOINTER_TO_UINT(g_hash_table_lookup(run->inside, &owner));
}

/* The namespace that has a row's other end; 0: none here, or not known. */
static guint32 peers_other_side(const struct peers_run *run, const struct peers_key *key)
{
	struct netns_address address = { .family = key->family };
	static const guint8 loopback[PEERS_ADDRESS] = { [PEERS_ADDRESS - 1] = 1 };

	if (key->other)
		return 0;
	if (key->family == AF_INET ? key->address[0] == 127 : memcmp(key->address, loopback, sizeof(loopback)) == 0)
		return peers_inside(run, key->owner);
	memcpy(address.bytes, key->address, sizeof(address.bytes));
	return GPOINTER_TO_UINT(g_hash_table_lookup(run->addresses, &address));
}

/* ---- start and end ---- */

static void peers_detach(struct peers_run *run)
{
	for (guint i = 0; i < PEERS_LINKS; i++)
		bpf_link__destroy(g_steal_pointer(&run->links[i]));
	bpf_link__destroy(g_steal_pointer(&run->walk));
}

static void peers_unload(struct peers_run *run)
{
	peers_detach(run);
	births_close(g_steal_pointer(&run->births));
	peers_bpf__destroy(g_steal_pointer(&run->kernel));
}

static gboolean peers_attach_programs(struct peers_run *run, GError **error)
{
	struct bpf_program *const programs[PEERS_LINKS] = { run->kernel->progs.peers_received,
							    run->kernel->progs.peers_sent };
	int root = cgroup_root_open(error);

	if (root < 0)
		return FALSE;
	ladder_log_start();
	run->kernel->bss->peers_settled_ns = clock_monotonic_ns() + PEERS_SETTLE_NS;
	for (guint i = 0; i < PEERS_LINKS; i++)
		run->links[i] = bpf_program__attach_cgroup(programs[i], root);
	close(root);
	run->walk = bpf_program__attach_iter(run->kernel->progs.peers_walk, NULL);
	if (run->links[0] && run->links[1] && run->walk)
		return TRUE;
	ladder_set_error(error, "cannot attach to the sockets of the root cgroup", errno);
	return FALSE;
}

/* ladder_try_fn */
static gboolean peers_attach(void *user, const struct rung *rung, GError **error)
{
	static const char what[] = "cannot load the programs that watch datagrams and unix sockets";
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	struct peers_run *run = user;
	struct filter_values values;

	(void)rung;
	run->kernel = KERNEL_BTF_OPEN(peers, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, &run->request);
	run->kernel->rodata->v1_controller = values.v1_controller;
	run->kernel->rodata->peers_rows_owner = run->sizes->rows_owner;
	bpf_map__set_max_entries(run->kernel->maps.peers_rows, run->sizes->rows);
	if (kernel_btf_load(btf, run->kernel->skeleton, what, error)) {
		run->births = births_open(run->kernel->obj, &run->listener, error);
		if (run->births && peers_attach_programs(run, error))
			return TRUE;
	}
	peers_unload(run);
	return FALSE;
}

static void peers_close(struct probe_run *opaque)
{
	struct peers_run *run = (struct peers_run *)opaque;

	if (!run)
		return;
	peers_unload(run);
	cgroupfs_free(run->cgroupfs);
	g_hash_table_unref(run->told);
	g_hash_table_unref(run->unix_told);
	netowners_free(run->namespaces);
	g_hash_table_unref(run->inside);
	g_hash_table_unref(run->addresses);
	g_free(run->why_not);
	g_free(run);
}

static guint key_hash(gconstpointer data)
{
	return bytes_hash(data, sizeof(struct peers_key));
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct peers_key)) == 0;
}

static guint unix_hash(gconstpointer data)
{
	return bytes_hash(data, sizeof(struct peers_unix_key));
}

static gboolean unix_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct peers_unix_key)) == 0;
}

/* ---- datagrams ---- */

struct peers_row {
	struct peers_key key;
	struct peers_count now;
};

/* mapread_fn */
static void peers_take_row(void *user, const void *key, const void *value)
{
	GArray *rows = user;
	struct peers_row row = { *(const struct peers_key *)key, *(const struct peers_count *)value };

	g_array_append_val(rows, row);
}

/* A namespace's port. */
static gpointer place_key(guint32 inode, guint16 port)
{
	return (gpointer)(((guint64)inode << 16 | port) + 1);
}

/* What a row has more than what was handed out; FALSE: nothing. */
static gboolean peers_news(struct peers_run *run, const struct peers_row *row, struct peers_count *news)
{
	struct peers_told *told = g_hash_table_lookup(run->told, &row->key);

	if (!told) {
		told = g_new0(struct peers_told, 1);
		told->news_ns = clock_monotonic_ns();
		g_hash_table_insert(run->told, g_memdup2(&row->key, sizeof(row->key)), told);
	}
	*news = (struct peers_count){
		.sent_packets = row->now.sent_packets - told->count.sent_packets,
		.sent_bytes = row->now.sent_bytes - told->count.sent_bytes,
		.received_packets = row->now.received_packets - told->count.received_packets,
		.received_bytes = row->now.received_bytes - told->count.received_bytes,
	};
	if (!news->sent_packets && !news->received_packets)
		return FALSE;
	*told = (struct peers_told){ row->now, clock_monotonic_ns() };
	return TRUE;
}

static struct probe_end peers_end(guint64 owner, const char *address)
{
	if (owner)
		return (struct probe_end){ .kind = EDGE_END_CONTAINER, .cgroup_key = owner };
	return (struct probe_end){ .kind = EDGE_END_EXTERNAL, .text = address };
}

/* Bytes as the client's end sees them. */
static void peers_tell_row(struct peers_run *run, const struct peers_key *key, const struct peers_count *news,
			   guint64 other)
{
	char address[INET6_ADDRSTRLEN] = "other addresses", port[PEERS_PORT];
	const struct probe_value value = { .text = key->port ? port : NULL };
	guint64 counters[TCP_COUNTERS] = { 0 };
	struct probe_pair pair = { .values = &value, .counters = counters };

	if (!key->other)
		inet_ntop(key->family, key->address, address, sizeof(address));
	g_snprintf(port, sizeof(port), "%u/udp", key->port);
	tcp_counters_traffic(counters, key->server ? news->received_bytes : news->sent_bytes,
			     key->server ? news->sent_bytes : news->received_bytes,
			     key->server ? news->received_packets : news->sent_packets,
			     key->server ? news->sent_packets : news->received_packets);
	pair.source = peers_end(key->server ? other : key->owner, address);
	pair.target = peers_end(key->server ? key->owner : other, address);
	if (run->listener.pair)
		run->listener.pair(run->listener.user, &pair);
}

/* Which owners serve a port of a namespace, and in which namespaces somebody asks for one. */
struct peers_index {
	GHashTable *servers; /* place_key → cgroup key */
	GHashTable *clients; /* place_key of the client's namespace and the service's port */
};

static void peers_place(struct peers_run *run, const struct peers_index *index, const struct peers_row *row)
{
	guint32 there = peers_other_side(run, &row->key);
	const guint64 *server = there ? g_hash_table_lookup(index->servers, place_key(there, row->key.port)) : NULL;
	guint64 owner = there ? netowners_find(run->namespaces, there) : 0;
	struct peers_count news;

	if (!peers_news(run, row, &news))
		return;
	if (!row->key.server && server)
		owner = *server;
	/* The client is here, too, and tells the same. */
	if (row->key.server && there && g_hash_table_contains(index->clients, place_key(there, row->key.port)))
		return;
	peers_tell_row(run, &row->key, &news, owner);
}

/* Rows that have been idle for long make room; what they have counted since they were looked at is told. */
static void peers_make_room(struct peers_run *run, const struct peers_index *index)
{
	guint rows = g_hash_table_size(run->told);
	guint64 now_ns = clock_monotonic_ns();
	gpointer key, value;
	GHashTableIter each;

	g_hash_table_iter_init(&each, run->told);
	while (g_hash_table_iter_next(&each, &key, &value)) {
		struct peers_row row = { .key = *(const struct peers_key *)key };

		if (!owners_row_is_spare(run->sizes, now_ns - ((struct peers_told *)value)->news_ns, rows))
			continue;
		if (bpf_map_lookup_and_delete_elem(bpf_map__fd(run->kernel->maps.peers_rows), &row.key, &row.now) ==
		    0) {
			peers_place(run, index, &row);
			if (!row.key.other)
				owners_give_back(bpf_map__fd(run->kernel->maps.owners), row.key.owner);
		}
		g_hash_table_iter_remove(&each);
	}
}

static gboolean peers_hand_out_datagrams(struct peers_run *run, GError **error)
{
	g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(struct peers_row));
	struct peers_index index = {
		.servers = g_hash_table_new(NULL, NULL),
		.clients = g_hash_table_new(NULL, NULL),
	};
	gboolean right = mapread_each(bpf_map__fd(run->kernel->maps.peers_rows), sizeof(struct peers_key),
				      sizeof(struct peers_count), peers_take_row, rows, error);
	gboolean strange = FALSE;

	for (guint i = 0; i < rows->len; i++)
		strange |= !g_hash_table_contains(run->told, &g_array_index(rows, struct peers_row, i).key);
	if (strange && clock_monotonic_ns() - run->looked_ns >= PEERS_LOOK_NS)
		peers_learn(run);
	for (guint i = 0; i < rows->len; i++) {
		struct peers_row *row = &g_array_index(rows, struct peers_row, i);
		guint32 here = peers_inside(run, row->key.owner);

		if (here && row->key.server)
			g_hash_table_insert(index.servers, place_key(here, row->key.port), &row->key.owner);
		else if (here && peers_other_side(run, &row->key))
			g_hash_table_add(index.clients, place_key(here, row->key.port));
	}
	for (guint i = 0; i < rows->len; i++)
		peers_place(run, &index, &g_array_index(rows, struct peers_row, i));
	peers_make_room(run, &index);
	g_hash_table_unref(index.servers);
	g_hash_table_unref(index.clients);
	return right;
}

/* ---- unix sockets ---- */

/* The walk fills an empty map. */
static void peers_empty_unix(struct peers_run *run)
{
	int fd = bpf_map__fd(run->kernel->maps.peers_unix);
	struct peers_unix_key key;

	while (bpf_map_get_next_key(fd, NULL, &key) == 0 && bpf_map_delete_elem(fd, &key) == 0)
		;
}

static gboolean peers_walk_files(struct peers_run *run, enum peers_pass pass, GError **error)
{
	__atomic_store_n(&run->kernel->bss->peers_pass, pass, __ATOMIC_RELEASE);
	return kernel_btf_iterate(run->walk, "cannot walk over the open sockets", error);
}

/* "unix:/run/db.sock", "unix:@name" */
static char *unix_name(const struct peers_unix_key *key)
{
	gsize length = MIN(key->length, PEERS_PATH);
	g_autofree char *path = NULL;

	if (length && key->path[0] == '\0') {
		path = g_strndup((const char *)key->path + 1, length - 1);
		return g_strconcat("unix:@", path, NULL);
	}
	path = g_strndup((const char *)key->path, length);
	return g_strconcat("unix:", path, NULL);
}

static void peers_tell_unix(struct peers_run *run, const struct peers_unix_key *key, guint64 existing, guint64 opens,
			    guint64 closes)
{
	g_autofree char *name = unix_name(key);
	const struct probe_value value = { .text = name };
	guint64 counters[TCP_COUNTERS] = { 0 };
	const struct probe_pair pair = { .source = peers_end(key->client, NULL),
					 .target = peers_end(key->server, NULL),
					 .values = &value,
					 .counters = counters };

	tcp_counters_lives(counters, existing, opens, closes);
	if (run->listener.pair && (existing || opens || closes))
		run->listener.pair(run->listener.user, &pair);
}

/* How many more or fewer there are than when it was told of. */
static void peers_unix_news(struct peers_run *run, const struct peers_unix_key *key, guint64 now)
{
	guint64 *told = g_hash_table_lookup(run->unix_told, key), before = told ? *told : 0;

	if (!told) {
		told = g_new0(guint64, 1);
		g_hash_table_insert(run->unix_told, g_memdup2(key, sizeof(*key)), told);
	}
	*told = now;
	if (!run->walked)
		peers_tell_unix(run, key, now, 0, 0);
	else
		peers_tell_unix(run, key, 0, now > before ? now - before : 0, before > now ? before - now : 0);
}

static gboolean peers_walk_unix(struct peers_run *run, GError **error)
{
	int fd = bpf_map__fd(run->kernel->maps.peers_unix);
	struct peers_unix_key at, *previous = NULL;
	GHashTableIter each;
	gpointer key;
	guint64 count, begun_ns = clock_monotonic_ns();

	peers_empty_unix(run);
	for (guint pass = 0; pass < PEERS_PASSES; pass++)
		if (!peers_walk_files(run, (enum peers_pass)pass, error))
			return FALSE;
	run->next_walk_ns = begun_ns + MAX(PEERS_WALK_NS, (clock_monotonic_ns() - begun_ns) * PEERS_WALK_SHARE);
	g_hash_table_iter_init(&each, run->unix_told);
	while (g_hash_table_iter_next(&each, &key, NULL))
		if (bpf_map_lookup_elem(fd, key, &count) != 0) {
			peers_unix_news(run, key, 0);
			g_hash_table_iter_remove(&each);
		}
	for (guint i = 0; i < PEERS_UNIX && bpf_map_get_next_key(fd, previous, &at) == 0; i++) {
		previous = &at;
		if (bpf_map_lookup_elem(fd, &at, &count) == 0)
			peers_unix_news(run, &at, count);
	}
	run->walked = TRUE;
	return TRUE;
}

/* ---- handing out ---- */

static gboolean peers_hand_out(struct peers_run *run, struct ledger *ledger, GError **error)
{
	guint64 lost = __atomic_load_n(&run->kernel->bss->peers_unix_lost, __ATOMIC_RELAXED);

	if (!peers_hand_out_datagrams(run, error) || !peers_walk_unix(run, error))
		return FALSE;
	if (!ledger->rung)
		ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	if (lost)
		ledger_note(ledger,
			    g_strdup_printf("connections of unix sockets there was no room for: %" G_GUINT64_FORMAT,
					    lost));
	return TRUE;
}

static struct probe_run *peers_open(const struct probe_request *request, const struct probe_listener *listener,
				    GError **error)
{
	struct peers_run *run = g_new0(struct peers_run, 1);

	run->request = *request;
	run->sizes = request->smallest ? &peers_sizes_smallest : &peers_sizes_usual;
	run->listener = *listener;
	run->cgroupfs = cgroupfs_open("/", NULL);
	run->told = g_hash_table_new_full(key_hash, key_equal, g_free, g_free);
	run->unix_told = g_hash_table_new_full(unix_hash, unix_equal, g_free, g_free);
	run->namespaces = netowners_new(&run->listener);
	run->inside = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	run->addresses = g_hash_table_new_full(address_hash, address_equal, g_free, NULL);
	run->rung = ladder_climb(peers_rungs, request->rung, peers_attach, run, &run->why_not, error);
	if (run->rung && peers_walk_unix(run, error))
		return (struct probe_run *)run;
	peers_close((struct probe_run *)run);
	return NULL;
}

static int peers_fd(struct probe_run *run)
{
	return births_fd(((struct peers_run *)run)->births);
}

static gboolean peers_drain(struct probe_run *run, GError **error)
{
	struct peers_run *peers = (struct peers_run *)run;

	births_drain(peers->births);
	return clock_monotonic_ns() < peers->next_walk_ns || peers_walk_unix(peers, error);
}

static gboolean peers_collect(struct probe_run *run, struct ledger *ledger, GError **error)
{
	return peers_hand_out((struct peers_run *)run, ledger, error);
}

static gboolean peers_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct peers_run *run = (struct peers_run *)opaque;
	gboolean right = peers_hand_out(run, ledger, error);

	peers_detach(run);
	births_drain(run->births);
	return right && losses_read(bpf_map__fd(run->kernel->maps.losses), ledger, error);
}

const struct probe probe_peers = {
	.name = "peers",
	.shows = "datagrams and unix sockets by edge: who talks to whom",
	.shape = SHAPE_EDGES,
	.unit = UNIT_COUNT,
	.rungs = peers_rungs,
	.labels = peers_labels,
	.counters = tcp_counters,
	.histograms = tcp_times,
	.open = peers_open,
	.fd = peers_fd,
	.drain = peers_drain,
	.collect = peers_collect,
	.finish = peers_finish,
	.close = peers_close,
};
