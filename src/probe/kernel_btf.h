/* SPDX-License-Identifier: Apache-2.0 */
/* What libbpf must know of the running kernel's types, without its reading all of them.
 *
 * The kernel describes its 130,000 types in 5 MB (/sys/kernel/btf/vmlinux). libbpf makes a tree of them and searches it for each type a program
 * touches: 15 to 25 ms for each object opened, a third of a short measurement. We look through the bytes once (1 to 2 ms) and
 * hand libbpf a description of only those types, fields and values whose names occur in the object.
 *
 * Programs for tracepoints and iterators also need the number of the kernel type they attach to, for which libbpf would read all
 * again: in objects opened this way they are in sections "btf_tp/NAME", "btf_iter/NAME" and "btf_iter.s/NAME" instead of "tp_btf/NAME" and
 * so on. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/ladder.h"

struct kernel_btf;

/* For one object: open it with the options, supply, load, free. Makes the section names above known to libbpf, so it comes before
 * any object is opened. */
struct kernel_btf *kernel_btf_new(void);
void kernel_btf_free(struct kernel_btf *btf);
/* For X_bpf__open_opts. Owned by `btf`. */
const struct bpf_object_open_opts *kernel_btf_options(const struct kernel_btf *btf);
/* Opens the object of the skeleton `name`: struct name_bpf *, to be freed with name_bpf__destroy; NULL and `error`
 * ("`what`: why"). Begins what ladder_set_error will tell of this object. */
#define KERNEL_BTF_OPEN(name, btf, what, error)                                                                        \
	(ladder_log_start(),                                                                                           \
	 (struct name##_bpf *)kernel_btf_opened(name##_bpf__open_opts(kernel_btf_options(btf)), what, error))
/* `skeleton`, or `error` when it is NULL (errno says why). */
void *kernel_btf_opened(void *skeleton, const char *what, GError **error);
/* Between opening and loading. Never fails: where the kernel's types cannot be read this way, libbpf gets them all. */
void kernel_btf_supply(struct kernel_btf *btf, const struct bpf_object *object);

/* `supply`, then the skeleton's load; FALSE and `error` ("`what`: why", see ladder_set_error) when the kernel refuses. */
gboolean kernel_btf_load(struct kernel_btf *btf, struct bpf_object_skeleton *skeleton, const char *what,
			 GError **error);

/* The small description for an object with the types `object`; to be freed with btf__free; NULL when it cannot be made. */
struct btf;
struct btf *kernel_btf_reduce(const struct kernel_btf *btf, const struct btf *object);

typedef struct kernel_btf kernel_btf_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(kernel_btf_t, kernel_btf_free)

/* How many arguments the kernel hands out at the tracepoint; 0: there is none, or it is not known. A program must not even name what
 * comes behind them. */
guint kernel_btf_arguments(const struct kernel_btf *btf, const char *tracepoint);

/* As bpf_program__attach, also for the sections above. */
struct bpf_link *kernel_btf_attach(const struct bpf_program *program);
/* Runs an iterator once, for what it notes in maps: what it writes is left. `iterator` may be NULL, errno says why then. FALSE and
 * `error`, which begins with `what` ("cannot look at all threads"). */
gboolean kernel_btf_iterate(const struct bpf_link *iterator, const char *what, GError **error);
