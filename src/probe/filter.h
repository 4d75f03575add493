/* SPDX-License-Identifier: Apache-2.0 */
/* The user half of bpf/filter.bpf.h and bpf/stack.bpf.h: a request → constants and filter maps of a kernel half. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/bpf/shared.h"
#include "probe/probe.h"

struct filter_values {
	gboolean filter_on, filter_by_tgid;
	guint32 v1_controller; /* enum v1_controller */
	gboolean stack_user, stack_kernel, stack_by_thread;
	guint32 stack_depth;
	guint64 stack_seed[2]; /* random: see stack_hash_word */
};

void filter_values_init(struct filter_values *values, const struct probe_request *request);

/* Sets the constants of an opened skeleton that includes filter.bpf.h; with _STACK those of stack.bpf.h, too.
 * (A macro because every skeleton has its own type for them.) */
#define FILTER_SET(rodata, values)                                                                                     \
	do {                                                                                                           \
		(rodata)->filter_on = (values)->filter_on;                                                             \
		(rodata)->filter_by_tgid = (values)->filter_by_tgid;                                                   \
		(rodata)->v1_controller = (values)->v1_controller;                                                     \
	} while (0)
#define FILTER_SET_STACK(rodata, values)                                                                               \
	do {                                                                                                           \
		FILTER_SET(rodata, values);                                                                            \
		(rodata)->stack_user = (values)->stack_user;                                                           \
		(rodata)->stack_kernel = (values)->stack_kernel;                                                       \
		(rodata)->stack_by_thread = (values)->stack_by_thread;                                                 \
		(rodata)->stack_depth = (values)->stack_depth;                                                         \
		(rodata)->stack_seed[0] = (values)->stack_seed[0];                                                     \
		(rodata)->stack_seed[1] = (values)->stack_seed[1];                                                     \
	} while (0)

/* Before loading: sizes the filter maps for the request, and leaves out what it does not ask to be told (births_size). */
gboolean filter_size(struct bpf_object *object, const struct probe_request *request, GError **error);
/* After loading, before attaching: fills them. */
gboolean filter_fill(struct bpf_object *object, const struct probe_request *request, GError **error);
