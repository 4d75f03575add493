#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fathom serve for long, while containers come and go: memory, descriptors, maps, history; kill -9, stopped readers, clock jumps.
"""
import argparse
import os
import random
import secrets
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "tests"),
                str(Path(__file__).resolve().parent.parent / "tests/containers")]
import leftovers  # noqa: E402
import runtimes  # noqa: E402
from agent_client import Agent  # noqa: E402
from churn import Churn  # noqa: E402
from support import ROOT, tool, wait_for  # noqa: E402
from top import exact_cpu_s, memory_kib  # noqa: E402

LIFE = 6  # so many of the births live at a time
HOUR_NS = 3600 * 10**9
LOOK_BACK_S = 10
MIB = 1024 * 1024
UNBOUNDED = ("--cpu-percent", "0", "--memory-mib", "0", "--map-mib", "0")


class Births(Churn):
    """Cgroups named as docker's are, each with a process of its own that runs a few programs and then sleeps."""

    def __init__(self, living, per_minute, light=False):
        self.work = "" if light else "for i in 1 2 3; do true | cat; done; "
        self.processes = {}
        self.names = {}
        super().__init__(living, per_minute)

    def make(self, name):
        self.names[name] = f"docker-{secrets.token_hex(32)}.scope"
        super().make(self.names[name])
        enter = "; ".join(f"echo $$ > {root / self.names[name]}/cgroup.procs" for root in self.roots)
        self.processes[name] = subprocess.Popen(["sh", "-c", f"{enter}; {self.work}exec sleep 600"],
                                                stdin=subprocess.DEVNULL, preexec_fn=runtimes.die_with_parent)

    def remove(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        for root in self.roots:
            wait_for(lambda: not (root / self.names[name] / "cgroup.procs").read_text(), 10, "a cgroup to be empty")
        super().remove(self.names.pop(name))

    def run(self):
        due = time.monotonic()
        while not self.stop.wait(max(0, due - time.monotonic())):
            due += self.wait_s
            number = len(self.made)
            self.make(f"brief{number}")
            self.made.append(f"brief{number}")
            if number >= LIFE:
                self.remove(f"brief{number - LIFE}")

    def close(self):
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join()
        for name in list(self.processes):
            self.remove(name)
        super().close()


class RuncBirths:
    """The same by runc: whole containers."""

    def __init__(self, living, per_minute):
        import threading
        self.runc = runtimes.Runc()
        self.wait_s = 60 / per_minute
        self.made = []
        self.stop = threading.Event()
        for number in range(living):
            self.runc.run(f"lives{number}", "sleep", "100000")
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        alive = []
        due = time.monotonic()
        while not self.stop.wait(max(0, due - time.monotonic())):
            due += self.wait_s
            alive.append(self.runc.run(f"brief{len(self.made)}", "sleep", "100000"))
            self.made.append(alive[-1].id)
            if len(alive) > LIFE:
                self.runc.rm(alive.pop(0))

    def close(self):
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join()
        self.runc.close()


KINDS = {"heap": lambda name: name == "[heap]", "maps mapped": lambda name: "bpf" in name, "files": lambda name: name.startswith("/"), "other": lambda name: True}


def resident(pid):
    """MiB by what it is: of each mapping, the first kind it is one of."""
    found, kind = dict.fromkeys(KINDS, 0), "other"
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split(None, 5)
        if "-" in words[0]:
            name = words[5] if len(words) > 5 else ""
            kind = next(kind for kind, is_it in KINDS.items() if is_it(name))
        elif words[0] == "Rss:":
            found[kind] += int(words[1]) / 1024
    return found


def row(agent, births, began, cpu_before):
    pid = agent.process.pid
    told = agent.json("/api/self")
    memory = memory_kib(pid)
    elapsed = time.monotonic() - began
    return {"seconds": elapsed, "rss": memory["Rss"] / 1024, "pss": memory["Pss"] / 1024,
            **resident(pid), "fds": len(os.listdir(f"/proc/{pid}/fd")), "maps": told["map_bytes"] / MIB,
            "disk": told["history"]["disk_bytes"] / MIB, "memory": told["history"]["memory_bytes"] / MIB,
            "containers": sum(c["resource"] == "container" and not c.get("dead") for c in agent.json("/api/containers")["containers"]),
            "born": len(births.made), "ticks": told["ticks"], "dropped": told["history"]["dropped"],
            "cpu": (exact_cpu_s(pid) - cpu_before) / elapsed * 100,
            "held": told["memory"], "off": ", ".join(part["name"] for part in told["parts"] if part["state"] != "on")}


def print_row(values):
    print(f"| {values['seconds']:.0f} | {values['born']} | {values['containers']} | {values['rss']:.1f} | {' | '.join(f'{values[kind]:.1f}' for kind in KINDS)} | {values['pss']:.1f} | {values['fds']} | {values['maps']:.1f} | "
          f"{values['disk']:.2f} | {values['memory']:.2f} | {values['ticks']} | {values['dropped']} | {values['cpu']:.2f} | {values['off'] or '–'} |", flush=True)
    held = values["held"]
    print(f"<!-- {values['seconds']:.0f} s: heap in use {held['heap_bytes'] / MIB:.2f} MiB, free {held['heap_free_bytes'] / MIB:.2f}, mapped {held['heap_mapped_bytes'] / MIB:.2f}; packed readings "
          f"{held['readings_bytes'] / MIB:.2f}, intervals {held['intervals_bytes'] / MIB:.2f}, stacks {held['stacks_bytes'] / MIB:.2f}; " + ", ".join(f"{kind} {count}" for kind, count in held["counts"].items()) + " -->", flush=True)


def stopped_reader(agent):
    """One that asked for the stream and does not read."""
    reader = subprocess.Popen([tool("curl"), "-sN", "-H", f"Authorization: Bearer {agent.token}", f"{agent.url}api/stream"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=runtimes.die_with_parent)
    time.sleep(2)
    reader.send_signal(signal.SIGSTOP)
    return reader


def soak(agent, births, seconds, samples):
    print("\n| s | born | containers now | RSS MiB | " + " | ".join(KINDS) + " | PSS MiB | fds | kernel maps MiB | history on disk MiB | in memory MiB | ticks | dropped | CPU % | parts not on |\n"
          "|" + "---|" * (13 + len(KINDS)))
    began, cpu = time.monotonic(), exact_cpu_s(agent.process.pid)
    rows, reader = [], None
    for sample in range(samples):
        time.sleep(max(0, began + seconds * (sample + 1) / samples - time.monotonic()))
        rows.append(row(agent, births, began, cpu))
        print_row(rows[-1])
        if sample == samples // 2:
            reader = stopped_reader(agent)
    third = max(1, len(rows) // 3)
    flat = {key: (sum(r[key] for r in rows[third:2 * third]) / third, sum(r[key] for r in rows[-third:]) / third) for key in ("rss", *KINDS, "fds", "maps")}
    print("\nmiddle and last third: " + ", ".join(f"{key} {a:.1f} -> {b:.1f}" for key, (a, b) in flat.items()))
    reader.send_signal(signal.SIGCONT)
    reader.terminate()
    reader.wait()
    print(f"a reader of the stream stopped for half the time: {agent.json('/api/self')['http']}")


def pause_agent(agent, seconds):
    """The agent itself cannot read its rings for a while."""
    ticks = agent.json("/api/self")["ticks"]
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    agent.process.send_signal(signal.SIGCONT)
    wait_for(lambda: agent.json("/api/self")["ticks"] > ticks + 2, 30, "readings after the pause")
    lost = {part["name"]: {name: count for name, count in part["items"].items() if name.startswith("lost") and count}
            for part in agent.json("/api/ledger")["parts"]}
    lost = {name: items for name, items in lost.items() if items}
    print(f"the agent stopped for {seconds} s: goes on; lost, as it says: {lost or 'nothing'}")


def kill_again_and_again(directory, times, arguments):
    """Seconds of history lost by each kill -9, of those that were read."""
    lost = []
    for _ in range(times):
        agent = Agent(directory, *arguments).start()
        ticks = agent.json("/api/self")["ticks"]
        wait_for(lambda: agent.json("/api/self")["ticks"] > ticks + 2, 30, "ticks")
        time.sleep(random.uniform(0, 1.5))
        last_ms = agent.json("/api/self")["time_ms"]
        agent.stop(signal.SIGKILL)
        with sqlite3.connect(agent.state / "history.db") as database:
            damage = database.execute("PRAGMA integrity_check").fetchone()[0]
        assert damage == "ok", damage
        again = Agent(directory, *arguments).start()
        assert not list(again.state.glob("*.damaged"))
        answer = again.json(f"/api/series?id=1&names=cpu&from_ms={last_ms - LOOK_BACK_S * 1000}&to_ms={last_ms}")
        values = answer["resources"][0]["values"]["cpu"]
        known = [i for i, value in enumerate(values) if value is not None]
        lost.append(len(values) - 1 - known[-1] if known else len(values))
        again.stop(signal.SIGKILL if random.random() < 0.5 else signal.SIGTERM)
    print(f"kill -9, {times} times at random: history opened each time, integrity ok; seconds lost: most {max(lost)}, none in "
          f"{lost.count(0)}, one in {lost.count(1)}, more in {sum(n > 1 for n in lost)}")


def jump_clock(directory):
    """The wall clock of the agent alone goes an hour ahead, then an hour back."""
    library, file = Path(directory) / "clockshift.so", Path(directory) / "shift"
    subprocess.run([tool("cc"), "-O2", "-shared", "-fPIC", "-o", library, ROOT / "tests/clockshift.c"], check=True)
    file.write_bytes(struct.pack("q", 0))
    os.environ.update(LD_PRELOAD=str(library), FATHOM_CLOCKSHIFT=str(file))
    try:
        agent = Agent(directory).start()
    finally:
        del os.environ["LD_PRELOAD"], os.environ["FATHOM_CLOCKSHIFT"]
    try:
        for name, shift in (("an hour ahead", HOUR_NS), ("back again", 0), ("an hour back", -HOUR_NS)):
            told = agent.json("/api/self")
            with open(file, "r+b") as stream:
                stream.write(struct.pack("q", shift))
            later = wait_for(lambda: (t := agent.json("/api/self"))["ticks"] > told["ticks"] + 2 and t, 30, "readings after the jump")
            to_ms = later["time_ms"]
            known = agent.json(f"/api/series?id=1&names=cpu&from_ms={to_ms - 2000}&to_ms={to_ms}")["resources"]
            cpu = known and known[0]["values"]["cpu"]
            print(f"clock {name}: readings go on, time moved by {(to_ms - told['time_ms']) / 1000:.0f} s, CPU of the host then: "
                  f"{[None if v is None else round(v, 2) for v in cpu] if cpu else cpu}, history: {later['history']['trouble'] or 'no trouble'}")
    finally:
        print(f"ended with {agent.stop()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--minutes", type=float, default=30)
    parser.add_argument("-l", "--living", type=int, default=20, help="containers that stay")
    parser.add_argument("-b", "--births", type=int, default=200, help="containers born a minute")
    parser.add_argument("-r", "--runtime", choices=("cgroups", "runc"), default="cgroups")
    parser.add_argument("-s", "--samples", type=int, default=15)
    parser.add_argument("-k", "--kills", type=int, default=50)
    parser.add_argument("--no-bpf", action="store_true", help="agents that are killed read files alone: they start sooner")
    parser.add_argument("--light", action="store_true", help="what is born starts no programs: thousands a minute are possible")
    parser.add_argument("--memory-minutes", type=int, default=15, help="of the agent's history that stand in memory: what would be full after 15 is so earlier")
    parser.add_argument("--alone", action="store_true", help="soak alone: no pause, no kills, no clock that jumps")
    options = parser.parse_args()
    leftovers.end_in_order()
    births = Births(options.living, options.births, options.light) if options.runtime == "cgroups" else RuncBirths(options.living, options.births)
    try:
        with tempfile.TemporaryDirectory(prefix="fathom-soak-") as directory:
            for name in ("soak", "kill", "jump"):
                (Path(directory) / name).mkdir()
            births.thread.start()
            # Nothing is shed: what is watched is all of it, for as long as it takes.
            agent = Agent(Path(directory) / "soak", *UNBOUNDED, "--memory-minutes", options.memory_minutes).start()
            try:
                soak(agent, births, options.minutes * 60, options.samples)
                if not options.alone:
                    pause_agent(agent, 10)
            finally:
                print(f"ended with {agent.stop()}")
            if options.alone:
                return
            if options.kills:
                kill_again_and_again(Path(directory) / "kill", options.kills, ["--no-bpf"] if options.no_bpf else [])
            jump_clock(Path(directory) / "jump")
    finally:
        births.close()


if __name__ == "__main__":
    main()
