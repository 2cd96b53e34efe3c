"""This module is ``ostinato pools``: how many task runs run at a time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostinato.client.vault import Pool
    from ostinato.store.protocol import Store
    from ostinato.store.records import PoolRow


@click.group("pools", short_help="Limit how many task runs run at a time.")
def command() -> None:
    """Keep and show pools: how many task runs that name one run at a time.

    Those of ostinato.yaml win over those of the store; `set`, `delete` and `import` change
    those of the store. All processes of a project share them; one that runs already takes a
    changed number within a second.
    """


@command.command("list")
@options.environment
@options.project
@options.output("text", "json")
def list_(environment: str | None, project: Path | None, output: str) -> None:
    """List all pools."""
    from ostinato.cli import as_json
    from ostinato.cli.vault import open_vault, print_table

    with open_vault(project, environment) as vault:
        pools = vault.pools()
    if output == "json":
        as_json.echo([pool._asdict() for pool in pools])
        return
    rows = [[pool.name, str(pool.slots), pool.source, pool.description] for pool in pools]
    print_table(["NAME", "SLOTS", "FROM", "DESCRIPTION"], rows, "no pools")


@command.command("held", short_help="Show which process has which slots.")
@options.environment
@options.project
@options.output("text", "json")
def held(environment: str | None, project: Path | None, output: str) -> None:
    """Show which process may take how many slots of what several share.

    Beside pools that is what single tasks may run at a time over all runs, and cores, devices
    and memory of a machine. What a process has and does not use goes to others as they need it.
    """
    from ostinato.cli import as_json
    from ostinato.cli.opening import open_project
    from ostinato.cli.vault import print_table, project_of

    found = project_of(project, environment)
    rows = []
    if found.has_store:
        with open_project(found) as opened:
            rows = list(_holders(opened.store))
    if output == "json":
        as_json.echo(rows)
        return
    header = ["LIMIT", "SLOTS", "WANTED", "PROCESS", "HOST", ""]
    print_table(header, [[str(value) for value in row.values()] for row in rows], "nothing is held")


@command.command("get")
@click.argument("name")
@options.environment
@options.project
@options.output("text", "json")
def get(name: str, environment: str | None, project: Path | None, output: str) -> None:
    """Print how many slots the pool NAME has."""
    from ostinato.authoring.suggestions import did_you_mean
    from ostinato.cli import as_json
    from ostinato.cli.vault import open_vault
    from ostinato.errors import UsageError

    with open_vault(project, environment) as vault:
        pools = {pool.name: pool for pool in vault.pools()}
    if name not in pools:
        hint = did_you_mean(name, pools) or f"ostinato pools set {name} SLOTS"
        raise UsageError(f"there is no pool {name!r}", hint=hint)
    if output == "json":
        as_json.echo(pools[name]._asdict())
    else:
        click.echo(pools[name].slots)


@command.command("set", short_help="Keep a pool in the store.")
@click.argument("name")
@click.argument("slots", type=click.IntRange(min=1))
@click.option("--description", metavar="TEXT", help="For people.")
@options.environment
@options.project
def set_(
    name: str,
    slots: int,
    description: str | None,
    environment: str | None,
    project: Path | None,
) -> None:
    """Keep the pool NAME with SLOTS slots in the store."""
    from ostinato.cli.vault import open_vault, say_set
    from ostinato.store.records import PoolRow

    with open_vault(project, environment, is_writing=True) as vault:
        if description is None:
            known = {pool.name: pool.description for pool in vault.stored_pools()}
            description = known.get(name, "")
        vault.set_pools(PoolRow(name, slots, description))
        say_set("pool", name, _shadow(vault.pools(), name))


@command.command("delete")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@options.environment
@options.project
def delete(names: tuple[str, ...], environment: str | None, project: Path | None) -> None:
    """Delete pools from the store."""
    from ostinato.cli.vault import open_vault, refuse_unknown

    with open_vault(project, environment, is_writing=True) as vault:
        for name in names:
            if not vault.delete_pool(name):
                known = [pool.name for pool in vault.stored_pools()]
                refuse_unknown("pool", name, known, _shadow(vault.pools(), name))
            click.echo(f"pool {name!r} is deleted")


@command.command("import", short_help="Keep the pools of a file in the store.")
@click.argument("file", type=click.Path(path_type=Path))
@options.overwrite
@options.environment
@options.project
def import_(*, file: Path, overwrite: bool, environment: str | None, project: Path | None) -> None:
    """Keep the pools of FILE in the store: JSON or YAML, Airflow's form too."""
    from ostinato.cli.vault import open_vault, say_imported
    from ostinato.client.vault_files import read_entries
    from ostinato.errors import UsageError

    entries = [_entry(name, content) for name, content in read_entries(file, "pools").items()]
    if not entries:
        raise UsageError(f"{file} holds no pools")
    with open_vault(project, environment, is_writing=True) as vault:
        stored = {pool.name for pool in vault.stored_pools()}
        known = {entry.name for entry in entries} & stored
        kept = [entry for entry in entries if overwrite or entry.name not in known]
        vault.set_pools(*kept)
    replaced = len(known) if overwrite else 0
    say_imported("pool", len(kept) - replaced, replaced, [] if overwrite else sorted(known))


@command.command("export", short_help="Write the pools of the store to a file.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@options.environment
@options.project
@click.option(
    "--format",
    "output",
    type=click.Choice(["json", "yaml"]),
    help="Form of the file; by default what its name says, else json.",
)
def export(
    file: Path | None, environment: str | None, project: Path | None, output: str | None
) -> None:
    """Write the pools of the store to FILE, or to standard output."""
    from ostinato.cli.vault import export as write
    from ostinato.cli.vault import open_vault

    with open_vault(project, environment) as vault:
        pools = vault.stored_pools()
    entries = {pool.name: {"slots": pool.slots, "description": pool.description} for pool in pools}
    write(entries, "pools", file, output)


def _holders(store: "Store") -> "Iterator[dict[str, Any]]":
    for share in store.budgets.shares():
        owner = store.coordinator(share.owner)
        is_alive = owner is not None and owner.is_alive
        yield {
            "limit": share.budget,
            "slots": share.granted,
            "wanted": share.wanted,
            "process": owner.pid if owner else 0,
            "host": owner.host if owner else "",
            "state": "" if is_alive else "gone; free once its children surely are",
        }


def _entry(name: str, content: Any) -> "PoolRow":
    from ostinato.errors import UsageError
    from ostinato.store.records import PoolRow

    fields = content if isinstance(content, dict) else {"slots": content}
    slots = fields.get("slots")
    if isinstance(slots, str) and slots.isdecimal():
        slots = int(slots)
    if not isinstance(slots, int) or isinstance(slots, bool):
        raise UsageError(f"pool {name!r} has no number of slots")
    return PoolRow(name, slots, str(fields.get("description") or ""))


def _shadow(pools: "list[Pool]", name: str) -> str:
    from ostinato.client.vault import STORE

    found = [pool.source for pool in pools if pool.name == name and pool.source != STORE]
    return found[0] if found else ""
