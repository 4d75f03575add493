/* SPDX-License-Identifier: Apache-2.0 */
#include "render/map.h"

#include <math.h>
#include <string.h>

#define MAP_FAILED_BAD 0.05 /* share of attempts */
#define MAP_LOST_WARN 0.005 /* share of segments sent again in earnest */
#define MAP_LOST_BAD 0.03
#define MAP_LOST_MIN 3 /* so few may be chance */
#define MAP_PORTS_SHOWN 3

const char *map_kind_name(enum edge_end_kind kind)
{
	static const char *const names[EDGE_END_KINDS] = {
		"container", "host", "limit", "unknown", "outside", "outside"
	};

	return kind < EDGE_END_KINDS ? names[kind] : "unknown";
}

const char *map_kind_words(enum edge_end_kind kind)
{
	return kind == EDGE_END_TOLD ? "outside, named by DNS" : map_kind_name(kind);
}

static void map_link_free(gpointer data)
{
	struct map_link *link = data;

	g_ptr_array_unref(link->ports);
	if (link->points)
		g_array_unref(link->points);
	g_free(link->why);
	g_free(link);
}

void map_free(struct map *map)
{
	if (!map)
		return;
	edges_free(map->edges);
	g_array_unref(map->nodes);
	g_ptr_array_unref(map->links);
	g_free(map);
}

/* ---- which ends get a node of their own ---- */

/* "0 name": one string for an end. */
static char *end_key(const struct edge_end *end)
{
	return g_strdup_printf("%d %s", (int)end->kind, end->name);
}

static guint64 row_weight(const struct edges *edges, guint32 row)
{
	struct connection_numbers numbers;

	connection_numbers(edges, row, &numbers);
	return (MAX(numbers.opens, numbers.accepts) + numbers.failed + numbers.live) * 1000 +
	       (numbers.sent_bytes + numbers.received_bytes) / 1024 + 1;
}

struct ranked_end {
	const char *key;
	guint64 weight;
};

static gint ranked_compare(gconstpointer left, gconstpointer right)
{
	const struct ranked_end *a = left, *b = right;

	if (a->weight != b->weight)
		return a->weight < b->weight ? 1 : -1;
	return strcmp(a->key, b->key);
}

static void end_weigh(GHashTable *weights, const struct edge_end *end, guint64 weight)
{
	char *key = end_key(end);
	guint64 *sum = g_hash_table_lookup(weights, key);

	if (sum) {
		*sum += weight;
		g_free(key);
		return;
	}
	sum = g_new(guint64, 1);
	*sum = weight;
	g_hash_table_insert(weights, key, sum);
}

/* The keys of the heaviest ends; containers before addresses outside, so that a scan pushes nobody out. */
static GHashTable *map_choose(const struct edges *edges, GHashTable *weights)
{
	GHashTable *chosen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GArray) ranked = g_array_new(FALSE, FALSE, sizeof(struct ranked_end));
	GHashTableIter each;
	gpointer key, weight;

	for (guint32 row = 0; row < edges->rows->len; row++) {
		struct edge_end source = edges_source(edges, row), target = edges_target(edges, row);

		end_weigh(weights, &source, row_weight(edges, row));
		end_weigh(weights, &target, row_weight(edges, row));
	}
	g_hash_table_iter_init(&each, weights);
	while (g_hash_table_iter_next(&each, &key, &weight)) {
		struct ranked_end end = { key, *(guint64 *)weight };

		g_array_append_val(ranked, end);
	}
	g_array_sort(ranked, ranked_compare);
	for (guint pass = 0; pass < 2; pass++) {
		for (guint i = 0; i < ranked->len && g_hash_table_size(chosen) < MAP_NODES_MAX; i++) {
			const char *name = g_array_index(ranked, struct ranked_end, i).key;

			if (edge_end_is_outside((enum edge_end_kind)(name[0] - '0')) == (pass == 1))
				g_hash_table_add(chosen, g_strdup(name));
		}
	}
	return chosen;
}

struct map_fold {
	GHashTable *chosen;
	GHashTable *folded[EDGE_END_KINDS]; /* keys of ends that share a node */
};

