"""This module holds type checkers to what they must accept and refuse of users' code."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: No module, so that the checks of the whole project pass it by.
REFUSED = HERE / "refused.py.txt"

EXPECTED = re.compile(r"  # ([a-z, -]+)$")
REPORTED = re.compile(r"^(\S+?):(\d+): error: .*\[([a-z-]+)\]$", re.M)


def complaints(tmp_path: Path, source: Path) -> dict[int, set[str]]:
    """Return the codes of mypy's errors in a file by line."""
    name = "checked.py"
    shutil.copy(source, tmp_path / name)
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-incremental"),
            *("--follow-imports", "silent", "--config-file", "", "--cache-dir", str(tmp_path)),
            str(tmp_path / name),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"MYPYPATH": str(ROOT / "src"), "PATH": ""},
    )
    assert not checked.stderr, checked.stderr
    found: dict[int, set[str]] = {}
    for file, line, code in REPORTED.findall(checked.stdout):
        assert file.endswith(name), checked.stdout
        found.setdefault(int(line), set()).add(code)
    return found


@pytest.mark.slow
def test_users_code_is_accepted(tmp_path: Path) -> None:
    assert complaints(tmp_path, HERE / "accepted.py") == {}


@pytest.mark.slow
def test_each_wrong_line_is_refused_for_its_reason(tmp_path: Path) -> None:
    lines = REFUSED.read_text().splitlines()
    expected = {
        number: set(match[1].split(", "))
        for number, line in enumerate(lines, 1)
        if (match := EXPECTED.search(line))
    }

    assert complaints(tmp_path, REFUSED) == expected
