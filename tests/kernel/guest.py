# SPDX-License-Identifier: Apache-2.0
"""A small virtual machine with one of Debian's kernels: fetch the kernel, pack an initramfs, boot, collect answers.

The packages are downloaded and unpacked, never installed. The machine runs in software emulation (named outright: where
KVM is half there, it hangs), has no disk and no network, and a cgroup v2 hierarchy only. What the guest is asked to do
is a list of (name, shell command); every answer comes back over a second serial line as exit status and text."""
import base64
import bisect
import gzip
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from support import Missing, run, tool

# Series by name: the pattern of its cloud kernel's package. Signed ones only, as Debian ships them.
SERIES = {
    "6.1": r"linux-image-6\.1\.[0-9.+~a-z-]*-cloud-amd64",
    "6.12": r"linux-image-6\.12\.[0-9.+~a-z-]*-cloud-amd64",
}
MODULES = ("overlay", "loop")
MEMORY_MIB = 1536
BOOT_DEADLINE_S = 400
# A processor of the emulated machine can stop for good (seen on 6.1 under load: one CPU in an endless loop, the other
# waiting for it). That says nothing about what was asked, so the machine is started again; a fault of ours comes again.
ATTEMPTS = 3
STUCK = re.compile(r"watchdog: BUG: soft lockup|rcu: INFO: \S+ (self-)?detected stall|Kernel panic|rcu: .*kthread starved")
STUCK_S = 180  # without an answer, once the console has said one of these
SILENT_S = 180  # without a sign of life
TICK_S = 5
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
    symbols: Path

    @classmethod
    def fetch(cls, series, cache):
        """The newest kernel of the series, unpacked below `cache`; what is there already is not fetched again."""
        home = Path(cache) / series
        done = home / "release"
        if not done.exists() or not all((home / f"{name}.ko").exists() for name in MODULES):
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
        return cls(series, release, home / "vmlinuz", sorted(home.glob("*.ko")), home / "System.map")

    @staticmethod
    def _keep(home):
        """Keeps the image and the few modules wanted; hundreds of megabytes of others go."""
        shutil.move(str(next((home / "files/boot").glob("vmlinuz-*"))), home / "vmlinuz")
        for table in (home / "files/boot").glob("System.map-*"):
            shutil.move(str(table), home / "System.map")
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

    def add_library(self, name):
        """One that programs load when they need it."""
        found = re.search(rf"^\s*{re.escape(name)} .*=> (\S+)$", run("/sbin/ldconfig", "-p").stdout, re.M)
        if not found:
            raise Missing(name)
        self.add_program(os.path.realpath(found[1]), found[1])

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
    lines = [f"exec 3> {LINE}", "echo READY >&3", f"(while sleep {TICK_S}; do echo TICK >&3; done) &"]
    for name, command in tasks:
        lines += [f"echo START {name} >&3",
                  f"( {command} ) > /tmp/answer 2>&1 < /dev/null; status=$?",
                  f"echo DONE {name} $status $(gzip -c /tmp/answer | base64 | tr -d '\\n') >&3"]
    lines += ["echo END >&3", "sleep 1"]
    return "\n".join(lines) + "\n"


class Stuck(Exception):
    """The emulated machine stopped; it may do better the next time."""


def boot(kernel, archive, directory, deadline_s, cpus=2):
    """Boots, again if the machine gets stuck, and returns (answers by name, seconds until it was up). The guest's
    console of each attempt is below `directory`."""
    stuck = []
    for attempt in range(ATTEMPTS):
        place = Path(directory) / f"attempt{attempt}"
        place.mkdir()
        try:
            return boot_once(kernel, archive, place, deadline_s, cpus)
        except Stuck as why:
            stuck.append(str(why))
            print(f"guest {kernel.release}, attempt {attempt + 1} of {ATTEMPTS}: {why}", file=sys.stderr)
    raise TimeoutError(f"guest {kernel.release} got stuck {ATTEMPTS} times:\n" + "\n".join(stuck))


def boot_once(kernel, archive, directory, deadline_s, cpus):
    results, console, monitor = directory / "results", directory / "console", directory / "monitor"
    command = [tool("qemu-system-x86_64"), "-accel", "tcg,thread=single", "-cpu", "max", "-smp", str(cpus), "-m",
               f"{MEMORY_MIB}M", "-display", "none", "-no-reboot", "-nodefaults", "-kernel", str(kernel.image), "-initrd",
               str(archive), "-append", "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off nokaslr", "-serial",
               f"file:{console}", "-serial", f"file:{results}", "-monitor", f"unix:{monitor},server=on,wait=off"]
    started = time.monotonic()
    with open(directory / "qemu.log", "wb") as log:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    ready_s, text, news_s, answered, answer_s = None, "", 0, 0, 0

    def stuck(why):
        return Stuck(f"{why}; processors at: {', '.join(whereabouts(kernel, monitor))}; it said:\n"
                     f"{tail(results)}\n{tail(console)}")

    try:
        while machine.poll() is None:
            elapsed = time.monotonic() - started
            before, text = text, results.read_text(errors="replace") if results.exists() else ""
            if text != before:
                news_s = elapsed
            if text.count("DONE") != answered:
                answered, answer_s = text.count("DONE"), elapsed
            if ready_s is None and "READY" in text:
                ready_s = elapsed
            complaint = STUCK.search(tail(console, 1 << 20))
            if complaint and elapsed - answer_s > STUCK_S:
                raise stuck(f"'{complaint[0]}' and no answer for {STUCK_S} s")
            if ready_s and elapsed - news_s > SILENT_S:
                raise stuck(f"no sign of life for {SILENT_S} s")
            if elapsed > (deadline_s if ready_s else BOOT_DEADLINE_S):
                raise stuck(f"took over {elapsed:.0f} s")
            time.sleep(0.1)
    finally:
        if machine.poll() is None:
            machine.kill()
            machine.wait()
    answers = parse(results.read_text(errors="replace"))
    if "END" not in results.read_text(errors="replace").split():
        raise Stuck(f"ended early; it said:\n{tail(results)}\n{tail(console)}")
    return answers, ready_s


def whereabouts(kernel, monitor):
    """The function each processor is in, as far as the emulator and the kernel's symbol table tell."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(monitor))
            line.sendall(b"info registers -a\n")
            said = b""
            while said.count(b"RIP=") < 2:
                said += line.recv(1 << 16)
    except OSError as fault:
        return [f"unknown ({fault})"]
    symbols = []
    if kernel.symbols.exists():
        for row in kernel.symbols.read_text().splitlines():
            address, kind, name = row.split()[:3]
            if kind in "tTwW":
                symbols.append((int(address, 16), name))
    symbols.sort()
    found = []
    for match in re.findall(rb"RIP=([0-9a-f]+)", said):
        address = int(match, 16)
        at = bisect.bisect_right(symbols, (address, "\x7f")) - 1
        name = f"{symbols[at][1]}+{address - symbols[at][0]:#x}" if at >= 0 else "?"
        found.append(f"{address:#x} {name}")
    return found


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
