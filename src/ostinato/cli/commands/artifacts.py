"""This module is ``ostinato artifacts``: show what tasks published for people."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.client.protocol import Client
    from ostinato.store.records import ArtifactRow


@click.command("artifacts", short_help="Show what tasks published.")
@click.argument("key", required=False)
@click.option("--run", "run", metavar="RUN", help="Of this run only.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
)
@options.project
@options.output("text", "json")
def command(
    key: str | None, run: str | None, limit: int, project: Path | None, output: str
) -> None:
    """List the newest artifact of each key, or show KEY and its versions.

    RUN is flow#17, an id, the name of a flow for its newest run, or `last`.
    """
    from ostinato.cli import as_json
    from ostinato.cli.opening import open_runs
    from ostinato.errors import UsageError

    with open_runs(project) as opened:
        client = opened.client
        run_id = client.run(run).id if run else None
        rows = client.artifacts(key=key or "", run_id=run_id, limit=limit)
        if key and not rows:
            raise UsageError(f"there is no artifact {key!r}", hint="ostinato artifacts lists them")
        if output == "json":
            as_json.echo([as_json.artifact(row) for row in rows])
        elif not rows:
            click.echo("nothing was published")
        else:
            if key:
                _show(rows[0], opened.project.data_dir)
            _list(client, rows, opened.project.data_dir)


def _list(client: "Client", rows: "list[ArtifactRow]", data_dir: Path) -> None:
    from ostinato.cli.display import columns, moment
    from ostinato.cli.opening import name_of

    names = {row.run_id: "" for row in rows}
    for run_id in names:
        names[run_id] = name_of(client.run(str(run_id)))
    lines = [["KEY", "VERSION", "KIND", "RUN", "TASK", "CREATED", "DESCRIPTION"]]
    for row in rows:
        task = f"{row.task_id}[{row.path}]" if row.path else row.task_id
        version = str(row.version or "")
        told = row.description or _summary(row, data_dir)
        at = moment(row.created_us)
        lines.append([row.key or "-", version, row.kind, names[row.run_id], task, at, told])
    for line in columns(lines):
        click.echo(line)


def _content(row: "ArtifactRow") -> dict[str, Any]:
    import msgspec

    content: dict[str, Any] = msgspec.json.decode(row.data)
    return content


def _summary(row: "ArtifactRow", data_dir: Path) -> str:
    from ostinato.cli.display import size

    content = _content(row)
    match row.kind:
        case "table":
            return f"{len(content['rows'])} rows"
        case "progress":
            return f"{content['progress']:g} %"
        case "link":
            return str(content["link"])
        case "image":
            return str(content["image_url"])
        case "file":
            path = str(data_dir / content["path"]).removeprefix(os.path.join(os.getcwd(), ""))
            return f"{path} ({size(content['size_bytes'])})"
        case _:
            first = str(content["markdown"]).strip().partition("\n")[0]
            return first if len(first) <= 60 else f"{first[:57]}..."


def _show(row: "ArtifactRow", data_dir: Path) -> None:
    from ostinato.cli.display import columns

    content = _content(row)
    if row.description:
        click.echo(row.description)
    if row.kind == "markdown":
        click.echo(content["markdown"].rstrip())
    elif row.kind == "table":
        width = max(map(len, [content["columns"], *content["rows"]]), default=0)
        cells = [["" if cell is None else str(cell) for cell in line] for line in content["rows"]]
        lines = [content["columns"], *cells] if content["columns"] else cells
        for line in columns([[*line, *[""] * (width - len(line))] for line in lines]):
            click.echo(line)
    else:
        click.echo(_summary(row, data_dir))
    click.echo()
