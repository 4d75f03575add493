/* SPDX-License-Identifier: Apache-2.0 */
/* One kind of trouble (or of health) at a time, for ever, of a known kind and amount; prints "ready" when it has begun.
 *   busy PERCENT            one thread that runs so much of each 20 ms, by its own CPU time
 *   bursts PERCENT MS EVERY_MS  the same, and now and then so much CPU time at once
 *   lock THREADS MS         threads that hold one mutex for MS in turns
 *   pool THREADS            threads that wait on a condition for work that seldom comes
 *   grow MIB                child after child touches memory until it is killed, or has MIB
 *   cache FILE MIB          writes a file and then lets it be
 *   reread FILE MIB         writes a file and reads it over and over
 *   direct FILE KIB         writes KIB at a time past the page cache, over and over
 *   storm FILE THREADS      writes a MiB past the page cache here and there, from many threads
 *   sync FILE               appends a line and waits until it is on disk, over and over
 *   flock FILE CHILDREN MS  processes that hold a file's lock for MS in turns
 *   shared FILE THREADS     threads that overwrite one file at the same time: each write has its inode to itself
 *   leak KIB                takes and keeps so much each 10 ms
 *   lru MIB                 touches all of so much memory, over and over
 *   files                   opens files until it is refused, closes a tenth, and so on
 *   forks                   starts children until it is refused, ends them, and so on
 *   refused PORT            connects to a port of 127.0.0.1 where nobody listens
 *   crowd PORT CLIENTS      a server that does not accept, and clients that come
 *   deaf PORT               a server that accepts and does not read, and a client that sends
 *   flood PORT              datagrams to a socket with little room that is read too seldom
 *   silent PORT             eight threads that connect to a port from which no answer comes, and give up after 2.5 s
 *   track                   datagrams to ever new addresses and ports: each a connection to keep track of
 *   ports PORT              connects to a listening port of 127.0.0.1 until it is refused a port of its own
 *   resolve MS [CODE]       a name server that answers after MS (0: never), with this code of failure, and who asks it
 *   push ADDRESS            400 datagrams of 1000 bytes a second to port 9 there
 *   drain NAME              a tun device that nobody reads, and datagrams to 10.231.7.2, which should be routed to it
 *   talk PORT               an echo of 32 KiB over loopback, both ends in one
 *   timer HZ                wakes up so often and does nothing
 *   pingpong                two threads that wake each other by a condition, with a pause
 *   serve PORT MS           answers each request after MS of CPU time
 *   drowse PORT MS          answers each request after sleeping for MS
 *   workers PORT THREADS CLIENTS MS  a server whose threads sleep for MS for each connection, and clients that come anew
 *                           for each request
 *   loop PORT CLIENTS MS    a server whose one thread takes MS of CPU time for each request, and clients that keep their connections
 *   peek FILE               reads 4 KiB past the page cache, here and there, over and over
 *   ask PORT [FROM]         asks PORT and waits for the answer, over and over; with FROM answers whoever asks there by asking PORT
 * Linked with: pthread. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
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

static void bursts(int percent, int burst_ms, int every_ms)
{
	ready();
	for (int64_t next = now_ns(CLOCK_MONOTONIC);;) {
		burn_ns(TURN_NS / 100 * percent);
		nap_ns(TURN_NS / 100 * (100 - percent));
		if (now_ns(CLOCK_MONOTONIC) < next)
			continue;
		burn_ns(burst_ms * INT64_C(1000000));
		next += every_ms * INT64_C(1000000);
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

static void peek(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECT);
	off_t size = lseek(fd, 0, SEEK_END);
	char *memory = chunk(4096);

	if (fd < 0 || size < 4096)
		fail(path);
	ready();
	while (pread(fd, memory, 4096, random() % (size / 4096) * 4096) == 4096)
		;
	fail(path);
}

static const char *storm_path;

/* A file of its own: one that all write to would make them wait for its inode. */
static void *storm_thread(void *number)
{
	unsigned int seed = (unsigned int)(intptr_t)number;
	char *memory = chunk(MIB), path[64];
	int fd;

	snprintf(path, sizeof(path), "%s%u", storm_path, seed);
	close(write_file(path, 16));
	fd = open(path, O_RDWR | O_DIRECT);
	if (fd < 0)
		fail(path);
	for (;;) {
		seed = seed * 1103515245 + 12345;
		if (pwrite(fd, memory, MIB, (off_t)(seed >> 16) % 16 * MIB) < 0)
			fail("pwrite");
	}
	return NULL;
}

