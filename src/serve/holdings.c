/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/holdings.h"

#include <malloc.h>

static void heap_write(struct json_writer *json)
{
	struct mallinfo2 heap = mallinfo2();

	json_uint(json, "heap_bytes", heap.uordblks);
	json_uint(json, "heap_free_bytes", heap.fordblks); /* given back or not: the kernel counts what is resident */
	json_uint(json, "heap_mapped_bytes", heap.hblkhd);
}

static void packed_write(struct json_writer *json, const struct api *api, const struct history_stats *history)
{
	json_uint(json, "readings_bytes", history->memory_bytes);
	json_uint(json, "intervals_bytes", reel_bytes(api->reel));
	json_uint(json, "stacks_bytes", reel_bytes(api->stacks));
}

static void counts_write(struct json_writer *json, const struct live_holdings *live,
			 const struct history_stats *history)
{
	const struct {
		const char *name;
		guint64 count;
	} kinds[] = {
		{ "cgroups", live->cgroups.living },
		{ "cgroups_ended", live->cgroups.dead },
		{ "resources", live->resources },
		{ "names", history->names },
		{ "ended", live->ended },
		{ "edges", live->edges },
		{ "events", live->events },
		{ "notes", live->notes },
	};

	json_begin_object(json, "counts");
	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
		json_uint(json, kinds[i].name, kinds[i].count);
	json_end_object(json);
}

void holdings_write(struct json_writer *json, const struct api *api)
{
	struct history_stats history;
	struct live_holdings live;

	history_stats(api->history, &history);
	live_holdings(api->live, &live);
	json_begin_object(json, "memory");
	heap_write(json);
	packed_write(json, api, &history);
	counts_write(json, &live, &history);
	json_end_object(json);
}
