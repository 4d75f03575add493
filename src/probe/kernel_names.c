/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/kernel_names.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "kernel_names.skel.h"
#include "probe/kernel_names_text.h"
#include "probe/ladder.h"

#define KERNEL_NAMES_KEPT_MAX 65536 /* functions; a kernel has some 120,000 */

/* A function of the kernel's own: [start, end). */
struct kernel_function {
	guint64 start, end;
	const char *name; /* in `texts` */
};

struct kernel_names {
	struct kernel_names_bpf *kernel;
	gboolean refused;
	GArray *functions; /* of struct kernel_function, by address */
	GStringChunk *texts;
};

struct kernel_names *kernel_names_new(void)
{
	struct kernel_names *names = g_new0(struct kernel_names, 1);

	names->functions = g_array_new(FALSE, FALSE, sizeof(struct kernel_function));
	names->texts = g_string_chunk_new(4096);
	return names;
}

void kernel_names_free(struct kernel_names *names)
{
	if (!names)
		return;
	kernel_names_bpf__destroy(names->kernel);
	g_array_unref(names->functions);
	g_string_chunk_free(names->texts);
	g_free(names);
}

/* Index of the first function that ends behind `address`. */
static guint function_index(const struct kernel_names *names, guint64 address)
{
	guint low = 0, high = names->functions->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (g_array_index(names->functions, struct kernel_function, middle).end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static gboolean function_find(const struct kernel_names *names, guint64 address, struct kernel_name *name)
{
	guint index = function_index(names, address);
	const struct kernel_function *function = &g_array_index(names->functions, struct kernel_function, index);

	if (index == names->functions->len || address < function->start)
		return FALSE;
	*name = (struct kernel_name){ function->name, "", address - function->start, function->end - function->start };
	return TRUE;
}

/* Modules and BPF programs come and go. */
static void function_keep(struct kernel_names *names, guint64 address, const struct kernel_name *name)
{
	guint64 start = address - name->offset;
	struct kernel_function function = { .start = start, .end = start + name->bytes };
	guint index = function_index(names, start);

	if (name->module[0] || name->offset >= name->bytes || names->functions->len >= KERNEL_NAMES_KEPT_MAX ||
	    (index < names->functions->len &&
	     g_array_index(names->functions, struct kernel_function, index).start < function.end))
		return;
	function.name = g_string_chunk_insert(names->texts, name->name);
	g_array_insert_val(names->functions, index, function);
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
	name->offset = g_ascii_strtoull(plus + 1, &end, 16);
	name->bytes = *end == '/' ? g_ascii_strtoull(end + 1, NULL, 16) : 0;
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

	if (function_find(names, address, name))
		return KERNEL_NAMES_FOUND;
	if (!kernel_names_load(names))
		return KERNEL_NAMES_CANNOT;
	names->kernel->bss->kernel_name_address = address;
	if (bpf_prog_test_run_opts(bpf_program__fd(names->kernel->progs.kernel_name), &options) != 0 ||
	    (gint32)options.retval <= 0)
		return KERNEL_NAMES_CANNOT;
	names->kernel->bss->kernel_name_text[KERNEL_NAME_TEXT_BYTES - 1] = '\0';
	if (!kernel_name_parse(names->kernel->bss->kernel_name_text, name))
		return KERNEL_NAMES_NONE;
	function_keep(names, address, name);
	return KERNEL_NAMES_FOUND;
}
