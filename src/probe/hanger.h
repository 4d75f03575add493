/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks of cgroups need CAP_NET_ADMIN each time a program is hung on one, and the agent gives that up after its start. So a child
 * keeps it that can do nothing else: it owns that one capability, no files, and a seccomp filter lets it receive a program and
 * a cgroup, make the link, and hand it back. What it is asked to hang are programs its parent loaded; links are the
 * parent's, and gone with it. */
#pragma once
#include <glib.h>

struct hanger;

/* Forks: to be called while there is little in memory, and before the capability is given up. NULL and `error`. */
struct hanger *hanger_new(GError **error);
void hanger_free(struct hanger *hanger);
/* Hangs the loaded `program` (descriptor) as `type` (enum bpf_attach_type) on the cgroup open as `cgroup`; a link's descriptor, owned by the
 * caller, or -1 and errno. */
int hanger_hang(struct hanger *hanger, int program, int cgroup, guint32 type);
