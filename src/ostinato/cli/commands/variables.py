"""This module is ``ostinato variables``: values that tasks read."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.client.vault import Found, Vault

#: Characters of a value in a list.
_SHOWN = 60


@click.group("variables", short_help="Keep values that tasks read.")
def command() -> None:
    """Keep and show variables: values that tasks read by their names.

    They are looked for in the environment, in ostinato.yaml, in secrets back-ends and in the
    store; `set`, `delete` and `import` change those of the store.
    """


@command.command("list")
@options.show_secrets
@options.environment
@options.project
@options.output("text", "json")
def list_(
    *, show_secrets: bool, environment: str | None, project: Path | None, output: str
) -> None:
    """List all variables that can be listed."""
    from ostinato.cli import as_json
    from ostinato.cli.vault import open_vault, print_problems, print_table

    with open_vault(project, environment) as vault:
        found = vault.variables()
        shown = [_shown(vault, each, shows=show_secrets) for each in found]
    if output == "json":
        as_json.echo([_as_json(each, value) for each, value in zip(found, shown, strict=True)])
        return
    rows = [
        [each.name, _short(value or ""), each.source, each.description]
        for each, value in zip(found, shown, strict=True)
    ]
    print_table(["NAME", "VALUE", "FROM", "DESCRIPTION"], rows, "no variables")
    print_problems(found)


@command.command("get")
@click.argument("name")
@options.show_secrets
@options.environment
@options.project
@options.output("text", "json")
def get(
    *, name: str, show_secrets: bool, environment: str | None, project: Path | None, output: str
) -> None:
    """Print the variable NAME, wherever it is found."""
    from ostinato.cli import as_json
    from ostinato.cli.vault import open_vault

    with open_vault(project, environment) as vault:
        found = vault.find_variable(name)
        value = _shown(vault, found, shows=show_secrets)
    if output == "json":
        as_json.echo(_as_json(found, value))
    else:
        click.echo(value)


@command.command("set", short_help="Keep a variable in the store.")
@click.argument("name")
@click.argument("value")
@click.option("--description", metavar="TEXT", help="For people.")
@options.environment
@options.project
def set_(
    name: str,
    value: str,
    description: str | None,
    environment: str | None,
    project: Path | None,
) -> None:
    """Keep the variable NAME in the store, encrypted.

    VALUE is a text, which may be JSON; - reads it from standard input, where nobody else sees it.
    """
    from ostinato.cli.vault import open_vault, read_value, say_set

    with open_vault(project, environment, is_writing=True) as vault:
        vault.set_variable(name, read_value(value), description)
        say_set("variable", name, vault.shadow("variables", name))


@command.command("delete")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@options.environment
@options.project
def delete(names: tuple[str, ...], environment: str | None, project: Path | None) -> None:
    """Delete variables from the store."""
    from ostinato.cli.vault import open_vault, refuse_unknown

    with open_vault(project, environment, is_writing=True) as vault:
        for name in names:
            if not vault.delete_variable(name):
                shadow = vault.shadow("variables", name)
                refuse_unknown("variable", name, vault.stored_names("variables"), shadow)
            click.echo(f"variable {name!r} is deleted")


@command.command("import", short_help="Keep the variables of a file in the store.")
@click.argument("file", type=click.Path(path_type=Path))
@options.overwrite
@options.environment
@options.project
def import_(*, file: Path, overwrite: bool, environment: str | None, project: Path | None) -> None:
    """Keep the variables of FILE in the store: JSON, YAML or .env, Airflow's forms too."""
    from ostinato.cli.vault import open_vault, say_imported
    from ostinato.client.vault_files import read_entries
    from ostinato.errors import UsageError

    entries = {name: _entry(content) for name, content in read_entries(file, "variables").items()}
    if not entries:
        raise UsageError(f"{file} holds no variables")
    with open_vault(project, environment, is_writing=True) as vault:
        known = {*vault.stored_names("variables")} & {*entries}
        kept = {name: each for name, each in entries.items() if overwrite or name not in known}
        vault.set_variables(kept)
    replaced = len(known) if overwrite else 0
    say_imported("variable", len(kept) - replaced, replaced, [] if overwrite else sorted(known))


@command.command("export", short_help="Write the variables of the store to a file.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@options.show_secrets
@options.environment
@options.project
@click.option(
    "--format",
    "output",
    type=click.Choice(["json", "yaml", "env"]),
    help="Form of the file; by default what its name says, else json.",
)
def export(
    *,
    file: Path | None,
    show_secrets: bool,
    environment: str | None,
    project: Path | None,
    output: str | None,
) -> None:
    """Write the variables of the store to FILE, or to standard output.

    Variables with names of secrets are left out unless --show-secrets is given.
    """
    from ostinato.cli.vault import export as write
    from ostinato.cli.vault import open_vault
    from ostinato.client.vault_files import format_of

    form = output or (format_of(file) if file is not None else "json")
    with open_vault(project, environment) as vault:
        found = vault.stored_variables()
        kept = [
            each
            for each in found
            if show_secrets or not vault.variable_secrets(each.name, each.value)
        ]
    entries = {
        each.name: each.value
        if form == "env" or not each.description
        else {"value": each.value, "description": each.description}
        for each in kept
    }
    write(entries, "variables", file, form)
    if len(kept) < len(found):
        click.echo("warning: secrets were left out; --show-secrets writes them", err=True)


def _entry(content: Any) -> tuple[str, str | None]:
    """Return value and description; Airflow's newer files hold them as a mapping."""
    from ostinato.client.secret_sources import as_text

    if (
        isinstance(content, dict)
        and "value" in content
        and not (content.keys() - {"value", "description"})
    ):
        return as_text(content["value"]), content.get("description") or ""
    return as_text(content), None


def _shown(vault: "Vault", found: "Found", *, shows: bool) -> str | None:
    from ostinato.model.secret import MASK

    value: str | None = found.value
    if value is None or shows:
        return value
    for secret in sorted(vault.variable_secrets(found.name, value), key=len, reverse=True):
        value = value.replace(secret, MASK)
    return value


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _as_json(found: "Found", value: str | None) -> dict[str, Any]:
    return {
        "name": found.name,
        "value": value,
        "description": found.description,
        "source": found.source,
        "problem": found.problem,
    }
