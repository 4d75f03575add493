/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/config.h"

#include <stddef.h>
#include <string.h>

#include "base/file.h"
#include "serve/live.h"
#include "store/history.h"

#define CONFIG_FILE_BYTES (64u << 10)
#define CONFIG_GROUP "serve"

G_DEFINE_QUARK(config - error - quark, config_error)

enum config_kind {
	CONFIG_TEXT,
	CONFIG_LIST,
	CONFIG_FLAG,
	CONFIG_INTEGER,
	CONFIG_REAL,
};

/* Keys of the file: the long options without their dashes. */
static const struct {
	const char *key;
	enum config_kind kind;
	gsize offset;
} keys[] = {
	{ "state", CONFIG_TEXT, offsetof(struct config, state) },
	{ "listen", CONFIG_TEXT, offsetof(struct config, listen) },
	{ "socket", CONFIG_TEXT, offsetof(struct config, socket) },
	{ "allow-host", CONFIG_LIST, offsetof(struct config, allow_hosts) },
	{ "tls-certificate", CONFIG_TEXT, offsetof(struct config, tls_certificate) },
	{ "tls-key", CONFIG_TEXT, offsetof(struct config, tls_key) },
	{ "no-bpf", CONFIG_FLAG, offsetof(struct config, no_bpf) },
	{ "names", CONFIG_FLAG, offsetof(struct config, names) },
	{ "off", CONFIG_LIST, offsetof(struct config, off) },
	{ "profile-seconds", CONFIG_INTEGER, offsetof(struct config, profile_seconds) },
	{ "offcpu-seconds", CONFIG_INTEGER, offsetof(struct config, offcpu_seconds) },
	{ "offcpu-percent", CONFIG_REAL, offsetof(struct config, offcpu_percent) },
	{ "metrics-containers", CONFIG_INTEGER, offsetof(struct config, exported_containers) },
	{ "history-mib", CONFIG_INTEGER, offsetof(struct config, history_mib) },
	{ "memory-minutes", CONFIG_INTEGER, offsetof(struct config, memory_minutes) },
	{ "cpu-percent", CONFIG_REAL, offsetof(struct config, cpu_percent) },
	{ "memory-mib", CONFIG_INTEGER, offsetof(struct config, memory_mib) },
	{ "map-mib", CONFIG_INTEGER, offsetof(struct config, map_mib) },
	{ "trigger", CONFIG_LIST, offsetof(struct config, triggers) },
};

void config_init(struct config *config)
{
	*config = (struct config){
		.state = g_strdup(CONFIG_STATE),
		.listen = g_strdup_printf("127.0.0.1:%u", CONFIG_PORT),
		.socket = g_strdup(CONFIG_SOCKET),
		.exported_containers = 200,
		.profile_seconds = 60,
		.offcpu_seconds = 10,
		.offcpu_percent = 0.1,
		.history_mib = 256,
		.memory_minutes = HISTORY_MINUTES,
		.cpu_percent = 1,
		.memory_mib = 40,
		.map_mib = 32,
		.capture_mib = 512,
	};
}

void config_clear(struct config *config)
{
	g_free(config->state);
	g_free(config->capture);
	g_free(config->listen);
	g_free(config->socket);
	g_strfreev(config->allow_hosts);
	g_free(config->tls_certificate);
	g_free(config->tls_key);
	g_strfreev(config->triggers);
	g_strfreev(config->off);
}

static gboolean key_take(struct config *config, guint which, GKeyFile *file, GError **error)
{
	const char *key = keys[which].key;
	void *field = G_STRUCT_MEMBER_P(config, keys[which].offset);
	g_autoptr(GError) wrong = NULL;

	switch (keys[which].kind) {
	case CONFIG_TEXT:
		g_free(*(char **)field);
		*(char **)field = g_key_file_get_string(file, CONFIG_GROUP, key, &wrong);
		break;
	case CONFIG_LIST:
		g_strfreev(*(GStrv *)field);
		*(GStrv *)field = g_key_file_get_string_list(file, CONFIG_GROUP, key, NULL, &wrong);
		break;
	case CONFIG_FLAG:
		*(gboolean *)field = g_key_file_get_boolean(file, CONFIG_GROUP, key, &wrong);
		break;
	case CONFIG_INTEGER:
		*(gint *)field = g_key_file_get_integer(file, CONFIG_GROUP, key, &wrong);
		break;
	case CONFIG_REAL:
		*(double *)field = g_key_file_get_double(file, CONFIG_GROUP, key, &wrong);
		break;
	}
	if (!wrong)
		return TRUE;
	g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "%s: %s", key, wrong->message);
	return FALSE;
}

static int key_find(const char *key)
{
	for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
		if (strcmp(keys[i].key, key) == 0)
			return (int)i;
	return -1;
}

