/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/dns.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "dns.skel.h"
#include "kernel/cgroupfs.h"
#include "kernel/resolvconf.h"
#include "model/histogram.h"
#include "probe/allowance.h"
#include "probe/askers.h"
#include "probe/cgroup_root.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/mapread.h"
#include "probe/ringread.h"
#include "probe/searches.h"
#include "probe/table.h"

#define DNS_TIMEOUT_NS (5 * NS_PER_S) /* as resolvers' own (resolv.conf(5)), unless the request says another */
#define DNS_NAMES 1024 /* told apart for one cgroup; what more there are is one */
#define DNS_LINKS 2
#define DNS_NEIGHBOURS 8 /* processes of a cgroup that are asked for their search list when the asker is gone */
#define DNS_OTHER_NAMES "other names"
#define DNS_OTHER_RESOLVERS "other resolvers"

/* Counters of edges. The outcomes first, in their order. */
enum dns_counter {
	COUNTER_QUERIES = DNS_OUTCOMES,
	COUNTER_SEARCH_WASTE,
	COUNTER_PENDING,
	DNS_COUNTERS,
};
G_STATIC_ASSERT(DNS_COUNTERS <= EDGES_COUNTERS_MAX);

static const struct edges_column dns_counters[] = {
	[DNS_NOERROR] = { "noerror", UNIT_COUNT },
	[DNS_NODATA] = { "nodata", UNIT_COUNT },
	[DNS_TRUNCATED] = { "truncated", UNIT_COUNT },
	[DNS_NXDOMAIN] = { "nxdomain", UNIT_COUNT },
	[DNS_SERVFAIL] = { "servfail", UNIT_COUNT },
	[DNS_REFUSED] = { "refused", UNIT_COUNT },
	[DNS_OTHER] = { "other", UNIT_COUNT },
	[DNS_UNANSWERED] = { "unanswered", UNIT_COUNT },
	[DNS_SURPLUS] = { "surplus", UNIT_COUNT },
	[COUNTER_QUERIES] = { "queries", UNIT_COUNT },
	[COUNTER_SEARCH_WASTE] = { "search_waste", UNIT_COUNT },
	[COUNTER_PENDING] = { "pending", UNIT_COUNT },
	{ 0 },
};

static const struct edges_column dns_times[] = { { "latency", UNIT_NANOSECONDS }, { 0 } };

/* Histograms: resolver, transport, outcome. Edges: resolver, transport, name. */
enum dns_label {
	LABEL_RESOLVER = 0,
	LABEL_TRANSPORT = 1,
	LABEL_OUTCOME = 2,
	LABEL_NAME = 2,
	DNS_LABELS = 3,
};

static const struct probe_label dns_histogram_labels[] = {
	{ "resolver", PROBE_LABEL_TEXT },
	{ "transport", PROBE_LABEL_TEXT },
	{ "outcome", PROBE_LABEL_TEXT },
	{ 0 },
};

static const struct probe_label dns_edge_labels[] = {
	{ "resolver", PROBE_LABEL_TEXT },
	{ "transport", PROBE_LABEL_TEXT },
	{ "name", PROBE_LABEL_TEXT },
	{ 0 },
};

static const struct rung dns_rungs[] = {
	{ .name = "cgroup_skb",
	  .misses =
		  "questions asked under cover (DNS over TLS, HTTPS or QUIC), over other ports than 53, answered from a "
		  "cache without a question, and answers that came after their socket was closed" },
	{ 0 },
};

/* Whose counts of a name are: one of these per row and outcome is taken off the row's own. */
struct named_key {
	guint64 cgroup_key, label;
	guint32 outcome, pad;
};

struct dns_run {
	struct probe_listener listener;
	struct probe_request request;
	gboolean edges;
	guint64 timeout_ns;
	const struct rung *rung;
	struct dns_bpf *kernel;
	struct table *table;
	struct ringread *ring;
	struct bpf_link *links[DNS_LINKS]; /* NULL where request.askers say where programs hang */
	int epoll_fd;
	struct searches *searches; /* edges only */
	struct cgroupfs *cgroupfs; /* NULL: not asked yet */
	GHashTable *named; /* struct named_key → struct histogram_counts, told by name, not yet taken off */
	GHashTable *names; /* cgroup key → set of names */
	struct dns_address *resolvers; /* by number; family 0: not read yet */
	GArray *late; /* of struct dns_key: no answer came in time */
	struct allowance *allowance;
	struct ledger *ledger; /* while collecting */
	guint64 malformed;
	gboolean ended;
};

