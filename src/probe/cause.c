/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/cause.h"

#include <string.h>
#include <sys/syscall.h>

#include "probe/probe.h"

#define CAUSE_SKIP_MAX 16 /* frames of ours are the innermost ones */

static const char *const cause_names[CAUSES] = {
	[CAUSE_OTHER] = "other",       [CAUSE_DISK] = "disk",	    [CAUSE_LOCK] = "lock",
	[CAUSE_NETWORK] = "network",   [CAUSE_SLEEP] = "sleep",	    [CAUSE_PAGE_FAULT] = "page fault",
	[CAUSE_CHILD] = "child",       [CAUSE_EVENT] = "event",	    [CAUSE_PIPE] = "pipe",
	[CAUSE_TERMINAL] = "terminal", [CAUSE_STOPPED] = "stopped", [CAUSE_MEMORY] = "memory",
	[CAUSE_IDLE] = "idle",
};

/* A stack has the cause of the first rule one of its functions matches: what explains most comes first (a page fault
 * that reads from disk is a page fault). A '*' at the end matches any rest. */
static const struct cause_rule {
	const char *function;
	enum cause cause;
} cause_rules[] = {
	{ "do_signal_stop", CAUSE_STOPPED },
	{ "ptrace_stop", CAUSE_STOPPED },
	{ "do_freezer_trap", CAUSE_STOPPED },
	{ "__refrigerator", CAUSE_STOPPED },

	{ "__mutex_lock*", CAUSE_LOCK },
	{ "__ww_mutex_lock*", CAUSE_LOCK },
	{ "rwsem_down_*", CAUSE_LOCK },
	{ "__down_*", CAUSE_LOCK },
	{ "percpu_rwsem_wait", CAUSE_LOCK },
	{ "rt_mutex_slowlock*", CAUSE_LOCK },

	{ "throttle_direct_reclaim", CAUSE_MEMORY },
	{ "try_to_free_pages", CAUSE_MEMORY },
	{ "try_to_free_mem_cgroup_pages", CAUSE_MEMORY },
	{ "__mem_cgroup_handle_over_high", CAUSE_MEMORY },
	{ "mem_cgroup_handle_over_high", CAUSE_MEMORY },
	{ "mem_cgroup_oom_synchronize", CAUSE_MEMORY },

	{ "handle_mm_fault", CAUSE_PAGE_FAULT },
	{ "do_user_addr_fault", CAUSE_PAGE_FAULT },
	{ "exc_page_fault", CAUSE_PAGE_FAULT },
	{ "asm_exc_page_fault", CAUSE_PAGE_FAULT },
	{ "handle_userfault", CAUSE_PAGE_FAULT },

	{ "do_wait", CAUSE_CHILD },
	{ "kernel_wait4", CAUSE_CHILD },
	{ "wait_for_vfork_done", CAUSE_CHILD },

	{ "do_nanosleep", CAUSE_SLEEP },
	{ "hrtimer_nanosleep", CAUSE_SLEEP },
	{ "alarm_timer_nsleep*", CAUSE_SLEEP },

	{ "futex_wait*", CAUSE_LOCK },
	{ "__futex_wait*", CAUSE_LOCK },
	{ "futex_lock_pi*", CAUSE_LOCK },
	{ "do_futex", CAUSE_LOCK },
	{ "fcntl_setlk*", CAUSE_LOCK },
	{ "locks_lock_inode_wait", CAUSE_LOCK },
	{ "do_semtimedop", CAUSE_LOCK },

	{ "ep_poll", CAUSE_EVENT },
	{ "do_epoll_wait", CAUSE_EVENT },
	{ "do_poll*", CAUSE_EVENT },
	{ "do_sys_poll", CAUSE_EVENT },
	{ "do_select", CAUSE_EVENT },
	{ "core_sys_select", CAUSE_EVENT },
	{ "poll_schedule_timeout*", CAUSE_EVENT },
	{ "io_cqring_wait*", CAUSE_EVENT },
	{ "eventfd_read", CAUSE_EVENT },
	{ "timerfd_read*", CAUSE_EVENT },
	{ "signalfd_read*", CAUSE_EVENT },
	{ "inotify_read", CAUSE_EVENT },
	{ "fanotify_read", CAUSE_EVENT },
	{ "do_sigtimedwait", CAUSE_EVENT },
	{ "sigsuspend", CAUSE_EVENT },
	{ "__do_sys_pause", CAUSE_EVENT },
	{ "__x64_sys_pause", CAUSE_EVENT },
	{ "read_events", CAUSE_EVENT },

	{ "pipe_read", CAUSE_PIPE },
	{ "pipe_write", CAUSE_PIPE },
	{ "anon_pipe_read", CAUSE_PIPE },
	{ "anon_pipe_write", CAUSE_PIPE },
	{ "fifo_pipe_read", CAUSE_PIPE },
	{ "fifo_pipe_write", CAUSE_PIPE },
	{ "pipe_wait_*", CAUSE_PIPE },
	{ "wait_for_partner", CAUSE_PIPE },
	{ "fifo_open", CAUSE_PIPE },
	{ "do_mq_timedreceive", CAUSE_PIPE },
	{ "do_msgrcv", CAUSE_PIPE },

	{ "inet_csk_accept", CAUSE_NETWORK },
	{ "inet_stream_connect", CAUSE_NETWORK },
	{ "__inet_stream_connect", CAUSE_NETWORK },
	{ "inet_wait_for_connect", CAUSE_NETWORK },
	{ "sk_wait_data", CAUSE_NETWORK },
	{ "sk_stream_wait_*", CAUSE_NETWORK },
	{ "sock_alloc_send_pskb", CAUSE_NETWORK },
	{ "__skb_wait_for_more_packets", CAUSE_NETWORK },
	{ "__skb_recv_datagram", CAUSE_NETWORK },
	{ "tcp_recvmsg*", CAUSE_NETWORK },
	{ "tcp_sendmsg*", CAUSE_NETWORK },
	{ "udp_recvmsg", CAUSE_NETWORK },
	{ "unix_stream_*", CAUSE_NETWORK },
	{ "unix_dgram_*", CAUSE_NETWORK },
	{ "unix_accept", CAUSE_NETWORK },
	{ "netlink_recvmsg", CAUSE_NETWORK },
	{ "vsock_*", CAUSE_NETWORK },
	{ "sock_recvmsg", CAUSE_NETWORK },
	{ "sock_sendmsg", CAUSE_NETWORK },

	{ "n_tty_read", CAUSE_TERMINAL },
	{ "n_tty_write", CAUSE_TERMINAL },
	{ "tty_wait_until_sent", CAUSE_TERMINAL },

	{ "io_schedule*", CAUSE_DISK },
	{ "blkdev_*", CAUSE_DISK },
	{ "submit_bio_wait", CAUSE_DISK },
	{ "blk_mq_get_tag", CAUSE_DISK },
	{ "rq_qos_wait", CAUSE_DISK },
	{ "folio_wait_*", CAUSE_DISK },
	{ "wait_on_page_*", CAUSE_DISK },
	{ "__wait_on_buffer", CAUSE_DISK },
	{ "wait_on_buffer", CAUSE_DISK },
	{ "balance_dirty_pages*", CAUSE_DISK },
	{ "jbd2_*", CAUSE_DISK },
	{ "wait_transaction_locked", CAUSE_DISK },
	{ "vfs_fsync*", CAUSE_DISK },
	{ "do_fsync", CAUSE_DISK },
	{ "ksys_sync", CAUSE_DISK },
	{ "ext4_*", CAUSE_DISK },
	{ "xfs_*", CAUSE_DISK },
	{ "xlog_*", CAUSE_DISK },
	{ "btrfs_*", CAUSE_DISK },
	{ "f2fs_*", CAUSE_DISK },
	{ "nfs_*", CAUSE_DISK },
	{ "nfs4_*", CAUSE_DISK },
	{ "rpc_wait_bit_killable", CAUSE_DISK },
	{ "request_wait_answer", CAUSE_DISK }, /* FUSE */
	{ "p9_client_rpc", CAUSE_DISK },

	{ "worker_thread", CAUSE_IDLE },
	{ "kthreadd", CAUSE_IDLE },
	{ "smpboot_thread_fn", CAUSE_IDLE },
	{ "rescuer_thread", CAUSE_IDLE },
	{ "rcu_gp_kthread", CAUSE_IDLE },
	{ "io_wq_worker", CAUSE_IDLE },
};