static void storm(const char *path, int threads)
{
	storm_path = path;
	for (int i = 1; i < threads; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, storm_thread, (void *)(intptr_t)i) != 0)
			fail("pthread_create");
	}
	ready();
	storm_thread(NULL);
}

static void sync_lines(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	char line[100];

	if (fd < 0)
		fail(path);
	memset(line, 'x', sizeof(line));
	ready();
	for (;;)
		if (write(fd, line, sizeof(line)) < 0 || fsync(fd) != 0)
			fail("fsync");
}

static void flock_turns(const char *path, int children, int ms)
{
	for (int i = 1; i < children; i++)
		if (fork() == 0)
			break;
	ready();
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT, 0600);

		if (fd < 0 || flock(fd, LOCK_EX) != 0)
			fail("flock");
		nap_ns(ms * INT64_C(1000000));
		close(fd);
	}
}

static int shared_fd;

static void *shared_thread(void *nothing)
{
	char *memory = chunk(4 * MIB);

	(void)nothing;
	for (;;)
		if (pwrite(shared_fd, memory, 4 * MIB, 0) < 0)
			fail("pwrite");
	return NULL;
}

static void shared(const char *path, int threads)
{
	shared_fd = write_file(path, 4);
	start_threads(shared_thread, threads - 1);
	ready();
	shared_thread(NULL);
}

static void leak(int kib)
{
	ready();
	for (;;) {
		char *memory = malloc((size_t)kib << 10);

		if (!memory)
			fail("malloc");
		memset(memory, 1, (size_t)kib << 10);
		nap_ns(10000000);
	}
}

static void lru(int mib)
{
	volatile char *memory = chunk((size_t)mib * MIB); /* or the touching is left out, which nobody would notice */

	memset((char *)memory, 1, (size_t)mib * MIB);
	ready();
	for (;;)
		for (size_t i = 0; i < (size_t)mib * MIB; i += 4096)
			memory[i]++;
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
/* `patience_ms` 0: as long as the kernel has. */
static int connect_patiently(int port, int flags, int patience_ms)
{
	struct sockaddr_in address = address_of(port);
	struct timeval patience = { patience_ms / 1000, patience_ms % 1000 * 1000 };
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	if (patience_ms)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

static int connect_to(int port, int flags)
{
	return connect_patiently(port, flags, 0);
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

static void *silent_thread(void *port)
{
	for (;;)
		close(connect_patiently((int)(intptr_t)port, 0, 2500));
	return NULL;
}

static void silent(int port)
{
	for (int i = 0; i < 8; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, silent_thread, (void *)(intptr_t)port) != 0)
			fail("pthread_create");
	}
	ready();
	for (;;)
		pause();
}

static void *accept_thread(void *listening)
{
	for (;;)
		accept((int)(intptr_t)listening, NULL, NULL);
	return NULL;
}

static void ports(int port)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, accept_thread, (void *)(intptr_t)listen_at(port, 64)) != 0)
		fail("pthread_create");
	ready();
	for (;;)
		if (connect_to(port, 0) < 0)
			nap_ns(100000000);
}

static void track(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ready();
	for (uint32_t i = 0;; i++) {
		struct sockaddr_in address = address_of((int)(1024 + i % 64000));

		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + i / 64000 % 1000);
		sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address));
		if (i % 100 == 99)
			nap_ns(300000);
	}
}

static void push(const char *where)
{
	struct sockaddr_in address = address_of(9);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char some[1000] = { 0 };

	if (inet_pton(AF_INET, where, &address.sin_addr) != 1)
		fail("inet_pton");
	ready();
	for (;;) {
		for (int i = 0; i < 20; i++)
			sendto(fd, some, sizeof(some), MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address));
		nap_ns(50000000);
	}
}

static void drain(const char *name)
{
	struct sockaddr_in address = address_of(9);
	int device = open("/dev/net/tun", O_RDWR), fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (device < 0 || ioctl(device, TUNSETIFF, &request) != 0)
		fail("/dev/net/tun");
	address.sin_addr.s_addr = htonl(0x0ae70702);
	ready();
	for (;;) {
		for (int i = 0; i < 20; i++)
			sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address));
		nap_ns(20000000);
	}
}

#define DNS_PORT 53
#define DNS_ANSWER 0x80