/* ---- what is told ---- */

static const char *dns_outcome_name(guint outcome)
{
	return outcome < DNS_OUTCOMES ? dns_counters[outcome].name : NULL;
}

/* The resolver's address as text. */
static void dns_resolver_text(struct dns_run *run, guint32 number, char text[INET6_ADDRSTRLEN])
{
	struct dns_address *address = &run->resolvers[MIN(number, DNS_RESOLVERS - 1)];

	g_strlcpy(text, DNS_OTHER_RESOLVERS, INET6_ADDRSTRLEN);
	if (number == 0 || number >= DNS_RESOLVERS)
		return;
	if (!address->family)
		bpf_map_lookup_elem(bpf_map__fd(run->kernel->maps.dns_resolvers), &number, address);
	if (address->family)
		inet_ntop((int)address->family, address->bytes, text, INET6_ADDRSTRLEN);
}

static const char *dns_transport(guint64 label)
{
	return DNS_LABEL_TCP(label) ? "tcp" : "udp";
}

/* A row by its key: the number it has in the kernel; TABLE_NO_ROW when it has none any more. */
static guint32 dns_row(struct dns_run *run, guint64 cgroup_key, guint64 label)
{
	const struct table_key key = { .cgroup_key = cgroup_key, .label = label };
	guint32 row = TABLE_NO_ROW;

	bpf_map_lookup_elem(bpf_map__fd(run->kernel->maps.table_keys), &key, &row);
	return row;
}

/* The resolver's end: its container where its socket is on this machine. */
static void dns_target(struct dns_run *run, guint64 cgroup_key, guint64 label, const char *address,
		       struct probe_end *end)
{
	guint32 row = dns_row(run, cgroup_key, label);
	struct {
		guint64 cgroup_key, asked_ns;
	} server = { 0 };

	*end = (struct probe_end){ .kind = EDGE_END_EXTERNAL, .text = address };
	if (row == TABLE_NO_ROW ||
	    bpf_map_lookup_elem(bpf_map__fd(run->kernel->maps.dns_servers), &row, &server) != 0 || !server.cgroup_key)
		return;
	*end = (struct probe_end){ .kind = EDGE_END_CONTAINER, .cgroup_key = server.cgroup_key };
}

static void dns_tell_pair(struct dns_run *run, guint64 cgroup_key, guint64 label, const char *name,
			  const guint64 *counters, const struct histogram_counts *latency)
{
	struct probe_value values[DNS_LABELS] = { [LABEL_NAME] = { .text = name } };
	char address[INET6_ADDRSTRLEN];
	struct probe_pair pair = {
		.source = { .kind = EDGE_END_CONTAINER, .cgroup_key = cgroup_key },
		.values = values,
		.counters = counters,
		.histograms = &latency,
	};

	dns_resolver_text(run, DNS_LABEL_RESOLVER(label), address);
	values[LABEL_RESOLVER].text = address;
	values[LABEL_TRANSPORT].text = dns_transport(label);
	dns_target(run, cgroup_key, label, address, &pair.target);
	if (run->listener.pair)
		run->listener.pair(run->listener.user, &pair);
}

/* So many questions ended so. */
static void dns_tell_outcome(struct dns_run *run, guint64 cgroup_key, guint64 label, const char *name, guint outcome,
			     const struct histogram_counts *counts)
{
	guint64 counters[DNS_COUNTERS] = { [COUNTER_QUERIES] = counts->count };

	counters[outcome] = counts->count;
	dns_tell_pair(run, cgroup_key, label, name, counters, outcome < DNS_ANSWERS ? counts : NULL);
}

static void dns_tell_bucket(struct dns_run *run, const struct probe_bucket *bucket, guint64 label, guint outcome)
{
	struct probe_value values[DNS_LABELS] = { [LABEL_OUTCOME] = { .text = dns_outcome_name(outcome) } };
	char address[INET6_ADDRSTRLEN];
	struct probe_bucket told = *bucket;

	dns_resolver_text(run, DNS_LABEL_RESOLVER(label), address);
	values[LABEL_RESOLVER].text = address;
	values[LABEL_TRANSPORT].text = dns_transport(label);
	told.values = values;
	if (run->listener.bucket)
		run->listener.bucket(run->listener.user, &told);
}

