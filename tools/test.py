#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev test: the unit tests (meson) and everything that drives containers, kernels and pages (pytest), as one count.
Both runners report in JUnit's form; a runner that ends without a report, or badly with no failure in it, is a failure."""
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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
    report = build / "pytest.junit.xml"
    # Debian's python3, by its path: it is the one that has Debian's pytest.
    results.append(run("containers, kernels, pages",
                       ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-ra", "-q", "--durations=5",
                        f"--junitxml={report}", *(arguments or ["tests"])], report))
    passed, failed, skipped = map(sum, zip(*results))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
