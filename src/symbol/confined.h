/* SPDX-License-Identifier: Apache-2.0 */
/* Work on a container's data in a child process that can be stopped at any moment and has nothing to lose.
 *
 * Big parsers (DWARF) and anything that may wait for a container (its sockets, its directories) run there: a crash, an
 * endless loop, a hang or an appetite for memory ends the child, never us. The child has the descriptors it was given and
 * no other, dies with its parent, and answers through a pipe with at most `answer_max` bytes. */
#pragma once
#include <glib.h>
#include <sys/types.h>

#define CONFINED_FDS_MAX 8

#define CONFINED_ERROR (confined_error_quark())
GQuark confined_error_quark(void);
enum confined_error {
	CONFINED_ERROR_START = 1, /* no process, no pipe */
	CONFINED_ERROR_TIME = 2, /* the deadline came first; what was answered until then is there */
	CONFINED_ERROR_SIZE = 3, /* it answered too much; what fits is there */
	CONFINED_ERROR_DIED = 4, /* killed by a signal, or an exit status other than 0 */
};

struct confined_job {
	/* In the child. Writes its answer to `out`, returns the exit status. It may allocate, but must not touch GLib's main
	 * loop, threads or anything another thread may have held at the fork. */
	int (*work)(void *user, int out);
	void *user;
	int fds[CONFINED_FDS_MAX]; /* kept open in the child, under the same numbers */
	guint fd_count;
	gboolean parse_only; /* no identity, no capability, and only system calls that read, allocate and write */
	gsize memory_max; /* bytes of address space; 0: no limit */
	gsize answer_max; /* bytes */
	guint64 file_max; /* bytes of a file it writes; 0: none */
	guint64 time_max_ns; /* from the start */
};

struct confined {
	pid_t pid; /* 0: not started, or finished */
	int fd; /* the pipe's end, non-blocking: readable when there is an answer, or the end */
	guint64 deadline_ns;
	gsize answer_max;
	GByteArray *answer;
};

gboolean confined_start(struct confined *confined, const struct confined_job *job, GError **error);
/* Waits for the end or the deadline, and leaves no process behind. The answer so far is `confined->answer` in any case;
 * TRUE when the work ended by itself with exit status 0. */
gboolean confined_finish(struct confined *confined, GError **error);
/* Ends it, whatever it does, and frees the answer. */
void confined_clear(struct confined *confined);

/* For the child: writes all of it. */
gboolean confined_write(int out, const void *bytes, gsize length);
/* For the child: gives up every identity but `uid`, `gid`, and so every capability. */
gboolean confined_become(uid_t uid, gid_t gid);