/* ---- names ---- */

static guint named_hash(gconstpointer data)
{
	const struct named_key *key = data;

	return g_int64_hash(&key->cgroup_key) ^ g_int64_hash(&key->label) * 31 ^ key->outcome;
}

static gboolean named_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct named_key)) == 0;
}

/* Takes what has been told by name off a row's counts. */
static void dns_take_named(struct dns_run *run, const struct named_key *key, struct histogram_counts *counts)
{
	struct histogram_counts *named = g_hash_table_lookup(run->named, key);

	if (!named)
		return;
	counts->count -= MIN(counts->count, named->count);
	counts->sum -= MIN(counts->sum, named->sum);
	for (guint i = 0; i < HISTOGRAM_BUCKETS; i++)
		counts->buckets[i] -= MIN(counts->buckets[i], named->buckets[i]);
	g_hash_table_remove(run->named, key);
}

/* The name itself, or "other names" when its cgroup has asked for too many. */
static const char *dns_known_name(struct dns_run *run, guint64 cgroup_key, const char *name)
{
	GHashTable *set = g_hash_table_lookup(run->names, &cgroup_key);

	if (!set) {
		set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
		g_hash_table_insert(run->names, g_memdup2(&cgroup_key, sizeof(cgroup_key)), set);
	}
	if (g_hash_table_contains(set, name))
		return name;
	if (g_hash_table_size(set) >= DNS_NAMES)
		return DNS_OTHER_NAMES;
	g_hash_table_add(set, g_strdup(name));
	return name;
}

static void dns_tell_name(struct dns_run *run, const struct dns_record *record, const char *name)
{
	const struct named_key key = { record->head.task.cgroup_key, record->label, record->outcome, 0 };
	struct histogram_counts one = { 0 }, *named = g_hash_table_lookup(run->named, &key);

	histogram_counts_record(&one, UNIT_NANOSECONDS, record->latency_ns, record->many);
	if (!named) {
		named = g_new0(struct histogram_counts, 1);
		g_hash_table_insert(run->named, g_memdup2(&key, sizeof(key)), named);
	}
	histogram_counts_add(named, &one);
	dns_tell_outcome(run, key.cgroup_key, key.label, dns_known_name(run, key.cgroup_key, name), record->outcome,
			 &one);
}

/* searches_list_fn */
static char **dns_search_list(void *user, const struct search *search)
{
	struct dns_run *run = user;
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	char **list = resolvconf_search(search->tgid, NULL);

	if (list)
		return list;
	/* Who asks once and ends is gone by now; whoever is in the same cgroup sees the same file, as a rule. */
	if (!run->cgroupfs)
		run->cgroupfs = cgroupfs_open("/", NULL);
	if (run->cgroupfs)
		cgroupfs_pids_of(run->cgroupfs, search->cgroup_key, pids);
	for (guint i = 0; !list && i < MIN(pids->len, DNS_NEIGHBOURS); i++)
		list = resolvconf_search(g_array_index(pids, guint32, i), NULL);
	return list;
}

/* searches_wasted_fn */
static void dns_search_wasted(void *user, const struct search *search)
{
	struct dns_run *run = user;
	const guint64 counters[DNS_COUNTERS] = { [COUNTER_SEARCH_WASTE] = 1 };
	const char *name = run->request.arguments ? dns_known_name(run, search->cgroup_key, search->name) : NULL;

	dns_tell_pair(run, search->cgroup_key, search->label, name, counters, NULL);
}

/* ringread_fn */
static int dns_take_record(void *user, void *data, size_t bytes)
{
	struct dns_run *run = user;
	const struct dns_record *record = data;
	char name[SEARCHES_NAME];
	struct search search;

	if (bytes < sizeof(*record) || record->question_bytes > DNS_QUESTION || record->outcome >= DNS_ANSWERS ||
	    !searches_name(record->question, record->question_bytes, name)) {
		run->malformed++;
		return 0;
	}
	search = (struct search){
		.cgroup_key = record->head.task.cgroup_key,
		.label = record->label,
		.tgid = record->head.task.tgid,
		.time_ns = record->head.time_ns,
		.name = name,
	};
	if (run->request.arguments)
		dns_tell_name(run, record, name);
	if (record->outcome == DNS_NXDOMAIN)
		searches_miss(run->searches, &search);
	else if (record->outcome == DNS_NOERROR)
		searches_hit(run->searches, &search);
	return 0;
}

