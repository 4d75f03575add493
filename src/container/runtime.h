/* SPDX-License-Identifier: Apache-2.0 */
/* One runtime's way of leaving traces: how it names cgroups and where it keeps its state. A new runtime is one file
 * and one line in runtime.c. */
#pragma once
#include "container/container.h"
#include "container/evidence.h"

enum verdict {
	VERDICT_NOT_MINE = 0,
	VERDICT_LOOKS_LIKE = 1, /* the name is right and in a place only the owner of the tree can write to */
	VERDICT_CONFIRMED = 2, /* the runtime's state or its minding process agrees */
};

/* What an identification found; strings owned, NULL when not known. */
struct identity {
	enum container_runtime runtime;
	char *id, *name, *image, *pod, *pod_namespace;
	guint32 init_pid; /* 0: the eldest process */
};
void identity_clear(struct identity *identity);
/* Sets pod fields, and the name "pod/container"; any may be NULL. */
void identity_set_pod(struct identity *identity, const char *pod, const char *pod_namespace, const char *container);

struct runtime {
	enum container_runtime kind;
	/* Fills what it knows of `identity` (zeroed, runtime set) and says how sure it is. */
	enum verdict (*identify)(struct evidence *evidence, struct identity *identity);
};

extern const struct runtime runtime_docker, runtime_containerd, runtime_crio, runtime_podman, runtime_oci, runtime_lxc,
	runtime_nspawn, runtime_other;

/* Asks all runtimes: the first that is certain, else the first that the name looks like. */
enum verdict runtime_identify(struct evidence *evidence, struct identity *identity);

/* systemd: the unit `path` belongs to as a prefix of it, owned by the caller; NULL when it is not systemd's. */
char *systemd_unit_path(const char *path);