static struct edge_end map_fold_end(struct map_fold *fold, struct edge_end end)
{
	static const char *const others[EDGE_END_KINDS] = { "other containers", "host",
							    "limits",		"others unknown",
							    "other addresses",	"other names" };
	g_autofree char *key = end_key(&end);

	if (g_hash_table_contains(fold->chosen, key))
		return end;
	g_hash_table_add(fold->folded[end.kind], g_steal_pointer(&key));
	return (struct edge_end){ .kind = end.kind, .name = others[end.kind] };
}

/* ---- nodes and links ---- */

static guint map_node(struct map *map, GHashTable *numbers, struct edge_end end)
{
	char *key = end_key(&end);
	gpointer known = g_hash_table_lookup(numbers, key);
	struct map_node node = { .end = end };

	if (known) {
		g_free(key);
		return GPOINTER_TO_UINT(known) - 1;
	}
	g_array_append_val(map->nodes, node);
	g_hash_table_insert(numbers, key, GUINT_TO_POINTER(map->nodes->len));
	return map->nodes->len - 1;
}

/* Retransmissions that were needed: the other end has said which were not. */
static guint64 link_lost(const struct connection_numbers *numbers)
{
	return numbers->retransmits > numbers->spurious ? numbers->retransmits - numbers->spurious : 0;
}

static void link_judge(const struct map *map, struct map_link *link)
{
	const struct connection_numbers *numbers = &link->numbers;
	g_autoptr(GString) why = g_string_new(NULL);
	g_autofree char *failures = connection_failures(map->edges, link->row);
	g_autofree char *remarks = connection_remarks(numbers, map->duration_ns);
	guint64 tried = MAX(numbers->opens, numbers->accepts) + numbers->failed, lost = link_lost(numbers);
	/* Answers are sent by the other end: segments of both directions could be lost. */
	guint64 segments = MAX(numbers->sent_segments + numbers->received_segments, 1);
	double share = lost < MAP_LOST_MIN ? 0 : (double)lost / (double)segments;

	if (failures) {
		link->status = (double)numbers->failed / (double)tried >= MAP_FAILED_BAD ? MAP_BAD : MAP_WARN;
		g_string_append(why, failures);
	}
	if (share >= MAP_LOST_WARN) {
		link->status = MAX(link->status, share >= MAP_LOST_BAD ? MAP_BAD : MAP_WARN);
		g_string_append(why, why->len ? ", " : "");
		if (share <= 1)
			g_string_append_printf(why, "%.1f %% sent again", 100 * share);
		else /* again and again, to somebody who does not answer */
			g_string_append_printf(why, "%" G_GUINT64_FORMAT " sent again", lost);
	}
	if (remarks) {
		link->status = MAX(link->status, MAP_WARN);
		g_string_append_printf(why, "%s%s", why->len ? ", " : "", remarks);
	}
	if (why->len)
		link->why = g_strdup(why->str);
}

static gint port_compare(gconstpointer left, gconstpointer right)
{
	const char *a = *(const char *const *)left, *b = *(const char *const *)right;
	guint64 x = g_ascii_strtoull(a, NULL, 10), y = g_ascii_strtoull(b, NULL, 10);

	return x < y ? -1 : x > y ? 1 : strcmp(a, b);
}

static gint link_compare(gconstpointer left, gconstpointer right)
{
	const struct map_link *a = *(const struct map_link *const *)left, *b = *(const struct map_link *const *)right;

	if (a->weight != b->weight)
		return a->weight < b->weight ? 1 : -1;
	return a->row < b->row ? -1 : 1;
}

static void map_port(struct map *map, guint32 row, const char *port)
{
	struct map_link *link;

	while (map->links->len <= row) {
		link = g_new0(struct map_link, 1);
		link->row = map->links->len;
		link->ports = g_ptr_array_new_with_free_func(g_free);
		g_ptr_array_add(map->links, link);
	}
	link = g_ptr_array_index(map->links, row);
	if (port && !g_ptr_array_find_with_equal_func(link->ports, port, g_str_equal, NULL))
		g_ptr_array_add(link->ports, g_strdup(port));
}