/* ---- the table's listener ---- */

static gboolean dns_values(const struct table_owner *owner, guint which, struct probe_value *values)
{
	values[0].number = owner->key.label; /* for dns_bucket */
	values[1].number = which;
	return TRUE;
}

static const struct table_ops dns_table_ops = { .classes = DNS_OUTCOMES, .values = 2, .values_of = dns_values };

static void dns_bucket(void *user, const struct probe_bucket *bucket)
{
	struct dns_run *run = user;
	guint64 label = bucket->values[0].number;
	guint outcome = (guint)bucket->values[1].number;
	const struct named_key key = { bucket->task->cgroup_key, label, outcome, 0 };
	struct histogram_counts counts = *bucket->counts;

	if (!run->edges) {
		dns_tell_bucket(run, bucket, label, outcome);
		return;
	}
	dns_take_named(run, &key, &counts);
	if (counts.count)
		dns_tell_outcome(run, key.cgroup_key, label, NULL, outcome, &counts);
}

static void dns_born(void *user, guint64 cgroup_key, const char *path)
{
	struct dns_run *run = user;

	if (run->listener.cgroup_born)
		run->listener.cgroup_born(run->listener.user, cgroup_key, path);
}

static void dns_died(void *user, guint64 cgroup_key)
{
	struct dns_run *run = user;

	g_hash_table_remove(run->names, &cgroup_key);
	if (run->listener.cgroup_died)
		run->listener.cgroup_died(run->listener.user, cgroup_key);
}

/* A row's number will be somebody else's, who asks somebody else. */
static void dns_row_freed(void *user, guint32 row)
{
	struct dns_run *run = user;
	const guint64 nobody[2] = { 0 };

	bpf_map_update_elem(bpf_map__fd(run->kernel->maps.dns_servers), &row, nobody, BPF_ANY);
}

/* ---- what gets no answer ---- */

static void dns_tell_unanswered(struct dns_run *run, const struct table_owner *owner, guint64 age_ns, guint32 many)
{
	struct histogram_counts one = { 0 };
	struct probe_task task = { .cgroup_key = owner->key.cgroup_key, .tgid = owner->key.tgid };
	const struct probe_bucket bucket = { .task = &task, .pidns = owner->key.pidns, .counts = &one };

	histogram_counts_record(&one, UNIT_NANOSECONDS, age_ns, many);
	memcpy(task.comm, owner->comm, MIN(sizeof(task.comm), sizeof(owner->comm)) - 1);
	run->ledger->seen.events += many;
	run->ledger->seen.weight += age_ns * many;
	if (run->edges)
		dns_tell_outcome(run, task.cgroup_key, owner->key.label, NULL, DNS_UNANSWERED, &one);
	else
		dns_tell_bucket(run, &bucket, owner->key.label, DNS_UNANSWERED);
}

static void dns_tell_pending(struct dns_run *run, const struct table_owner *owner, guint32 many)
{
	const guint64 counters[DNS_COUNTERS] = { [COUNTER_QUERIES] = many, [COUNTER_PENDING] = many };

	if (run->edges)
		dns_tell_pair(run, owner->key.cgroup_key, owner->key.label, NULL, counters, NULL);
}

/* mapread_fn. An entry goes when every resolver that was asked has had its time. */
static void dns_look_at_pending(void *user, const void *key, const void *value)
{
	struct dns_run *run = user;
	const struct dns_pending *pending = value;
	guint64 now_ns = clock_monotonic_ns();
	gboolean late = TRUE;

	for (guint i = 0; i < DNS_TRIES; i++)
		late &= !pending->tries[i].start_ns || now_ns >= pending->tries[i].start_ns + run->timeout_ns;
	if (late || run->ended)
		g_array_append_vals(run->late, key, 1);
}

