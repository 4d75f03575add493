/* SPDX-License-Identifier: Apache-2.0 */
/* The writers behind the table in render.c; see struct render_format for the contract. */
#pragma once
#include "render/render.h"

gboolean render_svg(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error);
gboolean render_html(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error);
gboolean render_folded(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
		       GError **error);
gboolean render_json(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error);
gboolean render_pprof(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error);
gboolean render_speedscope(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			   GError **error);
gboolean render_text(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error);

/* The calltree of a snapshot, or NULL and `error` when it has none. */
struct shape *render_calltree(const struct snapshot *snapshot, GError **error);
/* The first shape that text and pictures can show (calltree, histogram or edges), or NULL and `error`. */
struct shape *render_shape(const struct snapshot *snapshot, GError **error);
/* Histograms and edges as a picture, and as a page. */
void svg_tables(const struct snapshot *snapshot, const struct shape *shape, const struct render_options *options,
		FILE *out);
void html_tables(const struct snapshot *snapshot, const struct shape *shape, const struct render_options *options,
		 FILE *out);
/* SHA-256 of an inline script or style, as a content security policy wants it. Owned by the caller. */
char *render_csp_hash(const char *content);
/* The heading: the option's title, the snapshot's, or "flame graph". */
const char *render_title(const struct snapshot *snapshot, const struct render_options *options);
