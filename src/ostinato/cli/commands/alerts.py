"""This module is ``ostinato alerts``: who is told of what, tried out, and sent by hand."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostinato.cli import options

if TYPE_CHECKING:
    from ostinato.model.alert import AlertRule, Alerts, Channel
    from ostinato.project.discovery import Project


@click.group("alerts", short_help="List, try and send alerts.")
def command() -> None:
    """List the channels and rules of a project, try a channel, send what is due."""


@command.command("list", short_help="List channels and rules.")
@options.project
@options.environment
@options.output("text", "json")
def list_(project: Path | None, environment: str | None, output: str) -> None:
    """List the channels of `alerts` in ostinato.yaml, without what is secret, and the rules."""
    from ostinato.cli import as_json, code
    from ostinato.cli.display import columns

    code.use_environment(environment)
    alerts = _alerts(_project(project))
    if output == "json":
        as_json.echo(
            {
                "channels": [_channel_as_json(each) for each in alerts.channels.values()],
                "rules": [_rule_as_json(each) for each in alerts.rules],
            }
        )
        return
    if not alerts.channels:
        click.echo("no channels: declare some under 'alerts' in ostinato.yaml")
        return
    click.echo("channels")
    for line in columns(
        [[f"  {name}", ", ".join(_targets(each))] for name, each in alerts.channels.items()]
    ):
        click.echo(line)
    click.echo("rules")
    for line in columns([_rule_row(each) for each in alerts.rules]):
        click.echo(line)


@command.command("test", short_help="Send a message to a channel.")
@click.argument("channel")
@options.project
@options.environment
def test(channel: str, project: Path | None, environment: str | None) -> None:
    """Send a message to CHANNEL, which is the name of one or a URL."""
    from ostinato.authoring.suggestions import did_you_mean
    from ostinato.cli import code
    from ostinato.cli.opening import open_project
    from ostinato.client.vault import Vault
    from ostinato.errors import UsageError
    from ostinato.model.alert import Channel
    from ostinato.runtime.alert_messages import send_message

    code.use_environment(environment)
    found_project = _project(project)
    alerts = _alerts(found_project)
    found = alerts.channels.get(channel)
    if found is None and ("://" in channel or "${" in channel):
        found = Channel("of this URL", (channel,))
    if found is None:
        hint = did_you_mean(channel, list(alerts.channels)) or "ostinato alerts list shows them"
        raise UsageError(f"there is no channel {channel!r}", hint=hint)
    message = ("Ostinato reaches you", f"A test from project {found_project.name!r}.")
    with open_project(found_project) as opened:
        vault = Vault(opened.store.vault, found_project)
        send_message(found, message, vault.connection)
    click.echo(f"sent to {found.name}")


@command.command("send", short_help="Send the alerts that are due.")
@options.project
@options.environment
def send(project: Path | None, environment: str | None) -> None:
    """Send alerts that were held or not sent, and that no living process sends."""
    from ostinato.cli import code
    from ostinato.cli.opening import open_project
    from ostinato.coordinator.here import Runner
    from ostinato.executors.code_host import CodeHost
    from ostinato.model.manifest import Manifest, encode_manifest, version_of
    from ostinato.project.loading import Loaded

    code.use_environment(environment)
    found = _project(project)
    # Alerts need no code of the project.
    manifest = Manifest(found.name)
    data = encode_manifest(manifest)
    host = CodeHost.fork(lambda: Loaded({}, manifest, data, version_of(data)))
    try:
        with open_project(found) as opened, Runner(found, opened.store, host) as runner:
            runner.drive(on_linger=lambda: click.echo("waiting for a channel", err=True))
    finally:
        host.close()


def _project(folder: Path | None) -> "Project":
    from ostinato.project.discovery import find_project
    from ostinato.project.target import Target

    return find_project(Target(path=folder.resolve()) if folder is not None else None)


def _alerts(project: "Project") -> "Alerts":
    from ostinato.project.alert_settings import read_alerts

    return read_alerts(project.settings.alerts, project.settings.timezone)


def _targets(channel: "Channel") -> list[str]:
    """Return where a channel leads, without what may be secret."""
    if channel.connection:
        return [f"connection {channel.connection}"]
    return [f"{url.partition('://')[0]}://…" if "://" in url else "${…}" for url in channel.urls]


def _rule_row(rule: "AlertRule") -> list[str]:
    where = [
        f"{name} {', '.join(patterns)}"
        for name, patterns in (("flows", rule.flows), ("tasks", rule.tasks), ("tags", rule.tags))
        if patterns not in ((), ("*",))
    ]
    return [
        f"  {rule.name}",
        ", ".join(moment.value for moment in rule.moments),
        "; ".join(where) or "all",
        "to " + ", ".join(rule.channels),
    ]


def _channel_as_json(channel: "Channel") -> dict[str, object]:
    return {"name": channel.name, "targets": _targets(channel)}


def _rule_as_json(rule: "AlertRule") -> dict[str, object]:
    import msgspec

    plain: dict[str, object] = msgspec.to_builtins(rule)
    return {**plain, "on": plain.pop("moments")}