/* Nobody waits for it any more, or the measurement is over. */
static void dns_give_up(struct dns_run *run, const struct dns_key *key)
{
	int fd = bpf_map__fd(run->kernel->maps.dns_waiting);
	guint64 now_ns = clock_monotonic_ns();
	struct dns_pending pending;
	struct table_owner owner;
	gboolean waits = FALSE;

	if (bpf_map_lookup_elem(fd, key, &pending) != 0 || bpf_map_delete_elem(fd, key) != 0)
		return; /* answered at the last moment */
	__atomic_sub_fetch(&run->kernel->bss->dns_owners[pending.slot % DNS_OWNER_SLOTS].pending, 1, __ATOMIC_RELAXED);
	for (guint i = 0; i < DNS_TRIES; i++) {
		const struct dns_try *try = &pending.tries[i];

		if (!try->start_ns)
			continue;
		waits = TRUE;
		if (!table_owner_at(run->table, try->row, &owner) || owner.key.cgroup_key != pending.cgroup_key)
			ledger_add(run->ledger, LEDGER_LOST_MAP, pending.many, 0);
		else if (now_ns >= try->start_ns + run->timeout_ns)
			dns_tell_unanswered(run, &owner, now_ns - try->start_ns, pending.many);
		else
			dns_tell_pending(run, &owner, pending.many);
	}
	if (!waits) /* an answer to another question, whose entry this was a moment before, took it for its own */
		ledger_add(run->ledger, LEDGER_LOST_MAP, pending.many, 0);
}

static gboolean dns_collect_pending(struct dns_run *run, GError **error)
{
	g_array_set_size(run->late, 0);
	if (!mapread_each(bpf_map__fd(run->kernel->maps.dns_waiting), sizeof(struct dns_key),
			  sizeof(struct dns_pending), dns_look_at_pending, run, error))
		return FALSE;
	for (guint i = 0; i < run->late->len; i++)
		dns_give_up(run, &g_array_index(run->late, struct dns_key, i));
	return TRUE;
}

/* ---- running ---- */

static gboolean dns_share_askers(struct dns_run *run, GError **error)
{
	struct bpf_map *map = run->kernel->maps.askers;
	int result = run->request.askers ? bpf_map__reuse_fd(map, askers_map(run->request.askers))
					 : bpf_map__set_max_entries(map, 1);

	if (result == 0)
		return TRUE;
	ladder_set_error(error, "cannot share the table of who asks DNS", -result);
	return FALSE;
}

static gboolean dns_load(struct dns_run *run, GError **error)
{
	static const char what[] = "cannot load the program that watches DNS";
	guint32 rows = MIN(table_rows_for(&run->request, DNS_OUTCOMES), DNS_ROWS);
	guint32 pending = run->request.frugal ? DNS_PENDING_FRUGAL : DNS_PENDING;
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	struct filter_values values;

	run->kernel = KERNEL_BTF_OPEN(dns, btf, what, error);
	if (!run->kernel)
		return FALSE;
	filter_values_init(&values, &run->request);
	TABLE_SET(run->kernel->rodata, &values, &run->request, rows);
	run->kernel->rodata->dns_pending_owner = pending / DNS_PENDING_PART;
	bpf_map__set_max_entries(run->kernel->maps.dns_waiting, pending);
	run->kernel->rodata->dns_moves = run->request.askers != NULL;
	run->kernel->rodata->dns_chains = run->edges;
	run->kernel->rodata->dns_names = run->edges && run->request.arguments;
	if (!table_size(run->kernel->obj, &run->request, DNS_OUTCOMES, rows, error) || !dns_share_askers(run, error) ||
	    !kernel_btf_load(btf, run->kernel->skeleton, what, error))
		return FALSE;
	run->table = table_open(run->kernel->obj, &run->request,
				&(struct probe_listener){
					.user = run,
					.bucket = dns_bucket,
					.cgroup_born = dns_born,
					.cgroup_died = dns_died,
				},
				&dns_table_ops, rows, error);
	if (!run->table)
		return FALSE;
	table_on_free(run->table, dns_row_freed, run);
	run->allowance = allowance_new(run->kernel->obj, run->request.budget_share);
	return TRUE;
}

static gboolean dns_poll(struct dns_run *run, int fd, GError **error)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return TRUE;
	ladder_set_error(error, "cannot wait for the kernel's news", errno);
	return FALSE;
}

