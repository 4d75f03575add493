# SPDX-License-Identifier: Apache-2.0
"""Flame graphs in a real browser: zoom, search, turning over, the keyboard; with 200,000 stacks and with hostile names."""
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support import ROOT, Missing, fathom_binary, run, tool  # noqa: E402

WEB = Path(__file__).resolve().parent
HOSTILE = [
    b"\x1b]0;owned\x07\x1b[2J", b"</script><script>alert(1)</script>", b'"><img src=x onerror=alert(1)>',
    b"' onmouseover='alert(1)", b"\xff\xfebroken\xc0", "\u202egnp.exe".encode(), b"]]><!--", b"${alert(1)}", b"&lt;b&gt;",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A function that opens a page and returns what browser.mjs saw."""
    try:
        chromium, node, npm = tool("chromium"), tool("node"), tool("npm")
        fathom_binary()
    except Missing as missing:
        pytest.skip(str(missing))
    if not (WEB / "node_modules/playwright-core/package.json").exists():
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=WEB, timeout=300)

    def look(page, search):
        profile = tmp_path_factory.mktemp("profile")
        done = run(node, WEB / "browser.mjs", chromium, profile, page, search, cwd=WEB, timeout=180)
        return json.loads(done.stdout)

    return look


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """200,000 different stacks."""
    path = tmp_path_factory.mktemp("large") / "large.folded"
    with open(path, "wb") as file:
        subprocess.run([sys.executable, ROOT / "bench/genfolded.py", "200000"], stdout=file, check=True, timeout=300)
    return path


@pytest.fixture
def hostile(tmp_path):
    path = tmp_path / "hostile.folded"
    path.write_bytes(b"".join(b"root;%s;leaf %d\n" % (name, 100 + i) for i, name in enumerate(HOSTILE)))
    return path


def picture(source, suffix, tmp_path):
    page = tmp_path / f"{source.stem}{suffix}"
    run(fathom_binary(), "flame", source, "-o", page)
    return page


def share(text):
    return float(re.search(r"matched ([0-9.e-]+) %", text).group(1))


def true_share(source, pattern):
    """Share of the weight of stacks with a matching frame, from the source."""
    total = matched = 0
    for line in source.read_bytes().splitlines():
        stack, weight = line.rsplit(b" ", 1)
        total += int(weight)
        if re.search(pattern, stack):
            matched += int(weight)
    return 100 * matched / total


def check_common(seen):
    assert seen["errors"] == []
    assert seen["dialogs"] == 0
    assert seen["requests"] == 0
    assert seen["matched"].startswith("matched ")
    assert seen["matched_again"].split(" in ")[0] == seen["matched"].split(" in ")[0]
    assert "z=" in seen["hash_zoomed"]
    assert "q=" in seen["hash_searched"]
    assert seen["inverted"] == "true"


def test_large_html(browser, large, tmp_path):
    page = picture(large, ".html", tmp_path)
    assert page.stat().st_size < 8 << 20
    name = "func_25b_handler"  # deep down, in tens of thousands of places too small to be in the page
    seen = browser(page, f"^{name}$")
    check_common(seen)
    assert re.fullmatch(r"svc\d+", seen["zoomed"])
    assert seen["crumbs"] == ["all", seen["zoomed"]]
    assert re.fullmatch(r"svc\d+", seen["walked"])
    assert seen["rows"] == 300
    assert 500 < seen["drawn"] < 100000
    truth = true_share(large, rb"(^|;)%s(;|$)" % name.encode())
    assert truth > 0.1 and share(seen["matched"]) == pytest.approx(truth, abs=0.06)
    assert seen["sandwich"]["middle"] == name


def test_search_of_several_functions_too_small_to_show(browser, large, tmp_path):
    """They may be in the same stacks: the page says at least and at most."""
    seen = browser(picture(large, ".html", tmp_path), "^func_25[0-9a-f]_handler$")
    least, most = re.fullmatch(r"matched ([0-9.]+)(?: to ([0-9.]+))? %", seen["matched"]).groups()
    truth = true_share(large, rb"(^|;)func_25[0-9a-f]_handler(;|$)")
    assert float(least) - 0.06 <= truth <= float(most or least) + 0.06


def test_sandwich(browser, tmp_path):
    source = tmp_path / "calls.folded"
    source.write_text("one;middle;left 10\ntwo;middle;right 25\ntwo;middle;middle;right 5\ntwo;middle 5\nelsewhere 55\n")
    seen = browser(picture(source, ".html", tmp_path), "^middle$")
    check_common(seen)
    assert seen["matched"] == "matched 45.0 %"
    sandwich = seen["sandwich"]
    assert sandwich["middle"] == sandwich["again"] == "middle" and "s=" in sandwich["hash"]
    assert "callers of middle" in sandwich["crumbs"]
    assert re.match(r"middle .*\b45 samples .*45\.0 % of all", sandwich["details"])  # within itself it counts once
    assert re.match(r"two .*\b35 samples .*77\.8 % of middle, through this caller", sandwich["caller"])
    assert re.match(r"right .*\b25 samples .*55\.6 % of middle, in this callee", sandwich["callee"])
    assert sandwich["climbed"] == "two"


def test_large_svg(browser, large, tmp_path):
    page = picture(large, ".svg", tmp_path)
    assert page.stat().st_size < 8 << 20
    seen = browser(page, "^svc3$")
    check_common(seen)
    assert seen["after"] > 1100 > seen["before"]
    assert seen["reset"] == pytest.approx(seen["before"], abs=0.01)
    assert share(seen["matched"]) == pytest.approx(true_share(large, rb"^svc3;"), abs=0.06)


def test_names_where_there_is_little_room(browser, tmp_path):
    """Names of templates lose their brackets before their ends; drawn again after a zoom they are the same."""
    labels = {"shop::Cache<std::string, std::vector<int, std::allocator<int> > >::get(std::string const&)": "shop::Cache<…>::get(…)",
              "shop::Handler::operator()(std::vector<int> const&) const": "shop::Handler::operator…",
              "std::vector<std::string, std::allocator<int> >::operator->()": "std::vector<…>::operato…",
              "<alloc::vec::Vec<T> as Extend<T, and::more<U>>>::extend": "<alloc::vec::Vec<…> as …",
              "[libfoo.so: stripped, not an exported function (really)]": "[libfoo.so: stripped, n…",
              "damaged<of::a::name, that::nobody::closes(, ever": "damaged<of::a::name, th…",
              "between": "between"}
    folded = tmp_path / "names.folded"
    folded.write_text("".join(f"main;{name} 100\n" for name in labels))
    seen = browser(picture(folded, ".svg", tmp_path), "shop")
    assert {"all", "main", *labels.values()} == set(seen["labels"])
    assert seen["labels_again"] == seen["labels"]


@pytest.mark.parametrize("suffix", [".html", ".svg"])
def test_hostile(browser, hostile, tmp_path, suffix):
    seen = browser(picture(hostile, suffix, tmp_path), "script")
    check_common(seen)
    frames = set()
    for line in hostile.read_bytes().splitlines():
        names = line.rsplit(b" ", 1)[0].split(b";")  # a name with a semicolon is several
        frames.update(tuple(names[:i]) for i in range(len(names) + 1))
    assert seen["drawn"] == len(frames)
    assert share(seen["matched"]) == pytest.approx(true_share(hostile, rb"script"), abs=0.06)
