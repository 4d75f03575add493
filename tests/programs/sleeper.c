/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks in known ways and says for how long, by the kernel's own books: elapsed time less CPU time less the time spent
 * waiting for a CPU (/proc/thread-self/schedstat), so that the truth holds on a busy machine.
 *
 * usage: sleeper FILE    FILE: for fsync and page faults, made and removed
 * Prints "ready", waits for SIGUSR1, blocks in each way, prints a line for each
 *   <way> <system call> <blocked ns> <elapsed ns>
 * and "done", then waits to be killed. Linked with: nothing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TURNS 20
#define NAP_NS 20000000
#define FILE_BYTES (4 << 20)

struct books {
	uint64_t elapsed_ns, cpu_ns, wait_ns;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct books books_now(void)
{
	struct books books = { clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_THREAD_CPUTIME_ID), 0 };
	FILE *file = fopen("/proc/thread-self/schedstat", "r");
	unsigned long long run_ns, wait_ns;

	if (file && fscanf(file, "%llu %llu", &run_ns, &wait_ns) == 2)
		books.wait_ns = wait_ns;
	if (file)
		fclose(file);
	return books;
}

static void nap(void)
{
	const struct timespec time = { .tv_nsec = NAP_NS };

	nanosleep(&time, NULL);
}

static pid_t child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		exit(1);
	return pid;
}

/* ---- the ways; each blocks about TURNS × NAP_NS, the file's as long as the disk likes ---- */

static void way_sleep(const char *path)
{
	(void)path;
	for (int i = 0; i < TURNS; i++)
		nap();
}

static void way_futex(const char *path)
{
	const struct timespec time = { .tv_nsec = NAP_NS };
	static int word;

	(void)path;
	for (int i = 0; i < TURNS; i++)
		syscall(SYS_futex, &word, FUTEX_WAIT, 0, &time, NULL, 0);
}

static void way_poll(const char *path)
{
	(void)path;
	for (int i = 0; i < TURNS; i++)
		syscall(SYS_poll, NULL, 0, NAP_NS / 1000000);
}

static void way_pipe(const char *path)
{
	int ends[2];
	char letter;

	(void)path;
	if (pipe(ends) != 0)
		exit(1);
	if (child() == 0) {
		for (int i = 0; i < TURNS; i++) {
			nap();
			if (write(ends[1], "x", 1) != 1)
				break;
		}
		_exit(0);
	}
	for (int i = 0; i < TURNS; i++)
		if (read(ends[0], &letter, 1) != 1)
			exit(1);
	close(ends[0]);
	close(ends[1]);
}

static void way_child(const char *path)
{
	(void)path;
	for (int i = 0; i < TURNS; i++) {
		pid_t pid = child();

		if (pid == 0) {
			nap();
			_exit(0);
		}
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}

static void way_fsync(const char *path)
{
	static char block[FILE_BYTES];
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		exit(1);
	for (int i = 0; i < TURNS; i++) {
		block[i] = (char)(i + 1);
		if (pwrite(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block) || fsync(fd) != 0)
			exit(1);
	}
	close(fd);
}

static void way_fault(const char *path)
{
	volatile char sum = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		exit(1);
	for (int i = 0; i < TURNS; i++) {
		char *bytes;

		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		bytes = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
		if (bytes == MAP_FAILED)
			exit(1);
		for (size_t at = 0; at < FILE_BYTES; at += 4096)
			sum += bytes[at];
		munmap(bytes, FILE_BYTES);
	}
	close(fd);
}

static const struct way {
	const char *name;
	int syscall; /* it blocks in; -1: in none */
	void (*go)(const char *path);
} ways[] = {
	{ "sleep", SYS_clock_nanosleep, way_sleep },
	{ "futex", SYS_futex, way_futex },
	{ "poll", SYS_poll, way_poll },
	{ "pipe", SYS_read, way_pipe },
	{ "child", SYS_wait4, way_child },
	{ "fsync", SYS_fsync, way_fsync },
	{ "fault", -1, way_fault },
};
#define WAYS (sizeof(ways) / sizeof(*ways))

static void way_run(const struct way *way, const char *path)
{
	struct books before = books_now(), after;
	uint64_t elapsed_ns, busy_ns;

	way->go(path);
	after = books_now();
	elapsed_ns = after.elapsed_ns - before.elapsed_ns;
	busy_ns = after.cpu_ns - before.cpu_ns + after.wait_ns - before.wait_ns;
	printf("%s %d %llu %llu\n", way->name, way->syscall, (unsigned long long)(elapsed_ns - busy_ns),
	       (unsigned long long)elapsed_ns);
}

int main(int argc, char **argv)
{
	sigset_t start;
	int got;

	if (argc != 2)
		return 2;
	sigemptyset(&start);
	sigaddset(&start, SIGUSR1);
	sigprocmask(SIG_BLOCK, &start, NULL);
	setvbuf(stdout, NULL, _IOFBF, 65536);
	printf("ready\n");
	fflush(stdout);
	sigwait(&start, &got);
	for (size_t i = 0; i < WAYS; i++)
		way_run(&ways[i], argv[1]);
	unlink(argv[1]);
	printf("done\n");
	fflush(stdout);
	sigwait(&start, &got);
	return 0;
}
