# SPDX-License-Identifier: Apache-2.0
"""fathom top against the cgroup files themselves, docker stats, /proc and the scheduler's own counts; and its screen, in
a real terminal with real keys."""
import json
import os
import re
import secrets
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from runtimes import limited_parent, mount_of
from support import ROOT, STOP_S, Missing, build_dir, lack, run, spoilt_at_times, tool, wait_for

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def rows(fathom, *arguments, timeout=60):
    done = fathom("top", "--json", *arguments, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(found, container):
    return [row for row in found if row["name"] == container.name]


def cgroup_file(container, v1, v2):
    """Text of a file of the container: (controller, name) on v1 and hybrid, a name on v2."""
    paths = container.cgroups()
    controller, name = v1
    if controller in paths and mount_of(controller):
        return (mount_of(controller) / paths[controller].lstrip("/") / name).read_text()
    return (mount_of("") / paths[""].lstrip("/") / v2).read_text()


def cpu_ns(container):
    text = cgroup_file(container, ("cpuacct", "cpuacct.usage"), "cpu.stat")
    found = re.search(r"usage_usec (\d+)", text)
    return int(found[1]) * 1000 if found else int(text)


def quota(container):
    text = cgroup_file(container, ("cpu", "cpu.stat"), "cpu.stat")
    return {key: int(value) for key, value in (line.split() for line in text.splitlines())}


def test_agrees_with_cgroup_files(docker, start, fathom):
    cap = start(docker, "cap", "/bin/burn", cpus=0.2, memory="64m", args=["--pids-limit", "33"])
    cpu_before, quota_before = cpu_ns(cap), quota(cap)
    first, second = of(rows(fathom, cap.name, "--count", "2", "--interval", "1"), cap)
    cpu_after, quota_after = cpu_ns(cap), quota(cap)
    assert first["resource"] == "container" and first["id"] == cap.id and first["runtime"] == "docker"
    assert cpu_before <= first["cpu_ns"] < second["cpu_ns"] <= cpu_after
    assert quota_before["nr_periods"] <= first["cpu_periods"] <= second["cpu_periods"] <= quota_after["nr_periods"]
    assert second["cpu_limit_nanocores"] == 200_000_000 and "cpu_limit_of" not in second
    assert second["memory_limit_bytes"] == 64 << 20
    assert second["pids"] == 1 and second["pids_limit"] == 33
    # Rates are the differences of what it says itself.
    seconds = second["interval_ns"] / 1e9
    assert second["rates"]["cpu"] == pytest.approx((second["cpu_ns"] - first["cpu_ns"]) / 1e9 / seconds, rel=1e-6)
    periods = second["cpu_periods"] - first["cpu_periods"]
    throttled = second["cpu_throttled_periods"] - first["cpu_throttled_periods"]
    assert periods == 0 or second["throttled_ratio"] == pytest.approx(throttled / periods, abs=1e-6)
    memory = cgroup_file(cap, ("memory", "memory.usage_in_bytes"), "memory.current")
    assert abs(second["memory_bytes"] - int(memory)) <= 64 << 10
    assert second["oom_kills"] == 0


def test_throttled_share_is_that_of_cpu_stat(docker, start, fathom):
    cap = start(docker, "cap", "/bin/burn", cpus=0.02)  # little enough to be used up on a busy machine, too
    before = quota(cap)
    found = of(rows(fathom, cap.name, "--count", "3", "--interval", "1"), cap)
    after = quota(cap)
    assert found[-1]["cpu_throttled_periods"] > found[0]["cpu_throttled_periods"]
    key, scale = ("throttled_time", 1) if "throttled_time" in before else ("throttled_usec", 1000)
    assert before[key] * scale <= found[0]["cpu_throttled_ns"] <= found[-1]["cpu_throttled_ns"] <= after[key] * scale
    assert found[-1]["lost"] > 0.3  # it waits for its quota nearly all the time


def test_limit_of_an_ancestor_is_named(docker, start, fathom):
    with limited_parent(docker, 50_000, 80 << 20) as parent:
        tight = start(docker, "tight", "sleep", "100000", memory="90m", args=["--cgroup-parent", parent])
        [row] = of(rows(fathom, tight.name, "--count", "1", "--interval", "0.1"), tight)
        assert row["cpu_limit_nanocores"] == 500_000_000 and row["cpu_limit_of"] == parent
        assert row["memory_limit_bytes"] == 80 << 20 and row["memory_limit_of"] == parent


def test_agrees_with_docker_stats(docker, start, fathom):
    idle = start(docker, "idle", "sh", "-c", "head -c 20000000 /dev/zero > /tmp/file; sleep 1 & sleep 100000", memory="96m")
    wait_for(lambda: Path(f"/proc/{idle.pid}/root/tmp/file").stat().st_size == 20_000_000, what="the file")
    said = json.loads(docker.cli("stats", "--no-stream", "--format", "{{json .}}", idle.id).stdout)
    [row] = of(rows(fathom, idle.name, "--count", "1", "--interval", "0.2"), idle)

    def iec(text):
        number, unit = re.match(r"([\d.]+)(\w+)", text).groups()
        return float(number) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]

    used, limit = (iec(part) for part in said["MemUsage"].split(" / "))
    # Each CPU holds up to 64 pages of charge in stock, which come and go between the two readings.
    stock = os.cpu_count() * 64 * os.sysconf("SC_PAGESIZE")
    assert row["memory_working_set_bytes"] == pytest.approx(used, rel=0.02, abs=stock)
    assert row["memory_limit_bytes"] == limit
    assert abs(row["pids"] - int(said["PIDs"])) <= 1
    assert row["rates"]["cpu"] == pytest.approx(float(said["CPUPerc"].rstrip("%")) / 100, abs=0.05)


