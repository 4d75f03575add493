/* SPDX-License-Identifier: Apache-2.0 */
#include "tui/top_state.h"

const struct gauge_interval *top_table(const struct top_state *state)
{
	return state->view == TOP_VIEW_PROCESSES ? &state->processes : &state->containers;
}

struct gauge_order *top_order(struct top_state *state)
{
	return state->view == TOP_VIEW_PROCESSES ? &state->process_order : &state->order;
}

const int *top_columns(const struct top_state *state)
{
	return state->view == TOP_VIEW_PROCESSES ? gauge_columns_processes : gauge_columns_containers;
}
