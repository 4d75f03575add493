/* SPDX-License-Identifier: Apache-2.0 */
/* Events one by one, as they come: lines for people in columns, or one JSON object a line. */
#pragma once
#include <stdio.h>

#include "model/events.h"
#include "render/render.h"

struct event_lines;
typedef struct event_lines event_lines_t;

/* `options` is copied; of it columns and colour count. */
struct event_lines *event_lines_new(FILE *out, const struct render_options *options);
void event_lines_free(struct event_lines *lines);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(event_lines_t, event_lines_free)
/* Prints one event; a heading when its kind is another than that of the one before. */
void event_lines_put(struct event_lines *lines, const struct event *event);

/* The event as one line of JSON. */
void render_event_json(FILE *out, const struct event *event);
