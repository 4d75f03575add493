/* SPDX-License-Identifier: Apache-2.0 */
/* The user half of bpf/python.bpf.h: tells the kernel half which processes are interpreters, and hands what it found there
 * (code objects, chains of frames) to the listener. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/bpf/script.h"
#include "probe/probe.h"

/* Sets the constants of an opened skeleton that includes python.bpf.h. */
#define SCRIPTS_SET(rodata, request)                                                                                   \
	do {                                                                                                           \
		(rodata)->script_on = !(request)->no_user;                                                             \
		(rodata)->script_lines = (request)->lines;                                                             \
		scripts_seed((guint64 *)(rodata)->script_seed);                                                        \
	} while (0)
void scripts_seed(guint64 seed[2]);

struct scripts;

/* `object`: the loaded kernel half. */
struct scripts *scripts_open(struct bpf_object *object, const struct probe_listener *listener, GError **error);
void scripts_close(struct scripts *scripts);
int scripts_fd(const struct scripts *scripts);
/* Hands on everything that waits. What a stack refers to was told before the stack. */
void scripts_drain(struct scripts *scripts);
/* `process` NULL: the process is no interpreter any more. */
void scripts_teach(struct scripts *scripts, guint32 tgid, const struct python_process *process);
/* Adds notes on what could not be read. */
void scripts_account(const struct scripts *scripts, struct ledger *ledger);
