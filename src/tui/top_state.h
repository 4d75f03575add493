/* SPDX-License-Identifier: Apache-2.0 */
/* What the screen of top remembers; shared by what reads keys (top.c) and what draws (top_draw.c). */
#pragma once
#include "tui/job.h"
#include "tui/top.h"

#define HISTORY_VALUES 60

enum top_view {
	TOP_VIEW_CONTAINERS = 0,
	TOP_VIEW_PROCESSES = 1,
	TOP_VIEW_DETAIL = 2, /* all that is known of one container */
	TOP_VIEW_REPORT = 3, /* what a measurement brought */
	TOP_VIEW_HELP = 4,
};

enum top_mode {
	TOP_MODE_BROWSE = 0,
	TOP_MODE_FILTER = 1, /* typing a filter */
	TOP_MODE_SORT = 2, /* choosing a column */
};

struct screen;

struct top_history {
	double values[HISTORY_VALUES]; /* CPU in percent of a core; NAN: not known. The latest is the last */
	guint32 serial; /* of the last reading that had it */
};

struct top_state {
	const struct tui_top_feed *feed;
	const struct tui_top_options *options;
	struct screen *screen;
	guint64 interval_ns;
	enum top_view view;
	enum top_mode mode;
	struct tui_top_want want;
	char *container_name; /* whose processes or details are shown */
	guint64 container_key;
	struct gauge_order order, process_order;
	char *filter_text;
	struct gauge_filter *filter;
	gboolean
		is_inside; /* a container: its processes have a filter of their own, and the containers' is laid aside */
	char *outer_filter_text;
	struct gauge_filter *outer_filter;
	struct gauge_interval containers, processes;
	gboolean has_processes; /* `processes` is what the view shows */
	GArray *places; /* of struct gauge_place: the table's rows in order */
	guint selected; /* its index */
	guint64 selected_key;
	guint scroll; /* first row shown */
	guint first_column; /* columns shifted out to the left */
	GHashTable *histories; /* key → struct top_history */
	guint32 serial;
	gboolean paused;
	char *notice; /* one sentence; NULL: none */
	guint born, died; /* in the last interval */
	GString *input; /* the filter being typed */
	guint menu; /* the column being chosen */
	struct job *job;
	char *job_title, *job_note;
	guint64 job_started_ns;
	char *page; /* text of a page view; raw lines */
	char *page_title;
	guint page_scroll, page_column; /* the first line and letter shown */
};

/* The interval and the order of the table that is shown. */
const struct gauge_interval *top_table(const struct top_state *state);
struct gauge_order *top_order(struct top_state *state);
const int *top_columns(const struct top_state *state);
/* Rows of the table or lines of a page that fit. */
guint top_room(void);

void top_draw(struct top_state *state);
/* All that is known of a container, as text. NULL when it is not there any more. */
char *top_detail(const struct top_state *state, guint64 key);
const char *top_help(void);
