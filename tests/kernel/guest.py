# SPDX-License-Identifier: Apache-2.0
"""A small virtual machine with one of Debian's kernels: fetch the kernel, pack an initramfs, boot, collect answers.

The packages are downloaded and unpacked, never installed. The machine runs in software emulation (named outright: where
KVM is half there, it hangs), has no disk and no network, and a cgroup v2 hierarchy only. What the guest is asked to do
is a list of (name, shell command); every answer comes back over a second serial line as exit status and text."""
import base64
import gzip
import os
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from support import Missing, run, tool

# Series by name: the pattern of its cloud kernel's package. Signed ones only, as Debian ships them.
SERIES = {
    "6.1": r"linux-image-6\.1\.[0-9.+~a-z-]*-cloud-amd64",
    "6.12": r"linux-image-6\.12\.[0-9.+~a-z-]*-cloud-amd64",
}
MODULES = ("overlay",)
MEMORY_MIB = 1536
BOOT_DEADLINE_S = 120
LINE = "/dev/ttyS1"

INIT = """#!/bin/busybox sh
# First process of the guest. The initramfs cannot be pivoted away from, so runtimes need a real root: a tmpfs.
/bin/busybox mkdir -p /new
/bin/busybox mount -t tmpfs -o size=90%,mode=755 none /new
for entry in /*; do
	case $entry in /new|/dev|/proc|/sys) ;; *) /bin/busybox mv "$entry" /new/ 2>/dev/null || cp -a "$entry" /new/ ;; esac
done
exec /new/bin/busybox switch_root /new /second
"""

SECOND = """#!/bin/busybox sh
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var/tmp /root /etc
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs trace /sys/kernel/tracing
for controller in cpu memory pids io cpuset; do echo +$controller > /sys/fs/cgroup/cgroup.subtree_control; done
ip link set lo up
stty -F {line} raw -echo
for module in /lib/guest/*.ko; do [ -e "$module" ] && insmod "$module"; done
cd /root
sh /guest-work
poweroff -f
"""


@dataclass
class Answer:
    name: str
    status: int
    text: str


def apt_candidates(series):
    """Package names of a series, newest last."""
    listed = run("apt-cache", "search", "--names-only", f"^linux-image-{series}", check=False).stdout
    names = [line.split()[0] for line in listed.splitlines() if line]
    names = [n for n in names if re.fullmatch(SERIES[series], n)]
    return sorted(names, key=lambda n: [int(x) for x in re.findall(r"\d+", n)])


@dataclass
class Kernel:
    series: str
    release: str
    image: Path
    modules: list

    @classmethod
    def fetch(cls, series, cache):
        """The newest kernel of the series, unpacked below `cache`; what is there already is not fetched again."""
        home = Path(cache) / series
        done = home / "release"
        if not done.exists():
            names = apt_candidates(series)
            if not names:
                raise Missing(f"apt knows no cloud kernel of series {series}: run apt-get update, or add bookworm-security")
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            run("apt-get", "download", names[-1], cwd=home, timeout=600)
            package = next(home.glob("*.deb"))
            run("dpkg-deb", "-x", package, home / "files", timeout=300)
            package.unlink()
            cls._keep(home)
            done.write_text(names[-1].removeprefix("linux-image-"))
        release = done.read_text()
        return cls(series, release, home / "vmlinuz", sorted(home.glob("*.ko")))

    @staticmethod
    def _keep(home):
        """Keeps the image and the few modules wanted; hundreds of megabytes of others go."""
        shutil.move(str(next((home / "files/boot").glob("vmlinuz-*"))), home / "vmlinuz")
        for name in MODULES:
            for found in (home / "files").rglob(f"{name}.ko*"):
                target = home / f"{name}.ko"
                if found.suffix == ".xz":
                    with open(target, "wb") as out:
                        subprocess.run(["xz", "-dc", str(found)], stdout=out, check=True)
                else:
                    shutil.copy(found, target)
        shutil.rmtree(home / "files")


