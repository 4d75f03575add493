/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/drops.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "drops.skel.h"
#include "kernel/procfs.h"
#include "probe/births.h"
#include "probe/drops_polled.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/kernel_names.h"
#include "probe/ladder.h"
#include "probe/losses.h"
#include "probe/mapread.h"
#include "probe/netowners.h"
#include "probe/owners.h"

#define DROPS_LOOK_NS (500 * NS_PER_MS) /* between two looks at the machine's namespaces */
#define DROPS_YOUNG_NS (10 * NS_PER_S) /* so long a new container may take to get its addresses */
#define DROPS_REASON_PREFIX "SKB_DROP_REASON_"

enum drops_counter {
	COUNTER_PACKETS = 0,
	COUNTER_BYTES = 1,
	COUNTERS = 2,
};

static const struct edges_column drops_counters[] = {
	[COUNTER_PACKETS] = { "packets", UNIT_COUNT },
	[COUNTER_BYTES] = { "bytes", UNIT_BYTES },
	{ 0 },
};

enum drops_label {
	LABEL_REASON = 0,
	LABEL_PROTOCOL = 1,
	LABEL_PORT = 2,
	LABEL_AT = 3,
	LABELS = 4,
};

static const struct probe_label drops_labels[] = {
	{ "reason", PROBE_LABEL_TEXT },
	{ "protocol", PROBE_LABEL_TEXT },
	{ "port", PROBE_LABEL_TEXT },
	{ "at", PROBE_LABEL_TEXT },
	{ 0 },
};

#define MISSES                                                                                                         \
	"what a network card or its driver drops before the stack sees it, and connections refused to a full accept queue"

static const struct rung drops_rungs[] = {
	{ .name = "tp_btf/kfree_skb", .misses = MISSES },
	{ .name = "tp_btf/kfree_skb, before 6.11",
	  .misses =
		  MISSES "; a received packet's socket: containers that share a network namespace are not told apart" },
	{ .name = "polled",
	  .misses =
		  "polled at each table: only what network namespaces count themselves, which is not what firewalls, traffic "
		  "shaping and cgroup programs drop, nor ports, bytes and places, nor all of IPv6; containers that share a "
		  "namespace are not told apart",
	  .without_bpf = TRUE },
	{ 0 },
};
#define DROPS_RUNG_POLLED (&drops_rungs[G_N_ELEMENTS(drops_rungs) - 2])

static const struct owners_sizes drops_sizes_usual = { DROPS_ROWS, DROPS_PORTS_OWNER, OWNERS_IDLE_NS,
						       OWNERS_SCARCE_NS };
static const struct owners_sizes drops_sizes_smallest = { DROPS_ROWS_SMALLEST, DROPS_PORTS_OWNER_SMALLEST,
							  OWNERS_SMALLEST_NS, OWNERS_SMALLEST_NS };

/* What was handed out of a row. */
struct drops_told {
	struct drops_count count;
	guint64 news_ns; /* CLOCK_MONOTONIC: when it last had grown */
};

struct drops_run {
	struct probe_listener listener;
	struct probe_request request;
	const struct owners_sizes *sizes;
	const struct rung *rung;
	char *why_not;
	struct drops_bpf *kernel;
	struct bpf_link *link;
	struct drops_polled *polled; /* without kernel programs: `kernel`, `link` and `births` are NULL */
	struct births *births;
	struct netowners *namespaces;
	guint32 host; /* inode number of the machine's own namespace */
	GHashTable *told; /* struct drops_key → struct drops_told */
	GPtrArray *reasons; /* names by number; NULL: not read yet */
	struct kernel_names *names;
	GHashTable *places; /* address → function's name */
	GPtrArray *unknown; /* struct drops_key *: rows of namespaces not met yet, while collecting */
	guint64 looked_ns, born_ns; /* when namespaces were looked at, and a cgroup was born */
};

/* ---- whose namespace, whose address ---- */