static int resolve_ms, resolve_code;

static void *resolver_thread(void *nothing)
{
	struct sockaddr_in address = address_of(DNS_PORT), from;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char message[512];

	(void)nothing;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail("bind");
	ready();
	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t bytes = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from, &length);

		if (bytes < 12 || resolve_ms == 0)
			continue;
		nap_ns(resolve_ms * INT64_C(1000000));
		message[2] = (char)(message[2] | DNS_ANSWER); /* no record: an answer all the same */
		message[3] = (char)resolve_code;
		sendto(fd, message, (size_t)bytes, 0, (struct sockaddr *)&from, length);
	}
	return NULL;
}

static void resolve(int ms)
{
	static const char name[] = "\3www\7example\3net";
	struct timeval patience = { ms ? 1 : 0, 300000 };
	pthread_t thread;

	resolve_ms = ms;
	if (pthread_create(&thread, NULL, resolver_thread, NULL) != 0)
		fail("pthread_create");
	for (uint16_t id = 1;; id++) {
		struct sockaddr_in address = address_of(DNS_PORT);
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		char message[12 + sizeof(name) + 4] = { (char)(id >> 8), (char)id, 1, 0, 0, 1 };

		memcpy(message + 12, name, sizeof(name));
		message[12 + sizeof(name) + 1] = message[12 + sizeof(name) + 3] = 1; /* A, IN */
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		sendto(fd, message, sizeof(message), 0, (struct sockaddr *)&address, sizeof(address));
		recv(fd, message, sizeof(message), 0);
		close(fd);
		nap_ns(50000000);
	}
}

#define TALK_BYTES (32 << 10)

static int exchange(int fd, char *memory, ssize_t (*move)(int, void *, size_t, int))
{
	for (size_t done = 0; done < TALK_BYTES;) {
		ssize_t bytes = move(fd, memory + done, TALK_BYTES - done, MSG_NOSIGNAL);

		if (bytes <= 0)
			return -1;
		done += (size_t)bytes;
	}
	return 0;
}

static ssize_t send_some(int fd, void *memory, size_t size, int flags)
{
	return send(fd, memory, size, flags);
}

static void *echo_thread(void *listening)
{
	char *memory = chunk(TALK_BYTES);

	for (;;) {
		int fd = accept((int)(intptr_t)listening, NULL, NULL);

		while (exchange(fd, memory, recv) == 0 && exchange(fd, memory, send_some) == 0)
			;
		close(fd);
	}
	return NULL;
}

static void talk(int port)
{
	char *memory = chunk(TALK_BYTES);
	pthread_t thread;

	if (pthread_create(&thread, NULL, echo_thread, (void *)(intptr_t)listen_at(port, 8)) != 0)
		fail("pthread_create");
	ready();
	for (;;) {
		int fd = connect_to(port, 0);

		while (fd >= 0 && exchange(fd, memory, send_some) == 0 && exchange(fd, memory, recv) == 0)
			nap_ns(2000000);
		close(fd);
	}
}

static void timer(int hz)
{
	ready();
	for (;;)
		nap_ns(INT64_C(1000000000) / hz);
}

static int turn;

