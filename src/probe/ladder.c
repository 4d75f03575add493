/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/ladder.h"

#include <bpf/libbpf.h>
#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe/refusal.h"

#define LADDER_LOG_BYTES 4096

/* What libbpf said. Its print callback carries no user pointer, so the text has to live with the thread. */
static _Thread_local char ladder_log[LADDER_LOG_BYTES];
static _Thread_local gsize ladder_log_bytes;

static int ladder_print(enum libbpf_print_level level, const char *format, va_list args)
{
	int bytes;

	if (level != LIBBPF_WARN || ladder_log_bytes >= sizeof(ladder_log) - 1)
		return 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	bytes = vsnprintf(ladder_log + ladder_log_bytes, sizeof(ladder_log) - ladder_log_bytes, format, args);
#pragma GCC diagnostic pop
	if (bytes > 0)
		ladder_log_bytes = MIN(ladder_log_bytes + bytes, sizeof(ladder_log) - 1);
	return 0;
}

void ladder_log_start(void)
{
	libbpf_set_print(ladder_print);
	ladder_log_bytes = 0;
	ladder_log[0] = '\0';
}

/* libbpf's words → ours, the most telling first. */
static const struct {
	const char *said;
	const char *means;
} ladder_meanings[] = {
	{ "failed to find valid kernel BTF", "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)" },
	{ "kernel BTF is missing", "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)" },
	{ "vmlinux BTF is not found", "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)" },
	{ "is not found in vmlinux BTF", "this kernel has no such tracepoint" },
	{ "failed to find BTF ID", "this kernel has no such tracepoint" },
	{ "invalid CO-RE relocation", "this kernel lacks a field or type we read" },
	{ "RLIMIT_MEMLOCK", "the locked-memory limit is too low (ulimit -l unlimited)" },
	{ "BPF program is too large", "the kernel's verifier found the program too large" },
};

/* One sentence of what libbpf said; NULL when it said nothing. */
static char *ladder_log_sentence(void)
{
	g_auto(GStrv) lines = NULL;
	gsize i;

	for (i = 0; i < G_N_ELEMENTS(ladder_meanings); i++)
		if (strstr(ladder_log, ladder_meanings[i].said))
			return g_strdup(ladder_meanings[i].means);
	lines = g_strsplit(ladder_log, "\n", 2);
	if (!lines[0] || !*lines[0])
		return NULL;
	return g_strdup(g_str_has_prefix(lines[0], "libbpf: ") ? lines[0] + strlen("libbpf: ") : lines[0]);
}

static gboolean ladder_has(unsigned capability)
{
	return capng_have_capability(CAPNG_EFFECTIVE, capability) ||
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
}

char *ladder_missing_capabilities(void)
{
	static const struct {
		unsigned capability;
		const char *name;
	} needed[] = { { CAP_BPF, "CAP_BPF" }, { CAP_PERFMON, "CAP_PERFMON" } };
	g_autoptr(GPtrArray) missing = g_ptr_array_new();

	if (capng_get_caps_process() != 0)
		return NULL;
	for (gsize i = 0; i < G_N_ELEMENTS(needed); i++)
		if (!ladder_has(needed[i].capability))
			g_ptr_array_add(missing, (char *)needed[i].name);
	if (missing->len == 0)
		return NULL;
	g_ptr_array_add(missing, NULL);
	return g_strjoinv(" and ", (char **)missing->pdata);
}

void ladder_set_error(GError **error, const char *what, int errno_value)
{
	gboolean refused = errno_value == EPERM || errno_value == EACCES;
	g_autofree char *missing = refused ? ladder_missing_capabilities() : NULL;
	g_autofree char *why = missing ? NULL : refusal_why();
	g_autofree char *said = ladder_log_sentence();

	if (missing)
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_PERMISSION, "%s: it needs %s (%s)", what, missing,
			    geteuid() == 0 ? "root does not have them here: docker run --privileged"
					   : "run it as root");
	else if (why) /* before what libbpf says, which takes every refusal for the limit of locked memory */
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_PERMISSION, "%s: %s", what, why);
	else if (said)
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED, "%s: %s", what, said);
	else
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED, "%s: %s", what, g_strerror(errno_value));
}

const struct rung *ladder_climb(const struct rung *rungs, const char *forced, ladder_try_fn attempt, void *user,
				char **why_not, GError **error)
{
	g_autoptr(GString) reasons = g_string_new(NULL);
	int code = PROBE_ERROR_UNSUPPORTED;
	gboolean tried = FALSE;

	if (why_not)
		*why_not = NULL;
	for (const struct rung *rung = rungs; rung->name; rung++) {
		g_autoptr(GError) reason = NULL;

		if (forced && !g_str_equal(forced, rung->name))
			continue;
		if (code == PROBE_ERROR_PERMISSION && !rung->without_bpf)
			continue; /* the same for every rung: said once */
		tried = TRUE;
		if (attempt(user, rung, &reason)) {
			if (why_not && reasons->len > 0)
				*why_not = g_string_free(g_steal_pointer(&reasons), FALSE);
			return rung;
		}
		if (reason->code == PROBE_ERROR_PERMISSION) {
			code = PROBE_ERROR_PERMISSION;
			g_string_assign(reasons, reason->message);
			continue;
		}
		if (reasons->len > 0)
			g_string_append(reasons, "; ");
		if (!forced) /* who forces a rung knows its name */
			g_string_append_printf(reasons, "%s: ", rung->name);
		g_string_append(reasons, reason->message);
	}
	if (!tried)
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED, "no rung is called \"%s\"",
			    forced ? forced : "");
	else
		g_set_error_literal(error, PROBE_ERROR, code, reasons->str);
	return NULL;
}
