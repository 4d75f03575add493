/* SPDX-License-Identifier: Apache-2.0 */
#include "tui/top.h"

#include <math.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "tui/screen.h"
#include "tui/top_state.h"

#define FIRST_RATES_NS (300 * NS_PER_MS) /* the first interval is a short one: figures soon */
#define JOB_TICK_NS (200 * NS_PER_MS) /* the time a job takes is shown meanwhile */
#define WAIT_MAX_NS (60 * NS_PER_S)
#define INTERVAL_MIN_NS (100 * NS_PER_MS)
#define INTERVAL_MAX_NS (60 * NS_PER_S)
#define FILTER_BYTES_MAX 200
#define PAGE_STEP 10 /* letters a page moves aside */
#define PAGE_COLUMN_MAX 1000

/* ---- places and selection ---- */

static const struct gauge_row *row_at(const struct top_state *state, guint index)
{
	if (index >= state->places->len)
		return NULL;
	return gauges_row(top_table(state)->readings, g_array_index(state->places, struct gauge_place, index).row);
}

/* Keeps the selected row on the screen. */
static void scroll_to_selected(struct top_state *state)
{
	guint room = top_room();

	if (state->selected >= state->places->len)
		state->selected = state->places->len ? state->places->len - 1 : 0;
	if (state->scroll > state->selected)
		state->scroll = state->selected;
	if (state->selected >= state->scroll + room)
		state->scroll = state->selected - room + 1;
	if (state->places->len <= room)
		state->scroll = 0;
}

/* The order anew; what was selected stays so wherever it went. */
static void place_rows(struct top_state *state)
{
	top_order(state)->filter = state->filter;
	g_array_unref(state->places);
	if (state->view == TOP_VIEW_PROCESSES && !state->has_processes)
		state->places = g_array_new(FALSE, FALSE, sizeof(struct gauge_place));
	else
		state->places = gauge_rows_order(top_table(state), top_order(state));
	for (guint i = 0; state->selected_key && i < state->places->len; i++)
		if (row_at(state, i)->key == state->selected_key)
			state->selected = i;
	scroll_to_selected(state);
}

static void select_row(struct top_state *state, gint64 index)
{
	const struct gauge_row *row;

	state->selected = (guint)CLAMP(index, 0, (gint64)MAX(state->places->len, 1) - 1);
	row = row_at(state, state->selected);
	state->selected_key = row ? row->key : 0;
	scroll_to_selected(state);
}

/* ---- readings ---- */

static void remember_row(struct top_state *state, guint32 index)
{
	const struct gauge_row *row = gauges_row(state->containers.readings, index);
	struct top_history *history = g_hash_table_lookup(state->histories, &row->key);

	if (!history) {
		guint64 *key = g_memdup2(&row->key, sizeof(row->key));

		history = g_new(struct top_history, 1);
		for (guint i = 0; i < HISTORY_VALUES; i++)
			history->values[i] = NAN;
		g_hash_table_insert(state->histories, key, history);
	}
	memmove(history->values, history->values + 1, sizeof(history->values) - sizeof(history->values[0]));
	history->values[HISTORY_VALUES - 1] = gauge_cell_value(&state->containers, index, GAUGE_COLUMN_CPU);
	history->serial = state->serial;
}

static gboolean is_forgotten(gpointer key, gpointer value, gpointer user)
{
	(void)key;
	return ((const struct top_history *)value)->serial != ((const struct top_state *)user)->serial;
}

static void remember(struct top_state *state)
{
	guint before = g_hash_table_size(state->histories);

	state->serial++;
	state->born = state->died = 0;
	for (guint32 i = 1; i < state->containers.readings->rows->len; i++) {
		remember_row(state, i);
		state->died += gauges_row(state->containers.readings, i)->dead;
	}
	if (before)
		state->born = g_hash_table_size(state->histories) - before;
	g_hash_table_foreach_remove(state->histories, is_forgotten, state);
}

static void set_notice(struct top_state *state, char *notice)
{
	g_free(state->notice);
	state->notice = notice;
}

static void note_missed(struct top_state *state)
{
	const GPtrArray *missed = state->feed->missed(state->feed->user);

	if (missed->len == 1)
		set_notice(state, g_strdup_printf("%s came and went", (char *)g_ptr_array_index(missed, 0)));
	else if (missed->len)
		set_notice(state, g_strdup_printf("%s and %u more came and went", (char *)g_ptr_array_index(missed, 0),
						  missed->len - 1));
}

