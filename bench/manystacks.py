#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many distinct stacks a profile holds, and in what memory: a program that cycles through 2^BITS stacks on every CPU, at almost
10,000 Hz, once with frame pointers (counted in the kernel's table where they are trusted) and once without (walked from copies, and
counted by fathom). Of each first a run that is as long as it takes to see 100,000, by what came of a trial, then one of the whole
time."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from support import fathom_binary, tool  # noqa: E402

HZ = 9999
WANTED = 100_000
LIMIT_MIB = 64
TRIAL_SECONDS = 3
SPARE = 1.1  # the more stacks are known, the fewer of them are new
KINDS = (("with frame pointers", ("-O1", "-fno-omit-frame-pointer")), ("without", ("-O1", "-fomit-frame-pointer")))


def kernel_maps_mib(pid):
    """What the kernel keeps in maps that the process holds open."""
    total = 0
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        found = re.search(r"memlock:\s*(\d+)", entry.read_text())
        total += int(found[1]) if found else 0
    return total / (1 << 20)


def peak_mib(pid):
    """(What wait4 says is at least what this program had when it started the other.)"""
    return int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def smaps_mib(pid):
    """Resident memory by what it is, at its largest."""
    sums, kind = {}, ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)", line)
        if head:
            kind = "rings" if "anon_inode" in head[1] else "files" if head[1].startswith("/") else "own"
        elif line.startswith("Rss:"):
            sums[kind] = sums.get(kind, 0) + int(line.split()[1]) / 1024
    return sums


def watch(work, program, bits, seconds):
    loads = [subprocess.Popen([program, str(bits), str(int(10 * seconds)), "1000"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL) for _ in range(os.cpu_count())]
    result = work / "many.json"
    try:
        fathom = subprocess.Popen([fathom_binary(), "profile", *(str(load.pid) for load in loads), "-q", "--user", "-F", str(HZ), "-d",
                                   str(seconds), "--budget", "100", "-o", result], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        maps, parts, peak, turn = 0, {}, 0, 0
        while fathom.poll() is None:
            time.sleep(0.02)
            try:
                peak = max(peak, peak_mib(fathom.pid))
                if turn % 20 == 0:
                    maps = max(maps, kernel_maps_mib(fathom.pid))
                    parts = max(parts, smaps_mib(fathom.pid), key=lambda each: sum(each.values()))
            except (OSError, TypeError):
                pass  # it is ending
            turn += 1
    finally:
        for load in loads:
            load.kill()
            load.wait()
    if fathom.returncode not in (0, 3):
        sys.exit(f"fathom ended with {fathom.returncode}")
    return result, maps, peak, parts, fathom.returncode


def distinct(result, work):
    folded = work / "many.folded"
    subprocess.run([fathom_binary(), "flame", result, "-o", folded], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with folded.open() as lines:
        return sum(1 for _ in lines)


def row(name, work, program, bits, seconds):
    """Measures and prints → how many distinct stacks."""
    result, maps, peak, parts, status = watch(work, program, bits, seconds)
    ledger = json.loads(result.read_text())["shapes"][0]["ledger"]
    lost = sum(v["events"] for k, v in ledger.get("items", {}).items() if k.startswith("lost"))
    found = distinct(result, work)
    shares = ", ".join(f"{kind} {mib:.1f}" for kind, mib in sorted(parts.items()))
    print(f"{name:<22}{seconds:>6.1f}{ledger['seen']['events']:>10}{found:>10}{lost:>8}{peak:>12.1f}{maps:>10.1f}   "
          f"{shares}{', inconclusive' if status == 3 else ''}", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-b", "--bits", type=int, default=20, help="stacks of the program, as a power of two")
    parser.add_argument("-s", "--seconds", type=int, default=0, help="besides, a run of this length")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    print(f"{'':<22}{'s':>6}{'samples':>10}{'distinct':>10}{'lost':>8}{'fathom MiB':>12}{'maps MiB':>10}   of which resident, MiB"
          f" (wanted: {WANTED:,}, none lost, below {LIMIT_MIB} MiB)")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name, flags in KINDS:
            program = work / "manystacks"
            subprocess.run([tool("gcc"), *flags, "-o", program, ROOT / "tests/programs/manystacks.c"], check=True)
            rate = row(name + ", trial", work, program, arguments.bits, TRIAL_SECONDS) / TRIAL_SECONDS
            row(name + ", goal", work, program, arguments.bits, min(SPARE * WANTED / rate, 60))
            if arguments.seconds:
                row(name, work, program, arguments.bits, arguments.seconds)


if __name__ == "__main__":
    main()
