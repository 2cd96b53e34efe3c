"""This module finds, tries out and shows what asks for runs: sensors, and sources of messages."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from ostinato.cli import as_json
from ostinato.cli.code import begin_loading, use_environment, warn
from ostinato.cli.display import columns, counted, duration, error_block, iso, moment
from ostinato.cli.opening import Opened, open_project
from ostinato.cli.vault import print_table
from ostinato.errors import UsageError
from ostinato.model.event_sensor import SensorDefinition, SensorKind
from ostinato.model.failure import Failure
from ostinato.model.manifest import Manifest
from ostinato.model.sensor_state import SensorState, TickOutcome, TickRow
from ostinato.model.sensor_tick import EndedRun, TickInput, TickResult

Json = dict[str, Any]

_COLOURS = {TickOutcome.REQUESTED: "green", TickOutcome.FAILED: "red"}


class Declared(Struct, frozen=True):
    """A sensor or a source of messages, as the code has it.

    Attributes:
        name: Its name, or its label.
        kind: What makes it tick: ``polling``, ``run_status``, ``event``.
        flows: Whose runs it asks for.
        definition: Of a sensor; None for a source.
    """

    name: str
    kind: str
    flows: tuple[str, ...]
    definition: SensorDefinition | None = None


@contextmanager
def open_declared(
    folder: Path | None, environment: str | None
) -> Iterator[tuple[Opened, list[Declared]]]:
    """Load a project's code, then open its store.

    Args:
        folder: In the project; None for the working directory.
        environment: Of the settings; None for that of the variable.
    """
    use_environment(environment)
    code = begin_loading(str(folder or Path.cwd()))
    try:
        manifest, _, _ = code.definitions()
    finally:
        code.host.close()
    warn(manifest.problems)
    with open_project(code.project) as opened:
        yield opened, declared_in(manifest)


def declared_in(manifest: Manifest) -> list[Declared]:
    """Return all that may ask for runs, in the order of names."""
    found = [Declared(each.name, each.kind.value, each.flows, each) for each in manifest.sensors]
    sources: dict[str, list[str]] = {}
    for flow in manifest.flows:
        for source in flow.on:
            sources.setdefault(source.label, []).append(flow.name)
    found += [Declared(label, "event", tuple(flows)) for label, flows in sources.items()]
    return sorted(found, key=lambda each: each.name)


def find(declared: Sequence[Declared], name: str) -> Declared:
    """Return what is declared under a name.

    Raises:
        UsageError: Nothing is; says what is.
    """
    from ostinato.authoring.suggestions import did_you_mean

    found = next((each for each in declared if each.name == name), None)
    if found is None:
        names = [each.name for each in declared]
        some = f"there are {', '.join(names[:10])}" if names else "the project declares none"
        raise UsageError(f"there is no sensor {name!r}", hint=did_you_mean(name, names) or some)
    return found


def make_known(opened: Opened, declared: Declared) -> SensorState:
    """Begin to keep a sensor as a scheduler does."""
    definition = declared.definition
    follows = declared.kind == SensorKind.RUN_STATUS
    return opened.client.sensors.ensure(
        opened.project.name,
        declared.name,
        is_paused=definition is not None and definition.is_paused,
        cursor=opened.client.sensors.event_cursor() if follows else None,
    )


# All of them


class Overview(Struct, frozen=True):
    """A sensor and how it stands.

    Attributes:
        declared: As the code has it.
        state: What is kept of it; None if no scheduler has seen it.
        last: Its last tick, None before the first one.
    """

    declared: Declared
    state: SensorState | None
    last: TickRow | None

    @property
    def is_paused(self) -> bool:
        """Whether it waits to be resumed."""
        if self.state is not None:
            return self.state.is_paused
        definition = self.declared.definition
        return definition is not None and definition.is_paused

    @property
    def interval_s(self) -> float | None:
        """Seconds between its ticks, None where something else makes it tick."""
        definition = self.declared.definition
        if definition is None or definition.kind is not SensorKind.POLLING:
            return None
        return definition.minimum_interval_s


def overview(opened: Opened, declared: Sequence[Declared]) -> list[Overview]:
    """Return what is declared with how it stands."""
    sensors, project = opened.client.sensors, opened.project.name
    states = {state.name: state for state in sensors.states(project)}
    return [
        Overview(
            each,
            states.get(each.name),
            next(iter(sensors.ticks(project, each.name, limit=1)), None)
            if each.name in states
            else None,
        )
        for each in declared
    ]


def overview_as_json(found: Overview) -> Json:
    """Return a sensor as programs read it."""
    state = found.state
    return {
        "name": found.declared.name,
        "kind": found.declared.kind,
        "flows": list(found.declared.flows),
        "minimum_interval": found.interval_s,
        "is_paused": found.is_paused,
        "cursor": state.cursor if state is not None else None,
        "failures": state.failures if state is not None else 0,
        "last_tick": tick_as_json(found.last) if found.last is not None else None,
    }


def print_overview(found: Sequence[Overview]) -> None:
    """Print sensors as a table."""
    rows = [
        [
            each.declared.name,
            duration(each.interval_s) if each.interval_s else each.declared.kind.replace("_", " "),
            ", ".join(each.declared.flows) or "-",
            "paused" if each.is_paused else "on",
            moment(each.last.ended_us) if each.last is not None else "never",
            _came_to(each.last) if each.last is not None else "",
        ]
        for each in found
    ]
    header = ["NAME", "EVERY", "FLOWS", "STATE", "LAST TICK", "CAME TO"]
    print_table(header, rows, "no sensors, and no flow listens to messages")


def _came_to(tick: TickRow) -> str:
    if tick.outcome == TickOutcome.REQUESTED:
        return _asked(tick.runs, tick.known)
    return f"{tick.outcome}: {tick.reason}" if tick.reason else tick.outcome


# Ticks


def tick_as_json(row: TickRow) -> Json:
    """Return a tick as programs read it."""
    return {
        "number": row.number,
        "started_at": iso(row.started_us),
        "ended_at": iso(row.ended_us),
        "times": row.times,
        "outcome": row.outcome,
        "reason": row.reason,
        "runs": row.runs,
        "known": row.known,
        "run_ids": row.run_ids.split(",") if row.run_ids else [],
        "output": row.output,
    }


def print_ticks(rows: Sequence[TickRow], *, with_output: bool) -> None:
    """Print ticks as a table, each with what was printed if that is wanted."""
    if not rows:
        click.echo("no ticks")
        return
    cells = [["TICK", "ENDED", "TOOK", "OUTCOME", ""]]
    for row in rows:
        count = f"{row.outcome}, {row.times} times" if row.times > 1 else row.outcome
        # Of several that are one row, the first one's beginning and the last one's end.
        took = duration((row.ended_us - row.started_us) / 1e6) if row.times == 1 else ""
        what = _asked(row.runs, row.known) if row.runs or row.known else row.reason
        cells.append([str(row.number), moment(row.ended_us), took, count, what])
    first, *lines = columns(cells)
    click.echo(click.style(first, dim=True))
    for row, line in zip(rows, lines, strict=True):
        click.echo(click.style(line, fg=_COLOURS.get(TickOutcome(row.outcome))))
        if with_output:
            _print_output(row.output)


def _asked(runs: int, known: int) -> str:
    asked = counted(runs, "new run") if runs or not known else "no new run"
    return f"{asked}, {known} known" if known else asked


def _print_output(text: str) -> None:
    for line in text.splitlines():
        click.echo(f"    {line}")


# A tick that is only tried


def try_out(
    name: str,
    folder: Path | None,
    environment: str | None,
    *,
    cursor: str | None,
    run: str | None,
) -> tuple[TickResult, Failure | None, str]:
    """Call a sensor in a child process; make no runs and keep nothing.

    Args:
        name: Of the sensor.
        folder: In the project; None for the working directory.
        environment: Of the settings; None for that of the variable.
        cursor: What it is given; None for what it keeps.
        run: Name of the run that a sensor of ends of runs is told of.

    Returns:
        What it asks for, what went wrong, and what it printed.
    """
    from ostinato.client.vault import Vault
    from ostinato.client.vault_answers import VaultAnswers
    from ostinato.executors.evaluators import Evaluators, NotEvaluable

    use_environment(environment)
    code = begin_loading(str(folder or Path.cwd()))
    try:
        manifest, _, _ = code.definitions()
        declared = find(declared_in(manifest), name)
        definition = declared.definition
        if definition is None:
            hint = f"its messages start runs of {', '.join(declared.flows)}"
            raise UsageError(f"{name!r} has no function that could be called", hint=hint)
        with open_project(code.project) as opened:
            answers = VaultAnswers(lambda: Vault(opened.store.vault, opened.project))
            evaluators = Evaluators(code.host, answers.answer)
            given = _given(opened, definition, cursor, run)
            try:
                evaluation = evaluators.evaluate(
                    "sensor", name, msgspec.msgpack.encode(given), timeout_s=definition.timeout_s
                )
            except NotEvaluable as error:
                return TickResult(), error.failure, error.output
            finally:
                evaluators.close()
        result = msgspec.msgpack.decode(evaluation.payload, type=TickResult)
        return result, None, evaluation.output
    finally:
        code.host.close()


def _given(
    opened: Opened, definition: SensorDefinition, cursor: str | None, run: str | None
) -> TickInput:
    if definition.kind is SensorKind.RUN_STATUS:
        row = opened.client.run(run or "last")
        return TickInput(
            run=EndedRun(
                str(row.id),
                f"{row.flow}#{row.number}",
                row.flow,
                row.state.label,
                row.reason,
                msgspec.json.decode(row.params),
                row.tags,
                row.logical_date_us,
                row.started_us,
                row.ended_us,
                row.name,
            )
        )
    if run is not None:
        raise UsageError(f"sensor {definition.name!r} is called by time, not for a run")
    states = opened.client.sensors.states(opened.project.name)
    state = next((each for each in states if each.name == definition.name), None)
    if state is None:
        return TickInput(cursor)
    kept = state.cursor if cursor is None else cursor
    return TickInput(kept, state.succeeded_us, state.last_run_key)


def trial_as_json(result: TickResult, failure: Failure | None, printed: str) -> Json:
    """Return what a sensor would ask for, as programs read it."""
    return {
        "runs": [
            {
                "flow": asked.flow,
                "run_key": asked.run_key,
                "params": asked.params,
                "tags": list(asked.tags),
                "date": iso(asked.date_us) if asked.date_us is not None else None,
            }
            for asked in result.asked
        ],
        "skip_reason": result.reason,
        "cursor": result.cursor,
        "output": printed,
        "error": as_json.failure(failure) if failure is not None else None,
    }


def print_trial(result: TickResult, failure: Failure | None, printed: str) -> None:
    """Print what a sensor would ask for."""
    _print_output(printed)
    if failure is not None:
        for line in error_block(failure, frames=3):
            click.echo(line)
        return
    for asked in result.asked:
        key = f" {asked.run_key}" if asked.run_key else ""
        params = f" {msgspec.json.encode(asked.params).decode()}" if asked.params else ""
        click.echo(f"would run {asked.flow}{key}{params}")
    if not result.asked:
        click.echo(f"would run nothing: {result.reason}" if result.reason else "would run nothing")
    if result.cursor is not None:
        click.echo(f"would keep the cursor {result.cursor}")
