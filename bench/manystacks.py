#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many distinct stacks a profile holds, and in what memory: a program that cycles through 2^BITS stacks on every CPU, at almost
10,000 Hz, once with frame pointers (counted in the kernel's table) and once without (walked from copies, and counted by fathom)."""
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
KINDS = (("with frame pointers", ("-O1", "-fno-omit-frame-pointer")), ("without", ("-O1", "-fomit-frame-pointer")))


def kernel_maps_mib(pid):
    """What the kernel keeps in maps that the process holds open."""
    total = 0
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        found = re.search(r"memlock:\s*(\d+)", entry.read_text())
        total += int(found[1]) if found else 0
    return total / (1 << 20)


def watch(work, program, bits, seconds):
    loads = [subprocess.Popen([program, str(bits), str(10 * seconds), "1000"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL) for _ in range(os.cpu_count())]
    result = work / "many.json"
    try:
        fathom = subprocess.Popen([fathom_binary(), "profile", *(str(load.pid) for load in loads), "-q", "--user", "-F", str(HZ), "-d",
                                   str(seconds), "--budget", "100", "-o", result], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        maps, ended = 0, 0
        while not ended:
            time.sleep(0.2)
            try:
                maps = max(maps, kernel_maps_mib(fathom.pid))
            except OSError:
                pass  # it is ending
            ended, status, usage = os.wait4(fathom.pid, os.WNOHANG)
        fathom.returncode = os.waitstatus_to_exitcode(status)
    finally:
        for load in loads:
            load.kill()
            load.wait()
    if fathom.returncode not in (0, 3):
        sys.exit(f"fathom ended with {fathom.returncode}")
    return result, maps, usage.ru_maxrss / 1024, fathom.returncode


def distinct(result, work):
    folded = work / "many.folded"
    subprocess.run([fathom_binary(), "flame", result, "-o", folded], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with folded.open() as lines:
        return sum(1 for _ in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-b", "--bits", type=int, default=20, help="stacks of the program, as a power of two")
    parser.add_argument("-s", "--seconds", type=int, default=14)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root")
    print(f"{'':<22}{'samples':>10}{'distinct':>10}{'lost':>8}{'fathom MiB':>12}{'maps MiB':>10}   wanted: {WANTED:,}, none lost, "
          f"below {LIMIT_MIB} MiB")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name, flags in KINDS:
            program = work / "manystacks"
            subprocess.run([tool("gcc"), *flags, "-o", program, ROOT / "tests/programs/manystacks.c"], check=True)
            result, maps, peak, status = watch(work, program, arguments.bits, arguments.seconds)
            ledger = json.loads(result.read_text())["shapes"][0]["ledger"]
            lost = sum(v["events"] if isinstance(v, dict) else v for v in ledger.get("lost", {}).values())
            print(f"{name:<22}{ledger['seen']['events']:>10}{distinct(result, work):>10}{lost:>8}"
                  f"{peak:>12.1f}{maps:>10.1f}   {'inconclusive' if status == 3 else ''}", flush=True)


if __name__ == "__main__":
    main()
