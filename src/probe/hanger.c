/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/hanger.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/ladder.h"

G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN); /* seccomp looks at lower halves */

#define HANGER_WAIT_S 5 /* cgroups may be locked meanwhile; who does not answer by then is given up */
#define HANGER_FDS 2

#if defined(__x86_64__)
#define HANGER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define HANGER_ARCH AUDIT_ARCH_AARCH64
#else
#error "which architecture is this to seccomp?"
#endif

struct hanger {
	pid_t pid;
	int socket; /* -1: given up */
};

/* ---- messages: a number and descriptors ---- */

static gboolean message_send(int socket, guint32 number, const int *fds, guint count)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * HANGER_FDS)];
	} control = { .space = { 0 } };
	struct iovec bytes = { &number, sizeof(number) };
	struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1 };

	if (count) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * count),
						 .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * count);
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) == sizeof(number);
}

/* `fds`: HANGER_FDS of them, -1 where none came. */
static gboolean message_receive(int socket, guint32 *number, int *fds)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * HANGER_FDS)];
	} control;
	struct iovec bytes = { number, sizeof(*number) };
	struct msghdr message = { .msg_iov = &bytes,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = sizeof(control.space) };
	ssize_t received;

	for (guint i = 0; i < HANGER_FDS; i++)
		fds[i] = -1;
	do
		received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (received < 0 && errno == EINTR);
	if (received != sizeof(*number)) {
		errno = received < 0 ? errno : EPIPE;
		return FALSE;
	}
	if (message.msg_controllen >= CMSG_LEN(0) && control.head.cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(&control.head),
		       MIN(control.head.cmsg_len - CMSG_LEN(0), sizeof(int) * HANGER_FDS));
	return TRUE;
}

/* ---- the child: system calls only, nothing of GLib's ---- */

#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static gboolean child_confine(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, HANGER_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_recvmsg),
		ALLOW(SYS_sendmsg),
		ALLOW(SYS_close),
		ALLOW(SYS_exit_group),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)), /* the lower half */
		ALLOW(BPF_LINK_CREATE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_fprog filter = { G_N_ELEMENTS(rules), rules };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct own[2] = { { 0 } };

	own[0].effective = own[0].permitted = 1U << CAP_NET_ADMIN;
	return syscall(SYS_capset, &header, own) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

/* Not libbpf's, which moves low descriptors by another system call. -1 and errno. */
static int child_hang(int program, int cgroup, guint32 type)
{
	union bpf_attr request;

	memset(&request, 0, sizeof(request));
	request.link_create.prog_fd = (guint32)program;
	request.link_create.target_fd = (guint32)cgroup;
	request.link_create.attach_type = type;
	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &request, sizeof(request));
}

G_NORETURN static void child_run(int socket, pid_t parent)
{
	int fds[HANGER_FDS], link;
	guint32 type;

	prctl(PR_SET_NAME, "fathom-hanger");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Signals to the group are for the parent, whose end is ours. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (getppid() != parent || dup2(socket, 0) != 0 || syscall(SYS_close_range, 1U, ~0U, 0) != 0 ||
	    !child_confine())
		_exit(1);
	while (message_receive(0, &type, fds)) {
		link = child_hang(fds[0], fds[1], type);
		if (!message_send(0, link < 0 ? (guint32)errno : 0, &link, link >= 0))
			break;
		for (guint i = 0; i < HANGER_FDS; i++)
			close(fds[i]);
		close(link);
	}
	_exit(0);
}

/* ---- the parent ---- */

struct hanger *hanger_new(GError **error)
{
	const struct timeval patience = { .tv_sec = HANGER_WAIT_S };
	struct hanger *hanger;
	pid_t parent = getpid(), pid;
	int ends[2];

	ladder_log_start();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		ladder_set_error(error, "cannot make a pair of sockets", errno);
		return NULL;
	}
	pid = fork();
	if (pid == 0)
		child_run(ends[1], parent);
	close(ends[1]);
	if (pid < 0) {
		ladder_set_error(error, "cannot start a process", errno);
		close(ends[0]);
		return NULL;
	}
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	hanger = g_new0(struct hanger, 1);
	hanger->pid = pid;
	hanger->socket = ends[0];
	return hanger;
}

static void hanger_give_up(struct hanger *hanger)
{
	int reason = errno;

	if (hanger->socket >= 0)
		close(hanger->socket);
	hanger->socket = -1;
	errno = reason;
}

void hanger_free(struct hanger *hanger)
{
	if (!hanger)
		return;
	hanger_give_up(hanger);
	kill(hanger->pid, SIGKILL);
	waitpid(hanger->pid, NULL, 0);
	g_free(hanger);
}

int hanger_hang(struct hanger *hanger, int program, int cgroup, guint32 type)
{
	const int asked[HANGER_FDS] = { program, cgroup };
	int got[HANGER_FDS];
	guint32 reason;

	if (hanger->socket < 0) {
		errno = EPIPE;
		return -1;
	}
	if (!message_send(hanger->socket, type, asked, HANGER_FDS) || !message_receive(hanger->socket, &reason, got)) {
		hanger_give_up(hanger); /* a late answer would be taken for that to the next question */
		return -1;
	}
	errno = got[0] < 0 ? (int)reason : 0;
	return got[0];
}
