/* SPDX-License-Identifier: Apache-2.0 */
/* A streaming JSON writer: commas and quoting are its business, order is the caller's. Untrusted strings pass
 * text_append_json. Writes into a GString; callers flush it to a file when it grows. */
#pragma once
#include <glib.h>

struct json_writer {
	GString *out; /* not owned */
	guint64 has_member; /* one bit per open level: a comma is due */
	guint depth; /* 0 … 63 */
};

void json_init(struct json_writer *json, GString *out);
/* `key` is NULL inside arrays and at the top. */
void json_begin_object(struct json_writer *json, const char *key);
void json_end_object(struct json_writer *json);
void json_begin_array(struct json_writer *json, const char *key);
void json_end_array(struct json_writer *json);
void json_string(struct json_writer *json, const char *key, const char *value); /* NULL value: null */
void json_uint(struct json_writer *json, const char *key, guint64 value);
void json_int(struct json_writer *json, const char *key, gint64 value);
void json_double(struct json_writer *json, const char *key, double value); /* not finite: null */
void json_bool(struct json_writer *json, const char *key, gboolean value);
void json_null(struct json_writer *json, const char *key);
