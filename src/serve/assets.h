/* SPDX-License-Identifier: Apache-2.0 */
/* The page's files (web/) as NUL-terminated strings, embedded at build time. */
#pragma once

extern const char asset_index_html[];
extern const char asset_app_js[];
extern const char asset_app_css[];
