/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a Java virtual machine (HotSpot, JDK 17 and later) for the names of the code it compiled.
 *
 * This is what `jcmd PID Compiler.perfmap` does, spoken natively (OpenJDK: AttachListener_linux.cpp, VirtualMachineImpl.java):
 * a file .attach_pidN in the machine's /tmp and SIGQUIT make it open the socket /tmp/.java_pidN; a command sent there
 * makes it write /tmp/perf-N.map. It touches the target, so it happens only when the user asked for it, and SIGQUIT is sent
 * only to a process that handles it and runs HotSpot's signal dispatcher: any other would be killed by it.
 *
 * Socket, reply and map belong to a container: a process with a deadline, confined to the target's root,
 * with the target's own identity and none of our rights, talks to it; the peer must be the target itself. */
#pragma once
#include <glib.h>

#define HOTSPOT_LIBRARY "/libjvm.so" /* what every such machine has mapped: the end of its path */
#define HOTSPOT_REPLY_MAX (64u << 10) /* bytes */

#define HOTSPOT_ERROR (hotspot_error_quark())
GQuark hotspot_error_quark(void);
enum hotspot_error {
	HOTSPOT_ERROR_REFUSED = 1, /* it is not safe to ask; the message says why */
	HOTSPOT_ERROR_FAILED = 2,
	HOTSPOT_ERROR_UNKNOWN_COMMAND = 3, /* older than JDK 17 */
};

struct hotspot_request;

/* Asks, in the background. `proc_fd` is the directory /proc/TGID. NULL when it must not or cannot be asked. */
struct hotspot_request *hotspot_ask_map(guint32 tgid, int proc_fd, GError **error);
/* Waits for the answer, until a deadline counted from the question, and frees the request. TRUE: the map is written. */
gboolean hotspot_finish(struct hotspot_request *request, GError **error);

/* Frees the request without waiting; may be NULL. */
void hotspot_cancel(struct hotspot_request *request);

/* Whether a process with this /proc/PID/status catches SIGQUIT. */
gboolean hotspot_handles_quit(const char *status);
/* What a reply means: TRUE when the command was carried out. `length` bytes, not NUL-terminated, hostile. */
gboolean hotspot_reply_parse(const char *reply, gsize length, GError **error);
