# SPDX-License-Identifier: Apache-2.0
"""What every pytest file here shares: waiting for a condition, finding the build, needing a tool."""
import functools
import os
import shutil
import subprocess
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IN_CI = bool(os.environ.get("CI"))
# Deadlines are there to end what hangs, and are written for a machine of today with nothing else to do: others are slower, and stand
# still now and then.
PATIENCE = 4
STOP_S = 30 * PATIENCE  # for a program that was told to stop to say what it has found


class Missing(Exception):
    """Something this machine lacks; the message says what."""


def wait_for(condition, deadline_s=20.0, what="condition", interval_s=0.02):
    """Calls `condition` until it returns something true, and returns that. Raises TimeoutError naming `what`."""
    deadline_s *= PATIENCE
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:g} s for {what}")
        time.sleep(interval_s)


def spoilt_at_times(test):
    """A test of a measurement that something else on the machine can spoil now and then, which no measurement of the same could
    tell from a fault: it has three attempts, and says when it needed them. A fault of ours fails each time."""
    @functools.wraps(test)
    def attempts(*arguments, **options):
        for attempt in range(1, 3):
            try:
                return test(*arguments, **options)
            except (AssertionError, TimeoutError) as spoilt:
                warnings.warn(f"attempt {attempt}: {str(spoilt)[:300]}")
            for fixture in options.values():  # what it has started is not there the next time
                getattr(fixture, "put_away", lambda: None)()
        return test(*arguments, **options)
    return attempts


def machines_cpu_s():
    """CPU time of the machine so far, all and what a hypervisor took of it: while it is taken time goes on for timers."""
    values = [int(value) / os.sysconf("SC_CLK_TCK") for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(values), values[7]


def lack(reason):
    """A thing the machine lacks is a visible skip for a person and a failure in CI."""
    import pytest  # here: benches and the kernels' table use the rest of this file without it

    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def tool(name):
    """Path of a program: Debian's own first, so that a second copy in /usr/local does not surprise."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or shutil.which(name)
    if not path:
        raise Missing(f"{name} is not installed")
    return path


def build_dir():
    return ROOT / os.environ.get("FATHOM_BUILD", "build")


def fathom_binary():
    path = Path(os.environ.get("FATHOM_BINARY", build_dir() / "src/cli/fathom")).resolve()
    if not path.exists():
        raise Missing(f"{path} does not exist: run ./dev build, or set FATHOM_BINARY")
    return path


def run(*command, timeout=60, check=True, **options):
    """subprocess.run with captured text; a failure shows both streams. `timeout`, too, is of a machine with nothing else to do."""
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=timeout * PATIENCE,
                          stdin=options.pop("stdin", subprocess.DEVNULL), text=options.pop("text", True),
                          errors=options.pop("errors", "backslashreplace"), **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def processes_mentioning(text):
    """Pids of live processes whose command line contains `text`, this one left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def mounts_below(directory):
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    points = [line.split()[4] for line in lines]
    return [p for p in points if p == str(directory) or p.startswith(f"{directory}/")]


def remove_tree(directory):
    """Unmounts what is mounted below `directory` and deletes it."""
    for point in sorted(mounts_below(directory), reverse=True):
        run("umount", "-l", point, check=False)
    shutil.rmtree(directory, ignore_errors=True)
    if Path(directory).exists():  # directories without permissions, files made while deleting
        shutil.rmtree(directory)


def attached(pid):
    """How many BPF links, programs, maps and perf events the process `pid` holds open."""
    count = 0
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            count += any(word in target for word in ("bpf", "perf_event", "raw-tracepoint"))
    except OSError:
        pass
    return count


def join(container):
    """Into the container's cgroups, as its own processes are."""
    for line in Path(f"/proc/{container.pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        root = Path("/sys/fs/cgroup")
        for base in ([root / controllers.replace("name=", "")] if controllers else [root / "unified", root]):
            procs = base / path.strip("/") / "cgroup.procs"
            if procs.exists():
                procs.write_text(str(os.getpid()))


def scheduled_us(pid, tid=None):
    """(ran, waited for a CPU) of a thread so far: what it was neither blocked nor asleep. Waits are counted when they end."""
    ran_ns, waited_ns, _ = Path(f"/proc/{pid}/task/{tid or pid}/schedstat").read_text().split()
    return int(ran_ns) / 1e3, int(waited_ns) / 1e3