static gboolean read_feed(struct top_state *state, GError **error)
{
	if (!state->feed->read(state->feed->user, &state->want, &state->containers, &state->processes, error))
		return FALSE;
	state->has_processes = state->want.processes;
	remember(state);
	note_missed(state);
	if (state->view == TOP_VIEW_DETAIL) {
		char *page = top_detail(state, state->container_key);

		if (page) {
			g_free(state->page);
			state->page = page;
		}
	}
	if (state->view <= TOP_VIEW_PROCESSES)
		place_rows(state);
	return TRUE;
}

/* ---- views ---- */

static void show_page(struct top_state *state, enum top_view view, char *title, char *page)
{
	state->view = view;
	g_free(state->page);
	state->page = page;
	g_free(state->page_title);
	state->page_title = title;
	state->page_scroll = state->page_column = 0;
}

/* What chose the container says nothing about its processes. */
static void filter_lay_aside(struct top_state *state)
{
	state->is_inside = TRUE;
	state->outer_filter = g_steal_pointer(&state->filter);
	state->outer_filter_text = g_steal_pointer(&state->filter_text);
}

static void filter_take_back(struct top_state *state)
{
	if (!state->is_inside)
		return;
	state->is_inside = FALSE;
	gauge_filter_free(state->filter);
	g_free(state->filter_text);
	state->filter = g_steal_pointer(&state->outer_filter);
	state->filter_text = g_steal_pointer(&state->outer_filter_text);
}

static void show_containers(struct top_state *state)
{
	filter_take_back(state);
	state->view = TOP_VIEW_CONTAINERS;
	state->want.processes = state->want.threads = FALSE;
	state->want.container_key = 0;
	state->has_processes = FALSE;
	state->selected_key = state->container_key;
	state->first_column = 0;
	place_rows(state);
}

static const struct gauge_row *selected_container(const struct top_state *state)
{
	if (state->view == TOP_VIEW_CONTAINERS)
		return row_at(state, state->selected);
	for (guint32 i = 0; i < state->containers.readings->rows->len; i++)
		if (gauges_row(state->containers.readings, i)->key == state->container_key)
			return gauges_row(state->containers.readings, i);
	return NULL;
}

static gboolean choose_container(struct top_state *state)
{
	const struct gauge_row *row = selected_container(state);

	if (!row)
		return FALSE;
	state->container_key = row->key;
	g_free(state->container_name);
	state->container_name = g_strdup(row->name);
	return TRUE;
}

static void show_processes(struct top_state *state)
{
	if (state->view != TOP_VIEW_CONTAINERS || !choose_container(state))
		return;
	state->view = TOP_VIEW_PROCESSES;
	filter_lay_aside(state);
	state->want.processes = TRUE;
	state->want.container_key = state->container_key;
	state->selected = state->scroll = state->first_column = 0;
	state->selected_key = 0;
	place_rows(state);
}

/* Those of the whole machine, before anything is read. What is sorted by and filtered by is theirs. */
static void begin_with_processes(struct top_state *state)
{
	state->view = TOP_VIEW_PROCESSES;
	state->want.processes = TRUE;
	state->want.threads = state->options->threads;
	state->process_order = state->order;
	state->order = (struct gauge_order){ .column = GAUGE_COLUMN_LOST };
	state->is_inside = TRUE;
	state->container_name = g_strdup("all processes");
}

/* What a measurement would be of: a container; a process only where it is not one of a container's. */
static const struct gauge_row *measured_row(const struct top_state *state)
{
	const struct gauge_row *row = row_at(state, state->selected);

	if (state->view != TOP_VIEW_PROCESSES || state->want.container_key)
		return selected_container(state);
	return row && row->resource == GAUGE_RESOURCE_THREAD ? gauges_row(top_table(state)->readings, row->parent)
							     : row;
}

