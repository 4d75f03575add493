/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <sys/syscall.h>

#include "probe/cause.h"
#include "probe/probe.h"

/* Stacks as seen on real kernels, innermost first. */
static const struct {
	const char *stack;
	gint syscall;
	guint32 flags;
	enum cause cause;
} cases[] = {
	{ "__schedule schedule do_nanosleep hrtimer_nanosleep common_nsleep", SYS_clock_nanosleep, 0, CAUSE_SLEEP },
	{ "__schedule schedule futex_wait_queue __futex_wait futex_wait do_futex", SYS_futex, 0, CAUSE_LOCK },
	{ "__schedule schedule_preempt_disabled rwsem_down_read_slowpath down_read lock_mm_and_find_vma exc_page_fault",
	  -1, 0, CAUSE_LOCK },
	{ "__schedule schedule io_schedule folio_wait_bit_common filemap_fault __do_fault handle_mm_fault exc_page_fault",
	  -1, PROBE_STACK_IOWAIT, CAUSE_PAGE_FAULT },
	{ "__schedule schedule io_schedule folio_wait_bit_common filemap_update_page vfs_read", SYS_read,
	  PROBE_STACK_IOWAIT, CAUSE_DISK },
	{ "__schedule schedule jbd2_log_wait_commit ext4_sync_file do_fsync", SYS_fsync, 0, CAUSE_DISK },
	{ "__schedule schedule anon_pipe_read vfs_read ksys_read", SYS_read, 0, CAUSE_PIPE },
	{ "__schedule schedule pipe_read.isra.0 vfs_read", SYS_read, 0, CAUSE_PIPE },
	{ "__schedule schedule do_wait kernel_wait4", SYS_wait4, 0, CAUSE_CHILD },
	{ "__schedule schedule schedule_hrtimeout_range ep_poll do_epoll_wait", SYS_epoll_wait, 0, CAUSE_EVENT },
	{ "__schedule schedule schedule_timeout inet_csk_accept inet_accept", SYS_accept, 0, CAUSE_NETWORK },
	{ "__schedule schedule schedule_timeout unix_stream_read_generic", SYS_recvmsg, 0, CAUSE_NETWORK },
	{ "__schedule schedule schedule_timeout wait_woken n_tty_read tty_read", SYS_read, 0, CAUSE_TERMINAL },
	{ "__schedule schedule worker_thread kthread ret_from_fork", -1, PROBE_STACK_KTHREAD, CAUSE_IDLE },
	{ "__schedule schedule do_signal_stop get_signal", SYS_read, 0, CAUSE_STOPPED },
	/* names missing: the system call decides, the flag before it */
	{ "", SYS_futex, 0, CAUSE_LOCK },
	{ "", SYS_nanosleep, 0, CAUSE_SLEEP },
	{ "", SYS_read, 0, CAUSE_OTHER },
	{ "", SYS_read, PROBE_STACK_IOWAIT, CAUSE_DISK },
	{ "", -1, PROBE_STACK_KTHREAD, CAUSE_IDLE },
	{ "", -1, 0, CAUSE_OTHER },
	/* a rule must not match the beginning of another function */
	{ "do_wait_intr ep_polled futexes", -1, 0, CAUSE_OTHER },
};

static void test_classify(void)
{
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_auto(GStrv) names = g_strsplit(cases[i].stack, " ", -1);
		enum cause cause = cause_classify((const char *const *)names, g_strv_length(names), cases[i].syscall,
						  cases[i].flags);

		if (cause != cases[i].cause)
			g_error("\"%s\", system call %d: %s, not %s", cases[i].stack, cases[i].syscall,
				cause_name(cause), cause_name(cases[i].cause));
	}
}

static void test_nameless_frames(void)
{
	const char *const names[] = { NULL, "ep_poll", NULL };

	g_assert_cmpint(cause_classify(names, G_N_ELEMENTS(names), -1, 0), ==, CAUSE_EVENT);
	g_assert_cmpint(cause_classify(NULL, 0, SYS_fsync, 0), ==, CAUSE_DISK);
}

static void test_names(void)
{
	for (guint i = 0; i < CAUSES; i++) {
		g_assert_nonnull(cause_name(i));
		for (guint j = 0; j < i; j++)
			g_assert_cmpstr(cause_name(i), !=, cause_name(j));
	}
	g_assert_cmpstr(cause_name(CAUSES), ==, "other");
}

static void test_skip(void)
{
	const char *const observed[] = { "bpf_prog_0123_offcpu_switch", "bpf_trace_run4", "__schedule", "schedule",
					 "ep_poll" };
	const char *const plain[] = { "__schedule", "schedule" };

	g_assert_cmpuint(cause_skip(observed, G_N_ELEMENTS(observed)), ==, 3);
	g_assert_cmpuint(cause_skip(plain, G_N_ELEMENTS(plain)), ==, 1);
	g_assert_cmpuint(cause_skip(observed, 2), ==, 0);
	g_assert_cmpuint(cause_skip(NULL, 0), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cause/classify", test_classify);
	g_test_add_func("/cause/nameless-frames", test_nameless_frames);
	g_test_add_func("/cause/names", test_names);
	g_test_add_func("/cause/skip", test_skip);
	return g_test_run();
}
