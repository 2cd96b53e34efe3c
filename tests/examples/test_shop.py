"""The example that is a folder of files: it works as its page and the front page say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shop"

_BLOCK = re.compile(r"^`([^`\n]+)`\n\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the project."""
    folder = tmp_path / "shop"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".ostinato", "*.duckdb", "__*"))
    return folder


def ostinato(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ostinato", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.slow
def test_the_shop_prints_what_its_page_says(shop: Path) -> None:
    page = (EXAMPLE / "README.md").read_text()
    (commands,) = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    for part in commands.split("$ ostinato ")[1:]:
        command, *shown = part.splitlines()
        printed = ostinato(shop, *command.split()).splitlines()
        for line in shown:
            pattern = ".*".join(map(re.escape, line.split("…")))
            assert any(re.fullmatch(pattern, each) for each in printed), (line, printed)
    with duckdb.connect(str(shop / "shop.duckdb"), read_only=True) as connection:
        total = connection.execute("SELECT sum(orders) FROM marts.revenue").fetchall()
    assert total == [(20,)]


def test_the_front_page_shows_the_files_of_the_shop() -> None:
    shown = dict(_BLOCK.findall((ROOT / "README.md").read_text()))

    files = {name: text for name, text in shown.items() if name.startswith("flows/shop/")}
    assert len(files) == 5
    for name, text in files.items():
        assert text == (EXAMPLE / name).read_text(), name
