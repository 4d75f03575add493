#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fathom serve, with all it always watches, takes of the throughput of busy containers: wrk and nginx, pgbench and PostgreSQL.
"""
import argparse
import json
import os
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
from top import exact_cpu_s  # noqa: E402

NOBODY = 65534
SETTLE_S = 2.5
WARM_S = 2
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NGINX = """daemon off; worker_processes 1; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 1024; }
http { access_log off; sendfile on; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d;
scgi_temp_path /tmp/e; server { listen 127.0.0.1:8080; root /data; } }
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

    def inside(self, container, *command, check=True):
        return run(tool("runc"), "--root", self.dir / "state", "exec", container.id, *command, check=check, timeout=60).stdout


def data_directory(parent, name):
    data = Path(parent) / name
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    return data


def web(containers, directory):
    """wrk in one container, nginx in another."""
    data = data_directory(directory, "web")
    (data / "nginx.conf").write_text(NGINX)
    (data / "index.html").write_text("x" * 1024)
    containers.begin("nginx", data, "/usr/sbin/nginx", "-c", "/data/nginx.conf")
    load = containers.begin("wrk", data, "sleep", "100000")

    def rate(seconds):
        said = containers.inside(load, "/usr/bin/wrk", "-t1", "-c32", f"-d{seconds}s", "http://127.0.0.1:8080/")
        return float(re.search(r"Requests/sec:\s*([\d.]+)", said)[1])
    wait_for(lambda: "Requests/sec" in containers.inside(load, "/usr/bin/wrk", "-t1", "-c1", "-d1s", "http://127.0.0.1:8080/", check=False), 20, "nginx")
    return rate


def database(containers, directory):
    """pgbench in one container, PostgreSQL in another: one row a query, by its key."""
    data, bin = data_directory(directory, "database"), POSTGRES[-1]
    (containers.rootfs / "etc/passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\nnobody:x:{NOBODY}:{NOBODY}:nobody:/tmp:/bin/sh\n")
    containers.begin("postgres", data, "/bin/sh", "-c", f"{bin}/initdb -D /data/pg -U nobody --no-sync -A trust >/dev/null && exec {bin}/postgres -D /data/pg -k /tmp "
                     "-c listen_addresses=127.0.0.1 -c shared_buffers=64MB -c autovacuum=off")
    load = containers.begin("pgbench", data, "sleep", "100000")
    pgbench = (f"{bin}/pgbench", "-h", "127.0.0.1", "-U", "nobody")
    wait_for(lambda: "creating" in subprocess.run([tool("runc"), "--root", containers.dir / "state", "exec", load.id, *pgbench, "-i", "-s", "5", "postgres"],
                                                  capture_output=True, text=True).stderr, 40, "PostgreSQL", interval_s=0.3)

    def rate(seconds):
        said = containers.inside(load, *pgbench, "-S", "-M", "prepared", "-c", "4", "-j", "1", "-n", "-T", str(seconds), "postgres")
        return float(re.search(r"tps = ([\d.]+)", said)[1])
    return rate


WORKLOADS = {"wrk": web, "pgbench": database}


def pair(rate, seconds, agent_first, warm_s):
    """Throughput with and without the agent, one after the other; the agent's own share of a core; what it did not watch."""
    found = {}
    for watched in (agent_first, not agent_first):
        if not watched:
            found["alone"] = rate(seconds)
            continue
        with tempfile.TemporaryDirectory(prefix="fathom-busy-") as directory:
            agent = Agent(directory, *UNBOUNDED).start()
            try:
                time.sleep(SETTLE_S)
                if warm_s:
                    rate(warm_s)
                cpu, began = exact_cpu_s(agent.process.pid), time.monotonic()
                found["watched"] = rate(seconds)
                found["cpu"] = (exact_cpu_s(agent.process.pid) - cpu) / (time.monotonic() - began) * 100
                found["off"] = [part["name"] for part in agent.json("/api/self")["parts"] if part["state"] != "on"]
            finally:
                agent.stop()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--workload", choices=WORKLOADS, action="append")
    parser.add_argument("-p", "--pairs", type=int, default=5)
    parser.add_argument("-s", "--seconds", type=int, default=8)
    parser.add_argument("--warm", type=int, default=0, metavar="SECONDS", help="of load before the agent's part is measured: what gives way has given way")
    options = parser.parse_args()
    runtimes.compile_programs = lambda directory: None  # none of the tests' programs is needed
    if not shutil.which("wrk") or not shutil.which("nginx", path="/usr/sbin") or not POSTGRES:
        sys.exit("needs Debian's wrk, nginx-light and postgresql")
    for name in options.workload or WORKLOADS:
        with tempfile.TemporaryDirectory(prefix="fathom-busy-") as directory, Containers() as containers:
            os.chmod(directory, 0o755)
            rate = WORKLOADS[name](containers, directory)
            rate(WARM_S)
            pairs = [pair(rate, options.seconds, i % 2 == 0, options.warm) for i in range(options.pairs)]
        ratios = [p["watched"] / p["alone"] for p in pairs]
        print(f"{name}: alone {statistics.median(p['alone'] for p in pairs):.0f}/s, watched {statistics.median(p['watched'] for p in pairs):.0f}/s; of alone, pair by pair: "
              f"{', '.join(f'{r:.3f}' for r in ratios)}; median {statistics.median(ratios):.4f}; the agent itself {statistics.median(p['cpu'] for p in pairs):.2f} % of a core; "
              f"not on: {sorted({part for p in pairs for part in p['off']}) or 'nothing'}", flush=True)


if __name__ == "__main__":
    main()
