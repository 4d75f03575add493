/* SPDX-License-Identifier: Apache-2.0 */
/* What ps, namespaces and whois share: opening the registry, choosing containers, describing one in JSON. */
#pragma once
#include "base/json.h"
#include "container/registry.h"

/* The registry of this machine; NULL after having complained. registry_free. */
struct registry *who_registry(const char *command);

/* The containers `targets` name, or all living ones that `all` asks for (else only those a person calls containers)
 * when there are none; NULL after having complained. Array owned by the caller. */
GPtrArray *who_choose(struct registry *registry, const char *command, char **targets, gboolean all);

/* A process that stands for the container: its first, else the eldest there is; 0 when it has none. */
guint32 who_pid(struct registry *registry, const struct container *container);

/* "4 min", "3 d"; NULL when the start is not known. Owned by the caller. */
char *who_age(guint64 start_realtime_ns);

/* Members name, id, runtime, image, pod, pod_namespace, cgroup, cgroup_key, start_realtime_ns of an open object. */
void who_json(struct json_writer *json, const struct container *container);
