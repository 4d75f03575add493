/* SPDX-License-Identifier: Apache-2.0 */
/* A program that passes for a Java virtual machine and does its worst when it is asked for a map of its code.
 *
 * usage: notjava /libjvm.so silent | deaf | endless | link TARGET
 *
 *   silent   opens the socket, takes the connection, and says nothing
 *   deaf     handles the signal, and opens no socket
 *   endless  answers without end
 *   link     puts a symbolic link to another socket in the place of its own
 *   none     does not handle the signal at all */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static volatile sig_atomic_t quits;
static volatile unsigned long sink;

static void on_quit(int signal)
{
	(void)signal;
	quits++;
}

static void *rest(void *data)
{
	prctl(PR_SET_NAME, "Signal Dispatch");
	for (;;)
		pause();
	return data;
}

static int make_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/.java_pid%d", getpid());
	unlink(address.sun_path);
	bind(fd, (struct sockaddr *)&address, sizeof(address));
	listen(fd, 5);
	return fd;
}

/* Runs `length` bytes that a compiler made at run time: a loop that ends, then ret. */
static void (*make_code(void))(void)
{
	static const unsigned char code[] = { 0xb9, 0x00, 0x00, 0x10, 0x00, /* mov $0x100000,%ecx */
					      0xff, 0xc9, /* dec %ecx */
					      0x75, 0xfc, /* jne */
					      0xc3 };
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(page, code, sizeof(code));
	return (void (*)(void))page;
}

static void *answer(void *data)
{
	static char chunk[65536];
	const char *how = data;
	int listening = -1, fd;

	while (!quits)
		usleep(1000);
	if (strcmp(how, "deaf") == 0)
		return NULL;
	listening = make_socket();
	while ((fd = accept(listening, NULL, NULL)) >= 0) {
		memset(chunk, 'x', sizeof(chunk));
		while (strcmp(how, "endless") == 0 && send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL) > 0)
			;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int fd = open(argc > 1 ? argv[1] : "/libjvm.so", O_RDONLY);
	const char *how = argc > 2 ? argv[2] : "silent";
	void (*code)(void) = make_code();
	char path[64];
	pthread_t thread;

	if (fd < 0 || mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		return 1;
	if (strcmp(how, "none") != 0)
		signal(SIGQUIT, on_quit);
	if (strcmp(how, "link") == 0) {
		snprintf(path, sizeof(path), "/tmp/.java_pid%d", getpid());
		if (symlink(argc > 3 ? argv[3] : "/", path) < 0)
			return 1;
	}
	pthread_create(&thread, NULL, rest, NULL);
	if (strcmp(how, "none") != 0 && strcmp(how, "link") != 0)
		pthread_create(&thread, NULL, answer, (void *)how);
	for (;;)
		code();
}
