"""This module is ``ostinato connections``: how tasks reach systems outside."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.client.vault import Found
    from ostinato.model.connection import Connection

#: Fields that options of ``set`` have.
_FIELDS = ("host", "login", "password", "schema", "port", "extra", "description")


@click.group("connections", short_help="Keep and test how tasks reach systems outside.")
def command() -> None:
    """Keep, show and test connections: how tasks reach systems outside.

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
    """List all connections that can be listed."""
    from ostinato.cli import as_json
    from ostinato.cli.vault import open_vault, print_problems, print_table

    with open_vault(project, environment) as vault:
        found = vault.connections()
        words = vault.secret_words
    if output == "json":
        as_json.echo([_as_json(each, words, shows=show_secrets) for each in found])
        return
    rows = [
        [
            each.name,
            each.value.conn_type if each.value is not None else "",
            _address(each, words, shows=show_secrets),
            each.source,
            each.description,
        ]
        for each in found
    ]
    print_table(["ID", "TYPE", "ADDRESS", "FROM", "DESCRIPTION"], rows, "no connections")
    print_problems(found)


@command.command("get")
@click.argument("conn_id")
@options.show_secrets
@options.environment
@options.project
@options.output("text", "json", "uri")
def get(
    *,
    conn_id: str,
    show_secrets: bool,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Show the connection CONN_ID, wherever it is found."""
    from ostinato.cli import as_json
    from ostinato.cli.display import columns
    from ostinato.cli.vault import open_vault

    with open_vault(project, environment) as vault:
        found = vault.find_connection(conn_id)
        words = vault.secret_words
    if output == "uri":
        click.echo(_address(found, words, shows=show_secrets))
    elif output == "json":
        as_json.echo(_as_json(found, words, shows=show_secrets))
    else:
        fields = _as_json(found, words, shows=show_secrets)
        fields["uri"] = _address(found, words, shows=show_secrets)
        fields["extra"] = as_json.encoded(fields["extra"]) if fields["extra"] else ""
        shown = [[name, str(value)] for name, value in fields.items() if value not in (None, "")]
        click.echo("\n".join(columns(shown)))


@command.command("set", short_help="Keep a connection in the store.")
@click.argument("conn_id")
@click.argument("value", required=False)
@click.option("--type", "conn_type", metavar="TYPE", help="Type, such as postgres.")
@click.option("--host", help="Name or address.")
@click.option("--login", help="User name.")
@click.option("--password", help="Secret; - reads it from standard input.")
@click.option("--schema", help="Database, or what else the type calls so.")
@click.option("--port", help="Of the host.")
@click.option("--extra", metavar="JSON", help="What else its type understands.")
@click.option("--description", metavar="TEXT", help="For people.")
@options.environment
@options.project
def set_(
    conn_id: str,
    value: str | None,
    environment: str | None,
    project: Path | None,
    **fields: str | None,
) -> None:
    """Keep the connection CONN_ID in the store, encrypted.

    VALUE is a URI or JSON; - reads it from standard input, where nobody else sees it. Options
    set single fields, of a VALUE or of the connection that the store has.
    """
    from ostinato.cli.vault import open_vault, read_value, say_set
    from ostinato.errors import UsageError
    from ostinato.model.connection import Connection

    given: dict[str, Any] = {name: text for name, text in fields.items() if text is not None}
    if value is None and not given:
        hint = "such as postgres://user:password@host/database"
        raise UsageError("there is nothing to set: give a URI, JSON or options", hint=hint)
    if value == given.get("password") == "-":
        raise UsageError("VALUE and --password cannot both be read from standard input")
    if "password" in given:
        given["password"] = read_value(given["password"])
    with open_vault(project, environment, is_writing=True) as vault:
        if value is not None:
            base = Connection.parse(read_value(value), conn_id).to_dict()
        else:
            known = vault.stored_connection(conn_id)
            base = known.to_dict() if known is not None else {}
        if "conn_type" not in base and "conn_type" not in given:
            message = f"the store has no connection {conn_id!r} to change"
            raise UsageError(message, hint="give its --type, a URI or JSON")
        vault.set_connection(Connection.from_json({**base, **given}, conn_id))
        say_set("connection", conn_id, vault.shadow("connections", conn_id))


@command.command("delete")
@click.argument("conn_ids", metavar="CONN_ID...", nargs=-1, required=True)
@options.environment
@options.project
def delete(conn_ids: tuple[str, ...], environment: str | None, project: Path | None) -> None:
    """Delete connections from the store."""
    from ostinato.cli.vault import open_vault, refuse_unknown

    with open_vault(project, environment, is_writing=True) as vault:
        for conn_id in conn_ids:
            if not vault.delete_connection(conn_id):
                shadow = vault.shadow("connections", conn_id)
                refuse_unknown("connection", conn_id, vault.stored_names("connections"), shadow)
            click.echo(f"connection {conn_id!r} is deleted")


@command.command("import", short_help="Keep the connections of a file in the store.")
@click.argument("file", type=click.Path(path_type=Path))
@options.overwrite
@options.environment
@options.project
def import_(*, file: Path, overwrite: bool, environment: str | None, project: Path | None) -> None:
    """Keep the connections of FILE in the store: JSON, YAML or .env, Airflow's forms too.

    All or none is kept: a connection that cannot be read stops the import.
    """
    from ostinato.cli.vault import open_vault, say_imported
    from ostinato.client.vault_files import read_entries
    from ostinato.errors import UsageError
    from ostinato.model.connection import Connection

    entries = {
        conn_id: Connection.parse(_entry(conn_id, content), conn_id)
        for conn_id, content in read_entries(file, "connections").items()
    }
    if not entries:
        raise UsageError(f"{file} holds no connections")
    with open_vault(project, environment, is_writing=True) as vault:
        known = {*vault.stored_names("connections")} & {*entries}
        kept = [each for name, each in entries.items() if overwrite or name not in known]
        vault.set_connection(*kept)
    replaced = len(known) if overwrite else 0
    say_imported("connection", len(kept) - replaced, replaced, [] if overwrite else sorted(known))


@command.command("export", short_help="Write the connections of the store to a file.")
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
    """Write the connections of the store to FILE, or to standard output.

    Passwords and other secrets are left out unless --show-secrets is given.
    """
    from ostinato.cli.vault import export as write
    from ostinato.cli.vault import open_vault
    from ostinato.client.vault_files import format_of

    form = output or (format_of(file) if file is not None else "json")
    with open_vault(project, environment) as vault:
        connections = vault.stored_connections()
        words = vault.secret_words
    entries: dict[str, Any] = {}
    for connection in connections:
        kept = connection if show_secrets else _bare(connection, words)
        if form == "env":
            # A URI says neither names nor descriptions.
            entries[connection.conn_id] = kept.to_json() if kept.description else kept.to_uri()
        else:
            entries[connection.conn_id] = kept.to_dict()
    write(entries, "connections", file, form)
    if not show_secrets and any(
        connection != _bare(connection, words) for connection in connections
    ):
        click.echo("warning: secrets were left out; --show-secrets writes them", err=True)


@command.command("test", short_help="Connect, and say what was found.")
@click.argument("conn_ids", metavar="[CONN_ID...]", nargs=-1)
@click.option("--uri", metavar="URI", help="Test this URI or JSON; - reads it from standard input.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="When to give up.",
)
@options.environment
@options.project
@options.output("text", "json")
@click.pass_context
def test(
    ctx: click.Context,
    conn_ids: tuple[str, ...],
    uri: str | None,
    timeout: float,
    environment: str | None,
    project: Path | None,
    output: str,
) -> None:
    """Really connect, in a process of its own, and say what was found.

    Ends with exit code 1 if a connection does not work.
    """
    from ostinato.cli import as_json, entry
    from ostinato.cli.connection_test import test as test_connection
    from ostinato.cli.vault import open_vault, read_value
    from ostinato.errors import UsageError
    from ostinato.model.connection import Connection

    if bool(conn_ids) == (uri is not None):
        raise UsageError("name connections, or give one by --uri")
    with open_vault(project, environment) as vault:
        if uri is not None:
            connections = [Connection.parse(read_value(uri))]
        else:
            connections = [vault.connection(conn_id) for conn_id in conn_ids]
        secrets = [vault.connection_secrets(connection) for connection in connections]
    outcomes = []
    for connection, hidden in zip(connections, secrets, strict=True):
        outcome = test_connection(connection, timeout_s=timeout, secrets=hidden)
        outcomes.append({"conn_id": connection.conn_id, **as_json.plain(outcome)})
        if output == "text":
            name = connection.conn_id or connection.masked_uri()
            sign, colour = ("✔", "green") if outcome.ok else ("✖", "red")
            click.echo(click.style(f"{sign} {name}: {outcome.message}", fg=colour))
    if output == "json":
        as_json.echo(outcomes)
    if not all(outcome["ok"] for outcome in outcomes):
        ctx.exit(entry.EXIT_FAILED)


@command.command("rotate-key", short_help="Encrypt all secrets of the store with a new key.")
@options.environment
@options.project
@click.pass_context
def rotate_key(ctx: click.Context, environment: str | None, project: Path | None) -> None:
    """Encrypt all secrets of the store, also those of variables, with a new key.

    With keys in OSTINATO_SECRET_KEY, put the new one before the old one: the first encrypts.
    """
    from ostinato.cli import entry
    from ostinato.cli.display import counted
    from ostinato.cli.vault import open_vault

    with open_vault(project, environment) as vault:
        changed, problems = vault.rotate()
        source = vault.keys.source
    click.echo(f"{counted(changed, 'secret')} encrypted with the first key of {source}")
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
    if problems:
        ctx.exit(entry.EXIT_FAILED)


def _entry(conn_id: str, content: Any) -> Any:
    from ostinato.errors import InvalidConnection

    if not isinstance(content, str | dict):
        message = f"connection {conn_id!r} is neither a URI nor fields"
        raise InvalidConnection(message)
    return content


def _bare(connection: "Connection", words: tuple[str, ...]) -> "Connection":
    """Return a connection without its secrets."""
    import msgspec

    from ostinato.model.secret import drop_secrets

    extra = drop_secrets(connection.extra, words)
    return msgspec.structs.replace(connection, password="", extra=extra)


def _address(found: "Found", words: tuple[str, ...], *, shows: bool) -> str:
    connection = found.value
    if connection is None:
        return ""
    text: str = connection.to_uri() if shows else connection.masked_uri(words)
    return text


def _as_json(found: "Found", words: tuple[str, ...], *, shows: bool) -> dict[str, Any]:
    from ostinato.model.secret import MASK, hide_secrets

    connection = found.value
    data: dict[str, Any] = {"conn_id": found.name}
    if connection is not None:
        password = connection.password if shows or not connection.password else MASK
        data |= {
            "conn_type": connection.conn_type,
            "host": connection.host,
            "login": connection.login,
            "password": password,
            "schema": connection.schema,
            "port": connection.port,
            "extra": connection.extra if shows else hide_secrets(connection.extra, words),
        }
    return data | {
        "description": found.description,
        "source": found.source,
        "problem": found.problem,
    }
