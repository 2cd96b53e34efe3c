"""This module is ``ostinato schema``: what files may hold, for editors."""

from pathlib import Path

import click

from ostinato.cli import options


@click.command("schema", short_help="Print what files of tasks may hold, for editors.")
@click.argument("kind", type=click.Choice(["task", "metadata"]), default="task")
@click.option(
    "-o",
    "--output",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the schema goes; standard output by default.",
)
@options.project
def command(kind: str, file: Path | None, project: Path | None) -> None:
    """Print the JSON Schema of a task's front matter, or of METADATA.yml.

    Editors complete and check by it. It knows the operators of the project too, which are read
    and not imported.
    """
    import msgspec

    from ostinato.authoring.files.operator_names.resolution import OperatorNames, local_folders
    from ostinato.authoring.files.schema import metadata_schema, task_schema
    from ostinato.project.discovery import find_project
    from ostinato.project.target import Target

    target = Target(path=project.resolve()) if project is not None else None
    names = OperatorNames(local_folders(str(find_project(target).root)))
    schema = metadata_schema() if kind == "metadata" else task_schema(names)
    text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
    if file is None:
        click.echo(text)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", encoding="utf-8")
        click.echo(f"wrote {file}", err=True)
