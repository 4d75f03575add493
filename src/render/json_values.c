/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "render/json.h"

void json_bytes(struct json_writer *json, const char *key, const char *bytes)
{
	g_autofree char *encoded = NULL;

	if (!bytes || g_utf8_validate(bytes, -1, NULL)) {
		json_string(json, key, bytes);
		return;
	}
	encoded = g_base64_encode((const guchar *)bytes, strlen(bytes));
	json_begin_object(json, key);
	json_string(json, "base64", encoded);
	json_end_object(json);
}

void json_edge_end(struct json_writer *json, struct edge_end end)
{
	static const char *const keys[EDGE_END_KINDS] = {
		[EDGE_END_CONTAINER] = "container", [EDGE_END_HOST] = "host",	     [EDGE_END_QUOTA] = "quota",
		[EDGE_END_UNKNOWN] = "unknown",	    [EDGE_END_EXTERNAL] = "address", [EDGE_END_TOLD] = "dns_name",
	};

	json_bytes(json, keys[end.kind], end.name);
}

void json_flush(struct json_writer *json, FILE *out, gsize least)
{
	if (json->out->len < least)
		return;
	fwrite(json->out->str, 1, json->out->len, out);
	g_string_truncate(json->out, 0);
}
