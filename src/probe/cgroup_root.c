/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/cgroup_root.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "kernel/cgroupfs.h"
#include "probe/ladder.h"

static int cgroup_root_mounted(void)
{
	struct cgroupfs *cgroupfs = cgroupfs_open("/", NULL);
	int fd = -1;

	if (cgroupfs && cgroupfs->unified && strcmp(cgroupfs->unified->base, "/") == 0)
		fd = open(cgroupfs->unified->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cgroupfs_free(cgroupfs);
	return fd;
}

static int cgroup_root_private(void)
{
	int context = fsopen("cgroup2", FSOPEN_CLOEXEC), fd = -1;

	if (context >= 0 && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (context >= 0) {
		int reason = errno;

		close(context);
		errno = reason;
	}
	return fd;
}

int cgroup_root_open(GError **error)
{
	int fd = cgroup_root_mounted();

	if (fd < 0)
		fd = cgroup_root_private();
	if (fd < 0)
		ladder_set_error(error, "cannot open the unified cgroup hierarchy", errno);
	return fd;
}