/* When no name tells. */
static const struct {
	gint syscall;
	enum cause cause;
} cause_syscalls[] = {
	{ SYS_futex, CAUSE_LOCK },
	{ SYS_flock, CAUSE_LOCK },
	{ SYS_semtimedop, CAUSE_LOCK },
	{ SYS_nanosleep, CAUSE_SLEEP },
	{ SYS_clock_nanosleep, CAUSE_SLEEP },
	{ SYS_wait4, CAUSE_CHILD },
	{ SYS_waitid, CAUSE_CHILD },
	{ SYS_epoll_pwait, CAUSE_EVENT },
	{ SYS_ppoll, CAUSE_EVENT },
	{ SYS_pselect6, CAUSE_EVENT },
	{ SYS_io_uring_enter, CAUSE_EVENT },
	{ SYS_io_getevents, CAUSE_EVENT },
	{ SYS_rt_sigtimedwait, CAUSE_EVENT },
	{ SYS_rt_sigsuspend, CAUSE_EVENT },
#ifdef SYS_epoll_wait /* the older calls are missing on newer machines */
	{ SYS_epoll_wait, CAUSE_EVENT },
	{ SYS_poll, CAUSE_EVENT },
	{ SYS_select, CAUSE_EVENT },
	{ SYS_pause, CAUSE_EVENT },
	{ SYS_vfork, CAUSE_CHILD },
#endif
	{ SYS_accept, CAUSE_NETWORK },
	{ SYS_accept4, CAUSE_NETWORK },
	{ SYS_connect, CAUSE_NETWORK },
	{ SYS_recvfrom, CAUSE_NETWORK },
	{ SYS_recvmsg, CAUSE_NETWORK },
	{ SYS_recvmmsg, CAUSE_NETWORK },
	{ SYS_sendto, CAUSE_NETWORK },
	{ SYS_sendmsg, CAUSE_NETWORK },
	{ SYS_sendmmsg, CAUSE_NETWORK },
	{ SYS_fsync, CAUSE_DISK },
	{ SYS_fdatasync, CAUSE_DISK },
	{ SYS_sync, CAUSE_DISK },
	{ SYS_syncfs, CAUSE_DISK },
	{ SYS_sync_file_range, CAUSE_DISK },
	{ SYS_pread64, CAUSE_DISK },
	{ SYS_pwrite64, CAUSE_DISK },
};

