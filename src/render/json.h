/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of the JSON capture that several files of this room write. */
#pragma once
#include <stdio.h>

#include "base/json.h"
#include "model/snapshot.h"

#define JSON_FLUSH_BYTES (64u << 10)

/* A string of raw bytes: as it is when it is UTF-8, else {"base64": "…"}. NULL: null. */
void json_bytes(struct json_writer *json, const char *key, const char *bytes);
/* One end of an edge as commands tell it: "container": NAME, "address": ADDRESS … */
void json_edge_end(struct json_writer *json, struct edge_end end);
/* Writes out what has gathered when it is at least `least` bytes. */
void json_flush(struct json_writer *json, FILE *out, gsize least);

/* As "ledger" and `key`. */
void json_ledger(struct json_writer *json, const struct ledger *ledger);
void json_counts(struct json_writer *json, const char *key, const struct histogram_counts *counts);

/* Members of a shape's open object. */
void json_events(struct json_writer *json, const struct events *events, FILE *out);
void json_histogram(struct json_writer *json, const struct shape *shape, FILE *out);
void json_edges(struct json_writer *json, const struct shape *shape, FILE *out);
/* One event as an object; also one line of a stream. */
void json_event(struct json_writer *json, const struct event *event);
