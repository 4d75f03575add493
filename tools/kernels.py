#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev kernels: every probe × every rung on Debian's kernels and on this one, and fathom on containers there: one table."""
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/kernel")]

import guest  # noqa: E402
import scenario  # noqa: E402
from support import Missing  # noqa: E402


def commands(answers):
    """What whole commands did in a guest, by name."""
    found = {}
    for name, answer in answers.items():
        if name in ("probe_check", "left"):
            continue
        state = "ok" if answer.status == 0 else f"exit {answer.status}"
        if name.startswith("profile_") and answer.status == 0:
            share, samples = scenario.shares(answer.text)
            state = f"ok, {100 * share['three_quarters']:.0f}/{100 * share['one_quarter']:.0f} of {samples}"
        found[name] = state
    return found


def main():
    columns, notes = {}, []
    for series in sys.argv[1:] or guest.SERIES:
        with tempfile.TemporaryDirectory(prefix="fathom-guest-") as directory:
            release, answers, ready_s = scenario.ask(series, directory)
        print(f"{release}: up after {ready_s:.1f} s", file=sys.stderr)
        columns[release] = (scenario.rungs(answers["probe_check"].text), commands(answers))
        notes += [f"{release} {n}: {a.text.strip()[-400:]}" for n, a in answers.items() if a.status]
    release, answer = scenario.ask_here()
    columns[f"{release} (here)"] = (scenario.rungs(answer.text), {})

    rows = {}
    for release, (rungs, done) in columns.items():
        for rung in rungs:
            rows.setdefault(f"{rung.probe}: {rung.name}", {})[release] = rung.state
            if rung.state != "ok":
                notes.append(f"{release} {rung.probe}: {rung.name}: {rung.text}")
        for name, state in done.items():
            rows.setdefault(f"guest: {name}", {})[release] = state
    width = max(map(len, rows), default=0)
    widths = [max([len(r)] + [len(row.get(r, "-")) for row in rows.values()]) for r in columns]
    print(" " * width, *(f"{r:<{w}}" for r, w in zip(columns, widths)), sep="  ")
    for name, states in rows.items():
        print(f"{name:<{width}}", *(f"{states.get(r, '-'):<{w}}" for r, w in zip(columns, widths)), sep="  ")
    print("\n".join(["", *notes]) if notes else "")
    bad = any(s == "fail" or s.startswith("exit") for row in rows.values() for s in row.values())
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as missing:
        sys.exit(f"./dev kernels: {missing}")
