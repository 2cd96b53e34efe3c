"""This module is ``ostinato doctor``: look for what keeps the project from running well."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostinato.cli.checkup import Finding
    from ostinato.project.discovery import Project


@click.command("doctor", short_help="Look for what keeps the project from running well.")
@options.environment
@options.project
@options.output("text", "json")
@click.pass_context
def command(ctx: click.Context, environment: str | None, project: Path | None, output: str) -> None:
    """Look at this machine, the store and the processes, and say what to do.

    The exit code is 1 if something does not work.
    """
    from ostinato.cli import as_json
    from ostinato.cli.checkup import Level
    from ostinato.cli.entry import EXIT_DONE, EXIT_FAILED
    from ostinato.cli.vault import project_of

    findings = list(_findings(project_of(project, environment)))
    if output == "json":
        as_json.echo([as_json.plain(each) for each in findings])
    else:
        _print(findings)
    ctx.exit(EXIT_FAILED if any(each.level is Level.ERROR for each in findings) else EXIT_DONE)


def _findings(project: "Project") -> "Iterator[Finding]":
    from ostinato.cli import checkup
    from ostinato.cli.opening import open_project
    from ostinato.errors import OstinatoError

    where = "outside of projects" if project.is_implicit else str(project.root)
    yield checkup.ok("project", f"{project.name}, {where}")
    yield from checkup.look_at_machine(project)
    if not project.has_store:
        yield checkup.ok("store", "it is made with the first run")
        return
    try:
        with open_project(project) as opened:
            yield from checkup.look_at_store(opened)
    except OstinatoError as error:
        # What is wrong with it is a finding: the others stand.
        yield checkup.failure("store", error.message, error.hint)


def _print(findings: "list[Finding]") -> None:
    from ostinato.cli.checkup import Level

    signs = {Level.OK: ("✔", "green"), Level.WARNING: ("!", "yellow"), Level.ERROR: ("✖", "red")}
    width = max(len(each.subject) for each in findings)
    for each in findings:
        sign, colour = signs[each.level]
        click.echo(f"{click.style(sign, fg=colour)} {each.subject.ljust(width)}  {each.text}")
        if each.hint:
            click.echo(f"  {' ' * width}  {click.style(each.hint, dim=True)}")
    wrong = [each for each in findings if each.level is not Level.OK]
    errors = sum(each.level is Level.ERROR for each in wrong)
    warnings = len(wrong) - errors
    if not wrong:
        click.echo("all is well")
    else:
        plural = "s" if errors != 1 else "", "s" if warnings != 1 else ""
        click.echo(f"{errors} error{plural[0]}, {warnings} warning{plural[1]}")
