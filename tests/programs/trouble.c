/* SPDX-License-Identifier: Apache-2.0 */
/* One kind of trouble (or of health) at a time, for ever, of a known kind and amount; prints "ready" when it has begun.
 *   busy PERCENT            one thread that runs so much of each 20 ms, by its own CPU time
 *   lock THREADS MS         threads that hold one mutex for MS in turns
 *   pool THREADS            threads that wait on a condition for work that seldom comes
 *   grow MIB                child after child touches memory until it is killed, or has MIB
 *   cache FILE MIB          writes a file and then lets it be
 *   reread FILE MIB         writes a file and reads it over and over
 *   direct FILE KIB         writes KIB at a time past the page cache, over and over
 *   files                   opens files until it is refused, closes a tenth, and so on
 *   forks                   starts children until it is refused, ends them, and so on
 *   refused PORT            connects to a port of 127.0.0.1 where nobody listens
 *   crowd PORT CLIENTS      a server that does not accept, and clients that come
 *   deaf PORT               a server that accepts and does not read, and a client that sends
 *   flood PORT              datagrams to a socket with little room that is read too seldom
 *   serve PORT MS           answers each request after MS of CPU time
 *   ask PORT [FROM]         asks PORT and waits for the answer, over and over; with FROM answers whoever asks there by asking PORT
 * Linked with: pthread. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1 << 20)
#define CHUNK (256 << 10)
#define TURN_NS 20000000

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void nap_ns(int64_t ns)
{
	struct timespec time = { ns / 1000000000, ns % 1000000000 };

	nanosleep(&time, NULL);
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void burn_ns(int64_t ns)
{
	int64_t end = now_ns(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (now_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

static void busy(int percent)
{
	ready();
	for (;;) {
		burn_ns(TURN_NS / 100 * percent);
		nap_ns(TURN_NS / 100 * (100 - percent));
	}
}

/* ---- threads ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int hold_ms, work;

static void *lock_thread(void *nothing)
{
	(void)nothing;
	for (;;) {
		pthread_mutex_lock(&mutex);
		nap_ns(hold_ms * INT64_C(1000000));
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void *pool_thread(void *nothing)
{
	(void)nothing;
	for (;;) {
		pthread_mutex_lock(&mutex);
		while (work == 0)
			pthread_cond_wait(&condition, &mutex);
		work--;
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void start_threads(void *(*body)(void *), int count)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 << 10);
	for (int i = 0; i < count; i++)
		if (pthread_create(&thread, &attributes, body, NULL) != 0)
			fail("pthread_create");
}

static void pool(int threads)
{
	start_threads(pool_thread, threads);
	ready();
	for (;;) {
		nap_ns(300000000);
		pthread_mutex_lock(&mutex);
		work++;
		pthread_cond_signal(&condition);
		pthread_mutex_unlock(&mutex);
	}
}

/* ---- memory and files ---- */

static void grow(int mib)
{
	ready();
	for (;;) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			for (int i = 0; i < mib; i++)
				memset(malloc(MIB), 1, MIB);
			_exit(0);
		}
		if (child > 0)
			waitpid(child, &status, 0);
		nap_ns(300000000);
	}
}

static char *chunk(size_t size)
{
	char *memory = aligned_alloc(4096, size);

	if (!memory)
		fail("aligned_alloc");
	memset(memory, 'x', size);
	return memory;
}

static int write_file(const char *path, int mib)
{
	char *memory = chunk(CHUNK);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		fail(path);
	for (int i = 0; i < mib * (MIB / CHUNK); i++)
		if (write(fd, memory, CHUNK) != CHUNK)
			fail("write");
	if (fsync(fd) != 0)
		fail("fsync");
	free(memory);
	return fd;
}

static void reread(const char *path, int mib)
{
	int fd = write_file(path, mib);
	char *memory = chunk(CHUNK);

	ready();
	for (;;) {
		lseek(fd, 0, SEEK_SET);
		while (read(fd, memory, CHUNK) > 0)
			;
	}
}

static void direct(const char *path, int kib)
{
	char *memory = chunk((size_t)kib << 10);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);

	if (fd < 0)
		fail(path);
	ready();
	for (unsigned int i = 0;; i++)
		if (pwrite(fd, memory, (size_t)kib << 10, (off_t)(i % 64) * (kib << 10)) < 0)
			fail("pwrite");
}

static void files(void)
{
	int first = open("/", O_RDONLY), last = first;

	for (int i = 0;; i++) {
		int fd = dup(first);

		if (fd >= 0) {
			last = fd;
			continue;
		}
		if (i < 1 << 20)
			ready();
		i = 1 << 20;
		nap_ns(100000000);
		close(last);
	}
}

static void forks(void)
{
	ready();
	for (;;) {
		pid_t child = fork();

		if (child == 0) {
			pause();
			_exit(0);
		}
		if (child < 0)
			nap_ns(100000000);
	}
}

