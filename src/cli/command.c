/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <cap-ng.h>
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/table.h"

void command_complain(const char *command, const char *format, ...)
{
	g_autofree char *raw = NULL;
	g_autofree char *safe = NULL;
	va_list args;

	va_start(args, format);
	raw = g_strdup_vprintf(format, args);
	va_end(args);
	safe = text_terminal(raw);
	table_print_wrapped(stderr, "fathom %s: %s\n", command, safe);
}

gboolean command_parse(GOptionContext *context, int *argc, char ***argv, int *status)
{
	g_autoptr(GError) error = NULL;
	gboolean help = FALSE;
	GOptionEntry entries[] = {
		{ "help", 'h', 0, G_OPTION_ARG_NONE, &help, "Show this help", NULL },
		{ NULL },
	};
	const char *name = (*argv)[0];

	/* GLib's own --help ends the program with the binary's name; ours names the command. */
	g_option_context_set_help_enabled(context, FALSE);
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, argc, argv, &error)) {
		command_complain(name, "%s (see: fathom %s --help)", error->message, name);
		*status = EXIT_USAGE;
		return FALSE;
	}
	if (help) {
		g_autofree char *program = g_strdup_printf("fathom %s", name);
		g_autofree char *text = NULL;

		g_set_prgname(program);
		text = g_option_context_get_help(context, TRUE, NULL);
		table_print_wrapped(stdout, "%s", text);
		*status = EXIT_OK;
		return FALSE;
	}
	return TRUE;
}

gboolean command_need_bpf(const char *command)
{
	static const struct {
		unsigned int capability;
		const char *name;
		const char *use;
	} needed[] = {
		{ CAP_BPF, "CAP_BPF", "load programs into the kernel" },
		{ CAP_PERFMON, "CAP_PERFMON", "attach them" },
		{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "read other processes' mappings" },
	};
	g_autoptr(GString) missing = g_string_new(NULL);

	capng_get_caps_process();
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) &&
	    capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_PTRACE))
		return TRUE;
	for (guint i = 0; i < G_N_ELEMENTS(needed); i++)
		if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i].capability))
			g_string_append_printf(missing, "%s%s (to %s)", missing->len ? ", " : "", needed[i].name,
					       needed[i].use);
	if (!missing->len)
		return TRUE;
	if (geteuid() == 0)
		command_complain(command,
				 "not permitted: root lacks capabilities here, as in a container without --privileged: "
				 "it needs %s",
				 missing->str);
	else
		command_complain(command, "not permitted: run it as root (sudo), or give it %s", missing->str);
	return FALSE;
}

gboolean command_fail(GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_propagate_error(error, g_error_new_valist(G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format, args));
	va_end(args);
	return FALSE;
}
