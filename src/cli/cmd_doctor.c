/* SPDX-License-Identifier: Apache-2.0 */
/* fathom doctor: what works on this machine, found by trying every probe on every rung, and why the rest does not. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "kernel/cgroupfs.h"
#include "probe/ladder.h"
#include "probe/probe.h"

#define DOCTOR_FILE_BYTES 4096
#define DOCTOR_LABEL_COLUMNS 28

/* ---- facts about the machine: each a string, or NULL when not known ---- */

static char *doctor_line(const char *path)
{
	char *text = file_read(path, DOCTOR_FILE_BYTES, NULL, NULL);

	return text ? g_strstrip(text) : NULL;
}

static char *doctor_kernel(void)
{
	struct utsname name;

	return uname(&name) == 0 ? g_strdup_printf("%s %s", name.release, name.machine) : NULL;
}

static char *doctor_btf(void)
{
	return g_strdup(access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? "yes" : "no (CONFIG_DEBUG_INFO_BTF)");
}

static char *doctor_cgroup(void)
{
	struct cgroupfs *cgroupfs = cgroupfs_open("/", NULL);
	const char *controller = cgroupfs ? cgroupfs_v1_controller(cgroupfs) : NULL;
	char *mode = NULL;

	if (cgroupfs && controller)
		mode = g_strdup_printf("%s (v1 names come from %s)", cgroupfs_mode(cgroupfs), controller);
	else if (cgroupfs)
		mode = g_strdup(cgroupfs_mode(cgroupfs));
	if (cgroupfs)
		cgroupfs_free(cgroupfs);
	return mode;
}

/* The file reads "none [integrity] confidentiality": the one in brackets is in force. */
static char *doctor_lockdown(void)
{
	g_autofree char *line = doctor_line("/sys/kernel/security/lockdown");
	char *open = line ? strchr(line, '[') : NULL;
	char *close = open ? strchr(open, ']') : NULL;

	if (!close)
		return g_strdup(line ? "none" : "none, or securityfs is not mounted");
	return g_strndup(open + 1, close - open - 1);
}

static char *doctor_capabilities(void)
{
	g_autofree char *missing = ladder_missing_capabilities();

	return missing ? g_strdup_printf("missing %s", missing) : g_strdup("sufficient");
}

static char *doctor_pressure(void)
{
	return g_strdup(access("/proc/pressure/cpu", R_OK) == 0 ? "yes" : "no (CONFIG_PSI, or off: psi=1)");
}

static char *doctor_paranoid(void)
{
	return doctor_line("/proc/sys/kernel/perf_event_paranoid");
}

static char *doctor_kptr(void)
{
	return doctor_line("/proc/sys/kernel/kptr_restrict");
}

static char *doctor_rate(void)
{
	return doctor_line("/proc/sys/kernel/perf_event_max_sample_rate");
}

static char *doctor_depth(void)
{
	return doctor_line("/proc/sys/kernel/perf_event_max_stack");
}

static const struct {
	const char *key; /* in JSON */
	const char *label;
	char *(*read)(void);
} doctor_facts[] = {
	{ "kernel", "kernel", doctor_kernel },
	{ "btf", "type information (BTF)", doctor_btf },
	{ "cgroup_mode", "cgroups", doctor_cgroup },
	{ "lockdown", "kernel lockdown", doctor_lockdown },
	{ "capabilities", "capabilities", doctor_capabilities },
	{ "psi", "pressure (PSI)", doctor_pressure },
	{ "perf_event_paranoid", "perf_event_paranoid", doctor_paranoid },
	{ "kptr_restrict", "kptr_restrict", doctor_kptr },
	{ "perf_event_max_sample_rate", "perf_event_max_sample_rate", doctor_rate },
	{ "perf_event_max_stack", "perf_event_max_stack", doctor_depth },
};

/* ---- probes ---- */

/* NULL when the rung works; otherwise why not, owned by the caller. Watches nobody and leaves nothing attached. */
static char *doctor_try(const struct probe *probe, const struct rung *rung)
{
	const struct probe_request request = { .filter = TRUE, .rung = rung->name };
	const struct probe_listener listener = { 0 };
	g_autoptr(GError) error = NULL;
	struct probe_run *run = probe->open(&request, &listener, &error);

	if (!run)
		return g_strdup(error->message);
	probe->close(run);
	return NULL;
}

struct doctor {
	GHashTable *tried; /* const struct rung → why not; NULL: it works */
};

/* The rung of the probe this one is a view of that has been tried already; NULL: none. */
static const struct rung *doctor_like(const struct doctor *doctor, const struct probe *probe, const struct rung *rung)
{
	const struct rung *like = probe->view_of ? probe->view_of->rungs : NULL;

	for (; like && like->name; like++)
		if (strcmp(like->name, rung->name) == 0 && g_hash_table_contains(doctor->tried, like))
			return like;
	return NULL;
}

/* Why a rung does not work, owned by the caller; NULL: it does. Most of the time trying takes is the kernel's verifier's, so
 * no programs are tried twice. */
