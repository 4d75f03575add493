#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev test: the unit tests (meson) and everything that drives containers, kernels and pages (pytest), as one count.
Both runners report in JUnit's form; a runner that ends without a report, or badly with no failure in it, is a failure.
A few failures on a busy machine may be the machine's: such tests run once more, alone, and the output says which passed
only then. A fault of ours fails again."""
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST_TIMEOUT_S = 1500  # no single test (a guest may be started three times) takes so long; then it tells where it hangs
SECOND_TRIES = 12  # more failures than these are no accident
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


def run(title, command, report):
    print(f"== {title}", flush=True)
    report.unlink(missing_ok=True)
    status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    try:
        passed, failed, skipped = count(report)
    except (OSError, xml.ParseError) as error:
        print(f"{title}: no report: {error}")
        return 0, 1, 0
    if status != 0 and failed == 0:
        print(f"{title}: ended with status {status} without naming a failed test")
        failed = 1
    return passed, failed, skipped


def failed_tests(report):
    """The failed tests of a pytest report, as pytest's arguments name them."""
    names = []
    for case in xml.parse(report).iter("testcase"):
        # A file that cannot be read at all is no test, and is no better a second time.
        if case.get("classname") and {child.tag for child in case} & {"failure", "error"}:
            names.append(f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}")
    return list(dict.fromkeys(names))


def pytest(report, *arguments):
    # Debian's python3, by its path: it is the one that has Debian's pytest.
    return ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-ra", "-q", "--durations=10",
            f"--timeout={TEST_TIMEOUT_S}", f"--junitxml={report}", *arguments]


def run_pytest(build, arguments):
    report, again = build / "pytest.junit.xml", build / "pytest-again.junit.xml"
    passed, failed, skipped = run("containers, kernels, pages", pytest(report, *(arguments or ["tests"])), report)
    suspects = failed_tests(report) if report.exists() else []
    if not 0 < len(suspects) <= SECOND_TRIES:
        return passed, failed, skipped
    more, _, _ = run(f"once more: {len(suspects)} that failed", pytest(again, *suspects), again)
    recovered = sorted(set(suspects) - set(failed_tests(again))) if more else []
    # A test that failed and could not be cleaned up after is counted twice the first time.
    failed = 0 if len(recovered) == len(suspects) else max(1, failed - len(recovered))
    passed += len(recovered)
    for name in recovered:
        print(f"passed only at the second attempt: {name}")
    return passed, failed, skipped


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
    results.append(run_pytest(build, arguments))
    passed, failed, skipped = map(sum, zip(*results))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
