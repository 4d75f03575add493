/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints (uprobes) in files: every process that has the file mapped runs into them. They are gone when their owner is. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/probe.h"

struct uprobes;

/* `multi`: all of a file in one link (Linux 6.6), which is taken out ten times faster than many. */
struct uprobes *uprobes_new(gboolean multi);
void uprobes_free(struct uprobes *uprobes);
/* Before the program is loaded: how it will be attached. */
void uprobes_prepare(const struct uprobes *uprobes, struct bpf_program *program);
/* Runs `program` at those of `sites` that `wanted` says, with their `call` as cookie; `at_return`: where they return. */
gboolean uprobes_attach(struct uprobes *uprobes, struct bpf_program *program, gboolean at_return,
			const struct probe_site *sites, gsize count, gboolean (*wanted)(guint32 call), GError **error);
/* Takes all out. */
void uprobes_detach(struct uprobes *uprobes);

/* Where a function of our own program lies in its file (/proc/self/exe), to try a breakpoint on ourselves. */
gboolean uprobes_find_own(guintptr function, guint64 *file_offset);
