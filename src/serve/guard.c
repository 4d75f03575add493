/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/guard.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define TOKEN_BYTES 32

char *guard_token_new(GError **error)
{
	guint8 bytes[TOKEN_BYTES];
	char *text;

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
		g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "no random numbers for a token: %s",
			    g_strerror(errno));
		return NULL;
	}
	text = g_base64_encode(bytes, sizeof(bytes));
	g_strdelimit(text, "+", '-');
	g_strdelimit(text, "/", '_');
	text[GUARD_TOKEN_CHARACTERS] = '\0';
	return text;
}

gboolean guard_token_equal(const char *given, const char *token)
{
	gsize length = token ? strlen(token) : 0;
	guint8 difference = 0;

	if (!given || !length || strlen(given) != length)
		return FALSE;
	for (gsize i = 0; i < length; i++)
		difference |= (guint8)(given[i] ^ token[i]);
	return difference == 0;
}

const char *guard_bearer(const char *authorization)
{
	static const char scheme[] = "bearer ";

	if (!authorization || g_ascii_strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return NULL;
	authorization += strlen(scheme);
	while (*authorization == ' ')
		authorization++;
	return *authorization ? authorization : NULL;
}

char *guard_basic(const char *authorization)
{
	static const char scheme[] = "basic ";
	g_autofree guchar *pair = NULL;
	g_autofree char *text = NULL;
	const char *colon;
	gsize length;

	if (!authorization || g_ascii_strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return NULL;
	pair = g_base64_decode(authorization + strlen(scheme), &length);
	text = g_strndup((const char *)pair, length);
	colon = strchr(text, ':');
	return colon && colon[1] ? g_strdup(colon + 1) : NULL;
}

/* Length of the name in "name:port", "[::1]:port", "name". */
static gsize host_name_length(const char *host)
{
	const char *end = host[0] == '[' ? strchr(host, ']') : strchr(host, ':');

	if (!end)
		return strlen(host);
	return (gsize)(end - host) + (host[0] == '[');
}

static gboolean host_is(const char *host, gsize length, const char *name)
{
	return strlen(name) == length && g_ascii_strncasecmp(host, name, length) == 0;
}

gboolean guard_host(const char *host, const char *const *more)
{
	static const char *const ours[] = { "127.0.0.1", "localhost", "[::1]" };
	gsize length;

	if (!host || !host[0])
		return FALSE;
	length = host_name_length(host);
	if (host[length] && host[length] != ':')
		return FALSE; /* something behind the bracket */
	for (guint i = 0; i < G_N_ELEMENTS(ours); i++)
		if (host_is(host, length, ours[i]))
			return TRUE;
	for (; more && *more; more++)
		if (host_is(host, length, *more))
			return TRUE;
	return FALSE;
}

gboolean guard_origin(const char *origin, const char *host)
{
	const char *separator;

	if (!origin)
		return TRUE;
	separator = strstr(origin, "://");
	return separator && host && g_ascii_strcasecmp(separator + strlen("://"), host) == 0;
}
