/* SPDX-License-Identifier: Apache-2.0 */
/* manycontainers FILE CONTAINERS EDGES SECONDS : a capture whose containers and connections are made up, told apart and written as
 * those of `fathom record`; what is measured on it goes the way of real ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "probe/probe.h"
#include "store/capture.h"
#include "store/pack.h"

#define TENTH_NS (NS_PER_S / 10)
#define KINDS 60 /* of services */

struct made {
	guint containers, edges;
	GRand *random;
	guint *ends; /* containers of edge i: 2 i, 2 i + 1 */
};

static char *name_of(guint i)
{
	return g_strdup_printf("service%u-%u", i % KINDS, i);
}

static void usage_make(struct made *made, struct snapshot *snapshot)
{
	struct shape *shape = shape_new(SHAPE_GAUGES, "usage", UNIT_COUNT);

	for (guint i = 0; i < made->containers; i++) {
		g_autofree char *name = name_of(i), *cgroup = g_strdup_printf("/docker/%064u", i);
		g_autofree char *image = g_strdup_printf("image%u", i % KINDS);
		struct gauge_row *row =
			gauges_add(shape->gauges, GAUGE_RESOURCE_CONTAINER, i + 100, (guint64)i + 1, name);

		gauges_set_text(shape->gauges, row, GAUGE_TEXT_CGROUP, cgroup);
		gauges_set_text(shape->gauges, row, GAUGE_TEXT_RUNTIME, "docker");
		gauges_set_text(shape->gauges, row, GAUGE_TEXT_IMAGE, image);
		gauge_set(row, GAUGE_CPU, (guint64)g_rand_int_range(made->random, 0, (gint)TENTH_NS));
		gauge_set(row, GAUGE_MEMORY, (guint64)g_rand_int_range(made->random, 1 << 20, 1 << 28));
		gauge_set(row, GAUGE_MEMORY_LIMIT, 1u << 28);
	}
	g_ptr_array_add(snapshot->shapes, shape);
}

static void count(const struct edges *edges, struct edge *edge, const char *name, guint64 value)
{
	int counter = edges_counter(edges, name);

	if (counter >= 0)
		edge_count(edge, (guint)counter, value);
}

static void connections_make(struct made *made, struct snapshot *snapshot, gboolean is_first)
{
	static const char *const labels[] = { "port", NULL }, *const port[] = { "80" };
	const struct probe *probe = probe_find("connections");
	struct shape *shape = shape_new(SHAPE_EDGES, probe->name, probe->unit);

	shape->edges = edges_new(labels, probe->counters, probe->histograms);
	for (guint i = 0; i < made->edges; i++) {
		g_autofree char *from = name_of(made->ends[2 * i]), *to = name_of(made->ends[2 * i + 1]);
		const struct edge_end source = { EDGE_END_CONTAINER, from }, target = { EDGE_END_CONTAINER, to };
		struct edge *edge = edges_add(shape->edges, &source, &target, port);
		struct histogram_counts times = { 0 };

		if (!edge)
			continue;
		histogram_counts_record(&times, UNIT_NANOSECONDS,
					(guint64)g_rand_int_range(made->random, 20000, 2000000), 1);
		count(shape->edges, edge, "opens", is_first ? 3 : 1);
		count(shape->edges, edge, "accepts", is_first ? 3 : 1);
		count(shape->edges, edge, "closes", is_first ? 0 : 1);
		count(shape->edges, edge, "failed_refused", i % 33 == 0);
		count(shape->edges, edge, "sent_bytes", (guint64)g_rand_int_range(made->random, 0, 1 << 20));
		count(shape->edges, edge, "received_bytes", (guint64)g_rand_int_range(made->random, 0, 1 << 20));
		count(shape->edges, edge, "sent_segments", 100);
		if (edges_histogram(shape->edges, "rtt") >= 0)
			edge_histogram_add(edge, (guint)edges_histogram(shape->edges, "rtt"), &times);
	}
	g_ptr_array_add(snapshot->shapes, shape);
}

static gboolean write_all(struct made *made, const char *path, guint seconds, GError **error)
{
	struct capture_writer *writer = capture_create(path, error);
	gint64 now_ms = (gint64)(clock_realtime_ns() / NS_PER_MS);

	for (guint i = 0; writer && i < seconds; i++) {
		g_autoptr(snapshot_t) snapshot = snapshot_new("made up");
		gint64 time_ms = now_ms - (gint64)(seconds - i) * 1000;
		g_autoptr(GBytes) packed = NULL;
		gsize length;
		const guint8 *bytes;

		snapshot->start_realtime_ns = (guint64)(time_ms - 1000) * NS_PER_MS;
		snapshot->duration_ns = NS_PER_S;
		usage_make(made, snapshot);
		connections_make(made, snapshot, i == 0);
		packed = pack_snapshot_compressed(snapshot);
		bytes = g_bytes_get_data(packed, &length);
		if (!capture_append(writer, time_ms, bytes, length, error))
			return FALSE;
	}
	return writer && capture_close(writer, error);
}

int main(int argc, char **argv)
{
	struct made made = { .random = g_rand_new_with_seed(7) };
	g_autoptr(GError) error = NULL;
	guint half;

	if (argc != 5) {
		fprintf(stderr, "usage: manycontainers FILE CONTAINERS EDGES SECONDS\n");
		return 2;
	}
	made.containers = MAX((guint)atoi(argv[2]), 2);
	made.edges = (guint)atoi(argv[3]);
	half = made.containers / 2;
	made.ends = g_new(guint, 2 * (gsize)made.edges);
	for (guint i = 0; i < made.edges; i++) { /* each pair once */
		made.ends[2 * i] = i % half;
		made.ends[2 * i + 1] = half + (i / half + i * 7) % (made.containers - half);
	}
	if (!write_all(&made, argv[1], (guint)atoi(argv[4]), &error)) {
		fprintf(stderr, "manycontainers: %s\n", error->message);
		return 1;
	}
	return 0;
}
