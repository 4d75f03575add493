/* SPDX-License-Identifier: Apache-2.0 */
/* One thread on one CPU that sends itself 100 bytes over a TCP connection of its own and back, without end: two packets and four
 * system calls a round trip, and it never sleeps. Says, about 50 times a second, what a trip took of its CPU time: "SECONDS
 * NANOSECONDS" (CLOCK_MONOTONIC, the slice's end). Steadier than any server, so that what is on each packet or call can be told. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLICE_NS 20000000
#define TRIPS_AT_ONCE 64
#define NS_PER_S 1000000000LL

static long long clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void send_over(int from, int to)
{
	char bytes[100] = { 0 };

	if (write(from, bytes, sizeof(bytes)) != sizeof(bytes) || read(to, bytes, sizeof(bytes)) != sizeof(bytes))
		exit(1);
}

static void slice(int client, int server)
{
	long long began_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID), now_ns, trips = 0;

	do {
		for (int i = 0; i < TRIPS_AT_ONCE; i++) {
			send_over(client, server);
			send_over(server, client);
		}
		trips += TRIPS_AT_ONCE;
		now_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	} while (now_ns - began_ns < SLICE_NS);
	printf("%.6f %.1f\n", (double)clock_ns(CLOCK_MONOTONIC) / NS_PER_S,
	       (double)(now_ns - began_ns) / (double)trips);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), server;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(argc > 1 ? atoi(argv[1]) : 0, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0 || bind(listener, (void *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0 || getsockname(listener, (void *)&address, &length) < 0 ||
	    connect(client, (void *)&address, length) < 0 || (server = accept(listener, NULL, NULL)) < 0) {
		perror("roundtrip");
		return 1;
	}
	for (;;)
		slice(client, server);
}