static void measure(struct top_state *state, enum tui_top_measure what)
{
	const struct gauge_row *row = measured_row(state);
	g_autoptr(GError) error = NULL;
	GPtrArray *commands;
	char *note = NULL;

	if (!row || state->job)
		return;
	if (row->resource != GAUGE_RESOURCE_PROCESS && row->resource != GAUGE_RESOURCE_THREAD)
		choose_container(state);
	commands = state->feed->measure(state->feed->user, what, row, &note, &error);
	if (commands)
		state->job = job_start(commands, &error);
	if (!state->job) {
		set_notice(state, g_strdup(error->message));
		g_free(note);
		return;
	}
	g_free(state->job_note);
	state->job_note = note;
	g_free(state->job_title);
	state->job_title =
		g_strdup_printf(what == TUI_TOP_FLAME ? "where the time of %s goes" : "latency of %s", row->name);
	state->job_started_ns = clock_monotonic_ns();
}

static void finish_job(struct top_state *state)
{
	char *page = g_strdup_printf("%s%s%s", state->job_note && !job_failed(state->job) ? state->job_note : "",
				     state->job_note && !job_failed(state->job) ? "\n\n" : "", job_text(state->job));

	show_page(state, TOP_VIEW_REPORT, g_strdup(state->job_title), page);
	g_clear_pointer(&state->job, job_free);
}

static void go_back(struct top_state *state)
{
	set_notice(state, NULL);
	if (state->view != TOP_VIEW_CONTAINERS)
		show_containers(state);
	else
		g_clear_pointer(&state->job, job_free);
}

/* ---- keys ---- */

static void filter_set(struct top_state *state, const char *text)
{
	g_autoptr(GError) error = NULL;
	struct gauge_filter *filter = *text ? gauge_filter_new(text, &error) : NULL;

	if (error) {
		set_notice(state, g_strdup(error->message));
		return;
	}
	gauge_filter_free(state->filter);
	state->filter = filter;
	g_free(state->filter_text);
	state->filter_text = *text ? g_strdup(text) : NULL;
	set_notice(state, NULL);
	place_rows(state);
}

static void filter_key(struct top_state *state, int key)
{
	if (key == SCREEN_KEY_ENTER) {
		state->mode = TOP_MODE_BROWSE;
		filter_set(state, state->input->str);
	} else if (key == SCREEN_KEY_ESCAPE) {
		state->mode = TOP_MODE_BROWSE;
	} else if (key == SCREEN_KEY_BACKSPACE && state->input->len) {
		g_string_truncate(state->input, state->input->len - 1);
	} else if (key >= ' ' && key < 256 && state->input->len < FILTER_BYTES_MAX) {
		g_string_append_c(state->input, (char)key);
	}
}

static void sort_key(struct top_state *state, int key)
{
	const int *columns = top_columns(state);
	guint count = 1; /* every table has a column */

	while (columns[count] >= 0)
		count++;
	if (key == SCREEN_KEY_LEFT || key == SCREEN_KEY_UP)
		state->menu = (state->menu + count - 1) % count;
	else if (key == SCREEN_KEY_RIGHT || key == SCREEN_KEY_DOWN)
		state->menu = (state->menu + 1) % count;
	else if (key == SCREEN_KEY_ESCAPE)
		state->mode = TOP_MODE_BROWSE;
	else if (key == SCREEN_KEY_ENTER) {
		struct gauge_order *order = top_order(state);

		state->mode = TOP_MODE_BROWSE;
		order->column = (enum gauge_column_id)columns[state->menu];
		order->ascending = order->column == GAUGE_COLUMN_NAME || order->column == GAUGE_COLUMN_PID;
		place_rows(state);
	}
}

static void sort_begin(struct top_state *state)
{
	const int *columns = top_columns(state);

	state->mode = TOP_MODE_SORT;
	state->menu = 0;
	for (guint i = 0; columns[i] >= 0; i++)
		if (columns[i] == (int)top_order(state)->column)
			state->menu = i;
}

