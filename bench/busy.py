#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fathom serve, with all it always watches, takes of the throughput of busy containers: wrk and nginx, pgbench and PostgreSQL.

The server has one CPU and its load another, always the same; with --together they share one, since to wake a virtual CPU takes what the
machine below it makes of it, and that is most of the noise of short requests. The load never stops: turns with and without the agent follow
each other as ABBA, and what was served, and the CPU time both containers took for it, is read every second; a turn counts with the median of
its seconds. Beside the ratio of watched to alone, and how sure its median is, stands that of the two halves of each turn alone, the same
against the same: what differs less than that is noise. The medians of all seconds of all turns, and what the fastest tenth of them reached,
stand beside those of the pairs. CPU time for a request tells what programs in the kernel take even where something else is at work on the
machine; the agent's own time is not in it.
With --account one more turn adds up what is taken by the kernel's own account: CPU time of the agent and its children, and run time of
their programs, of that of all CPUs. What the kernel's statistics cost is in it; what full caches cost is not.
"""
import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "tests"),
                str(Path(__file__).resolve().parent.parent / "tests/containers")]
import runtimes  # noqa: E402
from agent_client import Agent  # noqa: E402
from support import run, tool, wait_for  # noqa: E402
from top import STATS, exact_cpu_s, family_share  # noqa: E402

NOBODY = 65534
SETTLE_S = 2.5
WARM_S = 2
SERVER_CPU, CLIENT_CPU = "0", "1"  # --together: the server's for both
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NGINX = """daemon off; worker_processes 1; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 1024; }
http { access_log off; sendfile on; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d;
scgi_temp_path /tmp/e; server { listen 127.0.0.1:8080; root /data; location = /status { stub_status; } } }
"""
STATUS = """import http.client, sys
for _ in sys.stdin:
    try:
        asked = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
        asked.request("GET", "/status")
        print(asked.getresponse().read().split()[9].decode(), flush=True)
    except OSError:
        print(0, flush=True)
"""
UNBOUNDED = ("--cpu-percent", "0", "--memory-mib", "0", "--map-mib", "0")


class Containers(runtimes.Runc):
    """Of the host's own programs, as nobody, each in the network of the first one."""
    first = None

    def cli(self, *command, **options):
        done = super().cli(*command, **options)
        if command == ("spec",):
            path = Path(options["cwd"]) / "config.json"
            spec = json.loads(path.read_text())
            spec["process"]["user"] = {"uid": NOBODY, "gid": NOBODY}
            for space in spec["linux"]["namespaces"]:
                if space["type"] == "network" and self.first:
                    space["path"] = f"/proc/{self.first.pid}/ns/net"
            path.write_text(json.dumps(spec))
        return done

    def begin(self, name, data, *command):
        container = self.run(name, *command, mounts={"/usr": "/usr", "/lib": "/lib", "/lib64": "/lib64", str(data): "/data"})
        self.first = self.first or container
        return container

    def cgroup_of(self, container):
        """Where its CPU time is read: in the unified hierarchy."""
        path = next(line.split(":", 2)[2] for line in Path(f"/proc/{container.pid}/cgroup").read_text().splitlines() if line.startswith("0::"))
        return next(root / path.lstrip("/") for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if (root / path.lstrip("/") / "cpu.stat").exists())


def data_directory(parent, name):
    data = Path(parent) / name
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    return data


