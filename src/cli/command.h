/* SPDX-License-Identifier: Apache-2.0 */
/* The commands' common ground: the table's entry, exit statuses, and saying what is wrong. */
#pragma once
#include <glib.h>

enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* could not be done, or (doctor) something is missing */
	EXIT_USAGE = 2, /* bad input: one sentence said why */
	EXIT_INCONCLUSIVE = 3, /* a result, but its ledger covers less than 95 % */
};

struct command {
	const char *name;
	const char *group; /* heading in the help */
	const char *summary;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an exit status */
};

/* NULL when there is none of that name. */
const struct command *command_find(const char *name);

/* One sentence on stderr, "fathom COMMAND: …", untrusted bytes escaped. */
void command_complain(const char *command, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* FALSE, and `error` says it: for input that makes no sense. Printed later by command_complain, so not escaped here. */
gboolean command_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Parses options; FALSE after having complained or shown the help (then `*status` says with which status to end). */
gboolean command_parse(GOptionContext *context, int *argc, char ***argv, int *status);

/* TRUE when nothing but root's capabilities stands in the way; else complains, naming the missing ones. */
gboolean command_need_bpf(const char *command);

int cmd_profile(int argc, char **argv);
int cmd_offcpu(int argc, char **argv);
int cmd_walltime(int argc, char **argv);
int cmd_blame(int argc, char **argv);
int cmd_latency(int argc, char **argv);
int cmd_cost(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_namespaces(int argc, char **argv);
int cmd_whois(int argc, char **argv);
int cmd_enter(int argc, char **argv);
int cmd_guest(int argc, char **argv);
/* Inside a container, without the rights to look out of it: what guest_show prints is all there is. */
gboolean guest_is_inside(void);
struct guest_options {
	const char *command; /* that complains */
	const char *duration; /* NULL: a second */
	gboolean json, markdown; /* not both */
	gboolean is_diagnosis; /* its exit status is that of fathom diagnose: what is abnormal is a finding */
	gboolean files; /* files are all that was asked for: that they show nothing abnormal is conclusive */
};
/* Returns an exit status. */
int guest_show(const struct guest_options *options);
int cmd_host(int argc, char **argv);
int cmd_use(int argc, char **argv);
int cmd_flame(int argc, char **argv);
int cmd_connections(int argc, char **argv);
int cmd_diagnose(int argc, char **argv);
int cmd_dns(int argc, char **argv);
int cmd_drops(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_memory(int argc, char **argv);
int cmd_tcp(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_slow(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
