/* SPDX-License-Identifier: Apache-2.0 */
/* DNS questions of a known number, and a resolver that answers as their names say.
 *   dnsload serve ADDRESS           UDP and TCP on port 53, until killed. The first label says how: "ok" an address,
 *                                   "empty" no such record, "nx" no such name, "fail" a server failure, "refuse",
 *                                   "silent" nothing, "slow" an address after 50 ms. Every name below "cluster.test" does
 *                                   not exist.
 *   dnsload ask ADDRESS COUNT NAME  so many questions, each by a socket of its own that is connected; prints how many
 *                                   were answered
 *   dnsload tcp ADDRESS COUNT NAME  the same over one TCP connection
 *   dnsload all COUNT NAME ADDRESS… each question by one socket, unconnected, to all resolvers at once with one id, until
 *                                   the first answer; then closed
 *   dnsload resolve COUNT NAME      with the C library, by /etc/resolv.conf
 *   dnsload rate ADDRESS SECONDS    one question after the other on one socket; prints questions per second */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 53
#define MESSAGE 512
#define HEADER 12
#define SLOW_NS 50000000
#define PATIENCE_MS 200
#define RESOLVERS 3

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_parse(const char *text, union address *address)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons(PORT);
		return sizeof(address->v4);
	}
	if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons(PORT);
		return sizeof(address->v6);
	}
	fprintf(stderr, "\"%s\" is no address\n", text);
	exit(2);
}

