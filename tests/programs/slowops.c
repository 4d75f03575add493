/* SPDX-License-Identifier: Apache-2.0 */
/* Does known file operations and waits, and says how often and how long, by its own clock.
 *
 * usage: slowops DIR    DIR: where its files are made and removed, and DIR/result in the end
 * Waits for DIR/go, then writes lines to DIR/result: <what> <times> <ns in all> <longest ns>
 *   open, write, read, fsync: of one regular file; direct: writes of DIRECT_BYTES past the page cache (times 0 where
 *   the file system cannot); fifo: one read that waits FIFO_NS; futex: waits of FUTEX_NS.
 * Linked with: nothing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TURNS 50
#define BLOCK_BYTES 4096
#define DIRECT_BYTES (64 << 10)
#define DIRECT_TURNS 20
#define FIFO_NS 80000000
#define FUTEX_NS 60000000
#define FUTEX_TURNS 3

struct sum {
	const char *what;
	uint64_t times, ns, longest_ns;
};

static uint64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000ull + at.tv_nsec;
}

static void sum_add(struct sum *sum, uint64_t since_ns)
{
	uint64_t ns = now_ns() - since_ns;

	sum->times++;
	sum->ns += ns;
	if (ns > sum->longest_ns)
		sum->longest_ns = ns;
}

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static void nap(uint64_t ns)
{
	const struct timespec time = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	nanosleep(&time, NULL);
}

static void files(struct sum *sums)
{
	static char block[BLOCK_BYTES];

	for (int i = 0; i < TURNS; i++) {
		uint64_t at = now_ns();
		int fd = open("file", O_CREAT | O_RDWR, 0600);

		sum_add(&sums[0], at);
		must(fd >= 0, "open");
		at = now_ns();
		must(write(fd, block, sizeof(block)) == sizeof(block), "write");
		sum_add(&sums[1], at);
		at = now_ns();
		must(fsync(fd) == 0, "fsync");
		sum_add(&sums[3], at);
		at = now_ns();
		must(pread(fd, block, sizeof(block), 0) == sizeof(block), "read");
		sum_add(&sums[2], at);
		close(fd);
	}
	unlink("file");
}

static void direct(struct sum *sum)
{
	void *block = aligned_alloc(4096, DIRECT_BYTES);
	int fd = open("direct", O_CREAT | O_RDWR | O_DIRECT, 0600);

	memset(block, 1, DIRECT_BYTES);
	for (int i = 0; fd >= 0 && i < DIRECT_TURNS; i++) {
		uint64_t at = now_ns();

		if (pwrite(fd, block, DIRECT_BYTES, (off_t)i * DIRECT_BYTES) != DIRECT_BYTES)
			break;
		sum_add(sum, at);
	}
	close(fd);
	unlink("direct");
}

static void fifo(struct sum *sum)
{
	char letter = 'x';
	uint64_t at;
	pid_t child;
	int fd;

	must(mkfifo("fifo", 0600) == 0, "mkfifo");
	child = fork();
	if (child == 0) {
		fd = open("fifo", O_WRONLY);
		nap(FIFO_NS);
		_exit(write(fd, &letter, 1) != 1);
	}
	fd = open("fifo", O_RDONLY);
	at = now_ns();
	must(read(fd, &letter, 1) == 1, "read from fifo");
	sum_add(sum, at);
	waitpid(child, NULL, 0);
	close(fd);
	unlink("fifo");
}

static void futex(struct sum *sum)
{
	const struct timespec time = { .tv_nsec = FUTEX_NS };
	int word = 2;

	for (int i = 0; i < FUTEX_TURNS; i++) {
		uint64_t at = now_ns();

		syscall(SYS_futex, &word, FUTEX_WAIT, 2, &time, NULL, 0);
		sum_add(sum, at);
	}
}

int main(int argc, char **argv)
{
	struct sum sums[] = { { "open" }, { "write" }, { "read" }, { "fsync" }, { "direct" }, { "fifo" }, { "futex" } };
	FILE *result;

	must(argc == 2 && chdir(argv[1]) == 0, "usage: slowops DIR");
	while (access("go", F_OK) != 0)
		nap(20000000);
	files(sums);
	direct(&sums[4]);
	fifo(&sums[5]);
	futex(&sums[6]);
	result = fopen("result.part", "w");
	must(result != NULL, "result");
	for (unsigned i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		fprintf(result, "%s %llu %llu %llu\n", sums[i].what, (unsigned long long)sums[i].times,
			(unsigned long long)sums[i].ns, (unsigned long long)sums[i].longest_ns);
	fclose(result);
	rename("result.part", "result");
	for (;;)
		pause();
}