/* Every row of `edges` goes to the row of its two nodes. */
static void map_merge(struct map *map, const struct edges *edges, struct map_fold *fold)
{
	g_autoptr(GHashTable) known = g_hash_table_new(NULL, NULL); /* struct edge * → its row + 1 */
	int ports = -1;

	for (int i = 0; edges->labels[i]; i++)
		if (strcmp(edges->labels[i], "port") == 0)
			ports = i;
	for (guint32 row = 0; row < edges->rows->len; row++) {
		const struct edge *from = g_ptr_array_index(edges->rows, row);
		struct edge_end source = map_fold_end(fold, edges_source(edges, row));
		struct edge_end target = map_fold_end(fold, edges_target(edges, row));
		struct edge *to = edges_add(map->edges, &source, &target, NULL);
		guint at;

		if (!to)
			continue;
		at = GPOINTER_TO_UINT(g_hash_table_lookup(known, to));
		if (!at) {
			at = map->edges->rows->len; /* a new one is the last */
			g_hash_table_insert(known, to, GUINT_TO_POINTER(at));
		}
		for (guint i = 0; i < edges->counter_count; i++)
			edge_count(to, i, from->counters[i]);
		for (guint i = 0; i < edges->histogram_count; i++)
			if (from->histograms[i])
				edge_histogram_add(to, i, from->histograms[i]);
		map_port(map, at - 1, ports < 0 ? NULL : edges_labels(edges, row)[ports]);
	}
}

static void map_connect(struct map *map)
{
	g_autoptr(GHashTable) numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (guint i = 0; i < map->links->len; i++) {
		struct map_link *link = g_ptr_array_index(map->links, i);

		connection_numbers(map->edges, link->row, &link->numbers);
		link->weight = row_weight(map->edges, link->row);
		link_judge(map, link);
		g_ptr_array_sort(link->ports, port_compare);
	}
	g_ptr_array_sort(map->links, link_compare);
	for (guint i = 0; i < map->links->len; i++) {
		struct map_link *link = g_ptr_array_index(map->links, i);

		link->drawn = i < MAP_LINKS_DRAWN_MAX;
		map->hidden += !link->drawn;
		link->source = map_node(map, numbers, edges_source(map->edges, link->row));
		link->target = map_node(map, numbers, edges_target(map->edges, link->row));
	}
	for (guint i = 0; i < map->links->len; i++) {
		struct map_link *link = g_ptr_array_index(map->links, i);
		struct map_node *source = &g_array_index(map->nodes, struct map_node, link->source);
		struct map_node *target = &g_array_index(map->nodes, struct map_node, link->target);

		source->out++;
		target->in++;
		source->weight += link->weight;
		target->weight += link->weight;
	}
}

struct map *map_new(const struct edges *edges, guint64 duration_ns)
{
	g_autoptr(GHashTable) weights = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	struct map *map = g_new0(struct map, 1);
	struct map_fold fold = { 0 };
	struct edges_column counters[EDGES_COUNTERS_MAX + 1] = { 0 }, histograms[EDGES_HISTOGRAMS_MAX + 1] = { 0 };

	memcpy(counters, edges->counters, edges->counter_count * sizeof(counters[0]));
	memcpy(histograms, edges->histograms, edges->histogram_count * sizeof(histograms[0]));
	map->duration_ns = duration_ns;
	map->edges = edges_new(NULL, counters, histograms);
	map->nodes = g_array_new(FALSE, TRUE, sizeof(struct map_node));
	map->links = g_ptr_array_new_with_free_func(map_link_free);
	for (guint kind = 0; kind < EDGE_END_KINDS; kind++)
		fold.folded[kind] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	fold.chosen = map_choose(edges, weights);
	map_merge(map, edges, &fold);
	map_connect(map);
	for (guint i = 0; i < map->nodes->len; i++) {
		struct map_node *node = &g_array_index(map->nodes, struct map_node, i);
		g_autofree char *key = end_key(&node->end);

		if (!g_hash_table_contains(fold.chosen, key))
			node->folded = g_hash_table_size(fold.folded[node->end.kind]);
	}
	g_hash_table_unref(fold.chosen);
	for (guint kind = 0; kind < EDGE_END_KINDS; kind++)
		g_hash_table_unref(fold.folded[kind]);
	return map;
}

