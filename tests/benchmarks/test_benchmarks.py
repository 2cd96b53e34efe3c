"""Each benchmark runs; what it measures is no matter of the tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import GROUPS, LARGE
from benchmarks.result import Figure, format_table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("group", [*GROUPS, LARGE])
def test_a_benchmark_runs_at_a_small_scale(group: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", group, "--scale", "0.01", "--json", file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert figures
    assert figures[0]["value"] > 0
    assert figures[0]["work"] in done.stdout


def test_the_table_shows_the_share_of_the_limit() -> None:
    rate = Figure("work", 50.0, "tasks/s", 40.0, is_rate=True, limit=100.0, limit_name="bare")
    time = Figure("other", 2.0, "ms", 1.0, limit=1.0, limit_name="bare")

    table = format_table([rate, time])

    assert rate.is_reached
    assert not time.is_reached
    assert table.splitlines()[2].split()[-1] == "50%"
    assert table.splitlines()[3].split()[-1] == "50%"