/* netowners_fn */
static void drops_learn_addresses(void *user, const struct netns *netns, guint64 owner)
{
	const struct drops_run *run = user;
	g_autoptr(GArray) addresses = NULL;

	if (run->kernel && netns->inode != run->host)
		addresses = netns_addresses(netns, NULL);
	for (guint i = 0; addresses && i < addresses->len; i++)
		bpf_map_update_elem(bpf_map__fd(run->kernel->maps.drops_addresses),
				    g_array_index(addresses, struct netns_address, i).bytes, &owner, BPF_ANY);
}

/* Looks at all network namespaces. Addresses that two of them have belong to whoever was met last. */
static void drops_learn(struct drops_run *run)
{
	gboolean young;

	run->looked_ns = clock_monotonic_ns();
	young = run->looked_ns - run->born_ns <= DROPS_YOUNG_NS + DROPS_LOOK_NS;
	netowners_learn(run->namespaces, young ? NETOWNERS_ALL : NETOWNERS_NEW, drops_learn_addresses, run);
}

/* New containers get their namespaces and addresses a while after their cgroups. */
static void drops_learn_when_due(struct drops_run *run)
{
	guint64 now_ns = clock_monotonic_ns();

	if (run->born_ns && now_ns - run->born_ns < DROPS_YOUNG_NS && now_ns - run->looked_ns >= DROPS_LOOK_NS)
		drops_learn(run);
}

/* probe_listener.cgroup_born */
static void drops_born(void *user, guint64 cgroup_key, const char *path)
{
	struct drops_run *run = user;

	run->born_ns = clock_monotonic_ns();
	if (run->listener.cgroup_born)
		run->listener.cgroup_born(run->listener.user, cgroup_key, path);
}

/* probe_listener.cgroup_died */
static void drops_died(void *user, guint64 cgroup_key)
{
	struct drops_run *run = user;

	if (run->listener.cgroup_died)
		run->listener.cgroup_died(run->listener.user, cgroup_key);
}

/* ---- start and end ---- */

static void drops_unload(struct drops_run *run)
{
	bpf_link__destroy(g_steal_pointer(&run->link));
	births_close(g_steal_pointer(&run->births));
	drops_bpf__destroy(g_steal_pointer(&run->kernel));
}

/* ladder_try_fn */
static gboolean drops_attach(void *user, const struct rung *rung, GError **error)
{
	static const char what[] = "cannot load the program that counts dropped packets";
	const struct probe_listener births_listener = { .user = user,
							.cgroup_born = drops_born,
							.cgroup_died = drops_died };
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	gboolean with_socket = rung == &drops_rungs[0];
	struct drops_run *run = user;
	struct bpf_program *program;

	if (rung == DROPS_RUNG_POLLED) {
		drops_learn(run);
		run->polled = drops_polled_new();
		return TRUE;
	}
	run->kernel = KERNEL_BTF_OPEN(drops, btf, what, error);
	if (!run->kernel)
		return FALSE;
	run->kernel->rodata->drops_ports_owner = run->sizes->rows_owner;
	bpf_map__set_max_entries(run->kernel->maps.drops_rows, run->sizes->rows);
	run->kernel->rodata->drops_host_netns = run->host;
	program = with_socket ? run->kernel->progs.drops_with_socket : run->kernel->progs.drops_without_socket;
	bpf_program__set_autoload(run->kernel->progs.drops_with_socket, with_socket);
	bpf_program__set_autoload(run->kernel->progs.drops_without_socket, !with_socket);
	if (kernel_btf_load(btf, run->kernel->skeleton, what, error)) {
		drops_learn(run);
		run->births = births_open(run->kernel->obj, &births_listener, error);
		run->link = run->births ? kernel_btf_attach(program) : NULL;
		if (run->births && !run->link)
			ladder_set_error(error, "cannot attach to kfree_skb", errno);
	}
	if (run->link)
		return TRUE;
	drops_unload(run);
	return FALSE;
}

