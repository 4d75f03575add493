# SPDX-License-Identifier: Apache-2.0
"""./dev test runs what failed again, and says what passed only then."""
import importlib.util
import time
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parent.parent.parent / "tools/test.py"
FLAKY = """
import pytest
from pathlib import Path

def attempt(name):
    path = Path(__file__).parent / name
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    return len(path.read_text())

def test_good():
    assert attempt("good") == 1

@pytest.mark.parametrize("needed", [2, 3, 4])
def test_late(needed):
    assert attempt(f"late{needed}") >= needed

def test_skipped():
    pytest.skip("lacks something")
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """tools/test.py as a module, of a project whose only tests are FLAKY's."""
    spec = importlib.util.spec_from_file_location("runner", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_flaky.py").write_text(FLAKY)
    return module


def test_failures_have_three_attempts(runner, tmp_path):
    passed, failed, skipped, again = runner.run_pytest(tmp_path, [])
    name = "tests/test_flaky.py::test_late[{}]".format
    assert (passed, failed, skipped) == (3, 1, 1)
    assert again == {"second": [name(2)], "third": [name(3)]}


def test_no_other_attempt_without_time(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "BEGAN_S", time.monotonic() - runner.AGAIN_UNTIL_S)
    assert runner.run_pytest(tmp_path, []) == (1, 3, 1, {})


def test_an_attempt_ends_in_time(runner, tmp_path):
    (tmp_path / "tests/test_flaky.py").write_text("import time\ndef test_slow():\n    time.sleep(600)\n")
    report = tmp_path / "report.xml"
    began = time.monotonic()
    assert runner.run("cut short", runner.pytest(report, "tests"), report, 3)[1] == 1
    assert time.monotonic() - began < 300


def test_the_last_line_says_it(runner, monkeypatch, capsys):
    monkeypatch.setattr(runner, "web_packages", lambda build: (0, 0, 0))
    monkeypatch.setattr(runner, "run_pytest", lambda build, arguments: (7, 0, 1, {"second": ["a"], "third": ["b", "c"]}))
    assert runner.main(["tests"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "7 passed, 0 failed, 1 skipped, 1 only at the second attempt, 2 only at the third attempt"
    assert "passed only at the third attempt: c" in lines
