/* SPDX-License-Identifier: Apache-2.0 */
/* The files of assets/ as NUL-terminated strings, embedded at build time. */
#pragma once

extern const char asset_page_css[];
extern const char asset_page_js[];
extern const char asset_svg_css[];
extern const char asset_svg_js[];
extern const char asset_tables_css[];
extern const char asset_map_css[]; /* picture and page */
extern const char asset_map_js[];
extern const char asset_map_page_css[];
