/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <math.h>

#include "base/text.h"

void json_init(struct json_writer *json, GString *out)
{
	*json = (struct json_writer){ .out = out };
}

static void json_key(struct json_writer *json, const char *key)
{
	if (json->has_member & (G_GUINT64_CONSTANT(1) << json->depth))
		g_string_append_c(json->out, ',');
	json->has_member |= G_GUINT64_CONSTANT(1) << json->depth;
	if (key) {
		g_string_append_c(json->out, '"');
		text_append_json(json->out, key, -1);
		g_string_append(json->out, "\":");
	}
}

static void json_begin(struct json_writer *json, const char *key, char bracket)
{
	json_key(json, key);
	g_string_append_c(json->out, bracket);
	g_return_if_fail(json->depth < 63);
	json->depth++;
	json->has_member &= ~(G_GUINT64_CONSTANT(1) << json->depth);
}

static void json_end(struct json_writer *json, char bracket)
{
	g_return_if_fail(json->depth > 0);
	json->depth--;
	g_string_append_c(json->out, bracket);
}

void json_begin_object(struct json_writer *json, const char *key)
{
	json_begin(json, key, '{');
}

void json_end_object(struct json_writer *json)
{
	json_end(json, '}');
}

void json_begin_array(struct json_writer *json, const char *key)
{
	json_begin(json, key, '[');
}

void json_end_array(struct json_writer *json)
{
	json_end(json, ']');
}

void json_string(struct json_writer *json, const char *key, const char *value)
{
	if (!value) {
		json_null(json, key);
		return;
	}
	json_key(json, key);
	g_string_append_c(json->out, '"');
	text_append_json(json->out, value, -1);
	g_string_append_c(json->out, '"');
}

void json_uint(struct json_writer *json, const char *key, guint64 value)
{
	json_key(json, key);
	g_string_append_printf(json->out, "%" G_GUINT64_FORMAT, value);
}

void json_int(struct json_writer *json, const char *key, gint64 value)
{
	json_key(json, key);
	g_string_append_printf(json->out, "%" G_GINT64_FORMAT, value);
}

void json_double(struct json_writer *json, const char *key, double value)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];

	if (!isfinite(value)) {
		json_null(json, key);
		return;
	}
	json_key(json, key);
	g_string_append(json->out, g_ascii_formatd(text, sizeof(text), "%.9g", value));
}

void json_bool(struct json_writer *json, const char *key, gboolean value)
{
	json_key(json, key);
	g_string_append(json->out, value ? "true" : "false");
}

void json_null(struct json_writer *json, const char *key)
{
	json_key(json, key);
	g_string_append(json->out, "null");
}
