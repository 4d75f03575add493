/* SPDX-License-Identifier: Apache-2.0 */
/* What containers are told by DNS: which addresses a name has. No probe of its own (it yields no shape): who names the peers of
 * connections opens it beside one.
 *
 * A question is remembered by its socket and id, and only an answer to one is read. What it says is the word of whoever
 * answered, perhaps the container itself: it is good for naming that container's own peers, and for nothing else. */
#pragma once
#include "bpf/shared.h"

#define ANSWERS_MESSAGE 512 /* bytes of an answer that are copied; a power of two */
#define ANSWERS_ASKED 16384 /* questions without an answer yet; the oldest make room */
#define ANSWERS_RING_BYTES (1 << 20)

struct answers_question {
	__u64 cookie; /* of the socket */
	__u16 id;
	__u16 tcp;
	__u32 pad;
};

struct answers_record {
	__u64 cgroup_key; /* of the socket that asked */
	__u32 bytes; /* of `message` that mean something */
	__u32 pad;
	__u8 message[ANSWERS_MESSAGE]; /* from its header on; hostile, perhaps cut */
};

#ifndef __bpf__
#include <glib.h>

#include "model/ledger.h"

/* One address of an answer, as inet_ntop writes it, and the name that was asked for. */
typedef void (*answers_fn)(void *user, guint64 cgroup_key, const char *address, const char *name);

struct answers;

/* `v1_controller` as in struct probe_request. NULL and `error` when the kernel refuses. */
struct answers *answers_open(const char *v1_controller, answers_fn told, void *user, GError **error);
void answers_close(struct answers *answers);
/* Tells what has come in. Never blocks. */
void answers_drain(struct answers *answers);
/* What was not looked at. */
void answers_account(const struct answers *answers, struct ledger *ledger);

/* The addresses in a message; FALSE: it makes no sense. Reads as far as it was copied. */
typedef void (*answers_address_fn)(void *user, const char *address, const char *name);
gboolean answers_read(const guint8 *message, gsize bytes, answers_address_fn each, void *user);
#endif
