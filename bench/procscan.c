/* SPDX-License-Identifier: Apache-2.0 */
/* Who is connected to whom, found as tools without kernel programs do: every SECONDS the sockets of each network namespace
 * (/proc/PID/net/tcp and tcp6, and its conntrack table where there is one), joined by inode to the descriptors of all processes, and
 * those to their cgroups.
 *   procscan SECONDS COUNT
 * Prints after each scan: connections whose two ends both have an owner, sockets with an owner, CPU time of the scan in ms. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOTS (1 << 18) /* of each table; a power of two, twice as many as there can be */
#define NAMESPACES 8192
#define ESTABLISHED 1

/* Socket inode → cgroup of a process that has it open. */
struct owner {
	uint64_t inode;
	uint32_t cgroup; /* hash of its path */
};

/* A socket waits here for its other end: namespace and both addresses. */
struct end {
	uint64_t key; /* 0: empty */
};

static struct owner owners[SLOTS];
static struct end ends[SLOTS];
static uint64_t seen[NAMESPACES];
static int seen_count;
static long connections, owned;

static uint64_t hash_text(const char *text, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3ULL;
	return hash ? hash : 1;
}

static uint32_t slot_of(uint64_t key)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15ULL) >> 40) & (SLOTS - 1);
}

static struct owner *owner_find(uint64_t inode)
{
	uint32_t at = slot_of(inode);

	while (owners[at].inode && owners[at].inode != inode)
		at = (at + 1) & (SLOTS - 1);
	return &owners[at];
}

/* TRUE when the key was there already. */
static bool end_add(uint64_t key)
{
	uint32_t at = slot_of(key);

	while (ends[at].key && ends[at].key != key)
		at = (at + 1) & (SLOTS - 1);
	if (ends[at].key)
		return true;
	ends[at].key = key;
	return false;
}

static long read_whole(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY);
	long length = fd < 0 ? -1 : read(fd, buffer, size - 1);

	if (fd >= 0)
		close(fd);
	if (length >= 0)
		buffer[length] = 0;
	return length;
}

static void scan_descriptors(const char *pid)
{
	char path[320], link[64], text[4096];
	uint32_t cgroup = 0;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
	if (read_whole(path, text, sizeof(text)) > 0)
		cgroup = (uint32_t)hash_text(text, strlen(text));
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	directory = opendir(path);
	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);

		if (length <= 8 || strncmp(link, "socket:[", 8) != 0)
			continue;
		link[length] = 0;
		*owner_find(strtoull(link + 8, NULL, 10)) = (struct owner){ strtoull(link + 8, NULL, 10), cgroup };
	}
	if (directory)
		closedir(directory);
}

/* A line of net/tcp: "  0: 0100007F:1F90 0100007F:C350 01 ... inode" */
static void scan_line(const char *line, uint64_t namespace)
{
	char local[64], remote[64], smaller[160];
	unsigned long long inode;
	unsigned state;

	if (sscanf(line, "%*d: %63s %63s %x %*s %*s %*s %*u %*d %llu", local, remote, &state, &inode) != 4 ||
	    state != ESTABLISHED || !owner_find(inode)->inode)
		return;
	owned++;
	snprintf(smaller, sizeof(smaller), "%s %s %llx", strcmp(local, remote) < 0 ? local : remote,
		 strcmp(local, remote) < 0 ? remote : local, (unsigned long long)namespace);
	connections += end_add(hash_text(smaller, strlen(smaller)));
}

static void scan_table(const char *pid, const char *name, uint64_t namespace)
{
	char path[320], line[512];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/net/%s", pid, name);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		scan_line(line, namespace);
	if (file)
		fclose(file);
}

static void scan_namespace(const char *pid)
{
	char path[320], link[64];
	uint64_t namespace;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	length = readlink(path, link, sizeof(link));
	if (length <= 0)
		return;
	namespace = hash_text(link, (size_t)length);
	for (int i = 0; i < seen_count; i++)
		if (seen[i] == namespace)
			return;
	if (seen_count < NAMESPACES)
		seen[seen_count++] = namespace;
	scan_table(pid, "tcp", namespace);
	scan_table(pid, "tcp6", namespace);
	scan_table(pid, "nf_conntrack", namespace); /* its lines are read, and are no sockets */
}

static void each_process(void (*each)(const char *pid))
{
	DIR *directory = opendir("/proc");

	for (struct dirent *entry; directory && (entry = readdir(directory));)
		if (isdigit(entry->d_name[0]))
			each(entry->d_name);
	if (directory)
		closedir(directory);
}

static double cpu_ms(void)
{
	struct timespec at;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
	return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	struct timespec next;

	if (argc != 3)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (int i = 0; i < atoi(argv[2]); i++) {
		double start_ms = cpu_ms();

		memset(owners, 0, sizeof(owners));
		memset(ends, 0, sizeof(ends));
		seen_count = 0;
		connections = owned = 0;
		each_process(scan_descriptors);
		each_process(scan_namespace);
		printf("%ld %ld %.3f\n", connections, owned, cpu_ms() - start_ms);
		fflush(stdout);
		next.tv_sec += atoi(argv[1]);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return 0;
}