/* ---- network ---- */

static struct sockaddr_in address_of(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int listen_at(int port, int backlog)
{
	struct sockaddr_in address = address_of(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, backlog) != 0)
		fail("listen");
	return fd;
}

/* -1 when it fails. */
static int connect_to(int port, int flags)
{
	struct sockaddr_in address = address_of(port);
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

static void refused(int port)
{
	ready();
	for (;;) {
		connect_to(port, 0);
		nap_ns(100000000);
	}
}

static void crowd(int port, int clients)
{
	listen_at(port, 2);
	ready();
	for (;;) {
		int fds[64];

		for (int i = 0; i < clients && i < 64; i++)
			fds[i] = connect_to(port, SOCK_NONBLOCK);
		nap_ns(1000000000);
		for (int i = 0; i < clients && i < 64; i++)
			close(fds[i]);
	}
}

static void *deaf_server(void *listening)
{
	for (;;) {
		int fd = accept((int)(intptr_t)listening, NULL, NULL);
		char some[64 << 10];

		for (;;) { /* now and then a little: the window opens and shuts */
			nap_ns(500000000);
			if (recv(fd, some, sizeof(some), 0) <= 0)
				break;
		}
		close(fd);
	}
	return NULL;
}

static void deaf(int port)
{
	int listening = listen_at(port, 8), fd;
	char *memory = chunk(CHUNK);
	pthread_t thread;

	if (pthread_create(&thread, NULL, deaf_server, (void *)(intptr_t)listening) != 0)
		fail("pthread_create");
	fd = connect_to(port, 0);
	ready();
	while (send(fd, memory, CHUNK, MSG_NOSIGNAL) > 0)
		;
}

static void flood(int port)
{
	struct sockaddr_in address = address_of(port);
	int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0), size = 4096;
	char some[512] = { 0 };

	setsockopt(receiver, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(receiver, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail("bind");
	ready();
	for (;;) {
		for (int i = 0; i < 200; i++)
			sendto(sender, some, sizeof(some), 0, (struct sockaddr *)&address, sizeof(address));
		nap_ns(100000000);
		recv(receiver, some, sizeof(some), MSG_DONTWAIT);
	}
}

static int answer_ms, ask_port;

static void *serve_one(void *peer)
{
	int fd = (int)(intptr_t)peer, onward = ask_port ? connect_to(ask_port, 0) : -1;
	char byte;

	while (recv(fd, &byte, 1, 0) == 1) {
		if (onward >= 0 && (send(onward, &byte, 1, MSG_NOSIGNAL) != 1 || recv(onward, &byte, 1, 0) != 1))
			break;
		burn_ns(answer_ms * INT64_C(1000000));
		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
			break;
	}
	close(fd);
	close(onward);
	return NULL;
}

static void serve(int port)
{
	int listening = listen_at(port, 64);

	ready();
	for (;;) {
		int fd = accept(listening, NULL, NULL);
		pthread_t thread;

		if (fd >= 0 && pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) != 0)
			close(fd);
	}
}

static void ask(int port)
{
	ready();
	for (;;) {
		int fd = connect_to(port, 0);
		char byte = 'x';

		while (fd >= 0 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1)
			;
		close(fd);
		nap_ns(50000000);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *first = argc > 2 ? argv[2] : "", *second = argc > 3 ? argv[3] : "";

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(what, "busy"))
		busy(atoi(first));
	if (!strcmp(what, "lock")) {
		hold_ms = atoi(second);
		start_threads(lock_thread, atoi(first) - 1);
		ready();
		lock_thread(NULL);
	}
	if (!strcmp(what, "pool"))
		pool(atoi(first));
	if (!strcmp(what, "grow"))
		grow(atoi(first));
	if (!strcmp(what, "cache")) {
		write_file(first, atoi(second));
		ready();
		for (;;)
			pause();
	}
	if (!strcmp(what, "reread"))
		reread(first, atoi(second));
	if (!strcmp(what, "direct"))
		direct(first, atoi(second));
	if (!strcmp(what, "files"))
		files();
	if (!strcmp(what, "forks"))
		forks();
	if (!strcmp(what, "refused"))
		refused(atoi(first));
	if (!strcmp(what, "crowd"))
		crowd(atoi(first), atoi(second));
	if (!strcmp(what, "deaf"))
		deaf(atoi(first));
	if (!strcmp(what, "flood"))
		flood(atoi(first));
	if (!strcmp(what, "serve")) {
		answer_ms = atoi(second);
		serve(atoi(first));
	}
	if (!strcmp(what, "ask") && *second) {
		ask_port = atoi(first);
		serve(atoi(second));
	}
	if (!strcmp(what, "ask"))
		ask(atoi(first));
	fprintf(stderr, "usage: trouble KIND [ARGUMENT…]\n");
	return 2;
}