static void drops_close(struct probe_run *opaque)
{
	struct drops_run *run = (struct drops_run *)opaque;

	if (!run)
		return;
	drops_unload(run);
	drops_polled_free(run->polled);
	netowners_free(run->namespaces);
	kernel_names_free(run->names);
	g_hash_table_unref(run->told);
	g_hash_table_unref(run->places);
	g_ptr_array_unref(run->unknown);
	if (run->reasons)
		g_ptr_array_unref(run->reasons);
	g_free(run->why_not);
	g_free(run);
}

static guint drops_key_hash(gconstpointer data)
{
	const struct drops_key *key = data;
	guint64 place = key->location ^ key->reason;

	return g_int64_hash(&key->owner) * 31 ^ g_int64_hash(&place) ^ key->netns ^ (guint)key->port << 8 ^
	       key->direction;
}

static gboolean drops_key_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct drops_key)) == 0;
}

static struct probe_run *drops_open(const struct probe_request *request, const struct probe_listener *listener,
				    GError **error)
{
	struct drops_run *run = g_new0(struct drops_run, 1);

	run->request = *request;
	run->sizes = request->smallest ? &drops_sizes_smallest : &drops_sizes_usual;
	run->listener = *listener;
	run->namespaces = netowners_new(&run->listener);
	run->host = (guint32)procfs_host_namespace("/", NAMESPACE_NET);
	run->names = kernel_names_new();
	run->told = g_hash_table_new_full(drops_key_hash, drops_key_equal, g_free, g_free);
	run->places = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	run->unknown = g_ptr_array_new_with_free_func(g_free);
	run->rung = ladder_climb(drops_rungs, request->rung, drops_attach, run, &run->why_not, error);
	if (run->rung)
		return (struct probe_run *)run;
	drops_close((struct probe_run *)run);
	return NULL;
}

/* ---- words ---- */

/* The running kernel's names of reasons: they get other numbers with each version. */
static void drops_read_reasons(struct drops_run *run)
{
	struct btf *btf = btf__load_vmlinux_btf();
	gint32 id = btf ? btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM) : -1;
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (guint32)id) : NULL;

	run->reasons = g_ptr_array_new_with_free_func(g_free);
	for (guint i = 0; type && i < btf_vlen(type); i++) {
		const struct btf_enum *value = btf_enum(type) + i;
		const char *name = btf__name_by_offset(btf, value->name_off);

		if (value->val < 0 || value->val > UINT16_MAX)
			continue;
		if ((guint)value->val >= run->reasons->len)
			g_ptr_array_set_size(run->reasons, value->val + 1);
		if (g_str_has_prefix(name, DROPS_REASON_PREFIX))
			name += strlen(DROPS_REASON_PREFIX);
		g_free(run->reasons->pdata[value->val]);
		run->reasons->pdata[value->val] = g_ascii_strdown(name, -1);
	}
	btf__free(btf);
}

/* A number above 65,535 is one of another subsystem's (wireless, Open vSwitch). */
static const char *drops_reason(struct drops_run *run, guint32 reason, char *text, gsize size)
{
	if (!run->reasons)
		drops_read_reasons(run);
	if (reason < run->reasons->len && run->reasons->pdata[reason])
		return run->reasons->pdata[reason];
	g_snprintf(text, size, "reason %u of subsystem %u", reason & 0xffff, reason >> 16);
	return text;
}

static const char *drops_place(struct drops_run *run, guint64 address)
{
	char *known = g_hash_table_lookup(run->places, &address);
	struct kernel_name name;

	if (known)
		return known;
	/* The return address lies behind the call: perhaps in the next function. */
	if (kernel_names_find(run->names, address - 1, &name) == KERNEL_NAMES_FOUND)
		known = name.module[0] ? g_strdup_printf("%s [%s]", name.name, name.module) : g_strdup(name.name);
	else
		known = g_strdup("[unknown]");
	g_hash_table_insert(run->places, g_memdup2(&address, sizeof(address)), known);
	return known;
}

static const char *drops_protocol(guint8 protocol, char *text, gsize size)
{
	static const struct {
		guint8 number;
		const char *name;
	} names[] = {
		{ IPPROTO_TCP, "tcp" }, { IPPROTO_UDP, "udp" }, { IPPROTO_ICMP, "icmp" }, { IPPROTO_ICMPV6, "icmpv6" }
	};

	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		if (names[i].number == protocol)
			return names[i].name;
	g_snprintf(text, size, "%u", protocol);
	return protocol ? text : NULL;
}

