/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <math.h>
#include <string.h>

const char *const unit_names[UNITS] = { "count", "nanoseconds", "bytes" };

static char *units_three_digits(double value, const char *suffix)
{
	int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;

	return g_strdup_printf("%.*f%s", decimals, value, suffix);
}

char *units_duration(guint64 ns)
{
	if (ns < NS_PER_US)
		return g_strdup_printf("%" G_GUINT64_FORMAT " ns", ns);
	if (ns < NS_PER_MS)
		return units_three_digits((double)ns / 1e3, " \302\265s");
	if (ns < NS_PER_S)
		return units_three_digits((double)ns / 1e6, " ms");
	return units_three_digits((double)ns / 1e9, " s");
}

char *units_bytes(guint64 bytes)
{
	static const char *const names[] = { " KiB", " MiB", " GiB", " TiB", " PiB", " EiB" };
	double value = (double)bytes / 1024;
	guint i = 0;

	if (bytes < 1024)
		return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);
	for (; value >= 1024 && i + 1 < G_N_ELEMENTS(names); i++)
		value /= 1024;
	return units_three_digits(value, names[i]);
}

char *units_count(guint64 count)
{
	static const char *const names[] = { "k", "M", "G", "T", "P", "E" };
	double value = (double)count / 1000;
	guint i = 0;

	if (count < 10000)
		return g_strdup_printf("%" G_GUINT64_FORMAT, count);
	for (; value >= 1000 && i + 1 < G_N_ELEMENTS(names); i++)
		value /= 1000;
	return units_three_digits(value, names[i]);
}

char *units_weight(enum unit unit, guint64 weight)
{
	switch (unit) {
	case UNIT_NANOSECONDS:
		return units_duration(weight);
	case UNIT_BYTES:
		return units_bytes(weight);
	case UNIT_COUNT:
	default:
		return units_count(weight);
	}
}

char *units_percent(double part, double whole)
{
	if (!(whole > 0))
		return g_strdup("-");
	return g_strdup_printf("%.1f %%", 100 * part / whole);
}

gboolean units_parse_duration(const char *text, guint64 default_unit_ns, guint64 *ns)
{
	static const struct {
		const char *suffix;
		double ns;
	} suffixes[] = { { "ns", 1 },  { "us", 1e3 }, { "\302\265s", 1e3 }, { "ms", 1e6 },
			 { "s", 1e9 }, { "m", 60e9 }, { "min", 60e9 },	    { "h", 3600e9 } };
	char *end = NULL;
	double value = g_ascii_strtod(text, &end);
	double scale = (double)default_unit_ns;

	if (end == text || !isfinite(value) || value < 0)
		return FALSE;
	while (*end == ' ')
		end++;
	if (*end) {
		scale = 0;
		for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++)
			if (strcmp(end, suffixes[i].suffix) == 0)
				scale = suffixes[i].ns;
		if (scale == 0)
			return FALSE;
	}
	if (value * scale > 9e18)
		return FALSE;
	*ns = (guint64)llround(value * scale);
	return TRUE;
}

gboolean units_parse_bytes(const char *text, guint64 *bytes)
{
	static const char suffixes[] = "kmgt";
	char *end = NULL;
	double value = g_ascii_strtod(text, &end), scale = 1;

	if (end == text || !isfinite(value) || value < 0)
		return FALSE;
	if (*end) {
		const char *suffix = strchr(suffixes, g_ascii_tolower(*end));

		if (!suffix)
			return FALSE;
		scale = ldexp(1, 10 * (int)(suffix - suffixes + 1));
		end++;
		if (*end && g_ascii_strcasecmp(end, "b") != 0 && g_ascii_strcasecmp(end, "ib") != 0)
			return FALSE;
	}
	if (value * scale > 9e18)
		return FALSE;
	*bytes = (guint64)llround(value * scale);
	return TRUE;
}
