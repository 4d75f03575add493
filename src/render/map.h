/* SPDX-License-Identifier: Apache-2.0 */
/* A service map: who talks to whom, as a graph that can be drawn, from the edges of the probe "connections".
 *
 * A node is an end of edges, a link everything between two nodes in one direction, ports taken together. So that a map
 * stays readable and bounded whatever was seen, only the busiest nodes have a place of their own: what is beyond becomes
 * one node for each kind ("other addresses"), and it is said how many that are. Nothing of the counts is lost by that.
 *
 * The layout goes from left to right: who opens connections stands left of whom he opens them to. Links that close a
 * circle run backwards. Layers, then order within a layer (fewer crossings), then places: the same input always gives the
 * same picture. */
#pragma once
#include <glib.h>

#include "model/snapshot.h"
#include "render/connections.h"
#include "render/render.h"

#define MAP_NODES_MAX 120
#define MAP_LINKS_DRAWN_MAX 400 /* more are counted, listed in JSON, and not drawn */

enum map_status {
	MAP_OK = 0,
	MAP_WARN = 1, /* some fail, or segments are lost */
	MAP_BAD = 2, /* many do */
};

struct map_node {
	struct edge_end end; /* names are owned by the map's edges */
	guint folded; /* so many ends are one node; 0: it is one */
	guint64 weight; /* of its links */
	guint in, out; /* links */
	guint layer;
	double x, y, width, height; /* of its box: left upper corner */
};

struct map_link {
	guint source, target; /* nodes */
	guint32 row; /* in map.edges */
	struct connection_numbers numbers;
	GPtrArray *ports; /* of char *, in order */
	enum map_status status;
	char *why; /* "12 refused, 3.1 % lost": NULL when MAP_OK */
	guint64 weight;
	gboolean drawn;
	GArray *points; /* of struct map_point, from source to target, where drawn */
};

struct map_point {
	double x, y;
};

struct map {
	struct edges *edges; /* merged: no labels */
	GArray *nodes; /* of struct map_node, by weight, the heaviest first */
	GPtrArray *links; /* of struct map_link *, likewise */
	guint64 duration_ns;
	guint hidden; /* links that are not drawn */
	double width, height; /* of the picture */
};

/* The map of an edges shape; never NULL. */
struct map *map_new(const struct edges *edges, guint64 duration_ns);
void map_free(struct map *map);
typedef struct map map_t; /* for g_autoptr(map_t) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(map_t, map_free)

/* Places for nodes and ways for links. */
void map_layout(struct map *map);

/* "2,000 opens", "12.3k/s": what happened on a link, for people; raw. Owned by the caller. */
char *map_link_rate(const struct map *map, const struct map_link *link);
/* ":80 :443 +5"; owned by the caller. */
char *map_link_ports(const struct map_link *link);
/* Of its line: 1 to 6, by the logarithm of its bytes. */
double map_link_width(const struct map_link *link);
/* All that is known of a link, some lines; raw. Owned by the caller. */
char *map_link_story(const struct map *map, const struct map_link *link);
/* "container", "host" … */
const char *map_kind_name(enum edge_end_kind kind);
/* The same for people: "outside, named by DNS". */
const char *map_kind_words(enum edge_end_kind kind);

/* Formats of a map: text, dot, svg, html, json; ended by one without a name. */
extern const struct render_format map_formats[];