/* ---- handing out ---- */

/* `owner` 0: whoever the namespace belongs to. */
static void drops_tell_values(struct drops_run *run, guint32 netns, guint64 owner, gboolean inwards,
			      const struct probe_value *values, const guint64 *counters)
{
	struct probe_end whose = { .kind = EDGE_END_CONTAINER, .cgroup_key = owner };
	const struct probe_end network = { .kind = EDGE_END_EXTERNAL, .text = "network" };
	struct probe_pair pair = { .values = values, .counters = counters };

	if (!owner)
		netowners_end(run->namespaces, netns, &whose);
	pair.source = inwards ? network : whose;
	pair.target = inwards ? whose : network;
	if (run->listener.pair)
		run->listener.pair(run->listener.user, &pair);
}

static void drops_tell(struct drops_run *run, const struct drops_key *key, const struct drops_count *news)
{
	const guint64 counters[COUNTERS] = { [COUNTER_PACKETS] = news->packets, [COUNTER_BYTES] = news->bytes };
	char reason[48], protocol[8], port[8];
	struct probe_value values[LABELS] = {
		[LABEL_REASON] = { .text = drops_reason(run, key->reason, reason, sizeof(reason)) },
		[LABEL_PROTOCOL] = { .text = drops_protocol(key->protocol, protocol, sizeof(protocol)) },
		[LABEL_PORT] = { .text = key->port ? port : NULL },
		[LABEL_AT] = { .text = drops_place(run, key->location) },
	};

	g_snprintf(port, sizeof(port), "%u", key->port);
	drops_tell_values(run, key->netns, key->owner, key->direction == DROPS_IN, values, counters);
}

/* drops_polled_fn */
static void drops_tell_polled(void *user, guint32 netns, const char *reason, guint8 protocol, gboolean inwards,
			      guint64 packets)
{
	const guint64 counters[COUNTERS] = { [COUNTER_PACKETS] = packets };
	char text[8];
	const struct probe_value values[LABELS] = {
		[LABEL_REASON] = { .text = reason },
		[LABEL_PROTOCOL] = { .text = drops_protocol(protocol, text, sizeof(text)) },
	};

	drops_tell_values(user, netns, 0, inwards, values, counters);
}

/* What has been added to a row since the last time; FALSE: nothing. */
static gboolean drops_news(struct drops_run *run, const struct drops_key *key, const struct drops_count *now,
			   struct drops_count *news)
{
	struct drops_told *told = g_hash_table_lookup(run->told, key);

	if (!told) {
		told = g_new0(struct drops_told, 1);
		told->news_ns = clock_monotonic_ns();
		g_hash_table_insert(run->told, g_memdup2(key, sizeof(*key)), told);
	}
	news->packets = now->packets - told->count.packets;
	news->bytes = now->bytes - told->count.bytes;
	if (!news->packets)
		return FALSE;
	*told = (struct drops_told){ *now, clock_monotonic_ns() };
	return TRUE;
}

/* mapread_fn */
static void drops_take(void *user, const void *row, const void *value)
{
	struct drops_run *run = user;
	const struct drops_key *key = row;
	struct drops_count news;

	if (!key->owner && !netowners_knows(run->namespaces, key->netns)) {
		struct drops_key *later = g_memdup2(key, sizeof(*key));

		g_ptr_array_add(run->unknown, later);
		return;
	}
	if (drops_news(run, key, value, &news))
		drops_tell(run, key, &news);
}

/* Rows of namespaces nobody knew: now they are known, or nobody is in them any more. */
static void drops_take_unknown(struct drops_run *run)
{
	int fd = bpf_map__fd(run->kernel->maps.drops_rows);
	struct drops_count now, news;

	if (run->unknown->len && clock_monotonic_ns() - run->looked_ns >= DROPS_LOOK_NS)
		drops_learn(run);
	for (guint i = 0; i < run->unknown->len; i++) {
		const struct drops_key *key = run->unknown->pdata[i];

		if (bpf_map_lookup_elem(fd, key, &now) == 0 && drops_news(run, key, &now, &news))
			drops_tell(run, key, &news);
	}
	g_ptr_array_set_size(run->unknown, 0);
}