static gboolean dns_open_ring(struct dns_run *run, GError **error)
{
	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	run->ring = ringread_open(bpf_map__fd(run->kernel->maps.dns_ring), dns_take_record, run);
	if (!run->ring) {
		ladder_set_error(error, "cannot map the ring of names", errno);
		return FALSE;
	}
	if (run->request.askers && !dns_poll(run, askers_fd(run->request.askers), error))
		return FALSE;
	return (table_fd(run->table) < 0 || dns_poll(run, table_fd(run->table), error)) &&
	       dns_poll(run, ringread_fd(run->ring), error);
}

static void dns_detach(struct dns_run *run)
{
	if (run->request.askers)
		askers_take_down(run->request.askers);
	for (guint i = 0; i < DNS_LINKS; i++)
		bpf_link__destroy(g_steal_pointer(&run->links[i]));
}

/* Calls of its programs. */
static guint64 dns_passes(const struct dns_run *run)
{
	guint64 passes = 0;

	for (guint i = 0; i < DNS_PASSES_CPUS; i++)
		passes += __atomic_load_n(&run->kernel->bss->dns_passes[i].count, __ATOMIC_RELAXED);
	return passes;
}

static gboolean dns_attach_movable(struct dns_run *run, GError **error)
{
	const int programs[ASKERS_PROGRAMS] = { bpf_program__fd(run->kernel->progs.dns_ingress),
						bpf_program__fd(run->kernel->progs.dns_egress) };

	return askers_hang(run->request.askers, programs, error);
}

/* ladder_try_fn */
static gboolean dns_attach(void *user, const struct rung *rung, GError **error)
{
	struct dns_run *run = user;
	struct bpf_program *const programs[DNS_LINKS] = { run->kernel->progs.dns_ingress,
							  run->kernel->progs.dns_egress };
	int root;

	(void)rung;
	if (run->request.askers)
		return dns_attach_movable(run, error);
	root = cgroup_root_open(error);
	if (root < 0)
		return FALSE;
	ladder_log_start();
	for (guint i = 0; i < DNS_LINKS; i++) { /* answers first: none to a question that was seen is missed */
		run->links[i] = bpf_program__attach_cgroup(programs[i], root);
		if (!run->links[i]) {
			ladder_set_error(error, "cannot attach to the sockets of the root cgroup", errno);
			dns_detach(run);
			break;
		}
	}
	close(root);
	return run->links[0] != NULL;
}

static void dns_close(struct probe_run *opaque)
{
	struct dns_run *run = (struct dns_run *)opaque;

	if (!run)
		return;
	dns_detach(run);
	ringread_close(run->ring);
	g_clear_pointer(&run->allowance, allowance_free);
	table_close(run->table);
	dns_bpf__destroy(run->kernel);
	if (run->epoll_fd >= 0)
		close(run->epoll_fd);
	searches_free(run->searches);
	g_clear_pointer(&run->cgroupfs, cgroupfs_free);
	g_hash_table_unref(run->named);
	g_hash_table_unref(run->names);
	g_array_unref(run->late);
	g_free(run->resolvers);
	g_free(run);
}

static struct probe_run *dns_start(const struct probe_request *request, const struct probe_listener *listener,
				   gboolean edges, GError **error)
{
	struct dns_run *run = g_new0(struct dns_run, 1);

	run->request = *request;
	run->listener = *listener;
	run->edges = edges;
	run->epoll_fd = -1;
	run->timeout_ns = request->threshold_ns ? request->threshold_ns : DNS_TIMEOUT_NS;
	run->resolvers = g_new0(struct dns_address, DNS_RESOLVERS);
	run->searches = searches_new(dns_search_list, dns_search_wasted, run);
	run->named = g_hash_table_new_full(named_hash, named_equal, g_free, g_free);
	run->names = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)g_hash_table_unref);
	run->late = g_array_new(FALSE, FALSE, sizeof(struct dns_key));
	if (dns_load(run, error) && dns_open_ring(run, error))
		run->rung = ladder_climb(dns_rungs, request->rung, dns_attach, run, NULL, error);
	if (run->rung)
		return (struct probe_run *)run;
	dns_close((struct probe_run *)run);
	return NULL;
}

static struct probe_run *dns_open(const struct probe_request *request, const struct probe_listener *listener,
				  GError **error)
{
	return dns_start(request, listener, FALSE, error);
}