def delays_ns(pids):
    """Run-queue wait of all threads, as the scheduler counts it."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[1])
    return total


def test_run_queue_wait_is_the_schedulers(docker, start, fathom):
    multi = start(docker, "multi", "/bin/burn", "6")
    wait_for(lambda: len(list(Path(f"/proc/{multi.pid}/task").iterdir())) >= 6, what="the threads")
    watch = fathom.start("top", multi.name, "--json", "--interval", "1", "--count", "4")
    found, before = [], delays_ns([multi.pid])
    while len(found) < 4:
        row = json.loads(watch.stdout.readline())
        if row["name"] == multi.name:  # read since the row before
            after = delays_ns([multi.pid])
            found.append((row, before, after))
            before = after
    watch.wait(STOP_S)
    # What is waited for right now is in fathom's count and not in schedstat: for each thread a turn of all the others.
    turns_ns = 6 * 500e6
    told = found[-1][0]["runqueue_wait_ns"] - found[0][0]["runqueue_wait_ns"]
    least, most = found[-1][1] - found[0][2], found[-1][2] - found[0][1]
    assert least > 0
    assert 0.95 * least - turns_ns <= told <= 1.05 * most + turns_ns, (told, least, most)
    assert found[-1][0]["threads"] == len(list(Path(f"/proc/{multi.pid}/task").iterdir()))


def test_threads_that_end_between_readings_count(docker, start, fathom):
    # Four at a time, each alive for milliseconds of CPU, of which there is too little: they wait, their parent does not.
    child = "(i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done) &"
    brief = start(docker, "brief", "sh", "-c", f"while :; do {child * 4} wait; done", cpus=0.3)
    parent_before = delays_ns([brief.pid])
    found = of(rows(fathom, brief.name, "--count", "3", "--interval", "1"), brief)
    parent_ns = delays_ns([brief.pid]) - parent_before
    told_ns = found[-1]["runqueue_wait_ns"]
    assert told_ns > 3 * parent_ns
    assert 0.5e9 < told_ns < 4.5 * sum(row["interval_ns"] for row in found) + 0.5e9


def test_processes_agree_with_proc(docker, start, fathom):
    web = start(docker, "web", "/bin/split7525")

    def stat():
        fields = Path(f"/proc/{web.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")

    began = time.monotonic()
    before, _ = stat()
    found = rows(fathom, "--processes", "--count", "2", "--interval", "1")
    after, resident = stat()
    elapsed = time.monotonic() - began
    mine = [row for row in found if row.get("key") == str(web.pid)]  # others' containers that came and went have none
    assert len(mine) == 2 and mine[1]["resource"] == "process" and mine[1]["inner_pid"] == "1"
    assert mine[1]["owner"] == web.name
    assert mine[1]["name"] == "split7525" and mine[1]["state"] in "RS"
    used = sum(row["rates"]["cpu"] * row["interval_ns"] / 1e9 for row in mine)
    assert used <= after - before + 4 * TICK_S
    looked = sum(row["interval_ns"] for row in mine) / 1e9  # of the seconds between both looks at /proc
    assert used >= (after - before) - (elapsed - looked) - 4 * TICK_S
    assert elapsed > 2
    assert mine[1]["memory_bytes"] == pytest.approx(resident, abs=1 << 20)


@pytest.mark.parametrize("how", ["--processes", "--threads"])
def test_processes_of_a_target(docker, start, fathom, how):
    """Those of the containers asked for, and no others."""
    one, two, other = (start(docker, name, "sleep", "100000") for name in ("one", "two", "other"))
    found = rows(fathom, one.name, two.name, how, "--count", "1", "--interval", "0.2")
    assert {row["key"] for row in found} == {str(one.pid), str(two.pid)}
    assert str(other.pid) in {row.get("key") for row in rows(fathom, how, "--count", "1", "--interval", "0.2")}


@spoilt_at_times  # both look for three seconds, but not quite for the same
def test_processes_agree_with_pidstat(docker, start, fathom):
    """Both begin within some tenths of a second: what the one sees of three seconds the other does not."""
    pidstat = tool("pidstat")
    web = start(docker, "web", "/bin/burn", "1", cpus=0.1)  # which it has beside others, too
    watch = fathom.start("top", "--processes", "--json", "--count", "1", "--interval", "3")
    told = run(pidstat, "-u", "-p", web.pid, "3", "1", env={**os.environ, "LC_ALL": "C", "S_TIME_FORMAT": "ISO"}).stdout
    found = [json.loads(line) for line in watch.communicate(timeout=STOP_S)[0].splitlines()]
    heading = next(line.split() for line in told.splitlines() if "%CPU" in line)
    average = [line.split() for line in told.splitlines() if line.startswith("Average:") and str(web.pid) in line.split()][0]
    # "Average:" stands where the other lines have the time of day.
    theirs = float(average[heading.index("%CPU")])
    [mine] = [row for row in found if row.get("key") == str(web.pid)]
    assert theirs > 2
    assert 100 * mine["rates"]["cpu"] == pytest.approx(theirs, rel=0.3, abs=2)


def test_without_bpf_what_only_it_can_tell_is_absent(docker, start, fathom):
    web = start(docker, "web", "/bin/burn")
    found = of(rows(fathom, web.name, "--no-bpf", "--count", "2", "--interval", "1"), web)
    assert "runqueue_wait_ns" not in found[1] and "threads" not in found[1]
    assert found[1]["cpu_ns"] > found[0]["cpu_ns"]
    processes = rows(fathom, "--processes", "--no-bpf", "--count", "4", "--interval", "1")
    mine = [row for row in processes if row.get("key") == str(web.pid)]
    assert any(row["rates"]["cpu"] > 0 for row in mine[1:]) and not any("runqueue_wait" in row["rates"] for row in mine)


def test_network(docker, start, fathom):
    ip, inside = tool("ip"), None
    alone = start(docker, "alone", "sleep", "100000")
    inside = [tool("nsenter"), "-t", alone.pid, "-n"]
    run(*inside, ip, "link", "add", "d0", "type", "veth", "peer", "name", "d1")
    run(*inside, ip, "link", "set", "d0", "up")
    run(*inside, ip, "link", "set", "d1", "up")
    run(*inside, ip, "address", "add", "192.0.2.1/24", "dev", "d0")
    run(*inside, ip, "neighbour", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "d0")
    watch = fathom.start("top", alone.name, "--json", "--interval", "0.5")
    watch.stdout.readline()  # it has looked once
    run(*inside, tool("busybox"), "ping", "-c", "5", "-i", "0.1", "-W", "1", "-q", "-s", "1000", "192.0.2.2", check=False)

    def counted():
        return int(re.search(r"d0:(.*)", Path(f"/proc/{alone.pid}/net/dev").read_text())[1].split()[8])
    sent = counted()
    assert sent > 3000
    row = wait_for(lambda: (row := json.loads(watch.stdout.readline()))["name"] == alone.name and row.get("net_sent_bytes", 0) >= sent and row,
                   30, "all that was sent", interval_s=0)
    assert row["net_sent_bytes"] <= counted()
    assert "net_shared" not in row


def test_network_of_the_host_is_not_counted_twice(fathom):
    place = mount_of("memory") or mount_of("")
    group = place / f"fathom-net-{secrets.token_hex(3)}"
    group.mkdir()
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        (group / "cgroup.procs").write_text(str(sleeper.pid))
        [row] = [row for row in rows(fathom, "--all", "--count", "1", "--interval", "0.1")
                 if row["name"] == f"/{group.name}"]
        assert row["net_shared"] == "host" and "net_sent_bytes" not in row
    finally:
        sleeper.kill()
        sleeper.wait()
        wait_for(lambda: not (group / "cgroup.procs").read_text(), what="the cgroup to be empty")
        group.rmdir()


def test_births_and_deaths(docker, start, fathom):
    stays = start(docker, "stays", "sleep", "100000")
    watch = fathom.start("top", "--json", "--interval", "0.5")
    lines = []

    def seen(condition):
        def read():
            line = watch.stdout.readline()
            assert line, watch.stderr.read()
            lines.append(json.loads(line))
            return condition(lines[-1])
        wait_for(read, 30, "the row", interval_s=0)

    seen(lambda row: row["name"] == stays.name)
    comes = start(docker, "comes", "sleep", "100000")
    seen(lambda row: row["name"] == comes.name and "cpu_ns" in row)
    docker.rm(comes)
    seen(lambda row: row["name"] == comes.name and row.get("dead"))
    seen(lambda row: row["name"] == stays.name)
    seen(lambda row: row["name"] == stays.name)
    assert [row["name"] for row in lines].count(comes.name) >= 2
    assert not any(row["name"] == comes.name for row in lines[-2:])


BRIEF = 200


def test_none_of_many_short_lives_is_lost(fathom):
    """Cgroups that live for three hundredths of a second: each is a row, or is named as come and gone; and top keeps nothing of them."""
    place = mount_of("memory") or mount_of("")
    top = fathom.start("top", "--all", "--json", "--interval", "0.2")
    name, named, sizes = f"fathom-brief-{secrets.token_hex(3)}", set(), []

    def sees(condition):
        def read():
            line = top.stdout.readline()
            assert line, top.stderr.read()
            row = json.loads(line)
            if name in row["name"]:
                named.add(row["name"])
            return condition(row)
        wait_for(read, 60, "the rows", interval_s=0)

    def descriptors():
        return len(list(Path(f"/proc/{top.pid}/fd").iterdir()))

    def reading():
        sees(lambda row: row["resource"] == "host")

    reading()
    reading()
    before = descriptors()
    for i in range(BRIEF):
        (place / f"{name}-{i}").mkdir()
        time.sleep(0.03)  # a short life, not a wait for anything
        (place / f"{name}-{i}").rmdir()
        if i % 20 == 19:
            reading()
            sizes.append(descriptors())
    wanted = {f"/{name}-{i}" for i in range(BRIEF)}
    sees(lambda row: wanted <= named)
    reading()
    reading()
    assert descriptors() <= before + BRIEF // 2, (before, sizes)  # other cgroups of the machine may have come meanwhile


def test_columns_filter_and_order(docker, start, fathom):
    busy = start(docker, "busy", "/bin/burn")
    idle = start(docker, "idle", "sleep", "100000")
    done = fathom("top", "--count", "1", "--interval", "0.5", "--sort", "cpu", busy.name, idle.name)
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["NAME", "LOST%", "CPU%/LIMIT"]
    assert [line.split()[0] for line in lines[1:]] == [busy.name, idle.name]
    done = fathom("top", "--count", "1", "--interval", "0.5", "--sort=-cpu", "--no-header", busy.name, idle.name)
    assert [line.split()[0] for line in done.stdout.splitlines() if line.strip()] == [idle.name, busy.name]
    done = fathom("top", "--count", "1", "--interval", "0.5", "--filter", "cpu>1%", busy.name, idle.name)
    assert busy.name in done.stdout and idle.name not in done.stdout


@pytest.mark.parametrize("arguments, sentence", [
    (("--interval", "soon"), "not a duration"),
    (("--interval", "1us"), "out of range"),
    (("--sort", "moon"), "no column"),
    (("--filter", "cpu>>>3"), "not a comparison"),
    (("--filter", "/(/"), "regular expression"),
    (("--count", "-1"), "makes no sense"),
    (("--processes", "--threads"), "exclude"),
    (("no-such-thing-here",), "no container"),
    (("--nonsense",), "nknown option"),
])
def test_bad_input(fathom, arguments, sentence):
    done = fathom("top", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and sentence in done.stderr and done.stderr.count("\n") == 1


class Screen:
    """fathom top in a terminal of its own."""

    def __init__(self, command, directory, columns=150, rows=24):
        try:
            self.tmux = tool("tmux")
        except Missing as missing:
            lack(str(missing))
        self.name = f"fathom-test-{secrets.token_hex(4)}"
        self("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, "-c", directory,
             f"LC_ALL=C.UTF-8 {shlex.join(command)}; echo ended with $?; sleep 1000")

    def __call__(self, *arguments):
        return run(self.tmux, "-u", "-L", self.name, *arguments, env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout

    def text(self):
        return self("capture-pane", "-p")

    def keys(self, *keys):
        self("send-keys", *keys)

    def wait(self, condition, what, deadline_s=90):
        """`condition` of the screen's text, also a piece of it."""
        check = condition if callable(condition) else lambda text: condition in text
        text = ""

        def good():
            nonlocal text
            text = self.text()
            return check(text)
        try:
            wait_for(good, deadline_s, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}; the screen:\n{text}") from error
        return text

    def close(self):
        run(self.tmux, "-L", self.name, "kill-server", check=False)


