/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/triggers.h"

#include <math.h>
#include <string.h>

#include "base/units.h"
#include "serve/config.h"

#define TRIGGER_READINGS_MAX 3600
#define TRIGGER_LATENCY_MAX_NS (3600 * NS_PER_S)

static const struct {
	const char *name;
	enum trigger_kind kind;
	struct trigger_setting usual;
} table[TRIGGERS] = {
	[TRIGGER_OOM] = { "oom", TRIGGER_EVENT, { TRUE, 0, 1 } },
	[TRIGGER_CONNECTION_ERRORS] = { "connection-errors", TRIGGER_SHARE, { TRUE, 0.2, 1 } },
	[TRIGGER_THROTTLING] = { "throttling", TRIGGER_SHARE, { TRUE, 0.5, 10 } },
	[TRIGGER_MEMORY_PRESSURE] = { "memory-pressure", TRIGGER_SHARE, { TRUE, 0.2, 5 } },
	[TRIGGER_IO_PRESSURE] = { "io-pressure", TRIGGER_SHARE, { TRUE, 0.5, 10 } },
	[TRIGGER_CPU_PRESSURE] = { "cpu-pressure", TRIGGER_SHARE, { TRUE, 0.8, 10 } },
	/* What is slow depends on the work: these are bounds that hardly anything is meant to reach. */
	[TRIGGER_RUNQ_LATENCY] = { "run-queue-latency", TRIGGER_LATENCY, { TRUE, 500e6, 10 } },
	[TRIGGER_BLOCK_LATENCY] = { "block-latency", TRIGGER_LATENCY, { TRUE, 500e6, 10 } },
	[TRIGGER_CONNECT_LATENCY] = { "connect-latency", TRIGGER_LATENCY, { TRUE, 1e9, 5 } },
	[TRIGGER_REQUEST_LATENCY] = { "request-latency", TRIGGER_LATENCY, { FALSE, 1e9, 5 } },
};

const char *trigger_name(enum trigger trigger)
{
	return table[trigger].name;
}

enum trigger_kind trigger_kind(enum trigger trigger)
{
	return table[trigger].kind;
}

void triggers_init(struct triggers *triggers)
{
	for (guint i = 0; i < TRIGGERS; i++)
		triggers->of[i] = table[i].usual;
}

static gboolean fail_name(const char *text, GError **error)
{
	g_autoptr(GString) names = g_string_new(NULL);

	for (guint i = 0; i < TRIGGERS; i++)
		g_string_append_printf(names, "%s%s", i ? ", " : "", table[i].name);
	g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "trigger \"%s\": give NAME=BOUND, where NAME is one of %s",
		    text, names->str);
	return FALSE;
}

static gboolean fail_bound(enum trigger trigger, const char *bound, GError **error)
{
	static const char *const wanted[] = {
		[TRIGGER_EVENT] = "on or off",
		[TRIGGER_SHARE] = "a share above 0 and at most 1 (0.5, 50%), on or off",
		[TRIGGER_LATENCY] = "a duration up to an hour (20ms), on or off",
	};

	g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "trigger %s: \"%s\" is not %s", table[trigger].name, bound,
		    wanted[table[trigger].kind]);
	return FALSE;
}

static gboolean share_parse(const char *text, double *share)
{
	char *end;

	*share = g_ascii_strtod(text, &end);
	if (end != text && *end == '%') {
		*share /= 100;
		end++;
	}
	return end != text && !*end && isfinite(*share) && *share > 0 && *share <= 1;
}

static gboolean bound_parse(enum trigger trigger, const char *text, double *bound)
{
	guint64 ns;

	switch (table[trigger].kind) {
	case TRIGGER_SHARE:
		return share_parse(text, bound);
	case TRIGGER_LATENCY:
		/* A number alone says nothing of its unit. */
		if (!text[0] || !g_ascii_isalpha(text[strlen(text) - 1]) ||
		    !units_parse_duration(text, NS_PER_MS, &ns) || !ns || ns > TRIGGER_LATENCY_MAX_NS)
			return FALSE;
		*bound = (double)ns;
		return TRUE;
	case TRIGGER_EVENT:
		break;
	}
	return FALSE;
}

static int trigger_find(const char *text, gsize length)
{
	for (guint i = 0; i < TRIGGERS; i++)
		if (strlen(table[i].name) == length && strncmp(table[i].name, text, length) == 0)
			return (int)i;
	return -1;
}

gboolean triggers_take(struct triggers *triggers, const char *text, GError **error)
{
	const char *equals = strchr(text, '='), *slash = equals ? strchr(equals, '/') : NULL;
	int which = equals ? trigger_find(text, (gsize)(equals - text)) : -1;
	g_autofree char *bound = NULL;
	struct trigger_setting setting;
	guint64 readings;

	if (which < 0)
		return fail_name(text, error);
	bound = slash ? g_strndup(equals + 1, (gsize)(slash - equals - 1)) : g_strdup(equals + 1);
	setting = triggers->of[which];
	setting.is_on = strcmp(bound, "off") != 0;
	if (setting.is_on && strcmp(bound, "on") != 0 && !bound_parse((enum trigger)which, bound, &setting.bound))
		return fail_bound((enum trigger)which, bound, error);
	if (slash) {
		if (table[which].kind == TRIGGER_EVENT ||
		    !g_ascii_string_to_unsigned(slash + 1, 10, 1, TRIGGER_READINGS_MAX, &readings, NULL)) {
			g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
				    table[which].kind == TRIGGER_EVENT
					    ? "trigger %s: \"%s\": it happens or not, there are no readings to count"
					    : "trigger %s: \"%s\" is no number of readings from 1 to 3600",
				    table[which].name, slash + 1);
			return FALSE;
		}
		setting.readings = (guint)readings;
	}
	triggers->of[which] = setting;
	return TRUE;
}