static char *doctor_why_not(struct doctor *doctor, const struct probe *probe, const struct rung *rung)
{
	const struct rung *like = doctor_like(doctor, probe, rung);
	char *reason = like ? g_strdup(g_hash_table_lookup(doctor->tried, like)) : doctor_try(probe, rung);

	g_hash_table_replace(doctor->tried, (gpointer)rung, g_strdup(reason));
	return reason;
}

/* One reason per rung of `probe`, NULL for those that work. */
static GPtrArray *doctor_examine(struct doctor *doctor, const struct probe *probe, gboolean *works)
{
	GPtrArray *reasons = g_ptr_array_new_with_free_func(g_free);

	*works = FALSE;
	for (const struct rung *rung = probe->rungs; rung->name; rung++) {
		char *reason = doctor_why_not(doctor, probe, rung);

		*works |= reason == NULL;
		g_ptr_array_add(reasons, reason);
	}
	return reasons;
}

/* ---- output ---- */

static void doctor_print_line(const char *label, const char *value)
{
	g_autofree char *safe = text_terminal(value);

	table_print_wrapped(stdout, "%-*s  %s\n", DOCTOR_LABEL_COLUMNS - 1, label, safe);
}

static gboolean doctor_print_probe(struct doctor *doctor, const struct probe *probe)
{
	gboolean works;
	g_autoptr(GPtrArray) reasons = doctor_examine(doctor, probe, &works);

	table_print_wrapped(stdout, "\n%s: %s\n", probe->name, probe->shows);
	for (guint i = 0; i < reasons->len; i++) {
		const struct rung *rung = &probe->rungs[i];
		const char *reason = g_ptr_array_index(reasons, i);
		g_autofree char *safe = reason ? text_terminal(reason) : NULL;

		table_print_wrapped(stdout, "  %-5s  %s\n", reason ? "no" : "works", rung->name);
		if (reason)
			table_print_wrapped(stdout, "         because: %s\n", safe);
		else if (rung->misses)
			table_print_wrapped(stdout, "         cannot see: %s\n", rung->misses);
	}
	fflush(stdout); /* trying them all takes seconds on a busy machine */
	return works;
}

static gboolean doctor_print(struct doctor *doctor)
{
	gboolean all = TRUE;

	for (gsize i = 0; i < G_N_ELEMENTS(doctor_facts); i++) {
		g_autofree char *value = doctor_facts[i].read();

		doctor_print_line(doctor_facts[i].label, value ? value : "not known");
	}
	for (const struct probe *const *probe = probe_registry; *probe; probe++)
		all &= doctor_print_probe(doctor, *probe);
	printf("\n%s\n", all ? "Every probe works here." : "Not every probe works here: see above.");
	return all;
}

static gboolean doctor_json_probe(struct doctor *doctor, struct json_writer *json, const struct probe *probe)
{
	gboolean works;
	g_autoptr(GPtrArray) reasons = doctor_examine(doctor, probe, &works);

	json_begin_object(json, NULL);
	json_string(json, "name", probe->name);
	json_bool(json, "works", works);
	json_begin_array(json, "rungs");
	for (guint i = 0; i < reasons->len; i++) {
		json_begin_object(json, NULL);
		json_string(json, "name", probe->rungs[i].name);
		json_bool(json, "works", g_ptr_array_index(reasons, i) == NULL);
		json_string(json, "why_not", g_ptr_array_index(reasons, i));
		json_string(json, "misses", probe->rungs[i].misses);
		json_end_object(json);
	}
	json_end_array(json);
	json_end_object(json);
	return works;
}

static gboolean doctor_json(struct doctor *doctor)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct json_writer json;
	gboolean all = TRUE;

	json_init(&json, out);
	json_begin_object(&json, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(doctor_facts); i++) {
		g_autofree char *value = doctor_facts[i].read();

		json_string(&json, doctor_facts[i].key, value);
	}
	json_begin_array(&json, "probes");
	for (const struct probe *const *probe = probe_registry; *probe; probe++)
		all &= doctor_json_probe(doctor, &json, *probe);
	json_end_array(&json);
	json_bool(&json, "works", all);
	json_end_object(&json);
	puts(out->str);
	return all;
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor doctor = { 0 };
	gboolean as_json = FALSE, works;
	const GOptionEntry entries[] = {
		{ "json", 0, 0, G_OPTION_ARG_NONE, &as_json, "JSON instead of text", NULL },
		{ NULL },
	};
	g_autoptr(GOptionContext) context =
		g_option_context_new("- what works on this machine, and why the rest does not");
	int status;

	g_option_context_add_main_entries(context, entries, NULL);
	if (!command_parse(context, &argc, &argv, &status))
		return status;
	if (argc > 1) {
		command_complain("doctor", "it takes no arguments, but there is \"%s\"", argv[1]);
		return EXIT_USAGE;
	}
	doctor.tried = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	works = as_json ? doctor_json(&doctor) : doctor_print(&doctor);
	g_hash_table_unref(doctor.tried);
	return works ? EXIT_OK : EXIT_FAILED;
}
