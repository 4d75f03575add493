/* SPDX-License-Identifier: Apache-2.0 */
/* What the terminal summaries of all shapes share. Names pass text_terminal before they get here. */
#pragma once
#include <stdio.h>

#include "model/snapshot.h"
#include "render/render.h"

#define TEXT_PAGE_BAR 10 /* columns of a bar */

struct text_page {
	FILE *out;
	const struct render_options *options;
	const struct shape *shape;
	guint64 total;
	guint64 duration_ns; /* of the snapshot */
	guint columns, top;
};

const char *page_colour(const struct text_page *page, const char *sequence);
void page_heading(const struct text_page *page, const char *text);
/* A bar for `weight` of page->total. */
void page_bar(const struct text_page *page, guint64 weight);
/* Pads by columns, not bytes: "µs" is three bytes in two columns. */
void page_right(const struct text_page *page, const char *text, guint width);
void page_left(const struct text_page *page, const char *text, guint width);
void page_percent(const struct text_page *page, guint64 weight, guint width);
/* printf whose lines are broken between words where a terminal is too narrow for them. */
void page_wrapped(const struct text_page *page, const char *format, ...) G_GNUC_PRINTF(2, 3);
void page_ledger(const struct text_page *page);

void text_histogram(struct text_page *page);
void text_edges(struct text_page *page);
