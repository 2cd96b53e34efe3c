"""This module tests parse hooks: functions with which users read types of files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.authoring.files.folders import read, read_one, write, wrong_in


def test_hook_reads_a_type_of_its_own(tmp_path: Path) -> None:
    def parse(file_path: str) -> dict[str, Any]:
        return {"operator": "bash", "bash_command": Path(file_path).read_text()}

    file = read_one(tmp_path, "Greet.sh", "echo hi", hooks={".sh": parse}, only_gusty=True)

    assert file.task_id == "greet"
    assert file.keys.values == {"operator": "bash", "bash_command": "echo hi"}
    assert file.is_hooked


def test_hook_goes_before_the_builtin_way(tmp_path: Path) -> None:
    file = read_one(tmp_path, "a.sql", "---\nx", hooks={".sql": lambda path: {"operator": "own"}})

    assert file.keys.values == {"operator": "own"}


def test_hook_receives_what_it_asks_for_by_name(tmp_path: Path) -> None:
    def parse(file_path: str, loader: Any, runner: Any, render_on_create: bool) -> dict[str, Any]:
        with open(file_path) as file:
            spec: dict[str, Any] = yaml.load(file, Loader=loader)
        spec["doc"] = runner.render(spec["doc"])
        spec["renders"] = render_on_create
        return spec

    file = read_one(
        tmp_path,
        "a.task",
        "operator: bash\nsize: !double 2\ndoc: '{{ double(3) }} {{ ds }}'",
        hooks={".task": parse},
        constructors={"double": lambda x: x * 2},
        render_on_create=True,
    )

    assert file.keys.values == {
        "operator": "bash",
        "size": 4,
        "doc": "6 {{ ds }}",
        "renders": True,
    }


def test_hook_is_asked_again_at_each_reading(tmp_path: Path) -> None:
    answers = iter([{"operator": "a"}, {"operator": "b"}])
    hooks = {".x": lambda path: next(answers)}
    write(tmp_path, {"a.x": ""})
    first, _ = read(tmp_path, hooks=hooks)

    second, _ = read(tmp_path, hooks=hooks, previous=first)

    assert second.files[0].keys.get("operator") == "b"


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        (
            lambda path: 1 / 0,
            "a.x:1:1 F024 the parse hook of this type failed: ZeroDivisionError: division by zero",
        ),
        (
            dict,
            "a.x:1:1 F024 the parse hook of this type failed: ValueError: dictionary update "
            "sequence element #0 has length 1; 2 is required",
        ),
        (
            lambda path: None,
            "a.x:1:1 F024 the parse hook of this type returned None where keys and values must be",
        ),
        (
            lambda path: ["a"],
            "a.x:1:1 F024 the parse hook of this type returned a "
            "list where keys and values must be",
        ),
        (
            lambda path, runner: {"a": runner.render("{{ x")},
            "a.x:1:1 F024 the parse hook of this type failed: ValueError: the template of template "
            "does not parse: unexpected end of template, expected 'end of print statement'.",
        ),
        (
            lambda path, loader: yaml.load("!timedelta x", Loader=loader),
            "a.x:1:1 F024 the parse hook of this type failed: ValueError: !timedelta failed: "
            "TypeError: unsupported type for timedelta days component: str",
        ),
    ],
)
def test_hook_that_fails_is_named_on_its_file(tmp_path: Path, hook: Any, problem: str) -> None:
    assert wrong_in(tmp_path, "a.x", "", hooks={".x": hook}) == [problem]