class Asked:
    """A program in the network of a container that stays and answers each line with a line: starting one every second would be load of its own."""

    def __init__(self, container, *command):
        self.process = subprocess.Popen(["nsenter", "-t", str(container.pid), "-n", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Load:
    """A server and what loads it without end, on two CPUs of their own."""

    def __init__(self, containers, server, client, cpu, asked, question, command):
        self.groups = [containers.cgroup_of(server), containers.cgroup_of(client)]
        self.asked, self.question = asked, question
        self.process = subprocess.Popen([tool("runc"), "--root", containers.dir / "state", "exec", client.id, "taskset", "-c", cpu, *command],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def read(self):
        """Requests and CPU seconds so far, and when."""
        used = sum(int(re.search(r"usage_usec (\d+)", (group / "cpu.stat").read_text())[1]) for group in self.groups) / 1e6
        return int(self.asked(self.question)), used, time.monotonic()

    def turn(self, seconds):
        """Requests a second, and CPU µs a request, of each second."""
        found, before = [], self.read()
        for _ in range(seconds):
            time.sleep(1)
            now = self.read()
            requests = max(now[0] - before[0], 1)
            found.append((requests / (now[2] - before[2]), (now[1] - before[1]) / requests * 1e6))
            before = now
        return found

    def close(self):
        self.process.kill()
        self.process.wait()
        self.asked.close()


def web(containers, directory, cpu):
    """wrk in one container, nginx in another."""
    data = data_directory(directory, "web")
    (data / "nginx.conf").write_text(NGINX)
    (data / "index.html").write_text("x" * 1024)
    server = containers.begin("nginx", data, "taskset", "-c", SERVER_CPU, "/usr/sbin/nginx", "-c", "/data/nginx.conf")
    client = containers.begin("wrk", data, "sleep", "100000")

    asked = Asked(server, sys.executable, "-c", STATUS)
    wait_for(lambda: int(asked("")), 20, "nginx")
    return Load(containers, server, client, cpu, asked, "", ["/usr/bin/wrk", "-t1", "-c32", "-d100000s", "http://127.0.0.1:8080/"])


def database(containers, directory, cpu):
    """pgbench in one container, PostgreSQL in another: one row a query, by its key."""
    data, bin = data_directory(directory, "database"), POSTGRES[-1]
    (containers.rootfs / "etc/passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\nnobody:x:{NOBODY}:{NOBODY}:nobody:/tmp:/bin/sh\n")
    server = containers.begin("postgres", data, "/bin/sh", "-c", f"{bin}/initdb -D /data/pg -U nobody --no-sync -A trust >/dev/null && exec taskset -c {SERVER_CPU} {bin}/postgres "
                              "-D /data/pg -k /tmp -c listen_addresses=127.0.0.1 -c shared_buffers=64MB -c autovacuum=off")
    client = containers.begin("pgbench", data, "sleep", "100000")
    pgbench = (f"{bin}/pgbench", "-h", "127.0.0.1", "-U", "nobody")
    wait_for(lambda: "creating" in subprocess.run([tool("runc"), "--root", containers.dir / "state", "exec", client.id, *pgbench, "-i", "-s", "5", "postgres"],
                                                  capture_output=True, text=True).stderr, 40, "PostgreSQL", interval_s=0.3)

    asked = Asked(server, f"{bin}/psql", "-h", "127.0.0.1", "-U", "nobody", "-AtXq", "postgres")
    return Load(containers, server, client, cpu, asked, "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres';", [*pgbench, "-S", "-M", "prepared", "-c", "4", "-j", "1", "-n", "-T", "100000", "postgres"])


WORKLOADS = {"wrk": web, "pgbench": database}


class Watch:
    """The agent, for a turn."""

    def __init__(self, warm_s):
        self.directory = tempfile.TemporaryDirectory(prefix="fathom-busy-")
        self.agent = Agent(self.directory.name, *UNBOUNDED).start()
        time.sleep(SETTLE_S + warm_s)
        self.pid = self.agent.process.pid
        self.before = exact_cpu_s(self.pid), time.monotonic()

    def close(self):
        """The agent's own share of a core, and what it did not watch."""
        cpu = (exact_cpu_s(self.pid) - self.before[0]) / (time.monotonic() - self.before[1]) * 100
        off = [part["name"] for part in self.agent.json("/api/self")["parts"] if part["state"] != "on"]
        self.agent.stop()
        self.directory.cleanup()
        return cpu, off


def account(seconds, warm_s):
    """What a watched turn takes of all CPUs, in percent: the agent and its children, their programs."""
    stats = STATS.read_text()
    watch = Watch(warm_s)
    try:
        STATS.write_text("1")
        return [share / os.cpu_count() for share in family_share(watch.pid, seconds)]
    finally:
        STATS.write_text(stats)
        watch.close()


def middle(seconds):
    """Medians of requests a second and of CPU µs a request."""
    return tuple(statistics.median(second[i] for second in seconds) for i in range(2))


def pair(load, seconds, agent_first, warm_s):
    """The seconds alone and watched, (requests/s, µs a request) of each; what the agent took; what it did not watch."""
    found = {}
    for watched in (agent_first, not agent_first):
        if not watched:
            time.sleep(SETTLE_S)
            found["alone"] = load.turn(seconds)
            continue
        watch = Watch(warm_s)
        try:
            found["watched"] = load.turn(seconds)
        finally:
            found["cpu"], found["off"] = watch.close()
    return found


def fastest(pairs, which):
    """Requests a second that one second in ten reached: those that nothing else at work below this machine held up."""
    return statistics.quantiles([second[0] for p in pairs for second in p[which]], n=10)[-1]


def ratios(pairs, which):
    """Of each pair watched to alone, and of each turn alone its second half to its first."""
    halves = [(p["alone"][:len(p["alone"]) // 2], p["alone"][len(p["alone"]) // 2:]) for p in pairs]
    return ([middle(p["watched"])[which] / middle(p["alone"])[which] for p in pairs],
            [middle(second)[which] / middle(first)[which] for first, second in halves])


def spread(ratios):
    """Their median, between what 95 % of the medians lie of as many drawn from them at random, and each."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(4000))
    return (f"median {statistics.median(ratios):.4f}, 95 % within {medians[100]:.4f} to {medians[-101]:.4f} "
            f"({', '.join(f'{r:.3f}' for r in ratios)})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--workload", choices=WORKLOADS, action="append")
    parser.add_argument("-p", "--pairs", type=int, default=5)
    parser.add_argument("-s", "--seconds", type=int, default=8, help="2 at least")
    parser.add_argument("--warm", type=int, default=0, metavar="SECONDS", help="of load before the agent's turn is measured, after the first seconds")
    parser.add_argument("--together", action="store_true", help="server and load share a CPU: neither ever waits for the other to be woken there")
    parser.add_argument("--account", type=int, default=0, metavar="SECONDS", help="of one more turn, for the kernel's account")
    options = parser.parse_args()
    runtimes.compile_programs = lambda directory: None  # none of the tests' programs is needed
    if not shutil.which("wrk") or not shutil.which("nginx", path="/usr/sbin") or not POSTGRES:
        sys.exit("needs Debian's wrk, nginx-light and postgresql")
    for name in options.workload or WORKLOADS:
        with tempfile.TemporaryDirectory(prefix="fathom-busy-") as directory, Containers() as containers:
            os.chmod(directory, 0o755)
            load = WORKLOADS[name](containers, directory, SERVER_CPU if options.together else CLIENT_CPU)
            try:
                load.turn(WARM_S)
                pairs = [pair(load, options.seconds, i % 2 == 0, options.warm) for i in range(options.pairs)]
                share = account(options.account, options.warm) if options.account else None
            finally:
                load.close()
        alone, watched = (middle([second for p in pairs for second in p[which]]) for which in ("alone", "watched"))
        throughput, cost = ratios(pairs, 0), ratios(pairs, 1)
        print(f"{name}: alone {alone[0]:.0f}/s and {alone[1]:.2f} µs of CPU each, watched {watched[0]:.0f}/s and {watched[1]:.2f} µs (medians of all seconds): "
              f"{watched[0] / alone[0]:.4f} and {watched[1] / alone[1]:.4f}\n"
              f"  the fastest tenth of all seconds, watched to alone: {fastest(pairs, 'watched') / fastest(pairs, 'alone'):.4f}\n"
              f"  throughput, watched to alone: {spread(throughput[0])}\n"
              f"  the same, alone to alone:     {spread(throughput[1])}\n"
              f"  CPU time for a request, watched to alone: {spread(cost[0])}\n"
              f"  the same, alone to alone:                 {spread(cost[1])}\n"
              f"  the agent itself {statistics.median(p['cpu'] for p in pairs):.2f} % of a core; not on: {sorted({part for p in pairs for part in p['off']}) or 'nothing'}", flush=True)
        if share:
            print(f"  by the kernel's account, of all CPUs: agent and children {share[0]:.2f} %, programs {share[1]:.2f} %, together {sum(share):.2f} %", flush=True)


if __name__ == "__main__":
    main()