/* Compares up to the compiler's suffix. */
static gboolean cause_rule_matches(const char *function, const char *name)
{
	gsize length = strlen(function), name_length = strcspn(name, ".");

	if (function[length - 1] == '*')
		return name_length >= length - 1 && memcmp(function, name, length - 1) == 0;
	return name_length == length && memcmp(function, name, length) == 0;
}

static gboolean cause_stack_has(const char *const *kernel_names, guint n, const char *function)
{
	for (guint i = 0; i < n; i++)
		if (kernel_names[i] && cause_rule_matches(function, kernel_names[i]))
			return TRUE;
	return FALSE;
}

static enum cause cause_of_syscall(gint syscall)
{
	for (gsize i = 0; i < G_N_ELEMENTS(cause_syscalls); i++)
		if (cause_syscalls[i].syscall == syscall)
			return cause_syscalls[i].cause;
	return CAUSE_OTHER;
}

enum cause cause_classify(const char *const *kernel_names, guint n, gint syscall, guint32 flags)
{
	for (gsize i = 0; i < G_N_ELEMENTS(cause_rules); i++)
		if (cause_stack_has(kernel_names, n, cause_rules[i].function))
			return cause_rules[i].cause;
	if (flags & PROBE_STACK_IOWAIT)
		return CAUSE_DISK;
	if (syscall >= 0)
		return cause_of_syscall(syscall);
	return flags & PROBE_STACK_KTHREAD ? CAUSE_IDLE : CAUSE_OTHER;
}

const char *cause_name(enum cause cause)
{
	return (guint)cause < CAUSES ? cause_names[cause] : cause_names[CAUSE_OTHER];
}

guint cause_skip(const char *const *kernel_names, guint n)
{
	for (guint i = 0; i < MIN(n, CAUSE_SKIP_MAX); i++)
		if (kernel_names[i] && cause_rule_matches("__schedule", kernel_names[i]))
			return i + 1;
	return 0;
}
