"""This module is ``ostinato render``: what a file's task would work on, without running it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.authoring.operators.operator import Operator
    from ostinato.authoring.ports import BuiltFlow
    from ostinato.project.discovery import Project


@click.command("render", short_help="Show what the task of a file would work on.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-p",
    "--param",
    "assignments",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter; its type decides how the value is read. Can be given again.",
)
@click.option("--date", metavar="DATE", help="Logical date, in the flow's zone; else now.")
@click.option("--field", metavar="NAME", help="Only this field, as plain text: sql, bash_command.")
@click.option("--incremental", is_flag=True, help="Render a query as for a table that is there.")
@options.environment
@options.output("text", "json")
def command(
    file: Path,
    assignments: tuple[str, ...],
    date: str | None,
    field: str | None,
    *,
    incremental: bool,
    environment: str | None,
    output: str,
) -> None:
    """Show what the task of FILE would work on: its operator and its fields, templates rendered.

    Nothing is executed. Results of other tasks stand there as `<result of extract>`, and secrets
    as `***`.
    """
    from ostinato.cli import as_json, code

    code.use_environment(environment)
    found = list(_rendered(file, assignments=assignments, date=date, is_incremental=incremental))
    if field is not None:
        _print_field(found, field)
    elif output == "json":
        as_json.echo(found)
    else:
        _print(found)


def _rendered(
    file: Path, *, assignments: tuple[str, ...], date: str | None, is_incremental: bool
) -> Iterator[dict[str, Any]]:
    import msgspec

    from ostinato.authoring.flow_json import as_json
    from ostinato.client.parameters import read_texts, validate_params
    from ostinato.client.rendering import render_task

    project, tasks = _tasks_of(file)
    world = _World(project)
    for flow, operator in tasks:
        definition = flow.definition
        upstream = [
            edge.upstream for edge in definition.edges if edge.downstream == operator.node_id
        ]
        params = validate_params(definition, read_texts(definition, assignments))
        fields = render_task(
            operator,
            date=date or world.now,
            params=params,
            result=_Result.of,
            answer=world.answer,
            is_incremental=is_incremental,
        )
        found = {
            "task": operator.node_id,
            "flow": definition.name,
            "operator": type(operator).__name__,
            "file": project.readable(operator.place.file) or str(file),
            "group": (operator.group.node_id if operator.group else "") or None,
            "upstream": upstream,
            "fields": {name: as_json(value) for name, value in fields.items()},
        }
        masked = world.mask(msgspec.json.encode(found, enc_hook=str).decode())
        yield msgspec.json.decode(masked)


def _tasks_of(file: Path) -> "tuple[Project, list[tuple[BuiltFlow, Operator]]]":
    """Return the tasks that are declared in a file, with their flows."""
    from ostinato.errors import UsageError
    from ostinato.project.discovery import find_project, is_folder_flow
    from ostinato.project.loading import load_project
    from ostinato.project.target import Target

    whole = file.resolve()
    around = [folder for folder in whole.parents if is_folder_flow(folder)]
    project = find_project(Target(path=whole))
    # A Python file may build the flow of a folder, which is known with the whole project alone.
    is_alone = project.is_implicit
    path = (around[-1] if around else whole) if is_alone else None
    loaded = load_project(project, Target(path=path))
    found = [
        (flow, operator)
        for flow in loaded.flows.values()
        for operator in flow.operators.values()
        if Path(operator.place.file).resolve() == whole
    ]
    if found:
        return project, found
    errors = [problem for problem in loaded.manifest.problems if problem.is_error]
    for problem in errors[:-1]:
        click.echo(f"error: {problem}", err=True)
    if errors:
        raise UsageError(str(errors[-1]))
    hint = "a task's file lies in a folder with METADATA.yml" if not around else ""
    raise UsageError(f"{file} holds no task", hint=hint)


class _World:
    """Answer what templates ask: connections and variables of the project."""

    def __init__(self, project: "Project") -> None:
        from datetime import UTC, datetime

        from ostinato.clock import SystemClock

        self.now = datetime.fromtimestamp(SystemClock().now_us() / 1_000_000, tz=UTC)
        self._project = project
        self._secrets: set[str] = set()

    def answer(self, method: str, args: Mapping[str, Any]) -> Any:
        import msgspec

        from ostinato.cli.vault import open_vault
        from ostinato.errors import UnknownConnection, UnknownVariable, UsageError

        if method not in ("connection", "variable"):
            raise UsageError(f"there is no run in which {method!r} could be asked")
        with open_vault(self._project.root, None) as vault:
            try:
                if method == "variable":
                    value = vault.variable(args["key"])
                    secrets = vault.variable_secrets(args["key"], value)
                    found: Any = {"value": value, "secrets": secrets}
                else:
                    connection = vault.connection(args["conn_id"])
                    secrets = vault.connection_secrets(connection)
                    found = {"connection": msgspec.to_builtins(connection), "secrets": secrets}
            except (UnknownConnection, UnknownVariable) as error:
                return {"missing": [error.message, error.hint]}
        self._secrets.update(secrets)
        return found

    def mask(self, text: str) -> str:
        from ostinato.runtime.masking import Masker

        masker = Masker()
        masker.add(self._secrets)
        return masker.mask(text)


class _Result(str):
    """Stand for the result of a task, and for what would be taken from it."""

    __slots__ = ()

    @classmethod
    def of(cls, name: str) -> "_Result":
        return cls(f"<result of {name}>")

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> "Iterator[_Result]":
        yield self[0]

    def __getitem__(self, key: Any) -> "_Result":
        return _Result(f"{self}[{key!r}]")


def _print(found: list[dict[str, Any]]) -> None:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as such."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    for number, each in enumerate(found):
        fields = each.pop("fields")
        shown = {
            name: value for name, value in {**each, **fields}.items() if value not in (None, [])
        }
        for name, value in shown.items():
            if isinstance(value, str) and "\n" in value:
                # YAML would quote a text with blanks at the ends of lines.
                shown[name] = "\n".join(line.rstrip() for line in value.expandtabs().splitlines())
        if number:
            click.echo("---")
        click.echo(yaml.dump(shown, Dumper=Dumper, sort_keys=False, allow_unicode=True), nl=False)


def _print_field(found: list[dict[str, Any]], field: str) -> None:
    from ostinato.authoring.suggestions import did_you_mean
    from ostinato.errors import UsageError

    for each in found:
        fields = each["fields"]
        if field not in fields:
            hint = did_you_mean(field, fields) or f"it has {', '.join(fields)}"
            raise UsageError(f"task {each['task']!r} has no field {field!r}", hint=hint)
        click.echo(fields[field])
