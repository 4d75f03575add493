/* SPDX-License-Identifier: Apache-2.0 */
#include "diagnose/setting.h"

#include <string.h>

#include "base/text.h"

static const struct setting {
	const char *name;
	enum fact_text limit_of; /* the cgroup above it that sets the limit; FACT_TEXTS: none does */
	enum fact value; /* what to set it to; FACT_NONE: not for us to say */
	const char *flag; /* of docker's and podman's update; NULL: it cannot be changed while it runs */
	const char *pod_field; /* NULL: pods have no such setting */
	const char *unit_property; /* of systemd */
	const char *file; /* of a cgroup */
} settings[] = {
	{ "cpu_setting", TEXT_CPU_LIMIT_OF, FACT_CPU_WANTED, "--cpus", "resources.limits.cpu", "CPUQuota", "cpu.max" },
	{ "shares_setting", FACT_TEXTS, FACT_NONE, "--cpu-shares", "resources.requests.cpu", "CPUWeight",
	  "cpu.weight" },
	{ "cpuset_setting", FACT_TEXTS, FACT_NONE, "--cpuset-cpus", NULL, "AllowedCPUs", "cpuset.cpus" },
	{ "memory_setting", TEXT_MEMORY_LIMIT_OF, FACT_NONE, "--memory-swap … --memory", "resources.limits.memory",
	  "MemoryMax", "memory.max" },
	{ "high_setting", FACT_TEXTS, FACT_NONE, NULL, NULL, "MemoryHigh", "memory.high" },
	{ "pids_setting", TEXT_PIDS_LIMIT_OF, FACT_NONE, "--pids-limit", NULL, "TasksMax", "pids.max" },
};

/* A command somebody may copy. */
static char *update_words(const struct setting *setting, const struct subject *subject)
{
	g_autofree char *name = text_shell(subject->name);
	g_autofree char *value = NULL;
	double wanted;

	if (setting->value && fact_get(subject, setting->value, &wanted))
		value = fact_format(fact_metas[setting->value].unit, wanted);
	return g_strdup_printf("%s update %s %s %s", subject->texts[TEXT_ENGINE], setting->flag, value ? value : "…",
			       name);
}

static char *setting_words(const struct setting *setting, const struct subject *subject)
{
	const char *above = setting->limit_of < FACT_TEXTS ? subject->texts[setting->limit_of] : NULL;

	if (above)
		return g_strdup_printf("%s of %s", setting->file, above);
	if (subject->texts[TEXT_POD])
		return setting->pod_field
			       ? g_strdup_printf("%s in pod %s", setting->pod_field, subject->texts[TEXT_POD])
			       : NULL;
	if (subject->texts[TEXT_ENGINE] && setting->flag)
		return update_words(setting, subject);
	if (g_strcmp0(subject->texts[TEXT_RUNTIME], "systemd") == 0)
		return g_strdup_printf("%s= of its unit", setting->unit_property);
	return g_strdup_printf("%s of its cgroup", setting->file);
}

char *setting_text(const char *name, gsize length, const struct subject *subject)
{
	for (guint i = 0; i < G_N_ELEMENTS(settings); i++)
		if (strlen(settings[i].name) == length && memcmp(settings[i].name, name, length) == 0)
			return setting_words(&settings[i], subject);
	return NULL;
}
