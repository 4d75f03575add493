/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/kernel_names.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "kernel_names.skel.h"
#include "probe/kernel_names_text.h"
#include "probe/ladder.h"

struct kernel_names {
	struct kernel_names_bpf *kernel;
	gboolean refused;
};

struct kernel_names *kernel_names_new(void)
{
	return g_new0(struct kernel_names, 1);
}

void kernel_names_free(struct kernel_names *names)
{
	if (!names)
		return;
	kernel_names_bpf__destroy(names->kernel);
	g_free(names);
}

static gboolean kernel_names_load(struct kernel_names *names)
{
	if (names->kernel || names->refused)
		return names->kernel != NULL;
	ladder_log_start();
	names->kernel = kernel_names_bpf__open_and_load();
	names->refused = !names->kernel;
	return names->kernel != NULL;
}

/* The kernel prints no module for what BPF made; /proc/kallsyms says "[bpf]". Programs are called bpf_prog_TAG[_NAME],
 * trampolines bpf_trampoline_NUMBER; functions of the kernel's own begin alike, but go on with a word. */
static gboolean name_is_bpf(const char *name)
{
	static const char program[] = "bpf_prog_", trampoline[] = "bpf_trampoline_";

	if (g_str_has_prefix(name, program))
		return strspn(name + sizeof(program) - 1, "0123456789abcdef") == 2 * BPF_TAG_SIZE;
	return g_str_has_prefix(name, trampoline) && g_ascii_isdigit(name[sizeof(trampoline) - 1]);
}

gboolean kernel_name_parse(char *text, struct kernel_name *name)
{
	char *module = strstr(text, " ["), *plus, *end;

	if (module)
		*module = '\0';
	plus = strrchr(text, '+');
	if (!plus || plus == text)
		return FALSE;
	*plus = '\0';
	name->name = text;
	name->offset = g_ascii_strtoull(plus + 1, NULL, 16);
	name->module = name_is_bpf(text) ? "bpf" : "";
	end = module ? strpbrk(module + 2, " ]") : NULL; /* some kernels put a build-id behind the module */
	if (end) {
		*end = '\0';
		name->module = module + 2;
	}
	return TRUE;
}

enum kernel_names_answer kernel_names_find(struct kernel_names *names, guint64 address, struct kernel_name *name)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);

	if (!kernel_names_load(names))
		return KERNEL_NAMES_CANNOT;
	names->kernel->bss->kernel_name_address = address;
	if (bpf_prog_test_run_opts(bpf_program__fd(names->kernel->progs.kernel_name), &options) != 0 ||
	    (gint32)options.retval <= 0)
		return KERNEL_NAMES_CANNOT;
	names->kernel->bss->kernel_name_text[KERNEL_NAME_TEXT_BYTES - 1] = '\0';
	return kernel_name_parse(names->kernel->bss->kernel_name_text, name) ? KERNEL_NAMES_FOUND : KERNEL_NAMES_NONE;
}
