/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to read a table of all processes: by the iterator of fathom top -p (every thread, all that the table shows), and by
 * walks of /proc: stat and cgroup of each process (the least there is to a table by container), and of each thread what the
 * iterator's record holds (stat, schedstat, io, status; cgroup and statm once a process). In turns; medians of CPU time.
 *   tasktable ROUNDS */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "probe/tasks.h"

#define ROUNDS_MAX 1000

static const char *const each_process[] = { "stat", "cgroup", NULL };
static const char *const each_process_whole[] = { "cgroup", "statm", NULL };
static const char *const each_thread[] = { "stat", "schedstat", "io", "status", NULL };

struct scan {
	const char *name;
	struct tasks *tasks; /* NULL: by /proc */
	const char *const *of_process, *const *of_thread; /* NULL: none */
	double ms[ROUNDS_MAX];
	long rows;
};

static char text[1 << 16];

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void read_files(const char *directory, const char *const *names)
{
	char path[600];

	for (; names && *names; names++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s", directory, *names);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
	}
}

/* Files of each numbered directory in `parent` → how many there are. */
static long read_each(const char *parent, const struct scan *scan, int is_thread)
{
	DIR *directory = opendir(parent);
	char path[300];
	long rows = 0;

	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		if (!isdigit(entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/%.20s", parent, entry->d_name);
		read_files(path, is_thread ? scan->of_thread : scan->of_process);
		if (!is_thread && scan->of_thread) {
			snprintf(path, sizeof(path), "%s/%.20s/task", parent, entry->d_name);
			rows += read_each(path, scan, 1);
		} else {
			rows++;
		}
	}
	if (directory)
		closedir(directory);
	return rows;
}

static void count_record(void *user, const struct tasks_record *record)
{
	struct scan *scan = user;

	scan->rows += record->tid != 0;
}

static void scan_once(struct scan *scan, int round)
{
	double before = cpu_ms();

	scan->rows = 0;
	if (scan->tasks)
		tasks_list(scan->tasks, count_record, scan, NULL);
	else
		scan->rows = read_each("/proc", scan, 0);
	scan->ms[round] = cpu_ms() - before;
}

static int by_size(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
	const struct probe_listener nobody = { 0 };
	g_autoptr(GError) error = NULL;
	struct scan scans[] = {
		{ .name = "iterator, all of each thread" },
		{ .name = "/proc: stat, cgroup of each process", .of_process = each_process },
		{ .name = "/proc: all of each thread", .of_process = each_process_whole, .of_thread = each_thread },
	};
	int rounds = argc > 1 ? atoi(argv[1]) : 20;

	scans[0].tasks = tasks_open(NULL, &nobody, &error);
	if (!scans[0].tasks || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "tasktable: %s\n", error ? error->message : "ROUNDS is from 1 to 1000");
		return 1;
	}
	for (int round = 0; round < rounds; round++)
		for (guint i = 0; i < G_N_ELEMENTS(scans); i++)
			scan_once(&scans[i], round);
	printf("%-38s %8s %10s %10s %10s\n", "", "rows", "median ms", "least", "most");
	for (guint i = 0; i < G_N_ELEMENTS(scans); i++) {
		qsort(scans[i].ms, (size_t)rounds, sizeof(scans[i].ms[0]), by_size);
		printf("%-38s %8ld %10.3f %10.3f %10.3f\n", scans[i].name, scans[i].rows, scans[i].ms[rounds / 2],
		       scans[i].ms[0], scans[i].ms[rounds - 1]);
	}
	tasks_close(scans[0].tasks);
	return 0;
}
