/* SPDX-License-Identifier: Apache-2.0 */
/* Single happenings from the kernel: the user half of bpf/event.bpf.h, together with the births of cgroups. A probe
 * gives a function that turns its records into fields. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>
#include <unistd.h>

#include "probe/bpf/event.h"
#include "probe/probe.h"

#define EVENTRING_RATE 1000 /* events a second and container, when the request says 0 */

struct eventring;

/* One record of `bytes` bytes (at least the head); FALSE when it is malformed. */
typedef gboolean (*eventring_decode_fn)(void *user, struct eventring *ring, const struct event_head *head, gsize bytes);

/* Sets the constants of an opened skeleton that includes event.bpf.h. */
#define EVENTRING_SET(rodata, request)                                                                                 \
	do {                                                                                                           \
		(rodata)->event_interval_ns = eventring_interval_ns(request);                                          \
		(rodata)->event_self_tgid = (guint32)getpid();                                                         \
		(rodata)->event_burst_ns = NS_PER_S;                                                                   \
	} while (0)
guint64 eventring_interval_ns(const struct probe_request *request);

/* `object` is loaded and was made with event.bpf.h and births.bpf.h. */
struct eventring *eventring_open(struct bpf_object *object, const struct probe_listener *listener,
				 eventring_decode_fn decode, void *user, GError **error);
void eventring_close(struct eventring *ring);
int eventring_fd(const struct eventring *ring);
gboolean eventring_drain(struct eventring *ring, GError **error);

/* Hands one event to the listener: whose and when is in `head`. */
void eventring_tell(struct eventring *ring, const struct event_head *head, const char *kind,
		    const struct probe_field *fields, guint count);
/* Tells the listener of floods; adds the loss counters and notes to `ledger`. */
gboolean eventring_account(struct eventring *ring, struct ledger *ledger, GError **error);

/* The path as text (bpf/path.bpf.h), as far as it is in the first `bytes` bytes of the record's end; NULL when it is
 * on no directory tree. Owned by the caller. */
char *eventring_path(const struct path_text *path, gsize text_bytes);
