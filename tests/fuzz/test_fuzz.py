# SPDX-License-Identifier: Apache-2.0
"""Every parser of what a container controls, a few seconds under libFuzzer with sanitizers, from the kept corpus. Longer:
./dev fuzz SECONDS."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECONDS = 4
BUILD_DEADLINE_S = 900
NAMES = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c"))


@pytest.mark.parametrize("name", NAMES)
def test_parser_survives(name):
    if not shutil.which("clang") or not list(Path("/usr/lib").glob("llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a")):
        if os.environ.get("CI"):
            pytest.fail("clang's fuzzer runtime is not installed")
        pytest.skip("clang's fuzzer runtime is not installed")
    done = subprocess.run([ROOT / "tools/fuzz.sh", str(SECONDS), name], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=BUILD_DEADLINE_S)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "Done" in done.stdout, done.stdout # it did run
