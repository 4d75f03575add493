/* SPDX-License-Identifier: Apache-2.0 */
/* crossing half N: N connections whose two ends connect to each other, with no listener. One end has sent its SYN and is deaf (a filter
 *   takes what comes) while the other sends its own; then it hears, and gets that SYN sent again while it still connects.
 * crossing full N MS: two threads connect to each other at the same moment, again and again, until N connections came of it or the time is over.
 * One end sends 100 bytes, the other answers with 1000, both close. Prints how many there were. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST 100
#define ANSWER 1000
#define PORT 20000 /* and the next; of the other end PORT_OTHER and the next */
#define PORT_OTHER 30000
#define MANY 1000
#define PATIENCE_MS 120000
#define BEFOREHAND_NS 100000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in address(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((unsigned short)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int bound(int port)
{
	struct sockaddr_in own = address(port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		die("bind");
	return fd;
}

static void start(int fd, int port)
{
	struct sockaddr_in to = address(port);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		die("connect");
}

/* 0, or the error of a connection that did not come about. */
static int finish(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	socklen_t length = sizeof(int);
	int error = 0;

	if (poll(&poll_fd, 1, PATIENCE_MS) != 1)
		die("poll");
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	fcntl(fd, F_SETFL, 0);
	return error;
}

static void give(int fd, size_t bytes)
{
	char data[ANSWER] = { 0 };

	if (send(fd, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		die("send");
}

static void take(int fd, size_t bytes)
{
	char data[ANSWER];

	if (recv(fd, data, bytes, MSG_WAITALL) != (ssize_t)bytes)
		die("recv");
}

static void talk(int left, int right)
{
	give(left, REQUEST);
	take(right, REQUEST);
	give(right, ANSWER);
	take(left, ANSWER);
}

static void deafen(int fd, int deaf)
{
	struct sock_filter nothing = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog program = { 1, &nothing };

	if (setsockopt(fd, SOL_SOCKET, deaf ? SO_ATTACH_FILTER : SO_DETACH_FILTER, &program, sizeof(program)) < 0)
		die("filter");
}

static int half(int count)
{
	int left[MANY], right[MANY];

	for (int i = 0; i < count; i++) {
		left[i] = bound(PORT + i);
		right[i] = bound(PORT_OTHER + i);
		deafen(left[i], 1);
		start(left[i], PORT_OTHER + i);
	}
	for (int i = 0; i < count; i++)
		start(right[i], PORT + i);
	for (int i = 0; i < count; i++)
		deafen(left[i], 0);
	for (int i = 0; i < count; i++) {
		if (finish(left[i]) || finish(right[i]))
			die("crossing");
		talk(left[i], right[i]);
		close(left[i]);
		close(right[i]);
	}
	return count;
}

/* Two threads that connect at a moment both know beforehand; all the rest one of them does. */
static atomic_int round_started, round_done;
static atomic_llong moment_ns;
static int ends[2], ports[2];

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void start_then(int me)
{
	while (now_ns() < atomic_load(&moment_ns))
		;
	start(ends[me], ports[!me]);
}

static void *other_end(void *unused)
{
	(void)unused;
	for (int round = 1;; round++) {
		while (atomic_load(&round_started) < round)
			sched_yield();
		start_then(1);
		atomic_store(&round_done, round);
	}
	return NULL;
}

static int crosses(int round)
{
	int errors[2];

	for (int i = 0; i < 2; i++) {
		ports[i] = (i ? PORT_OTHER : PORT) + round % MANY;
		ends[i] = bound(ports[i]);
	}
	atomic_store(&moment_ns, now_ns() + BEFOREHAND_NS);
	atomic_store(&round_started, round);
	start_then(0);
	while (atomic_load(&round_done) < round)
		sched_yield();
	for (int i = 0; i < 2; i++)
		errors[i] = finish(ends[i]);
	if (!errors[0] && !errors[1])
		talk(ends[0], ends[1]);
	for (int i = 0; i < 2; i++)
		close(ends[i]);
	return !errors[0] && !errors[1];
}

static int full(int count, int limit_ms)
{
	long long until_ns = now_ns() + limit_ms * 1000000LL;
	int crossed = 0;
	pthread_t other;

	if (pthread_create(&other, NULL, other_end, NULL) != 0)
		die("pthread_create");
	for (int round = 1; crossed < count && now_ns() < until_ns; round++)
		crossed += crosses(round);
	return crossed;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 0;

	if (count < 1 || count > MANY)
		return 2;
	if (strcmp(argv[1], "half") == 0)
		printf("%d\n", half(count));
	else if (strcmp(argv[1], "full") == 0 && argc > 3)
		printf("%d\n", full(count, atoi(argv[3])));
	else
		return 2;
	return 0;
}
