/* SPDX-License-Identifier: Apache-2.0 */
/* Many containers that hold connections: cgroups as docker names them, each with a network namespace of its own and processes that
 * are connected to themselves over loopback, or to somebody who is no socket of this machine.
 *   holders CGROUP CONTAINERS PROCESSES CONNECTIONS PORTS RENEW_MS [outside]
 * CGROUP: a directory where cgroups can be made; PROCESSES of each container; CONNECTIONS of each process, spread over as many PORTS;
 * every RENEW_MS (0: never) the first process of each container closes its oldest connection and opens another. With "outside" all
 * connections are to OUTSIDE through a TUN interface, at whose other end a process makes up the answers.
 * Prints "ready" when all are open, ends when standard input does, and removes its cgroups. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
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
#define INSIDE 0x0a4d0001u /* 10.77.0.1, and who answers: */
#define OUTSIDE 0x0a4d0002u
#define PACKET_MAX 2048
#define TTL 64
#define WINDOW 65535

struct connection {
	int client, server; /* -1: outside */
};

struct plan {
	const char *cgroup;
	int containers, processes, connections, ports, renew_ms;
	bool outside;
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

/* ---- somebody outside ---- */

struct segment {
	struct iphdr ip;
	struct tcphdr tcp;
	char payload[MESSAGE];
};

static uint32_t sum_words(const void *data, size_t bytes)
{
	uint32_t sum = 0;

	for (size_t at = 0; at < bytes; at += sizeof(uint16_t)) {
		uint16_t word;

		memcpy(&word, (const char *)data + at, sizeof(word));
		sum += word;
	}
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static int tun_open(void)
{
	struct ifreq request = { .ifr_name = "outside", .ifr_flags = IFF_TUN | IFF_NO_PI };
	int tun = open("/dev/net/tun", O_RDWR), fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;

	if (tun < 0 || fd < 0 || ioctl(tun, TUNSETIFF, &request) != 0)
		fail("/dev/net/tun");
	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INSIDE) };
	if (ioctl(fd, SIOCSIFADDR, &request) != 0)
		fail("address");
	address->sin_addr.s_addr = htonl(0xffffff00);
	if (ioctl(fd, SIOCSIFNETMASK, &request) != 0)
		fail("netmask");
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		fail("up");
	close(fd);
	return tun;
}

/* What a server would say to `in`: to a SYN its own, to payload a message, to a FIN another. 0: nothing. */
static size_t answer_to(const struct segment *in, size_t bytes, struct segment *out)
{
	size_t payload = bytes - sizeof(in->ip) - in->tcp.doff * 4, said = payload ? MESSAGE : 0;
	size_t length = sizeof(out->ip) + sizeof(out->tcp) + said;
	uint32_t sum;

	if (in->tcp.rst || (!in->tcp.syn && !in->tcp.fin && !payload))
		return 0;
	*out = (struct segment){
		.ip = { .version = 4,
			.ihl = 5,
			.ttl = TTL,
			.protocol = IPPROTO_TCP,
			.tot_len = htons(length),
			.saddr = in->ip.daddr,
			.daddr = in->ip.saddr },
		.tcp = { .source = in->tcp.dest,
			 .dest = in->tcp.source,
			 .doff = sizeof(out->tcp) / 4,
			 .ack = 1,
			 .syn = in->tcp.syn,
			 .fin = in->tcp.fin,
			 .psh = said != 0,
			 .window = htons(WINDOW),
			 /* its first number is 0, and what it says first was not asked for before */
			 .seq = in->tcp.syn ? 0 : in->tcp.ack_seq,
			 .ack_seq = htonl(ntohl(in->tcp.seq) + (uint32_t)payload + in->tcp.syn + in->tcp.fin) },
	};
	out->ip.check = sum_fold(sum_words(&out->ip, sizeof(out->ip)));
	sum = sum_words(&out->ip.saddr, 8) + htons(IPPROTO_TCP) + htons(sizeof(out->tcp) + said);
	out->tcp.check = sum_fold(sum + sum_words(&out->tcp, sizeof(out->tcp) + said));
	return length;
}

static void answer_for_ever(int tun)
{
	union {
		struct segment segment;
		char bytes[PACKET_MAX];
	} in;
	struct segment out;

	for (;;) {
		ssize_t bytes = read(tun, &in, sizeof(in));
		size_t length = 0;

		if (bytes >= (ssize_t)(sizeof(struct iphdr) + sizeof(struct tcphdr)) && in.segment.ip.version == 4 &&
		    in.segment.ip.ihl == 5 && in.segment.ip.protocol == IPPROTO_TCP)
			length = answer_to(&in.segment, bytes, &out);
		if (length && write(tun, &out, length) < 0)
			fail("tun");
	}
}

static void outside_start(void)
{
	int tun = tun_open();

	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		answer_for_ever(tun);
	}
	close(tun);
}

/* ---- connections ---- */

static struct sockaddr_in address_of(const struct plan *plan, int process, int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(FIRST_PORT + process * plan->ports + port),
				     .sin_addr.s_addr = htonl(plan->outside ? OUTSIDE : INADDR_LOOPBACK) };
}

static int listen_at(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 || listen(fd, BACKLOG) != 0)
		fail("listen");
	return fd;
}

static void talk(int from, int to)
{
	char message[MESSAGE] = { 0 };

	if ((from >= 0 && send(from, message, sizeof(message), 0) != sizeof(message)) ||
	    (to >= 0 && recv(to, message, sizeof(message), MSG_WAITALL) != sizeof(message)))
		fail("talk");
}

/* Opens one and sends a message each way. A listener of -1: to somebody outside. */
static struct connection connect_to(const struct sockaddr_in *address, int listener)
{
	struct connection made = { .client = socket(AF_INET, SOCK_STREAM, 0), .server = -1 };

	if (made.client < 0 || connect(made.client, (const struct sockaddr *)address, sizeof(*address)) != 0)
		fail("connect");
	if (listener >= 0)
		made.server = accept(listener, NULL, NULL);
	if (listener >= 0 && made.server < 0)
		fail("accept");
	talk(made.client, made.server);
	talk(made.server, made.client);
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

		listeners[i] = plan->outside ? -1 : listen_at(&address);
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
		if (held[i].server >= 0)
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
	if (plan->outside)
		outside_start();
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

	if (argc < 7 || argc > 8 || (argc == 8 && strcmp(argv[7], "outside") != 0)) {
		fputs("usage: holders CGROUP CONTAINERS PROCESSES CONNECTIONS PORTS RENEW_MS [outside]\n", stderr);
		return 2;
	}
	plan = (struct plan){ argv[1],	     atoi(argv[2]), atoi(argv[3]), atoi(argv[4]),
			      atoi(argv[5]), atoi(argv[6]), argc == 8 };
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