/* The row goes; what it has counted since it was looked at is told. */
static void drops_free_row(struct drops_run *run, const struct drops_key *key)
{
	struct drops_count now, news;

	if (bpf_map_lookup_and_delete_elem(bpf_map__fd(run->kernel->maps.drops_rows), key, &now) != 0)
		return;
	if (drops_news(run, key, &now, &news))
		drops_tell(run, key, &news);
	if (key->port)
		owners_give_back(bpf_map__fd(run->kernel->maps.owners), DROPS_OWNER(key));
}

/* Rows that have been idle for long make room. */
static void drops_make_room(struct drops_run *run)
{
	guint rows = g_hash_table_size(run->told);
	guint64 now_ns = clock_monotonic_ns();
	gpointer key, value;
	GHashTableIter each;

	g_hash_table_iter_init(&each, run->told);
	while (g_hash_table_iter_next(&each, &key, &value)) {
		if (!owners_row_is_spare(run->sizes, now_ns - ((struct drops_told *)value)->news_ns, rows))
			continue;
		drops_free_row(run, key);
		g_hash_table_iter_remove(&each);
	}
}

static gboolean drops_hand_out(struct drops_run *run, struct ledger *ledger, GError **error)
{
	guint64 left_out = __atomic_load_n(&run->kernel->bss->drops_ports_left_out, __ATOMIC_RELAXED);

	if (!mapread_each(bpf_map__fd(run->kernel->maps.drops_rows), sizeof(struct drops_key),
			  sizeof(struct drops_count), drops_take, run, error))
		return FALSE;
	drops_take_unknown(run);
	drops_make_room(run);
	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	if (left_out)
		ledger_note(ledger, g_strdup_printf("drops whose port is not told, because there are too many: "
						    "%" G_GUINT64_FORMAT,
						    left_out));
	return TRUE;
}

static gboolean drops_hand_out_polled(struct drops_run *run, struct ledger *ledger)
{
	drops_learn(run);
	drops_polled_read(run->polled, drops_tell_polled, run);
	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	ledger_note(ledger, g_strdup(run->rung->misses));
	if (run->why_not)
		ledger_note(ledger, g_strdup_printf("not used: %s", run->why_not));
	return TRUE;
}

static int drops_fd(struct probe_run *run)
{
	if (((struct drops_run *)run)->polled)
		return -1; /* nothing to wait for */
	return births_fd(((struct drops_run *)run)->births);
}

static gboolean drops_drain(struct probe_run *run, GError **error)
{
	(void)error;
	if (((struct drops_run *)run)->births)
		births_drain(((struct drops_run *)run)->births);
	return TRUE;
}

static gboolean drops_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct drops_run *run = (struct drops_run *)opaque;

	if (run->polled)
		return drops_hand_out_polled(run, ledger);
	drops_learn_when_due(run);
	return drops_hand_out(run, ledger, error);
}

static gboolean drops_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct drops_run *run = (struct drops_run *)opaque;

	if (run->polled)
		return drops_hand_out_polled(run, ledger);
	bpf_link__destroy(g_steal_pointer(&run->link));
	births_drain(run->births);
	return drops_hand_out(run, ledger, error) && losses_read(bpf_map__fd(run->kernel->maps.losses), ledger, error);
}

const struct probe probe_drops = {
	.name = "drops",
	.shows = "packets the network stack drops: whose, why, where",
	.shape = SHAPE_EDGES,
	.unit = UNIT_COUNT,
	.rungs = drops_rungs,
	.labels = drops_labels,
	.counters = drops_counters,
	.open = drops_open,
	.fd = drops_fd,
	.drain = drops_drain,
	.collect = drops_collect,
	.finish = drops_finish,
	.close = drops_close,
};
