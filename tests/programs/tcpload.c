/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections of a known number.
 *   tcpload serve ADDRESS PORT [US]     answers each request of REQUEST bytes after so many µs with ANSWER bytes, until killed
 *   tcpload connect ADDRESS PORT COUNT [REQUESTS]  so many (one) requests each on COUNT connections, one after the other;
 *                                       prints "done FAILED"
 *   tcpload hold ADDRESS PORT COUNT     opens COUNT connections, prints "open", keeps them until killed
 *   tcpload rate SECONDS                server and client on loopback; prints connections per second
 * ADDRESS is IPv4 or IPv6. Destinations of "rate" vary (127.x.y.z), so that no pair of ports waits to be used again. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUEST 100
#define ANSWER 1000
#define BACKLOG 4096
#define RATE_PORT 8080

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_parse(const char *text, int port, union address *address)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons(port);
		return sizeof(address->v4);
	}
	if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons(port);
		return sizeof(address->v6);
	}
	fprintf(stderr, "\"%s\" is no address\n", text);
	exit(2);
}

static int read_all(int fd, size_t bytes)
{
	char buffer[ANSWER];

	while (bytes > 0) {
		ssize_t got = read(fd, buffer, bytes < sizeof(buffer) ? bytes : sizeof(buffer));

		if (got <= 0)
			return -1;
		bytes -= got;
	}
	return 0;
}

static void write_all(int fd, size_t bytes)
{
	static const char nothing[ANSWER];

	if (send(fd, nothing, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		return;
}

static int listen_at(const char *text, int port)
{
	union address address;
	socklen_t size = address_parse(text, port, &address);
	int on = 1, fd = socket(address.any.sa_family, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, &address.any, size) != 0 || listen(fd, BACKLOG) != 0) {
		perror("listen");
		exit(1);
	}
	return fd;
}

static useconds_t serve_us; /* an answer takes */

/* Each connection in a thread of its own, so that one held open stops nobody. */
static void *serve_one(void *argument)
{
	int fd = (int)(long)argument;

	while (read_all(fd, REQUEST) == 0) { /* until the client closes */
		if (serve_us)
			usleep(serve_us);
		write_all(fd, ANSWER);
	}
	close(fd);
	return NULL;
}

static void serve(const char *text, int port, useconds_t us)
{
	int listener = listen_at(text, port);
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 64 << 10);
	serve_us = us;
	puts("ready");
	fflush(stdout);
	for (;;) {
		long fd = accept(listener, NULL, NULL);
		pthread_t thread;

		if (fd >= 0 && pthread_create(&thread, &attributes, serve_one, (void *)fd) != 0)
			serve_one((void *)fd);
	}
}

static int open_one(const union address *address, socklen_t size)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM, 0);

	if (fd >= 0 && connect(fd, &address->any, size) == 0)
		return fd;
	close(fd);
	return -1;
}

static int connect_many(const char *text, int port, long count, int requests)
{
	union address address;
	socklen_t size = address_parse(text, port, &address);
	long failed = 0;

	for (long i = 0; i < count; i++) {
		int fd = open_one(&address, size);

		if (fd < 0) {
			failed++;
			continue;
		}
		for (int j = 0; j < requests; j++) {
			write_all(fd, REQUEST);
			read_all(fd, ANSWER);
		}
		close(fd);
	}
	printf("done %ld\n", failed);
	return 0;
}

static int hold(const char *text, int port, long count)
{
	union address address;
	socklen_t size = address_parse(text, port, &address);

	for (long i = 0; i < count; i++)
		if (open_one(&address, size) < 0)
			return 1;
	puts("open");
	fflush(stdout);
	for (;;)
		pause();
}

static double now_s(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}

static int rate(double seconds)
{
	int listener = listen_at("0.0.0.0", RATE_PORT);
	union address address = { 0 };
	socklen_t size = sizeof(address);
	double start_s;
	long count = 0;
	pid_t server;

	getsockname(listener, &address.any, &size);
	server = fork();
	if (server == 0)
		for (;;)
			close(accept(listener, NULL, NULL));
	start_s = now_s();
	while (now_s() - start_s < seconds) {
		struct linger at_once = { .l_onoff = 0 };
		int fd;

		address.v4.sin_addr.s_addr = htonl(0x7f000001 + (unsigned)(count % 0xfffff0));
		fd = open_one(&address, sizeof(address.v4));
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(fd);
		count++;
	}
	printf("%.0f connections/s, %ld connections\n", count / (now_s() - start_s), count);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return 0;
}

int main(int argc, char **argv)
{
	if ((argc == 4 || argc == 5) && strcmp(argv[1], "serve") == 0)
		serve(argv[2], atoi(argv[3]), argc == 5 ? (useconds_t)atoi(argv[4]) : 0);
	if ((argc == 5 || argc == 6) && strcmp(argv[1], "connect") == 0)
		return connect_many(argv[2], atoi(argv[3]), atol(argv[4]), argc == 6 ? atoi(argv[5]) : 1);
	if (argc == 5 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2], atoi(argv[3]), atol(argv[4]));
	if (argc == 3 && strcmp(argv[1], "rate") == 0)
		return rate(atof(argv[2]));
	fprintf(stderr,
		"usage: tcpload serve ADDRESS PORT [US] | connect ADDRESS PORT COUNT [REQUESTS] | hold ADDRESS PORT COUNT | "
		"rate SECONDS\n");
	return 2;
}
