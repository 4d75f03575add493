/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups that come and go: the user half of bpf/births.bpf.h. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/probe.h"

struct births;

/* Before loading: leaves the programs and their ring out where births are told by somebody else. FALSE and `error` when that
 * cannot be. */
gboolean births_size(struct bpf_object *object, const struct probe_request *request, GError **error);
/* Attaches the births programs of the loaded `object`; where they were left out nothing is ever told. */
struct births *births_open(struct bpf_object *object, const struct probe_listener *listener, GError **error);
void births_close(struct births *births);
int births_fd(const struct births *births); /* -1: nothing is told */
/* Tells the listener what waits. */
void births_drain(struct births *births);