static void *pong_thread(void *nothing)
{
	(void)nothing;
	for (;;) {
		pthread_mutex_lock(&mutex);
		while (turn == 0)
			pthread_cond_wait(&condition, &mutex);
		turn = 0;
		pthread_cond_broadcast(&condition);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void pingpong(void)
{
	start_threads(pong_thread, 1);
	ready();
	for (;;) {
		nap_ns(5000000);
		pthread_mutex_lock(&mutex);
		turn = 1;
		pthread_cond_broadcast(&condition);
		while (turn == 1)
			pthread_cond_wait(&condition, &mutex);
		pthread_mutex_unlock(&mutex);
	}
}

static int answer_ms, ask_port;
static bool is_drowsy;

static void answer_slowly(void)
{
	if (is_drowsy)
		nap_ns(answer_ms * INT64_C(1000000));
	else
		burn_ns(answer_ms * INT64_C(1000000));
}

static void *serve_one(void *peer)
{
	int fd = (int)(intptr_t)peer, onward = ask_port ? connect_to(ask_port, 0) : -1;
	char byte;

	while (recv(fd, &byte, 1, 0) == 1) {
		if (onward >= 0 && (send(onward, &byte, 1, MSG_NOSIGNAL) != 1 || recv(onward, &byte, 1, 0) != 1))
			break;
		answer_slowly();
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

static void *worker_thread(void *listening)
{
	for (;;) {
		int fd = accept((int)(intptr_t)listening, NULL, NULL);
		char byte;

		if (recv(fd, &byte, 1, 0) == 1) {
			answer_slowly();
			send(fd, &byte, 1, MSG_NOSIGNAL);
		}
		close(fd);
	}
	return NULL;
}

static void *caller_thread(void *port)
{
	for (;;) {
		int fd = connect_to((int)(intptr_t)port, 0);
		char byte = 'x';

		if (fd >= 0 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1)
			recv(fd, &byte, 1, 0);
		close(fd);
	}
	return NULL;
}

static void workers(int port, int threads, int clients)
{
	int listening = listen_at(port, 128);
	pthread_t thread;

	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread, NULL, worker_thread, (void *)(intptr_t)listening) != 0)
			fail("pthread_create");
	for (int i = 0; i < clients; i++)
		if (pthread_create(&thread, NULL, caller_thread, (void *)(intptr_t)port) != 0)
			fail("pthread_create");
	ready();
	for (;;)
		pause();
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

#define LOOP_CLIENTS_MAX 64

/* Clients are processes of their own: the server is one thread, and there is none beside it. */
static void loop(int port, int clients, int ms)
{
	struct pollfd polled[1 + LOOP_CLIENTS_MAX] = { { listen_at(port, 128), POLLIN, 0 } };
	nfds_t count = 1;

	for (int i = 0; i < clients && i < LOOP_CLIENTS_MAX; i++)
		if (fork() == 0)
			ask(port);
	ready();
	for (;;) {
		poll(polled, count, -1);
		for (nfds_t i = 1; i < count; i++) {
			char byte;

			if (!(polled[i].revents & POLLIN) || recv(polled[i].fd, &byte, 1, 0) != 1)
				continue;
			burn_ns(ms * INT64_C(1000000));
			send(polled[i].fd, &byte, 1, MSG_NOSIGNAL);
		}
		if (polled[0].revents & POLLIN && count <= LOOP_CLIENTS_MAX)
			polled[count++] = (struct pollfd){ accept(polled[0].fd, NULL, NULL), POLLIN, 0 };
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
	if (!strcmp(what, "storm"))
		storm(first, atoi(second));
	if (!strcmp(what, "peek"))
		peek(first);
	if (!strcmp(what, "sync"))
		sync_lines(first);
	if (!strcmp(what, "flock"))
		flock_turns(first, atoi(second), argc > 4 ? atoi(argv[4]) : 2);
	if (!strcmp(what, "shared"))
		shared(first, atoi(second));
	if (!strcmp(what, "leak"))
		leak(atoi(first));
	if (!strcmp(what, "lru"))
		lru(atoi(first));
	if (!strcmp(what, "silent"))
		silent(atoi(first));
	if (!strcmp(what, "track"))
		track();
	if (!strcmp(what, "ports"))
		ports(atoi(first));
	if (!strcmp(what, "bursts") && argc > 4)
		bursts(atoi(first), atoi(second), atoi(argv[4]));
	if (!strcmp(what, "push"))
		push(first);
	if (!strcmp(what, "drain"))
		drain(first);
	resolve_code = atoi(second);
	if (!strcmp(what, "resolve"))
		resolve(atoi(first));
	if (!strcmp(what, "talk"))
		talk(atoi(first));
	if (!strcmp(what, "timer"))
		timer(atoi(first));
	if (!strcmp(what, "pingpong"))
		pingpong();
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
	is_drowsy = !strcmp(what, "drowse") || !strcmp(what, "workers");
	if (!strcmp(what, "workers") && argc > 5) {
		answer_ms = atoi(argv[5]);
		workers(atoi(first), atoi(second), atoi(argv[4]));
	}
	if (!strcmp(what, "serve") || !strcmp(what, "drowse")) {
		answer_ms = atoi(second);
		serve(atoi(first));
	}
	if (!strcmp(what, "loop") && argc > 4)
		loop(atoi(first), atoi(second), atoi(argv[4]));
	if (!strcmp(what, "ask") && *second) {
		ask_port = atoi(first);
		serve(atoi(second));
	}
	if (!strcmp(what, "ask"))
		ask(atoi(first));
	fprintf(stderr, "usage: trouble KIND [ARGUMENT…]\n");
	return 2;
}
