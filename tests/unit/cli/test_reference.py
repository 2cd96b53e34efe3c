"""This module holds the reference to what there is: every command, option and setting."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from ostinato.cli import entry
from ostinato.model.state import RunState
from ostinato.project.settings import RESERVED, Overrides, Settings
from ostinato.project.settings_file import read_settings

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


def section(name: str) -> str:
    text = (REFERENCE / "cli.md").read_text()
    found = re.search(rf"^## ostinato {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference/cli.md has no section on {name}"
    return found[1]


def command(name: str) -> click.Command:
    assert isinstance(entry.root, click.Group)
    found = entry.root.get_command(click.Context(entry.root), name)
    assert found is not None
    return found


def with_subcommands(name: str) -> list[click.Command]:
    found = command(name)
    return [found, *found.commands.values()] if isinstance(found, click.Group) else [found]


def options(name: str) -> set[str]:
    return {
        text
        for each in with_subcommands(name)
        for parameter in each.params
        if isinstance(parameter, click.Option)
        for text in parameter.opts
    }


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_subcommand_is_documented(name: str) -> None:
    found = command(name)
    names = list(found.commands) if isinstance(found, click.Group) else []

    documented = re.findall(rf"^\| `{name} ([\w-]+)", section(name), re.MULTILINE)

    assert documented == names


def test_every_command_has_a_section_and_no_other_has() -> None:
    text = (REFERENCE / "cli.md").read_text()

    assert re.findall(r"^## ostinato (\w+)$", text, re.MULTILINE) == list(entry.COMMANDS)


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_option_is_documented_and_no_other_is(name: str) -> None:
    rows = [row for row in section(name).splitlines() if row.startswith("| `-")]
    documented = {
        option
        for row in rows
        for option in re.findall(r"(--?[a-z]+(?:-[a-z]+)*)", row.split("|")[1])
    }

    assert documented == options(name)


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_choice_of_format_is_documented(name: str) -> None:
    choices = {
        choice
        for each in with_subcommands(name)
        for parameter in each.params
        if parameter.name == "output" and isinstance(parameter.type, click.Choice)
        for choice in parameter.type.choices
    }

    row = next((r for r in section(name).splitlines() if r.startswith("| `--format`")), "")

    assert set(re.findall(r"`([a-z]+)`", row)) == choices


def test_every_state_is_documented() -> None:
    assert all(f"`{state.label}`" in section("runs") for state in RunState)


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_command_and_option_explains_itself(name: str) -> None:
    for found in with_subcommands(name):
        assert found.help
        assert found.get_short_help_str().endswith(".")
        assert all(p.help for p in found.params if isinstance(p, click.Option))


def keys(schema: Any = Settings, prefix: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(schema):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from keys(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def rows(heading: str) -> dict[str, str]:
    """Return the first two cells of the table below a line."""
    text = (REFERENCE / "settings.md").read_text()
    table = text.split(heading, 1)[1].split("\n\n", 1)[0]
    cells = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    return {row[1].strip(): row[2].strip() for row in cells}


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {key.strip("`"): default for key, default in rows("| key |").items()}

    assert documented.keys() == set(keys())
    settings = Settings()
    assert documented["executor"] == f"`{settings.executor}`"
    assert documented["max_children"] == f"`{settings.max_children}`"
    assert documented["timezone"] == f"`{settings.timezone}`"
    assert documented["version"] == f"`{settings.version}`"
    assert documented["flows"] == f"`[{', '.join(settings.flows)}]`"
    assert documented["store.durability"] == f"`{settings.store.durability}`"


def test_example_says_everything_and_is_sound(tmp_path: Path) -> None:
    text = (REFERENCE / "settings.md").read_text()
    example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    file = tmp_path / "ostinato.yaml"
    file.write_text(example)

    settings = read_settings(file, overrides={}, environ={"OSTINATO_ENVIRONMENT": "laptop"})

    assert settings.max_children == 2
    assert settings.store.durability == "relaxed"
    for key in keys():
        assert re.search(rf"^ *{key.split('.')[-1]}:", example, re.MULTILINE), key


#: Keys that no variable of their name sets.
NOT_BY_VARIABLE = (
    "alerts",
    "version",
    "environments",
    "pools",
    "defaults",
    "connections",
    "variables",
    "secrets",
)

#: Variables that are no settings, and the beginnings of names.
OTHER_VARIABLES = {
    "OSTINATO_CONN_",
    "OSTINATO_DEFAULTS__",
    "OSTINATO_ENVIRONMENT",
    "OSTINATO_HOME",
    "OSTINATO_POOLS__",
    "OSTINATO_SECRET_KEY",
    "OSTINATO_VAR_",
}


def test_every_variable_is_documented() -> None:
    names = {name for cell in rows("| variable |") for name in re.findall(r"`(\w+)", cell)}
    expected = {
        "OSTINATO_" + key.upper().replace(".", "__")
        for key in keys()
        if key.split(".")[0] not in NOT_BY_VARIABLE
    }

    assert names == expected | OTHER_VARIABLES


def test_what_is_kept_for_later_is_documented() -> None:
    text = (REFERENCE / "settings.md").read_text()

    assert all(f"`{key}`" in text for key in RESERVED)
    assert not RESERVED & set(Overrides.__struct_fields__)