@pytest.fixture
def screen(fathom, tmp_path):
    opened = []

    def open_one(*arguments, **options):
        opened.append(Screen([str(fathom.binary), "top", *arguments], tmp_path, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def line_of(text, name):
    return next((line for line in text.splitlines() if name in line), "")


def test_screen(docker, start, screen, tmp_path):
    cap = start(docker, "cap", "/bin/burn", "2", cpus=0.5)
    idle = start(docker, "idle", "sleep", "100000")
    top = screen("--interval", "0.5", cap.name, idle.name)
    top.wait(cap.name, "the first screen")
    top.wait(lambda t: re.search(rf"{cap.name}\s+.*\d+\.\d/50", t), "rates")
    top.wait(lambda t: 0 <= t.find(cap.name) < t.find(idle.name), "who loses most to stand first")
    top.keys("r")
    top.wait(lambda t: 0 <= t.find(idle.name) < t.find(cap.name), "the order reversed")
    top.keys("r")
    top.wait(lambda t: 0 <= t.find(cap.name) < t.find(idle.name), "the order as it was")
    top.keys("/")
    top.keys("-l", "cpu>1%")
    top.keys("Enter")
    top.wait(lambda t: "filter: cpu>1%" in t and idle.name not in t and cap.name in t, "the filter")
    top.keys("/", *["BSpace"] * 40)
    top.keys("-l", "(((>")
    top.keys("Enter")
    top.wait("no column is called", "a complaint about the filter")
    top.keys("/", *["BSpace"] * 40, "Enter")
    top.wait(idle.name, "everything again")
    top.keys("s", "Home")
    top.keys("Escape")
    # to the processes, their threads, and back
    top.wait(lambda t: t.find(cap.name) < t.find(idle.name), "the order")
    top.keys("Home", "Enter")
    text = top.wait(lambda t: re.search(r"^\s+\d+\s+1 [RS].*burn", t, re.M), "its processes")
    assert "INNER" in text and str(cap.pid) in text
    top.keys("H")
    top.wait(lambda t: t.count("burn") == 3, "its threads")
    top.keys("Escape")
    top.wait("LOST%", "the containers again")
    top.keys("o")
    text = top.wait("cpu_limit_nanocores", "all values")
    assert cap.id in text and "0.5 cores" in text
    # A key right behind an Escape would be one with Alt held down.
    top.keys("Escape")
    top.wait("LOST%", "the containers once more")
    top.keys("h")
    top.wait("flame graph of where its time goes", "the help")
    top.keys("Escape")
    top.wait("LOST%", "the containers behind the help")
    top.keys("p")
    top.wait("PAUSED", "the pause")
    top.keys("p")
    top.wait(lambda t: "PAUSED" not in t, "it to go on")
    top.keys("t")
    top.wait("tree", "the tree")
    top.keys("q")
    top.wait("ended with 0", "the end")


def test_screen_of_all_processes(docker, start, screen):
    """Whose each is; a container's name finds its own; behind them are the containers."""
    web = start(docker, "web", "/bin/burn", "1", cpus=0.5)
    top = screen("-p", "--interval", "0.5")
    top.wait("all processes", "the processes")
    top.keys("/")
    top.keys("-l", web.name)
    top.keys("Enter")
    top.wait(lambda t: re.search(rf"^ +{web.pid} +1 [RS] .* burn +in {web.name}", t, re.M), "its process")
    top.keys("Escape")
    top.wait(lambda t: "PSI c/m/i" in t and web.name in t, "the containers")


# What a golden picture shows: keys to get there, a piece of text that says it is there, and the terminal's columns.
PICTURES = {
    "containers": ((), "web-1", 150),
    "narrow": ((), "web-1", 80),
    "tree": (("t",), "tree", 150),
    "processes": (("Enter",), "postgres", 120),
    "help": (("h",), "flame graph of", 120),
}


def anywhere(text):
    """The machine's name is in the first line."""
    return text.replace(f"fathom top  {os.uname().nodename}  ", "fathom top  HOST  ", 1)


@pytest.mark.parametrize("picture", PICTURES)
def test_golden_pictures(tmp_path, picture):
    """Screens of made-up containers that never change, cell by cell (UPDATE_GOLDEN=1 writes them anew)."""
    keys, mark, columns = PICTURES[picture]
    golden = ROOT / f"tests/golden/screens/{picture}.txt"
    top = Screen([str(build_dir() / "tests/unit/top_screen")], tmp_path, columns=columns)
    try:
        top.wait(lambda text: re.search(r"web-1.*50\.0/50", text), "rates")
        for key in keys:
            top.keys(key)
        top.wait(mark, picture)
        if os.environ.get("UPDATE_GOLDEN"):
            time.sleep(1)  # all of it is drawn
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(anywhere(top.text()))
        wanted = golden.read_text()
        top.wait(lambda text: anywhere(text) == wanted, f"the golden picture:\n{wanted}", 20)
    finally:
        top.close()


def test_screen_is_drawn_again(tmp_path):
    """Whole, after it was stopped, somebody wrote over it, and in a terminal of another size; its rows never change."""
    top = Screen(["bash", "--norc", "-i"], tmp_path)
    try:
        top.keys("-l", shlex.quote(str(build_dir() / "tests/unit/top_screen")))
        top.keys("Enter")
        whole = top.wait(lambda text: re.search(r"web-1.*50\.0/50", text) and "h help" in text, "rates")
        for _ in range(2):
            top.keys("C-z")
            top.wait(lambda text: "Stopped" in text and "web-1" not in text, "the shell")
            top.keys("fg", "Enter")
            top.wait(lambda text: text == whole, f"all of it again:\n{whole}", 20)
        top("resize-window", "-x", 80, "-y", 12)
        top.wait(lambda text: len(text.splitlines()) == 12 and "web-1" in text and "TX/s" not in text, "less of it", 20)
        top("resize-window", "-x", 150, "-y", 24)
        top.wait(lambda text: text == whole, f"all of it in the old size:\n{whole}", 20)
        top.keys("q")
        top.wait(lambda text: "web-1" not in text, "the end")
    finally:
        top.close()


def test_containers_filter_is_not_their_processes(tmp_path):
    """It is laid aside among the processes, and there again behind them; a page moves aside."""
    top = Screen([str(build_dir() / "tests/unit/top_screen")], tmp_path)
    try:
        top.wait("web-1", "rates")
        top.keys("/")
        top.keys("-l", "web")
        top.keys("Enter")
        top.wait("filter: web", "the filter")
        top.keys("Enter")
        top.wait(lambda text: "postgres" in text and "filter:" not in text, "all processes")
        top.keys("/")
        top.keys("-l", "nobody")
        top.keys("Enter")
        top.wait("nothing matches", "their own filter")
        top.keys("Escape")
        top.wait("filter: web", "the filter again")
        top.keys("h", "Right", "Right", "Right")
        top.wait(lambda text: "Enter      processes" in text and "Up Down" not in text, "what is to the right")
        top.keys("q")
        top.wait("ended with 0", "the end")
    finally:
        top.close()


def test_screen_flame_graph(docker, start, screen, tmp_path):
    web = start(docker, "web", "/bin/split7525")
    top = screen("--interval", "0.5", web.name)
    top.wait(web.name, "the first screen")
    top.keys("g")
    top.wait("so far", "the measurement")
    text = top.wait("The flame graph is in", "the flame graph", 60)
    assert "three_quarters" in text or "Where the time goes" in text
    [picture] = tmp_path.glob(f"fathom-{web.name}-*.svg")
    assert "three_quarters" in picture.read_text()
    top.keys("q")
    top.wait("ended with 0", "the end")


def test_screen_is_given_back(docker, start, screen):
    web = start(docker, "web", "sleep", "100000")
    top = screen(web.name)
    top.wait(web.name, "the first screen")
    top.keys("C-c")
    text = top.wait("ended with 0", "the end")
    assert "LOST%" not in text


def test_hostile_names(docker, start, screen, fathom):
    script = r"""printf 'x\033[2J\033]0;y\a' > /proc/self/comm; while true; do sleep 100000; done"""
    hostile = start(docker, "hostile", "sh", "-c", script)
    wait_for(lambda: b"\x1b" in Path(f"/proc/{hostile.pid}/comm").read_bytes(), what="the name to be set")
    place = mount_of("memory") or mount_of("")
    group = place / f"fathom\x1b[2J\"'<{secrets.token_hex(3)}"
    group.mkdir()
    try:
        done = fathom("top", "--all", "--count", "1", "--interval", "0.1", "--plain")
        assert "\x1b" not in done.stdout and r"fathom\x1b[2J" in done.stdout
        named = [row["name"] for row in rows(fathom, "--all", "--count", "1", "--interval", "0.1")]
        assert f"/{group.name}" in named
        top = screen("--interval", "0.5", "--all", "--filter", "fathom")
        top.wait(r"/fathom\x1b[2J", "the cgroup, escaped")
        top.keys("q")
        top = screen("--interval", "0.5", hostile.name)
        top.wait(hostile.name, "the first screen")
        top.keys("Enter")
        top.wait(r"x\x1b[2J\x1b]0;y", "the process, escaped")
    finally:
        group.rmdir()
