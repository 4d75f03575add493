/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "import/capture.h"

int capture_name(struct pull *pull, const char *const *names, guint count, const char *what, GError **error)
{
	gboolean is_null;
	g_autofree char *why = NULL;

	if (!pull_string(pull, &is_null, error))
		return -1;
	for (guint i = 0; i < count; i++)
		if (strcmp(names[i], pull->text->str) == 0)
			return (int)i;
	why = g_strdup_printf("not a known %s", what);
	pull_fail(pull, error, why);
	return -1;
}

int capture_unit(struct pull *pull, GError **error)
{
	return capture_name(pull, unit_names, UNITS, "unit", error);
}

gboolean capture_bytes(struct pull *pull, char **bytes, GError **error)
{
	gboolean is_null = FALSE;
	gsize length;
	int next = pull_next(pull, error);

	g_clear_pointer(bytes, g_free);
	if (next < 0)
		return FALSE;
	if (next != '{') {
		if (!pull_string(pull, &is_null, error))
			return FALSE;
		*bytes = is_null ? NULL : g_strdup(pull->text->str);
		return TRUE;
	}
	if (!pull_begin(pull, '{', error) || pull_member(pull, error) != 1)
		return (error && *error) ? FALSE : pull_fail(pull, error, "\"base64\" is expected");
	if (strcmp(pull->text->str, "base64") != 0)
		return pull_fail(pull, error, "\"base64\" is expected");
	if (!pull_string(pull, &is_null, error))
		return FALSE;
	*bytes = (char *)g_base64_decode(pull->text->str, &length);
	if (pull_member(pull, error) == 0)
		return TRUE;
	g_clear_pointer(bytes, g_free);
	return (error && *error) ? FALSE : pull_fail(pull, error, "a closing bracket is expected");
}