static void need(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/* ---- messages ---- */

static size_t question_make(uint8_t *message, uint16_t id, const char *name)
{
	size_t at = HEADER;

	memset(message, 0, MESSAGE);
	message[0] = id >> 8;
	message[1] = id & 255;
	message[2] = 1; /* recursion desired */
	message[5] = 1; /* one question */
	while (*name) {
		size_t label = strcspn(name, ".");

		message[at++] = label;
		memcpy(message + at, name, label);
		at += label;
		name += label + (name[label] == '.');
	}
	at += 1; /* the root */
	message[at + 1] = 1; /* A */
	message[at + 3] = 1; /* IN */
	return at + 4;
}

/* Does the name in the question end in this, written as labels? */
static int question_ends(const uint8_t *message, size_t end, const char *tail, size_t bytes)
{
	return end >= HEADER + bytes && memcmp(message + end - bytes, tail, bytes) == 0;
}

/* Makes an answer of the question; 0: none. */
static size_t answer_make(uint8_t *message, size_t bytes)
{
	static const uint8_t record[] = { 0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1 };
	static const char cluster[] = "\7cluster\4test";
	const struct timespec slow = { .tv_nsec = SLOW_NS };
	const char *first = (const char *)message + HEADER + 1;
	int rcode = 0, has_answer = 0;
	size_t end = HEADER;

	while (end < bytes && message[end])
		end += message[end] + 1;
	if (end + 5 > bytes)
		return 0;
	if (question_ends(message, end + 1, cluster, sizeof(cluster)))
		rcode = 3;
	else if (strncmp(first, "silent", 6) == 0)
		return 0;
	else if (strncmp(first, "nx", 2) == 0)
		rcode = 3;
	else if (strncmp(first, "fail", 4) == 0)
		rcode = 2;
	else if (strncmp(first, "refuse", 6) == 0)
		rcode = 5;
	else if (strncmp(first, "empty", 5) != 0)
		has_answer = message[end + 2] == 1; /* addresses of the old kind only */
	if (strncmp(first, "slow", 4) == 0)
		nanosleep(&slow, NULL);
	message[2] |= 0x80;
	message[3] = 0x80 | rcode;
	memset(message + 6, 0, 6);
	end += 5;
	if (has_answer) {
		message[7] = 1;
		memcpy(message + end, record, sizeof(record));
		end += sizeof(record);
	}
	return end;
}

static uint16_t message_id(const uint8_t *message)
{
	return message[0] << 8 | message[1];
}

/* ---- the resolver ---- */

static int read_all(int fd, void *bytes, size_t count)
{
	for (size_t at = 0; at < count;) {
		ssize_t got = read(fd, (char *)bytes + at, count - at);

		if (got <= 0)
			return 0;
		at += got;
	}
	return 1;
}

static int tcp_read(int fd, uint8_t *message, size_t *bytes)
{
	uint8_t length[2];

	if (!read_all(fd, length, 2))
		return 0;
	*bytes = length[0] << 8 | length[1];
	return *bytes <= MESSAGE && read_all(fd, message, *bytes);
}

static int tcp_write(int fd, const uint8_t *message, size_t bytes)
{
	uint8_t framed[MESSAGE + 2] = { bytes >> 8, bytes & 255 };

	memcpy(framed + 2, message, bytes);
	return write(fd, framed, bytes + 2) == (ssize_t)bytes + 2;
}

static void serve_connection(int listener)
{
	int fd = accept(listener, NULL, NULL);
	uint8_t message[MESSAGE * 2];
	size_t bytes;

	while (fd >= 0 && tcp_read(fd, message, &bytes)) {
		bytes = answer_make(message, bytes);
		if (bytes && !tcp_write(fd, message, bytes))
			break;
	}
	close(fd);
}

static void serve_datagram(int fd)
{
	uint8_t message[MESSAGE * 2];
	union address from;
	socklen_t length = sizeof(from);
	ssize_t got = recvfrom(fd, message, MESSAGE, 0, &from.any, &length);
	size_t bytes = got > HEADER ? answer_make(message, got) : 0;

	if (bytes)
		sendto(fd, message, bytes, 0, &from.any, length);
}

static void serve(const char *text)
{
	union address address;
	socklen_t length = address_parse(text, &address);
	struct pollfd fds[2] = {
		{ .fd = socket(address.any.sa_family, SOCK_DGRAM, 0), .events = POLLIN },
		{ .fd = socket(address.any.sa_family, SOCK_STREAM, 0), .events = POLLIN },
	};
	int yes = 1;

	setsockopt(fds[1].fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	for (int i = 0; i < 2; i++)
		need(bind(fds[i].fd, &address.any, length) == 0, "bind");
	need(listen(fds[1].fd, 16) == 0, "listen");
	while (poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			serve_datagram(fds[0].fd);
		if (fds[1].revents)
			serve_connection(fds[1].fd);
	}
}

/* ---- those who ask ---- */

static int answer_wait(int fd, uint16_t id)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint8_t message[MESSAGE];

	while (poll(&ready, 1, PATIENCE_MS) > 0) {
		ssize_t got = recv(fd, message, sizeof(message), 0);

		if (got < 0)
			return 0;
		if (got >= HEADER && message_id(message) == id)
			return 1;
	}
	return 0;
}

static int ask(const char *text, int count, const char *name)
{
	union address address;
	socklen_t length = address_parse(text, &address);
	int answered = 0;

	for (int i = 0; i < count; i++) {
		uint8_t message[MESSAGE];
		size_t bytes = question_make(message, i, name);
		int fd = socket(address.any.sa_family, SOCK_DGRAM, 0);

		need(connect(fd, &address.any, length) == 0, "connect");
		need(send(fd, message, bytes, 0) == (ssize_t)bytes, "send");
		answered += answer_wait(fd, i);
		close(fd);
	}
	return answered;
}

static int ask_tcp(const char *text, int count, const char *name)
{
	union address address;
	socklen_t length = address_parse(text, &address);
	int fd = socket(address.any.sa_family, SOCK_STREAM, 0), answered = 0;
	uint8_t message[MESSAGE * 2];

	need(connect(fd, &address.any, length) == 0, "connect");
	for (int i = 0; i < count; i++) {
		size_t bytes = question_make(message, i, name);

		need(tcp_write(fd, message, bytes), "write");
		answered += tcp_read(fd, message, &bytes) && message_id(message) == i;
	}
	return answered;
}

static int ask_all(int count, const char *name, char **texts, int resolvers)
{
	int answered = 0;

	for (int i = 0; i < count; i++) {
		uint8_t message[MESSAGE];
		size_t bytes = question_make(message, i, name);
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		for (int which = 0; which < resolvers; which++) {
			union address address;
			socklen_t length = address_parse(texts[which], &address);

			need(sendto(fd, message, bytes, 0, &address.any, length) == (ssize_t)bytes, "sendto");
		}
		answered += answer_wait(fd, i);
		close(fd);
	}
	return answered;
}

static int resolve(int count, const char *name)
{
	const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	int answered = 0;

	for (int i = 0; i < count; i++) {
		struct addrinfo *found = NULL;

		if (getaddrinfo(name, NULL, &hints, &found) == 0)
			answered++;
		if (found)
			freeaddrinfo(found);
	}
	return answered;
}

static double rate(const char *text, double seconds)
{
	union address address;
	socklen_t length = address_parse(text, &address);
	int fd = socket(address.any.sa_family, SOCK_DGRAM, 0);
	uint8_t message[MESSAGE];
	struct timespec start, now;
	double elapsed = 0;
	long count = 0;

	need(connect(fd, &address.any, length) == 0, "connect");
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (elapsed < seconds) {
		for (int i = 0; i < 100; i++, count++) {
			size_t bytes = question_make(message, count, "ok.example");

			need(send(fd, message, bytes, 0) == (ssize_t)bytes, "send");
			need(answer_wait(fd, count), "an answer");
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		elapsed = now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9;
	}
	return count / elapsed;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	else if (argc == 5 && strcmp(argv[1], "ask") == 0)
		printf("answered %d\n", ask(argv[2], atoi(argv[3]), argv[4]));
	else if (argc == 5 && strcmp(argv[1], "tcp") == 0)
		printf("answered %d\n", ask_tcp(argv[2], atoi(argv[3]), argv[4]));
	else if (argc >= 5 && argc <= 4 + RESOLVERS && strcmp(argv[1], "all") == 0)
		printf("answered %d\n", ask_all(atoi(argv[2]), argv[3], argv + 4, argc - 4));
	else if (argc == 4 && strcmp(argv[1], "resolve") == 0)
		printf("answered %d\n", resolve(atoi(argv[2]), argv[3]));
	else if (argc == 4 && strcmp(argv[1], "rate") == 0)
		printf("%.0f\n", rate(argv[2], atof(argv[3])));
	else
		return 2;
	return 0;
}
