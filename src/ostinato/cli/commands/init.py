"""This module is ``ostinato init``: a small project that runs."""

from pathlib import Path

import click

SETTINGS = """\
# What holds for this project; docs/reference/settings.md explains every key.
name: {name}
version: 1
timezone: UTC
flows: [flows]
"""

FLOW = '''\
"""A flow to begin with: ostinato run flows/hello.py"""

from ostinato import dag, task


@task
def people(names: list[str]) -> list[str]:
    """Decide whom to greet."""
    return sorted(names)


@task
def greet(name: str) -> str:
    """Return a greeting."""
    return f"Hello, {name}!"


@task(retries=2, retry_delay="1s")
def join(greetings: list[str]) -> str:
    """Write all greetings into one text."""
    text = " ".join(greetings)
    print(text)
    return text


@dag
def hello(names: list[str] = ["Ada", "Grace"]):
    """Greet some people, each by a task run of their own."""
    join(greet.expand(name=people(names)))


hello()
'''

IGNORED = """\
# What Ostinato keeps of this project: runs, values, logs.
.ostinato/
__pycache__/
"""

README = """\
# {name}

    ostinato check              # is everything sound?
    ostinato run hello          # run the flow `hello`
    ostinato run hello -p 'names=["Alan"]'
    ostinato show last          # what became of it
    ostinato logs last          # what its tasks printed
    ostinato dev                # serve it: schedules fire, files are followed as they change
"""


@click.command("init", short_help="Make a small project that runs.")
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
def command(folder: Path) -> None:
    """Make a small project that runs, in FOLDER (by default here).

    Files that are there already are kept as they are.
    """
    name = folder.resolve().name or "project"
    files = {
        "ostinato.yaml": SETTINGS.format(name=_quoted(name)),
        "flows/hello.py": FLOW,
        ".gitignore": IGNORED,
        "README.md": README.format(name=name),
    }
    for relative, content in files.items():
        path = folder / relative
        if path.exists():
            click.echo(f"kept  {path}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        click.echo(f"made  {path}")
    where = "" if folder == Path() else f"cd {folder} && "
    click.echo(f"Run it: {where}ostinato run hello")


def _quoted(name: str) -> str:
    """Return a name as YAML takes it, whatever it contains."""
    is_plain = name.replace("-", "_").isidentifier() and name.lower() not in _YAML_WORDS
    return name if is_plain else "'" + name.replace("'", "''") + "'"


#: Words that YAML would not read as text.
_YAML_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off"})
