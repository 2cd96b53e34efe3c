"""This module is what the commands for connections, variables and pools share."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.authoring.suggestions import did_you_mean
from ostinato.client.vault import Vault
from ostinato.client.vault_files import format_of, write_entries
from ostinato.errors import UsageError
from ostinato.project.discovery import Project, find_project
from ostinato.project.target import Target
from ostinato.store.opening import open_memory

if TYPE_CHECKING:
    from ostinato.client.vault import Found


@contextmanager
def open_vault(
    folder: Path | None, environment: str | None, *, is_writing: bool = False
) -> Iterator[Vault]:
    """Open the vault of a project.

    Args:
        folder: In the project; None for the working directory.
        environment: Of the settings; None for that of the variable.
        is_writing: Whether a store is made where there is none.
    """
    project = project_of(folder, environment)
    if not is_writing and not project.has_store:
        # Looking leaves nothing behind.
        store = open_memory()
        try:
            yield Vault(store.vault, project)
        finally:
            store.close()
        return
    from ostinato.cli.opening import open_project

    with open_project(project) as opened:
        yield Vault(opened.store.vault, project)


def project_of(folder: Path | None, environment: str | None) -> Project:
    """Return the project of a folder, None for that around the working directory."""
    from ostinato.cli.code import use_environment

    use_environment(environment)
    return find_project(Target(path=folder.resolve()) if folder is not None else None)


def read_value(text: str) -> str:
    """Return a value from the command line; ``-`` stands for standard input.

    What stands on a command line is seen by other users of the machine, and kept by shells.
    """
    return sys.stdin.read().removesuffix("\n") if text == "-" else text


def print_table(header: list[str], rows: list[list[str]], nothing: str) -> None:
    """Print rows below a header, or that there are none."""
    from ostinato.cli.display import columns

    if not rows:
        click.echo(nothing)
        return
    first, *lines = columns([header, *rows])
    click.echo(click.style(first, dim=True))
    for line in lines:
        click.echo(line)


def print_problems(found: "list[Found]") -> None:
    """Print why entries of a list cannot be read."""
    for each in found:
        if each.problem:
            click.echo(f"warning: {each.problem}", err=True)


def refuse_unknown(kind: str, name: str, known: list[str], shadow: str) -> None:
    """Refuse to delete what the store does not have.

    Raises:
        UsageError: Always; says where else it is, or what is near.
    """
    if shadow:
        message = f"the {kind} {name!r} is not in the store, but in {shadow}"
        raise UsageError(message, hint="take it out there")
    hint = did_you_mean(name, known)
    raise UsageError(f"there is no {kind} {name!r} in the store", hint=hint)


def say_set(kind: str, name: str, shadow: str) -> None:
    """Say that something was set, and what wins over it."""
    click.echo(f"{kind} {name!r} is set")
    if shadow:
        click.echo(f"warning: {shadow} has another one of this name, which wins", err=True)


def say_imported(kind: str, added: int, replaced: int, left: list[str]) -> None:
    """Say what an import did."""
    from ostinato.cli.display import counted

    said = f"{counted(added, kind)} added"
    if replaced:
        said += f", {replaced} replaced"
    if left:
        said += f", {len(left)} left as they were ({', '.join(left[:10])}): see --overwrite"
    click.echo(said)


def export(entries: dict[str, Any], kind: str, file: Path | None, form: str | None) -> None:
    """Write entries to a file that its owner alone can read, or to standard output."""
    if form is None:
        form = "json" if file is None else format_of(file)
    text = write_entries(entries, kind, form)
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8") as opened:
            # It may have been there with other rights.
            os.fchmod(handle, 0o600)
            opened.write(text)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"{len(entries)} {kind} written to {file}")
