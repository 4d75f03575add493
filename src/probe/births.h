/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups that come and go (births.bpf.c). */
#pragma once
#include <glib.h>

#include "model/ledger.h"
#include "probe/probe.h"

struct births;

struct births *births_open(const struct probe_request *request, const struct probe_listener *listener, GError **error);
void births_close(struct births *births);
int births_fd(const struct births *births);
/* Tells the listener what waits. */
void births_drain(struct births *births);
/* A note in `ledger` when some could not be told. */
void births_account(struct births *births, struct ledger *ledger);
