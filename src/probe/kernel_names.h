/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel functions by address, asked of the kernel itself, one address at a time.
 *
 * Reading all of /proc/kallsyms costs some 50 ms of CPU, most of it in the kernel; a measurement needs a few hundred of its 120,000 names.
 * A BPF program of the kind that is only ever run by hand (BPF_PROG_TYPE_SYSCALL, Linux 5.14) lets the kernel
 * print "%pS" instead: some 2 µs an address. It sees what is loaded now, modules and BPF programs included, whatever
 * kptr_restrict says. Of the kernel's own functions, which stay where they are, each is asked for once. */
#pragma once
#include <glib.h>

struct kernel_name {
	const char *name; /* valid until the next question */
	const char *module; /* "ext4", "bpf"; "" for the kernel's own */
	guint64 offset; /* from the function's start */
	guint64 bytes; /* of the function, padding included; 0: the kernel did not say */
};

enum kernel_names_answer {
	KERNEL_NAMES_FOUND = 0,
	KERNEL_NAMES_NONE = 1, /* the address is in no function */
	KERNEL_NAMES_CANNOT = 2, /* this kernel cannot be asked */
};

struct kernel_names;

/* Costs nothing: the program is loaded at the first question. */
struct kernel_names *kernel_names_new(void);
void kernel_names_free(struct kernel_names *names);
enum kernel_names_answer kernel_names_find(struct kernel_names *names, guint64 address, struct kernel_name *name);

/* Cuts "function+0x1a/0x2b0 [module]" into its parts, in place; FALSE when it names no function. */
gboolean kernel_name_parse(char *text, struct kernel_name *name);