/* ---- in words ---- */

char *map_link_rate(const struct map *map, const struct map_link *link)
{
	const struct connection_numbers *numbers = &link->numbers;
	guint64 opens = MAX(numbers->opens, numbers->accepts) + numbers->failed;
	double rate = map->duration_ns ? (double)opens * 1e9 / (double)map->duration_ns : 0;
	g_autofree char *text = NULL;

	if (!opens) {
		text = units_count(numbers->live);
		return g_strdup_printf("%s open", text);
	}
	if (rate >= 10) {
		text = units_count((guint64)rate);
		return g_strdup_printf("%s/s", text);
	}
	if (rate >= 0.1)
		return g_strdup_printf("%.1f/s", rate);
	text = units_count(opens);
	return g_strdup_printf("%s opened", text);
}

char *map_link_ports(const struct map_link *link)
{
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < link->ports->len && i < MAP_PORTS_SHOWN; i++) {
		const char *port = g_ptr_array_index(link->ports, i);

		g_string_append_printf(text, "%s%s%s", i ? " " : "", g_str_has_prefix(port, "unix:") ? "" : ":", port);
	}
	if (link->ports->len > MAP_PORTS_SHOWN)
		g_string_append_printf(text, " +%u", link->ports->len - MAP_PORTS_SHOWN);
	return g_string_free(text, FALSE);
}

double map_link_width(const struct map_link *link)
{
	guint64 bytes = link->numbers.sent_bytes + link->numbers.received_bytes;

	return CLAMP(1 + (log10((double)bytes + 1) - 3) * 0.8, 1.2, 6);
}

static void story_range(GString *story, const char *what, guint64 low_ns, guint64 high_ns)
{
	g_autofree char *low = units_duration(low_ns), *high = units_duration(high_ns);

	if (high_ns)
		g_string_append_printf(story, "\n%s %s\342\200\223%s (median)", what, low, high);
}

char *map_link_story(const struct map *map, const struct map_link *link)
{
	const struct connection_numbers *n = &link->numbers;
	const struct map_node *source = &g_array_index(map->nodes, struct map_node, link->source);
	const struct map_node *target = &g_array_index(map->nodes, struct map_node, link->target);
	g_autofree char *ports = map_link_ports(link), *rate = map_link_rate(map, link);
	g_autofree char *sent = units_bytes(n->sent_bytes), *received = units_bytes(n->received_bytes);
	GString *story = g_string_new(NULL);

	g_string_append_printf(story, "%s \342\206\222 %s %s\n", source->end.name, target->end.name, ports);
	g_string_append_printf(story,
			       "%s: %" G_GUINT64_FORMAT " opened, %" G_GUINT64_FORMAT " accepted, %" G_GUINT64_FORMAT
			       " closed, %" G_GUINT64_FORMAT " open\n%s sent, %s received",
			       rate, n->opens, n->accepts, n->closes, n->live, n->sent_bytes ? sent : "0",
			       n->received_bytes ? received : "0");
	story_range(story, "connect", n->connect_low_ns, n->connect_high_ns);
	story_range(story, "round trip", n->rtt_low_ns, n->rtt_high_ns);
	story_range(story, "first byte", n->first_byte_low_ns, n->first_byte_high_ns);
	story_range(story, "request", n->request_low_ns, n->request_high_ns);
	story_range(story, "session", n->session_low_ns, n->session_high_ns);
	if (n->retransmits)
		g_string_append_printf(story,
				       "\n%" G_GUINT64_FORMAT " segments sent again, %" G_GUINT64_FORMAT " needlessly",
				       n->retransmits, n->spurious);
	if (link->why)
		g_string_append_printf(story, "\n%s: %s", link->status == MAP_BAD ? "BAD" : "warning", link->why);
	return g_string_free(story, FALSE);
}
