/* SPDX-License-Identifier: Apache-2.0 */
/* fathom's front: finds the command and hands over. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"

static const struct command commands[] = {
	{ "diagnose", "Whose fault is it", "verdicts with evidence: the container, its neighbours or the host",
	  cmd_diagnose },
	{ "walltime", "Where does the time go", "thread time that adds up: running, waiting, blocked", cmd_walltime },
	{ "profile", "Where does the time go", "on-CPU flame graph by sampling", cmd_profile },
	{ "offcpu", "Where does the time go", "blocked time by stack and cause", cmd_offcpu },
	{ "latency", "How long does it take", "histograms per container: run queue, disk, files, calls, faults",
	  cmd_latency },
	{ "blame", "How long does it take", "who made whom wait", cmd_blame },
	{ "ps", "Who is there", "one row a container", cmd_ps },
	{ "namespaces", "Who is there", "which namespaces containers share", cmd_namespaces },
	{ "whois", "Who is there", "host pid to container and back", cmd_whois },
	{ "enter", "Who is there", "a tool of the host in a container's namespaces", cmd_enter },
	{ "memory", "Who uses what", "growth: flame graph of page faults, slope, time to limit", cmd_memory },
	{ "top", "Who uses what", "what each container uses and loses: CPU, time, memory, I/O", cmd_top },
	{ "use", "Who uses what", "utilisation, saturation, errors: host and container side by side", cmd_use },
	{ "slow", "What happens", "what takes long: one line each, when it ends", cmd_slow },
	{ "trace", "What happens", "exec, exit, OOM kills, opened files …: one line each, as it happens", cmd_trace },
	{ "connections", "Who talks to whom", "TCP connections by edge, with numbers", cmd_connections },
	{ "tcp", "Who talks to whom", "TCP connections one by one: opened, failed, sent again, closed", cmd_tcp },
	{ "map", "Who talks to whom", "service map: a tree, a picture, a page", cmd_map },
	{ "dns", "Who talks to whom", "DNS: questions, latency, failures, timeouts, search-list waste", cmd_dns },
	{ "drops", "Who talks to whom", "what the network loses: packets, refused connections, conntrack", cmd_drops },
	{ "flame", "Pictures", "folded, perf script or pprof input to a flame graph", cmd_flame },
	{ "diff", "Pictures", "what changed between two captures", cmd_diff },
	{ "serve", "This machine", "the agent: always on, with history, a page, an API and metrics", cmd_serve },
	{ "record", "This machine", "everything, second by second, into a capture file", cmd_record },
	{ "replay", "This machine", "any command on a capture, without root", cmd_replay },
	{ "host", "This machine", "the first sixty seconds in one screen, what is abnormal marked", cmd_host },
	{ "guest", "This machine", "inside a container: its limits and use, and which tools show the host's",
	  cmd_guest },
	{ "cost", "This machine", "what fathom and every other BPF program takes, and who pays", cmd_cost },
	{ "doctor", "This machine", "every probe, every way to attach it: works, or why not", cmd_doctor },
};

static void help_print(FILE *out)
{
	const char *group = NULL;

	table_print_wrapped(
		out,
		"Usage: fathom COMMAND [OPTION…] [TARGET…]\n"
		"Where does the time go, and whose fault is it: the container's, its neighbours', or the host's?\n");
	for (guint i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (g_strcmp0(group, commands[i].group) != 0)
			fprintf(out, "\n%s\n", commands[i].group);
		group = commands[i].group;
		table_print_wrapped(out, "  %-11s  %s\n", commands[i].name, commands[i].summary);
	}
	table_print_wrapped(
		out, "\nA TARGET is a container's name or id prefix, a pod, a pid, web:1 (pid inside), a cgroup path,\n"
		     "host, or all. Options and examples of a command: fathom COMMAND --help, man fathom-COMMAND.\n");
	if (guest_is_inside())
		table_print_wrapped(
			out,
			"Inside a container, without the rights to look out of it, there is one to try: fathom guest.\n");
	else
		table_print_wrapped(out, "First thing to try: fathom diagnose, then fathom walltime NAME.\n");
}

const struct command *command_find(const char *name)
{
	for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *command;

	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	if (argc < 2) {
		help_print(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		help_print(stdout);
		return EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("fathom " FATHOM_VERSION);
		return EXIT_OK;
	}
	command = command_find(argv[1]);
	if (!command) {
		command_complain(argv[1], "no such command (see: fathom --help)");
		return EXIT_USAGE;
	}
	return command->run(argc - 1, argv + 1);
}
