# SPDX-License-Identifier: Apache-2.0
"""What every kernel is asked: all probes on all rungs, and fathom on containers of crun and podman on cgroup v2.
The guest's clock is slow and jumps, so nothing here depends on how long a thing takes."""
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import guest
from runtimes import make_rootfs
from support import ROOT, Missing, build_dir, fathom_binary, run, tool

DEADLINE_S = 1200
PROFILE_S = 3
PERIOD_US = 100_000
HIGH = 24 << 20  # of four times as much that it wants
QUOTA = 0.125  # of a CPU: used up on a busy machine, too
RESULT = re.compile(r"^RESULT\t([^\t]+)\t([^\t]+)\t(ok|fail|absent)\t?(.*)$")

CONTAINERS = {"crun": "crunweb", "podman": "podweb"}

@dataclass
class Rung:
    probe: str
    name: str
    state: str  # ok, fail, absent
    text: str


def rungs(text):
    """The RESULT lines of probe_check."""
    found = []
    for line in text.splitlines():
        match = RESULT.match(line)
        if match:
            found.append(Rung(match[1], match[2], match[3], match[4]))
    return found


def probe_check():
    path = build_dir() / "tests/kernel/probe_check"
    if not path.exists():
        raise Missing(f"{path} is not built")
    return path


def bundle_spec(name, *command, cpu=None, high=None):
    """An OCI bundle's config.json for crun; the root file system is shared. `cpu`: its part of one. `high`: memory.high."""
    spec = json.loads(run(tool("crun"), "spec", "-f", "/dev/stdout").stdout)
    spec["process"].update(args=list(command), terminal=False, rlimits=[])
    spec["root"] = {"path": "/srv/rootfs", "readonly": False}
    spec["linux"]["cgroupsPath"] = f"/{name}"
    spec["linux"].pop("seccomp", None)
    if cpu:
        spec["linux"].setdefault("resources", {})["cpu"] = {"quota": int(cpu * PERIOD_US), "period": PERIOD_US}
    if high:
        spec["linux"].setdefault("resources", {})["unified"] = {"memory.high": str(high)}
    return json.dumps(spec)


def add_podman(image):
    image.add_program(tool("podman"))
    for helper in ("/usr/bin/conmon", "/usr/libexec/podman/conmon"):
        if os.path.exists(helper):
            image.add_program(helper, "/usr/bin/conmon")
    image.write("/etc/containers/policy.json", '{"default":[{"type":"insecureAcceptAnything"}]}\n')
    image.write("/etc/containers/storage.conf",
                '[storage]\ndriver = "vfs"\nrunroot = "/run/containers"\ngraphroot = "/var/lib/containers/storage"\n')
    image.write("/etc/containers/containers.conf",
                '[containers]\ndefault_ulimits = []\nnetns = "none"\nseccomp_profile = "unconfined"\n'
                '[engine]\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\nruntime = "crun"\nconmon_path = ["/usr/bin/conmon"]\n'
                '[engine.runtimes]\ncrun = ["/usr/bin/crun"]\n')
    image.write("/etc/subuid", "")
    image.write("/etc/subgid", "")


def image_for(directory):
    """An initramfs with fathom, the probes' check, crun, podman and a root file system for containers."""
    image = guest.Initramfs(Path(directory) / "root")
    image.add_program(fathom_binary(), "/usr/bin/fathom")
    image.add_program(probe_check(), "/usr/bin/probe_check")
    image.add_library("libmicrohttpd.so.12")
    image.add_program(tool("crun"))
    for name in ("ext4dist", "mkfs.ext4"):
        image.add_program(tool(name))
    add_podman(image)
    rootfs = make_rootfs(Path(directory) / "rootfs")
    image.add_tree(rootfs, "/srv/rootfs")
    image.write("/srv/bundle/config.json", bundle_spec("crunweb", "/bin/split7525"))
    image.write("/srv/heap/config.json", bundle_spec("heap", "/bin/allocs", str(HEAP_COUNT), "/tmp/go"))
    image.write("/srv/capped/config.json", bundle_spec("capped", "/bin/split7525", cpu=QUOTA))
    image.write("/srv/high/config.json", bundle_spec("high", "/bin/trouble", "lru", "96", high=HIGH))
    return image


