# SPDX-License-Identifier: Apache-2.0
"""What tests and benches leave when they are killed is removed by the next one."""
import signal
import subprocess
import sys
from pathlib import Path

import leftovers
import runtimes
from support import wait_for

MAKER = """
import pathlib, signal, subprocess, sys
sys.path.insert(0, sys.argv[1])
import leftovers
for root in sys.argv[2:]:
    group = pathlib.Path(root) / leftovers.name_of_mine("test", "abcdef") / "below"
    group.mkdir(parents=True)
child = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
(group / "cgroup.procs").write_text(str(child.pid))
print(child.pid, flush=True)
signal.pause()
"""


def test_cgroups_of_a_killed_maker():
    roots = [root for root in (leftovers.CGROUPS / "unified", leftovers.CGROUPS / "memory", leftovers.CGROUPS) if (root / "cgroup.procs").exists()]
    maker = subprocess.Popen([sys.executable, "-c", MAKER, str(Path(leftovers.__file__).parent), *map(str, roots)], stdout=subprocess.PIPE, text=True,
                             preexec_fn=runtimes.die_with_parent)
    child = int(maker.stdout.readline())
    name = f"fathom-test-{maker.pid}-abcdef"
    try:
        leftovers.sweep()
        assert all((root / name / "below").exists() for root in roots)  # its maker lives
    finally:
        maker.kill()
        maker.wait()
        maker.stdout.close()
    assert leftovers.sweep().count(name) == len(roots)
    assert not any((root / name).exists() for root in roots)
    wait_for(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0], 5, "the process in it to end")


def test_a_polite_kill_ends_in_order():
    program = "import sys, signal\nsys.path.insert(0, sys.argv[1])\nimport leftovers\nleftovers.end_in_order()\ntry:\n    print(1, flush=True)\n    signal.pause()\nfinally:\n    print(2, flush=True)\n"
    process = subprocess.Popen([sys.executable, "-c", program, str(Path(leftovers.__file__).parent)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "1\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == "2\n" and process.returncode == 1
