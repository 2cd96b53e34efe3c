"""This module is ``ostinato db``: look after the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.cli.opening import Opened
    from ostinato.client.retention import Policy, Retention


@click.group("db", short_help="Look after the store.")
def command() -> None:
    """See what is in the store, check it, and delete what is old.

    A store is brought to the schema of this version by whatever command opens it first; an older
    version then refuses it.
    """


@command.command("status")
@options.environment
@options.project
@options.output("text", "json")
def status(environment: str | None, project: Path | None, output: str) -> None:
    """Say what the store is, how large it is and what is kept how long."""
    from ostinato.cli import as_json, code
    from ostinato.cli.display import moment, size
    from ostinato.cli.opening import open_runs

    code.use_environment(environment)
    with open_runs(project) as opened:
        found = opened.store.inspect()
        if output == "json":
            kept = as_json.plain(opened.project.settings.retention)
            as_json.echo({**as_json.plain(found), "retention": kept})
            return
        free = f", {size(found.free_bytes)} of it free" if found.free_bytes else ""
        click.echo(f"{found.kind}  {found.place}")
        click.echo(f"schema {found.schema}, {size(found.size_bytes)}{free}")
        for name, count in found.counts.items():
            if count or name == "runs":
                click.echo(f"{count:>12,} {name}")
        if found.oldest_us:
            click.echo(f"oldest run {moment(found.oldest_us)}, newest {moment(found.newest_us)}")
        click.echo(_told(opened))


@command.command("migrate")
@options.environment
@options.project
def migrate(environment: str | None, project: Path | None) -> None:
    """Bring the store to the schema of this version, and make it if it is not there."""
    from ostinato.cli import code
    from ostinato.cli.opening import open_project
    from ostinato.cli.vault import project_of

    code.use_environment(environment)
    with open_project(project_of(project, environment)) as opened:
        found = opened.store.inspect()
        click.echo(f"{found.place} has schema {found.schema}")


@command.command("check")
@options.environment
@options.project
@options.output("text", "json")
@click.pass_context
def check(ctx: click.Context, environment: str | None, project: Path | None, output: str) -> None:
    """Look for what is unsound in the store; this reads all of it."""
    from ostinato.cli import as_json, code
    from ostinato.cli.entry import EXIT_FAILED
    from ostinato.cli.opening import open_runs

    code.use_environment(environment)
    with open_runs(project) as opened:
        problems = opened.store.check_integrity()
    if output == "json":
        as_json.echo(problems)
    else:
        for problem in problems or ["the store is sound"]:
            click.echo(problem)
    ctx.exit(EXIT_FAILED if problems else 0)


@command.command("prune", short_help="Delete what is old.")
@click.option("--runs", metavar="AGE", help="Runs that ended longer ago, such as 90d.")
@click.option("--per-flow", metavar="N", type=click.IntRange(min=1), help="Runs beyond so many.")
@click.option("--events", metavar="AGE", help="What happened longer ago.")
@click.option("--logs", metavar="AGE", help="Logs of runs that ended longer ago.")
@click.option("--values", metavar="AGE", help="Large values of runs that ended longer ago.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Only say what would be deleted.")
@options.environment
@options.project
@options.output("text", "json")
def prune(
    *,
    runs: str | None,
    per_flow: int | None,
    events: str | None,
    logs: str | None,
    values: str | None,
    is_dry: bool,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Delete what is older than the settings under `retention` say, or than is said here.

    The scheduler does so by itself, once an hour. Live runs, the newest run of each flow and its
    newest one that succeeded always stay.
    """
    from collections import Counter

    from ostinato.cli import as_json, code
    from ostinato.cli.opening import open_runs
    from ostinato.client.retention import Retention
    from ostinato.clock import SystemClock

    code.use_environment(environment)
    given = {"runs": runs, "events": events, "logs": logs, "values": values}
    with open_runs(project) as opened:
        policy = _policy(opened, given, per_flow)
        retention = Retention(opened.store, opened.project, policy, SystemClock())
        counts = retention.plan() if is_dry else _prune(retention)
        if output == "json":
            as_json.echo(dict(counts))
            return
        of_flows = Counter({name: n for name, n in counts.items() if name.startswith("runs of ")})
        for name, number in (*(counts - of_flows).items(), *of_flows.most_common(10)):
            click.echo(f"{number:>12,} {name}")
        if not counts:
            click.echo(
                f"nothing is old: {_told(opened)}"
                if not any(given.values())
                else "nothing is so old"
            )
        elif is_dry:
            click.echo("would be deleted; nothing was done")


def _prune(retention: "Retention") -> Any:
    from collections import Counter

    counts: Counter[str] = Counter()
    for step in retention.prune():
        counts[step.what] += step.number
    return counts


def _policy(opened: "Opened", given: dict[str, str | None], per_flow: int | None) -> "Policy":
    """Return what the settings say, or what stands on the command line."""
    import msgspec

    from ostinato.authoring.quantities import seconds_of
    from ostinato.client.retention import policy_of
    from ostinato.errors import UsageError

    changes: dict[str, Any] = {}
    for name, text in given.items():
        if text is None:
            continue
        try:
            changes[f"{name}_s"] = seconds_of(text)
        except ValueError as error:
            raise UsageError(f"--{name}: {error}") from None
    if per_flow is not None:
        changes["runs_per_flow"] = per_flow
    settings = opened.project.settings.retention
    # What is given stands for all of what the settings say: nobody prunes more than they name.
    policy = policy_of(settings) if not changes else policy_of(type(settings)())
    return msgspec.structs.replace(policy, **changes)


def _told(opened: "Opened") -> str:
    """Return what is kept how long."""
    settings = opened.project.settings.retention
    said = [
        f"{name} for {age}"
        for name in ("runs", "events", "logs", "values")
        if (age := getattr(settings, name))
    ]
    if settings.runs_per_flow:
        said.append(f"{settings.runs_per_flow:,} runs of each flow")
    return f"kept: {', '.join(said)}" if said else "all is kept (see retention in the settings)"