# The agent, until it has a reading of all that it always watches: its books and the containers it lists.
AGENT = """
fathom serve --state /tmp/agent --listen 127.0.0.1:7070 --cpu-percent 0 --memory-mib 0 --map-mib 0 >/tmp/agent.log 2>&1 & p=$!
ask() { wget -q -O - --header "Authorization: Bearer $(cat /tmp/agent/token)" http://127.0.0.1:7070/api/$1; }
n=0; until [ "$(ask self | grep -o '"ticks":[0-9]*' | cut -d: -f2)" -ge 5 ] 2>/dev/null || [ $n -ge 100 ]; do sleep 1; n=$((n+1)); done
ask self; echo; ask containers; echo; kill $p; wait $p; s=$?; cat /tmp/agent.log; exit $s"""

# slowops on ext4, watched by ext4dist and by fathom on both rungs, all at once. Each says when it watches: fathom with its
# first interval, ext4dist by the descriptors it holds.
EXT4 = """
truncate -s 48M /root/image && losetup /dev/loop0 /root/image && mkfs.ext4 -q /dev/loop0 && mkdir -p /ext4 || exit 1
mount -t ext4 /dev/loop0 /ext4 || exit 1
ext4dist 1000 > /tmp/peer & peer=$!
fathom latency fs --rung 'fentry/vfs_*' --budget 100 -i 1 --json > /tmp/inside & inside=$!
fathom latency fs --rung tp_btf/sys_enter+exit --budget 100 -i 1 --json > /tmp/outside & outside=$!
n=0; until [ -s /tmp/inside ] && [ -s /tmp/outside ] && [ $(ls -l /proc/$peer/fd | grep -c 'bpf.link\\|perf_event') -ge 6 ] || [ $n -ge 300 ]; do
	sleep 1; n=$((n+1)); done
touch /ext4/go; /srv/rootfs/bin/slowops /ext4 & work=$!
n=0; until [ -e /ext4/result ] || [ $n -ge 300 ]; do sleep 1; n=$((n+1)); done
kill -INT $peer $inside $outside; wait $peer $inside $outside; kill $work
cat /tmp/peer /tmp/inside /tmp/outside; umount /ext4; losetup -d /dev/loop0"""

# Known allocations in a container, each looked at. fathom watches when it hears of the ends of processes, which comes last.
HEAP_COUNT = 500
HEAP = """
cd /srv/heap && crun run -d heap >/dev/null 2>&1
fathom memory heap --heap --sample 1 -q -d 900 -o /tmp/heap.json & f=$!
n=0; until [ $(cat /proc/$f/fdinfo/* 2>/dev/null | grep -c 'link_type:.*\\(tracing\\|raw_tracepoint\\)') -ge 8 ] || [ $n -ge 300 ]; do sleep 1; n=$((n+1)); done
touch /srv/rootfs/tmp/go; n=0; until [ -e /srv/rootfs/tmp/go.done ] || [ $n -ge 300 ]; do sleep 1; n=$((n+1)); done
kill -INT $f; wait $f; s=$?; crun delete -f heap; fathom flame /tmp/heap.json --format folded; grep -o '"rung": *"[^"]*"' /tmp/heap.json; exit $s"""

