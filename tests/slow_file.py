# SPDX-License-Identifier: Apache-2.0
"""slow_file.py DIRECTORY MIB SECONDS: mounts there a file system with one file, "file", of so many zero bytes, each read of
which takes so long; one at a time. Prints "ready"; ends when it is unmounted. As root, by the protocol of /dev/fuse
(include/uapi/linux/fuse.h)."""
import ctypes
import errno
import os
import struct
import sys
import time

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, INIT, OPENDIR, READDIR, RELEASEDIR, BATCH_FORGET = (
    1, 2, 3, 14, 15, 17, 18, 26, 27, 28, 29, 42)
ROOT, FILE = 1, 2  # inodes
REQUEST = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
DIRECT_IO = 1  # no page cache in between
BUFFER = 256 << 10


def attributes(node, size):
    mode = 0o40755 if node == ROOT else 0o100600
    return struct.pack("<QQQQQQIIIIIIIIII", node, 0 if node == ROOT else size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096,
                       0)


def answer(opcode, node, body, size, seconds):
    """Bytes of the answer, a negative error number, or None for no answer at all."""
    if opcode == INIT:
        major, minor, readahead, _ = struct.unpack_from("<IIII", body)
        return struct.pack("<IIIIHHIIHH7I", major, min(minor, 31), readahead, 0, 16, 12, BUFFER // 2, 1, 32, 0, *[0] * 7)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != b"file":
            return -errno.ENOENT
        return struct.pack("<QQQQII", FILE, 0, 3600, 3600, 0, 0) + attributes(FILE, size)
    if opcode == GETATTR:
        return struct.pack("<QII", 3600, 0, 0) + attributes(node, size)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("<QII", 0, DIRECT_IO if opcode == OPEN else 0, 0)
    if opcode == READ:
        _, offset, length = struct.unpack_from("<QQI", body)
        time.sleep(seconds)
        return bytes(max(0, min(length, size - offset)))
    if opcode == STATFS:
        return struct.pack("<QQQQQIIII24x", size // 4096, 0, 0, 1, 0, 4096, 255, 4096, 0)
    if opcode in (RELEASE, RELEASEDIR, READDIR):
        return b""
    return None if opcode in (FORGET, BATCH_FORGET) else -errno.ENOSYS


def main():
    directory, size, seconds = sys.argv[1], int(sys.argv[2]) << 20, float(sys.argv[3])
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"slow", directory.encode(), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    print("ready", flush=True)
    while True:
        try:
            request = os.read(device, BUFFER)
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            if error.errno == errno.ENOENT:  # the asker has gone
                continue
            raise
        _, opcode, unique, node, *_ = REQUEST.unpack_from(request)
        said = answer(opcode, node, request[REQUEST.size:], size, seconds)
        if said is None:
            continue
        body, error = (b"", said) if isinstance(said, int) else (said, 0)
        try:
            os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
        except FileNotFoundError:  # interrupted meanwhile
            pass


if __name__ == "__main__":
    main()
