"""This module holds the house to its rules where no linter does."""

import ast
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ostinato"
MODULES = sorted(SOURCE.rglob("*.py"))
LOCKED = sorted((ROOT / "requirements").glob("*.txt"))

MAX_LINES = 800
FORBIDDEN_NAME = re.compile(r"(utils?|common|helpers?|core|base|base_.*|.*_manager|managers?)")
FRAGMENT = re.compile(r"[a-z0-9-]+\.(added|changed|deprecated|removed|fixed|security)\.md")
SILENCER = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no (cover|branch))")
REASONED = re.compile(
    r"#\s*(noqa: [A-Z0-9, ]*[0-9]|type: ignore\[[a-z, -]+\]|pragma: no (cover|branch))"
    r"\s*[-#:]\s*\w"
)


def test_newest_version_in_changelog_is_that_of_the_project() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()

    versions = re.findall(r"^## \[(.+?)\] - (?:Unreleased|\d{4}-\d{2}-\d{2})$", changelog, re.M)

    assert versions[:1] == [load_project()["version"]]


def test_changelog_fragments_are_named_by_slug_and_kind() -> None:
    names = {path.name for path in (ROOT / "changelog.d").iterdir()} - {"README.md"}

    assert [name for name in sorted(names) if not FRAGMENT.fullmatch(name)] == []


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.name)
def test_locked_requirements_hold_no_address(path: Path) -> None:
    addressed = [line for line in path.read_text().splitlines() if re.search(r"://|file:|@", line)]

    assert addressed == []


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.name)
def test_locked_requirements_are_pinned_and_hashed(path: Path) -> None:
    entries = list(locked_entries(path))

    assert entries
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_no_other_lock_file_lies_about() -> None:
    # It would hold the address of the index from which it was made.
    assert [
        name for name in ("poetry.lock", "pdm.lock", "pylock.toml") if (ROOT / name).exists()
    ] == []


@pytest.mark.parametrize(
    ("locked", "extras"),
    [("base.txt", []), ("demo.txt", ["examples"]), ("dev.txt", ["arrow", "dev", "examples"])],
)
def test_what_the_project_requires_is_locked(locked: str, extras: list[str]) -> None:
    project = load_project()
    required = [*project["dependencies"]]
    for extra in extras:
        required += project["optional-dependencies"][extra]

    pinned = {distribution(entry) for entry in locked_entries(ROOT / "requirements" / locked)}

    assert {distribution(requirement) for requirement in required} - pinned == set()


def test_all_locks_agree_on_versions() -> None:
    pins: dict[str, set[str]] = {}
    for path in LOCKED:
        for entry in locked_entries(path):
            # What else is installed may need a package on more platforms.
            pins.setdefault(path.name, set()).add(entry.split(" \\")[0].split(" ;")[0])

    assert pins["base.txt"] - pins["demo.txt"] == set()
    assert pins["demo.txt"] - pins["dev.txt"] == set()


def test_modules_are_short_enough_to_be_read() -> None:
    lengths = {place(path): len(path.read_text().splitlines()) for path in MODULES}

    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_modules_are_named_by_what_they_hold() -> None:
    misnamed = [path for path in MODULES if any(map(FORBIDDEN_NAME.fullmatch, name_parts(path)))]

    assert [place(path) for path in misnamed] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]

    assert [place(path) for path in silent] == []


def test_every_silenced_check_names_its_rule_and_reason() -> None:
    sources = [path for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.py")]

    bare = [
        f"{place(path)}:{line}: {comment}"
        for path in sorted(sources)
        for line, comment in comments(path)
        if SILENCER.search(comment) and not REASONED.search(comment)
    ]

    assert bare == []


def load_project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def locked_entries(path: Path) -> Iterator[str]:
    """Yield one string a requirement: its line and the indented ones that follow."""
    yield from re.findall(r"^[A-Za-z0-9].*\n(?:[ ]+.*\n)*", path.read_text(), re.M)


def distribution(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def name_parts(path: Path) -> tuple[str, ...]:
    return path.relative_to(SOURCE).with_suffix("").parts


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def comments(path: Path) -> Iterator[tuple[int, str]]:
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
