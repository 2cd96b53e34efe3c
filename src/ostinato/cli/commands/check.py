"""This module is ``ostinato check``: is everything sound, before anything runs?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.model.manifest import DefinitionProblem, Manifest


@click.command("check", short_help="Say what is wrong before anything runs.")
@click.argument("target", default="")
@options.output("text", "json", "github")
@click.option("--strict", is_flag=True, help="Let warnings count as errors.")
@options.environment
@click.pass_context
def command(
    ctx: click.Context, target: str, output: str, *, strict: bool, environment: str | None
) -> None:
    """Load and check TARGET, by default the project around the working directory.

    Ends with exit code 2 if anything is wrong; a warning alone does not count. The format
    `github` marks the lines in a pull request.
    """
    from ostinato.cli import as_json, code, entry
    from ostinato.cli.opening import stored_connections, stored_pools
    from ostinato.project.checks import find_problems

    code.use_environment(environment)
    loading = code.begin_loading(target)
    manifest, _, version = loading.definitions()
    loading.host.close()
    project = loading.project
    found = find_problems(
        manifest,
        project,
        pools=stored_pools(project),
        connections=stored_connections(project) if manifest.connections else (),
    )
    problems = sorted(found, key=lambda each: (each.file, each.line, each.column))
    if output == "json":
        as_json.echo(
            {
                "project": manifest.project,
                "version": version,
                "flows": [flow.name for flow in manifest.flows],
                "problems": [as_json.problem(problem) for problem in problems],
            }
        )
    else:
        _print(manifest, problems, is_github=output == "github")
    if any(strict or problem.is_error for problem in problems):
        ctx.exit(entry.EXIT_USAGE)


def _print(
    manifest: "Manifest", problems: "Sequence[DefinitionProblem]", *, is_github: bool
) -> None:
    from ostinato.cli.display import counted

    for problem in problems:
        click.echo(_annotation(problem) if is_github else _line(problem))
    tasks = sum(len(flow.tasks) for flow in manifest.flows)
    errors = sum(problem.is_error for problem in problems)
    found = [counted(errors, "problem")] if errors else []
    if len(problems) > errors:
        found.append(counted(len(problems) - errors, "warning"))
    said = " and ".join(found) or "no problems"
    click.echo(f"{counted(len(manifest.flows), 'flow')}, {counted(tasks, 'task')}: {said}")


def _line(problem: "DefinitionProblem") -> str:
    """Return a problem as editors and people read it, its place first."""
    if problem.is_error:
        return str(problem)
    import msgspec

    return str(msgspec.structs.replace(problem, message=f"warning: {problem.message}"))


def _annotation(problem: "DefinitionProblem") -> str:
    """Return a workflow command as GitHub's runners read it.

    https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
    """
    place = f"file={_property(problem.file)},line={problem.line or 1}," if problem.file else ""
    if place and problem.column:
        place += f"col={problem.column},"
    hint = f" ({problem.hint})" if problem.hint else ""
    title = f"title={_property(problem.code)}"
    return f"::{problem.severity} {place}{title}::{_data(problem.message + hint)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