static void page_key(struct top_state *state, int key)
{
	guint lines = 1, room = top_room();
	gint64 to = state->page_scroll;

	for (const char *at = state->page; at && (at = strchr(at, '\n')); at++)
		lines++;
	switch (key) {
	case SCREEN_KEY_UP:
	case 'k':
		to--;
		break;
	case SCREEN_KEY_DOWN:
	case 'j':
		to++;
		break;
	case SCREEN_KEY_PAGE_UP:
		to -= room;
		break;
	case SCREEN_KEY_PAGE_DOWN:
	case ' ':
		to += room;
		break;
	case SCREEN_KEY_HOME:
		to = 0;
		break;
	case SCREEN_KEY_END:
		to = lines;
		break;
	case SCREEN_KEY_LEFT:
		state->page_column -= MIN(state->page_column, PAGE_STEP);
		return;
	case SCREEN_KEY_RIGHT:
		state->page_column = MIN(state->page_column + PAGE_STEP, PAGE_COLUMN_MAX);
		return;
	default:
		go_back(state);
		return;
	}
	state->page_scroll = (guint)CLAMP(to, 0, lines > room ? lines - room : 0);
}

static gboolean move_key(struct top_state *state, int key)
{
	gint64 at = state->selected;
	guint columns = 0;

	while (top_columns(state)[columns] >= 0)
		columns++;
	switch (key) {
	case SCREEN_KEY_UP:
	case 'k':
		select_row(state, at - 1);
		return TRUE;
	case SCREEN_KEY_DOWN:
	case 'j':
		select_row(state, at + 1);
		return TRUE;
	case SCREEN_KEY_PAGE_UP:
		select_row(state, at - top_room());
		return TRUE;
	case SCREEN_KEY_PAGE_DOWN:
		select_row(state, at + top_room());
		return TRUE;
	case SCREEN_KEY_HOME:
		select_row(state, 0);
		return TRUE;
	case SCREEN_KEY_END:
		select_row(state, G_MAXINT32);
		return TRUE;
	case SCREEN_KEY_LEFT:
		state->first_column -= state->first_column > 0;
		return TRUE;
	case SCREEN_KEY_RIGHT:
		state->first_column += state->first_column + 3 < columns;
		return TRUE;
	default:
		return FALSE;
	}
}

/* Keys that change what is shown or how; TRUE when it must be read anew. */
static gboolean table_key(struct top_state *state, int key)
{
	switch (key) {
	case SCREEN_KEY_ENTER:
		show_processes(state);
		return state->view == TOP_VIEW_PROCESSES;
	case 'o':
		if (state->view == TOP_VIEW_CONTAINERS && choose_container(state))
			show_page(state, TOP_VIEW_DETAIL, g_strdup("all that is known"),
				  top_detail(state, state->container_key));
		return FALSE;
	case 'g':
		measure(state, TUI_TOP_FLAME);
		return FALSE;
	case 'l':
		measure(state, TUI_TOP_LATENCY);
		return FALSE;
	case 'H':
		if (state->view != TOP_VIEW_PROCESSES)
			return FALSE;
		state->want.threads = !state->want.threads;
		state->process_order.tree = state->want.threads;
		return TRUE;
	case 't':
	case SCREEN_KEY_F1 + 4:
		top_order(state)->tree = !top_order(state)->tree;
		place_rows(state);
		return FALSE;
	case 'a':
		state->want.all = !state->want.all;
		return TRUE;
	case 'r':
	case 'I':
		top_order(state)->ascending = !top_order(state)->ascending;
		place_rows(state);
		return FALSE;
	case 's':
	case '>':
	case SCREEN_KEY_F1 + 5:
		sort_begin(state);
		return FALSE;
	case '/':
	case 'f':
	case SCREEN_KEY_F1 + 3:
		state->mode = TOP_MODE_FILTER;
		g_string_assign(state->input, state->filter_text ? state->filter_text : "");
		return FALSE;
	case SCREEN_KEY_ESCAPE:
	case SCREEN_KEY_BACKSPACE:
		go_back(state);
		return FALSE;
	default:
		move_key(state, key);
		return FALSE;
	}
}

