#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev test: the unit tests (meson) and everything that drives containers, kernels and pages (pytest), as one count.
Both runners report in JUnit's form; a runner that ends without a report, or badly with no failure in it, is a failure.
A few failures on a busy machine may be the machine's: such tests run once more, alone, and those that fail again once more; the
output says which passed only then, and the last line how many. A fault of ours fails each time."""
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST_TIMEOUT_S = 1500  # no single test (a guest may be started three times) takes so long; then it tells where it hangs
AGAIN = ("second", "third")  # attempts
AGAIN_MOST = 24  # more failures than these are no accident
AGAIN_UNTIL_S = 4200  # after the beginning: who waits for the whole does not wait for ever
AGAIN_LEAST_S = 120  # with less time left there is no other attempt
CLEAN_UP_S = 60  # for a runner that is told to stop
BEGAN_S = time.monotonic()
UNIT_TIMEOUT_MULTIPLIER = "4"  # for machines that are busy or emulated


def count(report):
    """Passed, failed, skipped of a JUnit file."""
    passed = failed = skipped = 0
    for case in xml.parse(report).iter("testcase"):
        tags = {child.tag for child in case}
        if tags & {"failure", "error"}:
            failed += 1
        elif "skipped" in tags:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def left_s():
    return AGAIN_UNTIL_S - (time.monotonic() - BEGAN_S)


def run_within(command, limit_s):
    """Exit status. At its limit it is interrupted, so that it can still put away what it has started, and report."""
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL) as process:
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(CLEAN_UP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def run(title, command, report, limit_s=None):
    print(f"== {title}", flush=True)
    report.unlink(missing_ok=True)
    status = run_within(command, limit_s)
    try:
        passed, failed, skipped = count(report)
    except (OSError, xml.ParseError) as error:
        print(f"{title}: no report: {error}")
        return 0, 1, 0
    if status != 0 and failed == 0:
        print(f"{title}: ended with status {status} without naming a failed test")
        failed = 1
    return passed, failed, skipped


def named_tests(report):
    """{test, as pytest's arguments name it: "passed", "failed" or "skipped"} of a pytest report; none when it cannot be read."""
    found = {}
    try:
        cases = xml.parse(report).iter("testcase")
    except (OSError, xml.ParseError):
        return found
    for case in cases:
        # A file that cannot be read at all is no test, and is no better a second time.
        if case.get("classname"):
            name, tags = f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}", {child.tag for child in case}
            now = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
            found[name] = "failed" if found.get(name) == "failed" else now  # a test and its cleaning up are two cases
    return found


def pytest(report, *arguments):
    # Debian's python3, by its path: it is the one that has Debian's pytest.
    return ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-ra", "-q", "--durations=10",
            f"--timeout={TEST_TIMEOUT_S}", f"--junitxml={report}", *arguments]


def run_again(build, suspects):
    """Runs what failed again, alone, until it has passed or has had its attempts → {attempt: tests that passed only then}."""
    recovered = {}
    for attempt in AGAIN:
        if not suspects or left_s() < AGAIN_LEAST_S:
            break
        report = build / f"pytest-{attempt}.junit.xml"
        run(f"{attempt} attempt, alone: {len(suspects)} that failed", pytest(report, *suspects), report, left_s())
        told = named_tests(report)  # who was not reached is not in it, and has not passed
        recovered[attempt] = [name for name in suspects if told.get(name) == "passed"]
        suspects = [name for name in suspects if told.get(name) != "passed"]
    return recovered


def run_pytest(build, arguments):
    """(passed, failed, skipped, {attempt: tests that passed only then})"""
    report = build / "pytest.junit.xml"
    passed, failed, skipped = run("containers, kernels, pages", pytest(report, *(arguments or ["tests"])), report)
    suspects = [name for name, how in named_tests(report).items() if how == "failed"]
    if not 0 < len(suspects) <= AGAIN_MOST:
        return passed, failed, skipped, {}
    again = run_again(build, suspects)
    recovered = sum(map(len, again.values()))
    # A test that failed and could not be cleaned up after is counted twice the first time.
    failed = 0 if recovered == len(suspects) else max(1, failed - recovered)
    return passed + recovered, failed, skipped, again


def web_packages(build):
    """The browser tests' own packages, installed when their list changed. One failure when that does not work."""
    for lock in (ROOT / "web/package-lock.json", ROOT / "tests/web/package-lock.json"):
        stamp = build / f"npm-{lock.parent.parent.name}-{lock.parent.name}"
        if not lock.exists() or (stamp.exists() and stamp.read_bytes() == lock.read_bytes()
                                 and (lock.parent / "node_modules").exists()):
            continue
        status = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=lock.parent,
                                stdin=subprocess.DEVNULL).returncode
        if status != 0:
            print(f"npm ci in {lock.parent} ended with status {status}: the pages cannot be tested")
            return 0, 1, 0
        stamp.write_bytes(lock.read_bytes())
    return 0, 0, 0


def main(arguments):
    build = (ROOT / os.environ.get("FATHOM_BUILD", "build")).resolve()
    results = [web_packages(build)]
    if not arguments:
        results.append(run("unit", ["meson", "test", "-C", str(build), "--no-rebuild", "--print-errorlogs",
                                    "--timeout-multiplier", UNIT_TIMEOUT_MULTIPLIER],
                           build / "meson-logs/testlog.junit.xml"))
    *counts, again = run_pytest(build, arguments)
    passed, failed, skipped = map(sum, zip(*results, counts))
    for attempt, names in again.items():
        for name in names:
            print(f"passed only at the {attempt} attempt: {name}")
    late = "".join(f", {len(names)} only at the {attempt} attempt" for attempt, names in again.items() if names)
    print(f"{passed} passed, {failed} failed, {skipped} skipped{late}")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
