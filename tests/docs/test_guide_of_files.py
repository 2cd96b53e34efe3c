"""Tests that the guide of files works word for word: its files are made, its commands are run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "guides"

#: A folder as users of gusty have it.
GUSTY = {
    "METADATA.yml": "schedule_interval: '@daily'\nlatest_only: true\ntags: [shop]\n",
    "raw/METADATA.yml": "prefix_group_id: true\n",
    "raw/orders.yml": (
        "operator: airflow.operators.bash.BashOperator\nbash_command: echo {{ ds }}\n"
    ),
    "report.py": (
        "# ---\n# operator: airflow.operators.python.PythonOperator\n# python_callable: say\n"
        "# dependencies: [raw_orders]\n# ---\n\n\ndef say():\n    print('reported')\n"
    ),
}

#: A file under its name, or a block of commands with what they print.
_STEP = re.compile(
    r"^`(?P<file>[^`\n]+)`\n\n```\w+\n(?P<text>.*?)^```|^```console\n(?P<commands>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.slow
def test_the_guide_of_files_works_word_for_word(tmp_path: Path) -> None:
    follow((GUIDES / "files.md").read_text(), tmp_path)


@pytest.mark.slow
def test_a_folder_of_gusty_is_copied_and_run_as_the_guide_says(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "ostinato.yaml").touch()
    for name, text in GUSTY.items():
        path = tmp_path / "airflow" / "dags" / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    follow((GUIDES / "coming-from-gusty.md").read_text(), tmp_path)


def follow(guide: str, tmp_path: Path) -> None:
    """Make the files of a guide and run its commands, in their order."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OSTINATO_")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    environ = {**kept, "PATH": programs, "OSTINATO_HOME": str(tmp_path / "home"), "TZ": "UTC"}
    folder = tmp_path

    for step in _STEP.finditer(guide):
        if step["file"]:
            path = folder / step["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step["text"])
            continue
        for command, shown in commands_of(step["commands"]):
            if command.startswith("cd "):
                folder = folder / command[3:]
                continue
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            check(command, shown, done.stdout + done.stderr, done.returncode)


def commands_of(block: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a block, each with the lines that are shown under it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def check(command: str, shown: list[str], printed: str, code: int) -> None:
    """Hold what a command printed against what the guide shows; `…` stands for anything."""
    wanted = 0
    if shown and re.fullmatch(r"\[\d+\]", shown[-1]):
        wanted = int(shown[-1][1:-1])
        shown = shown[:-1]
    assert code == wanted, f"$ {command}\n{printed}"
    at = 0
    lines = printed.splitlines()
    for line in shown:
        if line.strip() == "…":
            continue
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        places = [
            number for number in range(at, len(lines)) if re.fullmatch(pattern, lines[number])
        ]
        assert places, f"$ {command}\nshows no line {line!r}, but:\n{printed}"
        at = places[0] + 1