static gboolean file_take(struct config *config, GKeyFile *file, GError **error)
{
	g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
	g_auto(GStrv) names = g_key_file_get_keys(file, CONFIG_GROUP, NULL, NULL);

	for (guint i = 0; groups[i]; i++) {
		if (strcmp(groups[i], CONFIG_GROUP) == 0)
			continue;
		g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_FILE, "there is no group [%s], only [" CONFIG_GROUP "]",
			    groups[i]);
		return FALSE;
	}
	for (guint i = 0; names && names[i]; i++) {
		int which = key_find(names[i]);

		if (which < 0) {
			g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_FILE, "there is no setting called \"%s\"",
				    names[i]);
			return FALSE;
		}
		if (!key_take(config, (guint)which, file, error))
			return FALSE;
	}
	return TRUE;
}

gboolean config_load(struct config *config, const char *path, GError **error)
{
	gsize length;
	g_autofree char *text = file_read(path, CONFIG_FILE_BYTES, &length, error);
	g_autoptr(GKeyFile) file = g_key_file_new();

	if (!text)
		return FALSE;
	if (g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, error) && file_take(config, file, error))
		return TRUE;
	g_prefix_error(error, "%s: ", path);
	return FALSE;
}

gboolean config_listen(const struct config *config, char **address, guint16 *port, GError **error)
{
	const char *colon = strrchr(config->listen, ':');
	guint64 number;

	*address = NULL;
	*port = 0;
	if (strcmp(config->listen, "none") == 0)
		return TRUE;
	if (!colon || colon == config->listen ||
	    !g_ascii_string_to_unsigned(colon + 1, 10, 0, G_MAXUINT16, &number, NULL)) {
		g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
			    "\"%s\" is nowhere to listen: give ADDRESS:PORT such as 127.0.0.1:%u, or none",
			    config->listen, CONFIG_PORT);
		return FALSE;
	}
	*port = (guint16)number;
	*address = g_strndup(config->listen, (gsize)(colon - config->listen));
	if ((*address)[0] == '[' && g_str_has_suffix(*address, "]")) {
		memmove(*address, *address + 1, strlen(*address));
		(*address)[strlen(*address) - 1] = '\0';
	}
	return TRUE;
}

static gboolean fail(GError **error, const char *why)
{
	g_set_error_literal(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, why);
	return FALSE;
}

static gboolean parts_check(const struct config *config, GError **error)
{
	for (guint i = 0; config->off && config->off[i]; i++)
		if (live_part_find(g_strstrip(config->off[i])) >= LIVE_GAUGES) {
			g_set_error(
				error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
				"there is no part called \"%s\" that could be off: give one that /api/self names, such as %s",
				config->off[i], "dns");
			return FALSE;
		}
	return TRUE;
}

gboolean config_check(const struct config *config, GError **error)
{
	g_autofree char *address = NULL;
	struct triggers triggers;
	guint16 port;

	if (!config_listen(config, &address, &port, error) || !config_triggers(config, &triggers, error) ||
	    !parts_check(config, error))
		return FALSE;
	if (!config->state[0] || !g_path_is_absolute(config->state))
		return fail(error, "the state directory is an absolute path");
	if (!address && strcmp(config->socket, "none") == 0)
		return fail(error, "nobody could ask: give --listen or --socket");
	if (!config->tls_certificate != !config->tls_key)
		return fail(error, "TLS needs both a certificate and its key");
	if (config->exported_containers < 1 || config->exported_containers > 10000)
		return fail(error, "metrics-containers is a number from 1 to 10000");
	if (config->profile_seconds != 0 && (config->profile_seconds < 5 || config->profile_seconds > 600))
		return fail(error, "profile-seconds is 0 (none), or from 5 to 600");
	if (config->offcpu_seconds < 0 || config->offcpu_seconds > 60)
		return fail(error, "offcpu-seconds is 0 (none), or from 1 to 60");
	if (!(config->offcpu_percent >= 0.001 && config->offcpu_percent <= 100))
		return fail(error, "offcpu-percent is a share of one core, from 0.001 to 100");
	if (config->history_mib < 0 || config->history_mib > (1 << 20) ||
	    (config->history_mib > 0 && config->history_mib < 4))
		return fail(error, "history-mib is 0 (none), or from 4 to 1048576");
	if (config->memory_minutes < 1 || config->memory_minutes > HISTORY_MINUTES)
		return fail(error, "memory-minutes is a number from 1 to 15");
	if (!(config->cpu_percent >= 0 && config->cpu_percent <= 6400) || config->memory_mib < 0 || config->map_mib < 0)
		return fail(error, "cpu-percent, memory-mib and map-mib are bounds, or 0 for none");
	if (config->capture_mib < 1 || config->capture_mib > (1 << 20))
		return fail(error, "capture-mib is a number from 1 to 1048576");
	return TRUE;
}

void config_limits(const struct config *config, struct budget_limits *limits)
{
	*limits = (struct budget_limits){ .cpu_cores = config->cpu_percent / 100,
					  .resident_bytes = (guint64)config->memory_mib << 20,
					  .map_bytes = (guint64)config->map_mib << 20 };
}

gboolean config_triggers(const struct config *config, struct triggers *triggers, GError **error)
{
	triggers_init(triggers);
	for (guint i = 0; config->triggers && config->triggers[i]; i++)
		if (!triggers_take(triggers, g_strstrip(config->triggers[i]), error))
			return FALSE;
	return TRUE;
}