# Name and command of each thing asked of a guest, in order.
TASKS = (
    ("probe_check", "probe_check"),
    ("doctor", "fathom doctor"),
    ("crun", "cd /srv/bundle && crun run -d crunweb >/dev/null 2>&1; crun state crunweb"),
    ("podman", "podman run -d --name podweb --rootfs /srv/rootfs /bin/split7525 && podman inspect -f '{{.State.Pid}}' podweb"),
    ("ps", "fathom ps"),
    ("ps_json", "fathom ps --json"),
    ("profile_crun", f"fathom profile crunweb -d {PROFILE_S} --user -o /tmp/c.folded; s=$?; cat /tmp/c.folded; exit $s"),
    ("profile_podman", f"fathom profile podweb -d {PROFILE_S} --user -o /tmp/p.folded; s=$?; cat /tmp/p.folded; exit $s"),
    ("walltime_crun", f"fathom walltime crunweb -d {PROFILE_S} -o /tmp/w.folded; s=$?; cat /tmp/w.folded; exit $s"),
    # A container under a quota: the kernel's books before and after, walltime's sums, how long it looked.
    ("capped", "cd /srv/capped && crun run -d capped >/dev/null 2>&1; cd /sys/fs/cgroup/capped && cat cpu.max && cat cpu.stat &&"
               f" fathom walltime capped -q -d {PROFILE_S} -o /tmp/q.json; s=$?; cat cpu.stat; crun delete -f capped;"
               " fathom flame /tmp/q.json --format folded; grep -o '\"expected_weight\": *[0-9]*' /tmp/q.json; exit $s"),
    # A container above its memory.high: the kernel's books before and after, and what fathom makes of it meanwhile.
    ("high", "cd /srv/high && crun run -d high >/dev/null 2>&1; cd /sys/fs/cgroup/high; n=0;"
             " until grep -q 'high [1-9]' memory.events || [ $n = 500 ]; do n=$((n + 1)); sleep 0.2; done; grep high memory.events;"
             f" fathom diagnose high --json -q -d {PROFILE_S}; s=$?; grep high memory.events; crun delete -f high; exit $s"),
    ("cost", "fathom offcpu crunweb -q -d 600 -o /dev/null --format folded 2>/dev/null & p=$!; n=0;"
             " until grep -qs link_type /proc/$p/fdinfo/* || [ $n = 500 ]; do n=$((n + 1)); sleep 0.2; done;"
             " fathom cost --json -d 2; s=$?; kill -INT $p; wait $p; exit $s"),
    # How many user stacks without frame pointers reach the thread's first frame, and of how many.
    ("stacks", f"/srv/rootfs/bin/hardstacks_omit >/dev/null & p=$!; fathom profile $p -d {PROFILE_S} -o /tmp/h.folded; s=$?; kill $p;"
               " awk -F';' '{ n = $NF; sub(/.* /, \"\", n); if ($3 !~ /_\\[k\\]/) all += n; if ($3 == \"_start\" || $3 == \"clone3\") whole += n }"
               " END { print \"whole\", whole + 0, \"of\", all + 0 }' /tmp/h.folded; exit $s"),
    ("ext4", EXT4),
    ("heap", HEAP),
    ("top", "cat /sys/fs/cgroup/crunweb/cpu.stat; fathom top --json --count 2; cat /sys/fs/cgroup/crunweb/cpu.stat"),
    ("top_processes", "fathom top --json --processes --count 2"),
    ("agent", AGENT),
    ("left", "find /sys/fs/bpf -mindepth 1"),
)


def shares(folded):
    """Part of the samples under each function of split7525, of all samples under either, and how many those are."""
    counts = {"three_quarters": 0, "one_quarter": 0}
    for line in folded.splitlines():
        stack, _, weight = line.rpartition(" ")
        for name in counts:
            if name in stack.split(";") and weight.isdigit():
                counts[name] += int(weight)
    total = sum(counts.values())
    return {name: count / total if total else 0.0 for name, count in counts.items()}, total


@dataclass
class Capped:
    """What the answer to "capped" says, in microseconds."""
    throttled: list  # by the kernel's books: before, after
    states: dict  # by walltime: sums by cause
    expected: float  # what they must come to


def capped(text):
    states = {}
    for line in text.splitlines():
        stack, _, weight = line.rpartition(" ")
        frames = stack.split(";")
        if len(frames) > 1 and weight.isdigit():
            states[frames[1]] = states.get(frames[1], 0) + int(weight)
    return Capped([int(n) for n in re.findall(r"^throttled_usec (\d+)", text, re.M)], states,
                  int(re.search(r'"expected_weight": *(\d+)', text)[1]) / 1000)


def kernel_cache():
    return build_dir() / "kernels"


def ask(series, directory):
    """Boots the series' kernel; returns (release, answers by name)."""
    kernel = guest.Kernel.fetch(series, kernel_cache())
    image = image_for(directory)
    archive = Path(directory) / "initrd"
    image.pack(kernel, guest.script(TASKS), archive)
    run("rm", "-rf", image.root)
    answers, ready_s = guest.boot(kernel, archive, directory, DEADLINE_S)
    archive.unlink()
    return kernel.release, answers, ready_s


def ask_here():
    """The same check of all probes on the running kernel."""
    done = subprocess.run([probe_check()], capture_output=True, text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
    return os.uname().release, guest.Answer("probe_check", done.returncode, done.stdout + done.stderr)
