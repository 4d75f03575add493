/* SPDX-License-Identifier: Apache-2.0 */
/* The writers behind map_formats; see struct render_format for the contract. */
#pragma once
#include "render/formats.h"
#include "render/map.h"

/* The edges of connections in a snapshot, or NULL and `error`. */
struct shape *map_shape(const struct snapshot *snapshot, GError **error);

gboolean map_write_text(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			GError **error);
gboolean map_write_dot(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
		       GError **error);
gboolean map_write_json(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			GError **error);
gboolean map_write_svg(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
		       GError **error);
gboolean map_write_html(const struct snapshot *snapshot, const struct render_options *options, FILE *out,
			GError **error);
