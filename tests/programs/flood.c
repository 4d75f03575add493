/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a known number of system calls as fast as it can. usage: flood COUNT FILE; getppid COUNT times once FILE exists, then
 * makes FILE.done and sleeps. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[1]) : 0;
	char done[256];

	while (argc > 2 && access(argv[2], F_OK) != 0)
		usleep(20000);
	for (long i = 0; i < count; i++)
		syscall(SYS_getppid);
	snprintf(done, sizeof(done), "%s.done", argc > 2 ? argv[2] : "flood");
	close(open(done, O_CREAT | O_WRONLY, 0644));
	for (;;)
		pause();
}