static struct probe_run *dns_open_edges(const struct probe_request *request, const struct probe_listener *listener,
					GError **error)
{
	struct probe_request by_container = *request;

	by_container.by_process = by_container.by_pidns = FALSE;
	return dns_start(&by_container, listener, TRUE, error);
}

static int dns_fd(struct probe_run *run)
{
	return ((struct dns_run *)run)->epoll_fd;
}

static gboolean dns_drain(struct probe_run *opaque, GError **error)
{
	struct dns_run *run = (struct dns_run *)opaque;
	int result;

	allowance_step(run->allowance);
	if (run->request.askers)
		askers_step(run->request.askers, dns_passes(run));
	table_drain(run->table);
	result = ringread_consume(run->ring);
	if (result >= 0)
		return TRUE;
	ladder_set_error(error, "cannot read the ring of names", -result);
	return FALSE;
}

static void dns_note(struct ledger *ledger, guint64 count, const char *what)
{
	if (count)
		ledger_note(ledger, g_strdup_printf("%s: %" G_GUINT64_FORMAT, what, count));
}

static void dns_account_unheard(struct dns_run *run, struct ledger *ledger)
{
	guint64 unheard;

	if (!run->request.askers || !askers_account(run->request.askers, &unheard))
		return;
	ledger_note(
		ledger,
		g_strdup("when there are many packets those alone are looked at of cgroups that asked DNS within the "
			 "last minute: who had not is heard a moment after it asks, its first questions are lost"));
	ledger->seen.events += unheard;
	ledger_add(ledger, LEDGER_LOST_MISSED, unheard, 0);
}

static gboolean dns_collect(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct dns_run *run = (struct dns_run *)opaque;

	ledger_set_rung(ledger, run->rung->name, run->rung->misses);
	run->ledger = ledger;
	allowance_account(run->allowance, ledger);
	dns_account_unheard(run, ledger);
	return dns_collect_pending(run, error) && dns_drain(opaque, error) && table_collect(run->table, ledger, error);
}

static gboolean dns_finish(struct probe_run *opaque, struct ledger *ledger, GError **error)
{
	struct dns_run *run = (struct dns_run *)opaque;

	dns_detach(run);
	run->ended = TRUE;
	allowance_account_cost(run->allowance, ledger);
	if (!dns_collect(opaque, ledger, error) || !table_collect(run->table, ledger, error))
		return FALSE;
	dns_note(ledger, __atomic_load_n(&run->kernel->bss->dns_names_lost, __ATOMIC_RELAXED),
		 "names that were not looked at: too many in a short time");
	dns_note(ledger, __atomic_load_n(&run->kernel->bss->dns_strangers, __ATOMIC_RELAXED),
		 "answers nobody waited for (late, or asked before the start)");
	if (run->edges && __atomic_load_n(&run->kernel->bss->dns_left_out, __ATOMIC_RELAXED))
		ledger_note(ledger,
			    g_strdup("questions wasted by search lists are too few: they are told by what follows "
				     "what, and not every question was looked at"));
	dns_note(ledger, run->malformed, "answers whose question makes no sense");
	dns_note(ledger, searches_unknown(run->searches),
		 "names that do not exist, of processes whose search list could not be read");
	return TRUE;
}

const struct probe probe_dns = {
	.name = "dns",
	.shows = "DNS: how long answers take, by resolver, transport and outcome",
	.shape = SHAPE_HISTOGRAM,
	.unit = UNIT_NANOSECONDS,
	.rungs = dns_rungs,
	.labels = dns_histogram_labels,
	.open = dns_open,
	.fd = dns_fd,
	.drain = dns_drain,
	.collect = dns_collect,
	.finish = dns_finish,
	.close = dns_close,
};

const struct probe probe_resolvers = {
	.name = "resolvers",
	.shows = "DNS: who asks which resolver, and what comes of it",
	.shape = SHAPE_EDGES,
	.unit = UNIT_COUNT,
	.rungs = dns_rungs,
	.labels = dns_edge_labels,
	.counters = dns_counters,
	.histograms = dns_times,
	.open = dns_open_edges,
	.fd = dns_fd,
	.drain = dns_drain,
	.collect = dns_collect,
	.finish = dns_finish,
	.close = dns_close,
	.view_of = &probe_dns,
};
