/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/refusal.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"

#define USER_NAMESPACE_INITIAL 0xEFFFFFFD /* inode number of the one the machine began with; the kernel's ABI */
#define NO_COMMAND 0x7fffffff
#define STATUS_BYTES_MAX (16 << 10)
#define SECCOMP_FILTERED 2

static int refusal_seccomp_mode(void)
{
	g_autofree char *status = file_read("/proc/self/status", STATUS_BYTES_MAX, NULL, NULL);
	const char *line = status ? strstr(status, "\nSeccomp:") : NULL;

	return line ? (int)strtol(line + strlen("\nSeccomp:"), NULL, 10) : 0;
}

static gboolean refusal_in_user_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) == 0 && st.st_ino != USER_NAMESPACE_INITIAL;
}

/* The call that is stopped before the kernel looks at what it is asked for: `reached` is what it says then. */
static const char *refusal_of_call(void)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	if (syscall(SYS_bpf, NO_COMMAND, &attr, sizeof(attr)) < 0 && errno != EINVAL && errno != E2BIG)
		return "bpf(2)";
	if (syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0UL) < 0 && errno != EFAULT)
		return "perf_event_open(2)";
	return NULL;
}

char *refusal_why(void)
{
	const char *call = refusal_of_call();

	if (!call)
		return NULL;
	if (refusal_in_user_namespace())
		return g_strdup("this process has its capabilities in a user namespace only (a rootless container?); "
				"kernel programs need those of the machine");
	if (refusal_seccomp_mode() == SECCOMP_FILTERED)
		return g_strdup_printf(
			"a seccomp filter on this process refuses %s, as runtimes set one for containers "
			"(docker run --security-opt seccomp=unconfined)",
			call);
	return g_strdup_printf("%s is refused by a security module of this kernel, or compiled out", call);
}
