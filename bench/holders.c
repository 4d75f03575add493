/* SPDX-License-Identifier: Apache-2.0 */
/* Many containers that hold connections: cgroups as docker names them, each with a network namespace of its own and processes that
 * are connected to themselves over loopback.
 *   holders CGROUP CONTAINERS PROCESSES CONNECTIONS PORTS RENEW_MS
 * CGROUP: a directory where cgroups can be made; PROCESSES of each container; CONNECTIONS of each process, spread over as many PORTS;
 * every RENEW_MS (0: never) the first process of each container closes its oldest connection and opens another.
 * Prints "ready" when all are open, ends when standard input does, and removes its cgroups. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_PORT 1000
#define BACKLOG 4096
#define MESSAGE 100 /* bytes each way on every connection */

struct connection {
	int client, server;
};

struct plan {
	const char *cgroup;
	int containers, processes, connections, ports, renew_ms;
};

static void fail(const char *what)
{
	perror(what);
	_exit(1);
}

static void cgroup_path(const struct plan *plan, int container, char *path, size_t size)
{
	snprintf(path, size, "%s/docker/%08x%056x", plan->cgroup, 0xfa700000u + container, 0);
}

static void join_cgroup(const struct plan *plan, int container)
{
	char path[PATH_MAX], procs[PATH_MAX + 16];
	FILE *file;

	cgroup_path(plan, container, path, sizeof(path));
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		fail(path);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	file = fopen(procs, "w");
	if (!file || fprintf(file, "%d", getpid()) < 0 || fclose(file) != 0)
		fail(procs);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(request.ifr_name, "lo");
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		fail("loopback");
	close(fd);
}

static struct sockaddr_in address_of(const struct plan *plan, int process, int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(FIRST_PORT + process * plan->ports + port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int listen_at(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 || listen(fd, BACKLOG) != 0)
		fail("listen");
	return fd;
}

/* Opens one and sends a message each way. */
static struct connection connect_to(const struct sockaddr_in *address, int listener)
{
	struct connection made = { .client = socket(AF_INET, SOCK_STREAM, 0) };
	char message[MESSAGE] = { 0 };

	if (made.client < 0 || connect(made.client, (const struct sockaddr *)address, sizeof(*address)) != 0)
		fail("connect");
	made.server = accept(listener, NULL, NULL);
	if (made.server < 0 || send(made.client, message, sizeof(message), 0) != sizeof(message) ||
	    recv(made.server, message, sizeof(message), MSG_WAITALL) != sizeof(message) ||
	    send(made.server, message, sizeof(message), 0) != sizeof(message) ||
	    recv(made.client, message, sizeof(message), MSG_WAITALL) != sizeof(message))
		fail("talk");
	return made;
}

/* One process of a container: holds its connections until it is killed. */
static void hold(const struct plan *plan, int process, int ready)
{
	struct connection *held = calloc(plan->connections, sizeof(*held));
	int *listeners = calloc(plan->ports, sizeof(*listeners));

	if (!held || !listeners)
		fail("memory");
	for (int i = 0; i < plan->ports; i++) {
		struct sockaddr_in address = address_of(plan, process, i);

		listeners[i] = listen_at(&address);
	}
	for (int i = 0; i < plan->connections; i++) {
		struct sockaddr_in address = address_of(plan, process, i % plan->ports);

		held[i] = connect_to(&address, listeners[i % plan->ports]);
	}
	if (write(ready, "x", 1) != 1)
		fail("ready");
	if (!plan->renew_ms || process)
		for (;;)
			pause();
	for (int i = 0;; i = (i + 1) % plan->connections) {
		struct sockaddr_in address = address_of(plan, process, i % plan->ports);

		usleep(plan->renew_ms * 1000);
		close(held[i].client);
		close(held[i].server);
		held[i] = connect_to(&address, listeners[i % plan->ports]);
	}
}

/* The first process of a container starts the others, all in its namespace and its cgroup. */
static void container_run(const struct plan *plan, int container, int ready)
{
	join_cgroup(plan, container);
	if (unshare(CLONE_NEWNET) != 0)
		fail("unshare");
	loopback_up();
	for (int i = 1; i < plan->processes; i++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			hold(plan, i, ready);
		}
	}
	hold(plan, 0, ready);
}

static void remove_cgroups(const struct plan *plan)
{
	char path[PATH_MAX];

	for (int i = 0; i < plan->containers; i++) {
		cgroup_path(plan, i, path, sizeof(path));
		for (int again = 0; rmdir(path) != 0 && errno == EBUSY && again < 500; again++)
			usleep(10000); /* the last process of it is on its way out */
	}
	snprintf(path, sizeof(path), "%s/docker", plan->cgroup);
	rmdir(path); /* ours alone, or not ours */
}

int main(int argc, char **argv)
{
	struct rlimit files = { .rlim_cur = 65536, .rlim_max = 65536 };
	struct plan plan;
	char path[PATH_MAX], byte;
	int ready[2];

	if (argc != 7) {
		fputs("usage: holders CGROUP CONTAINERS PROCESSES CONNECTIONS PORTS RENEW_MS\n", stderr);
		return 2;
	}
	plan = (struct plan){ argv[1], atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atoi(argv[6]) };
	setrlimit(RLIMIT_NOFILE, &files);
	snprintf(path, sizeof(path), "%s/docker", plan.cgroup);
	if ((mkdir(path, 0755) != 0 && errno != EEXIST) || pipe(ready) != 0)
		fail(path);
	for (int i = 0; i < plan.containers; i++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			container_run(&plan, i, ready[1]);
		}
	}
	close(ready[1]); /* so that a failure ends the waiting */
	for (int i = 0; i < plan.containers * plan.processes; i++)
		if (read(ready[0], &byte, 1) != 1)
			return 1;
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM); /* ours is a process group of its own */
	while (wait(NULL) > 0)
		;
	remove_cgroups(&plan);
	return 0;
}
