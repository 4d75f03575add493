/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups that come and go: the user half of bpf/births.bpf.h. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/probe.h"

struct births;

/* Attaches the births programs of the loaded `object`. */
struct births *births_open(struct bpf_object *object, const struct probe_listener *listener, GError **error);
void births_close(struct births *births);
int births_fd(const struct births *births);
/* Tells the listener what waits. */
void births_drain(struct births *births);