/* FALSE: quit. `*again`: read at once. */
static gboolean take_key(struct top_state *state, int key, gboolean *again)
{
	if (key == SCREEN_KEY_RESIZE) {
		scroll_to_selected(state);
		return TRUE;
	}
	if (state->mode == TOP_MODE_FILTER) {
		filter_key(state, key);
		return TRUE;
	}
	if (state->mode == TOP_MODE_SORT) {
		sort_key(state, key);
		return TRUE;
	}
	switch (key) {
	case 'q':
	case SCREEN_KEY_F1 + 9:
		return FALSE;
	case 'h':
	case '?':
	case SCREEN_KEY_F1:
		show_page(state, TOP_VIEW_HELP, g_strdup("help"), g_strdup(top_help()));
		return TRUE;
	case 'p':
	case ' ':
		if (state->view > TOP_VIEW_PROCESSES)
			break;
		state->paused = !state->paused;
		return TRUE;
	case '+':
		state->interval_ns = MIN(state->interval_ns * 2, INTERVAL_MAX_NS);
		return TRUE;
	case '-':
		state->interval_ns = MAX(state->interval_ns / 2, INTERVAL_MIN_NS);
		return TRUE;
	default:
		break;
	}
	if (state->view > TOP_VIEW_PROCESSES)
		page_key(state, key);
	else
		*again |= table_key(state, key);
	return TRUE;
}

/* ---- the loop ---- */

/* FALSE: told to quit. */
static gboolean wait_for(struct top_state *state, guint64 until_ns)
{
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = state->options->stop_fd, .events = POLLIN },
		{ .fd = state->job ? job_fd(state->job) : -1, .events = POLLIN },
	};
	guint64 now_ns = clock_monotonic_ns();
	guint64 left_ns = until_ns > now_ns ? MIN(until_ns - now_ns, WAIT_MAX_NS) : 0;

	if (state->job)
		left_ns = MIN(left_ns, JOB_TICK_NS);
	poll(fds, G_N_ELEMENTS(fds), (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS));
	if (fds[1].revents || fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		return FALSE;
	if (state->job && fds[2].revents && job_step(state->job))
		finish_job(state);
	/* Also when a signal ended the wait: a new size of the window comes as a key. */
	return TRUE;
}

static gboolean take_keys(struct top_state *state, gboolean *again)
{
	int key;

	while ((key = screen_key(state->screen)) != SCREEN_KEY_NONE)
		if (!take_key(state, key, again))
			return FALSE;
	return TRUE;
}

static gboolean run_screen(struct top_state *state, GError **error)
{
	guint64 next_ns;
	int done = 0;

	if (!read_feed(state, error))
		return FALSE;
	top_draw(state); /* something to look at while the rest gets ready */
	set_notice(state, state->feed->start(state->feed->user));
	next_ns = clock_monotonic_ns() + MIN(FIRST_RATES_NS, state->interval_ns);
	while (!state->options->count || done < state->options->count) {
		gboolean again = FALSE;

		if (!wait_for(state, state->paused ? G_MAXUINT64 : next_ns) || !take_keys(state, &again))
			return TRUE;
		if (again || (!state->paused && clock_monotonic_ns() >= next_ns)) {
			if (!read_feed(state, error))
				return FALSE;
			next_ns = clock_monotonic_ns() + state->interval_ns;
			done++;
		}
		top_draw(state);
	}
	return TRUE;
}

static void state_clear(struct top_state *state)
{
	job_free(state->job);
	gauge_filter_free(state->filter);
	gauge_filter_free(state->outer_filter);
	g_free(state->outer_filter_text);
	g_array_unref(state->places);
	g_hash_table_unref(state->histories);
	g_string_free(state->input, TRUE);
	g_free(state->filter_text);
	g_free(state->container_name);
	g_free(state->notice);
	g_free(state->job_title);
	g_free(state->job_note);
	g_free(state->page);
	g_free(state->page_title);
}

gboolean tui_top_run(const struct tui_top_feed *feed, const struct tui_top_options *options, GError **error)
{
	struct top_state state = {
		.feed = feed,
		.options = options,
		.interval_ns = options->interval_ns,
		.want.all = options->all,
		.order = { .column = options->sort, .ascending = options->ascending, .tree = options->tree },
		.process_order = { .column = GAUGE_COLUMN_LOST },
		.places = g_array_new(FALSE, FALSE, sizeof(struct gauge_place)),
		.histories = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free),
		.input = g_string_new(NULL),
	};
	gboolean good;

	if (options->filter) {
		state.filter = gauge_filter_new(options->filter, error);
		state.filter_text = g_strdup(options->filter);
	}
	if (options->processes || options->threads)
		begin_with_processes(&state);
	good = !options->filter || state.filter;
	state.screen = good ? screen_open(error) : NULL;
	good = state.screen && run_screen(&state, error);
	screen_close(state.screen);
	state_clear(&state);
	return good;
}