class Initramfs:
    """Collects files under a directory; programs bring the shared libraries they need."""

    def __init__(self, directory):
        self.root = Path(directory)
        for name in ("bin", "etc", "lib/guest", "root"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(tool("busybox"), self.root / "bin/busybox")
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\n")
        (self.root / "bin/sh").symlink_to("busybox")
        self.libraries = set()

    def add(self, source, inside, mode=None):
        target = self.root / str(inside).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        if mode is not None:
            target.chmod(mode)
        return target

    def write(self, inside, text, mode=0o644):
        target = self.root / str(inside).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def add_program(self, source, inside=None):
        self.add(source, inside or f"/usr/bin/{Path(source).name}", 0o755)
        for line in run("ldd", source, check=False).stdout.splitlines():
            found = re.search(r"(/\S+) \(0x", line)
            if found and found[1] not in self.libraries:
                self.libraries.add(found[1])
                self.add(os.path.realpath(found[1]), found[1], 0o755)

    def add_tree(self, source, inside):
        target = self.root / str(inside).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-a", source, target)

    def pack(self, kernel, work, archive):
        """Writes the archive: uncompressed, because the emulated processor inflates slowly."""
        for module in kernel.modules:
            self.add(module, f"/lib/guest/{module.name}")
        self.write("/init", INIT, 0o755)
        self.write("/second", SECOND.format(line=LINE), 0o755)
        self.write("/guest-work", work)
        with open(archive, "wb") as out:
            find = subprocess.Popen(["find", ".", "-print0"], cwd=self.root, stdout=subprocess.PIPE)
            subprocess.run(["cpio", "--quiet", "--null", "-o", "-H", "newc"], cwd=self.root, stdin=find.stdout, stdout=out,
                           check=True)
            find.wait()


def script(tasks):
    """Shell that runs each (name, command) and sends status and output, packed, one line each."""
    lines = [f"exec 3> {LINE}", "echo READY >&3"]
    for name, command in tasks:
        lines += [f"echo START {name} >&3",
                  f"( {command} ) > /tmp/answer 2>&1 < /dev/null; status=$?",
                  f"echo DONE {name} $status $(gzip -c /tmp/answer | base64 | tr -d '\\n') >&3"]
    lines += ["echo END >&3", "sleep 1"]
    return "\n".join(lines) + "\n"


def boot(kernel, archive, directory, deadline_s, cpus=2):
    """Boots and returns the answers by name. The guest's console is in `directory`/console."""
    directory = Path(directory)
    results, console = directory / "results", directory / "console"
    command = [tool("qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(cpus), "-m",
               f"{MEMORY_MIB}M", "-display", "none", "-no-reboot", "-nodefaults", "-kernel", str(kernel.image), "-initrd",
               str(archive), "-append", "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off", "-serial",
               f"file:{console}", "-serial", f"file:{results}"]
    started = time.monotonic()
    with open(directory / "qemu.log", "wb") as log:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    ready_s = None
    try:
        while machine.poll() is None:
            elapsed = time.monotonic() - started
            text = results.read_text(errors="replace") if results.exists() else ""
            if ready_s is None and "READY" in text:
                ready_s = elapsed
            if elapsed > (deadline_s if ready_s else BOOT_DEADLINE_S):
                raise TimeoutError(f"guest {kernel.release} took over {elapsed:.0f} s; it said:\n{tail(results)}\n{tail(console)}")
            time.sleep(0.1)
    finally:
        if machine.poll() is None:
            machine.kill()
            machine.wait()
    answers = parse(results.read_text(errors="replace"))
    if "END" not in results.read_text(errors="replace").split():
        raise RuntimeError(f"guest {kernel.release} ended early; it said:\n{tail(results)}\n{tail(console)}")
    return answers, ready_s


def parse(text):
    answers = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[0] == "DONE":
            answers[words[1]] = Answer(words[1], int(words[2]),
                                       gzip.decompress(base64.b64decode(words[3])).decode(errors="replace"))
    return answers


def tail(path, size=1500):
    return Path(path).read_text(errors="replace")[-size:] if Path(path).exists() else ""


def quote(*words):
    return " ".join(shlex.quote(str(w)) for w in words)
