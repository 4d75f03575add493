/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* File systems by their magic number (include/uapi/linux/magic.h and the file systems themselves). Both halves use the
 * list; indexes travel in keys. Compiles on both sides. */
#pragma once
#include <linux/types.h>

#define FS_TYPES(X)                                                                                                    \
	X(1, 0x794c7630, "overlay")                                                                                    \
	X(2, 0xef53, "ext4") /* ext2 and ext3 have the same, and mostly the same driver */                             \
	X(3, 0x58465342, "xfs")                                                                                        \
	X(4, 0x9123683e, "btrfs")                                                                                      \
	X(5, 0x01021994, "tmpfs")                                                                                      \
	X(6, 0x6969, "nfs")                                                                                            \
	X(7, 0x2fc12fc1, "zfs")                                                                                        \
	X(8, 0x65735546, "fuse")                                                                                       \
	X(9, 0x9fa0, "proc")                                                                                           \
	X(10, 0x62656572, "sysfs")                                                                                     \
	X(11, 0x63677270, "cgroup2")                                                                                   \
	X(12, 0x27e0eb, "cgroup")                                                                                      \
	X(13, 0x73717368, "squashfs")                                                                                  \
	X(14, 0xf2f52010, "f2fs")                                                                                      \
	X(15, 0xff534d42, "cifs")                                                                                      \
	X(16, 0xfe534d42, "smb2")                                                                                      \
	X(17, 0x01021997, "9p")                                                                                        \
	X(18, 0xc36400, "ceph")                                                                                        \
	X(19, 0x4d44, "vfat")                                                                                          \
	X(20, 0x9660, "iso9660")                                                                                       \
	X(21, 0x858458f6, "ramfs")                                                                                     \
	X(22, 0x64626720, "debugfs")                                                                                   \
	X(23, 0x74726163, "tracefs")                                                                                   \
	X(24, 0xcafe4a11, "bpf")                                                                                       \
	X(25, 0x958458f6, "hugetlbfs")                                                                                 \
	X(26, 0xe0f5e1e2, "erofs")                                                                                     \
	X(27, 0x1cd1, "devpts")                                                                                        \
	X(28, 0xca451a4e, "bcachefs")

/* 0: none of these. */
static inline __attribute__((always_inline)) __u32 fs_type_of(__u64 magic)
{
	switch ((__u32)magic) {
#define FS_CASE(index, number, name)                                                                                   \
	case number:                                                                                                   \
		return index;
		FS_TYPES(FS_CASE)
#undef FS_CASE
	default:
		return 0;
	}
}
