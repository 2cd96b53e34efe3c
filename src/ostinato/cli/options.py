"""This module holds the options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def environment(command: Command) -> Command:
    """Let a command choose an environment of the settings."""
    return click.option(
        "--environment",
        metavar="NAME",
        help="Environment of ostinato.yaml that holds; by default $OSTINATO_ENVIRONMENT.",
    )(command)


def project(command: Command) -> Command:
    """Let a command that names runs say whose runs it means."""
    return click.option(
        "--project",
        metavar="FOLDER",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Project whose runs are meant; by default that around the working directory.",
    )(command)


def output(*formats: str) -> Callable[[Command], Command]:
    """Let a command choose the form of its output; the first one is the default."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Form of the output.",
    )


def executor(command: Command) -> Command:
    """Let a command choose where attempts run."""
    return click.option(
        "--executor",
        metavar="NAME",
        help="Where attempts run unless flow or task say otherwise; by default the setting.",
    )(command)


def show_secrets(command: Command) -> Command:
    """Let a command show what it masks otherwise."""
    return click.option("--show-secrets", is_flag=True, help="Show secrets, not `***`.")(command)


def overwrite(command: Command) -> Command:
    """Let an import replace what is there."""
    return click.option(
        "--overwrite", is_flag=True, help="Replace what the store has under the same name."
    )(command)


def service(command: Command) -> Command:
    """Let a command that goes on choose how it ends and how it logs."""
    drain = click.option(
        "--drain-timeout",
        "drain_timeout_s",
        metavar="SECONDS",
        type=click.FloatRange(min=0),
        default=30.0,
        show_default=True,
        help="Seconds that what runs gets to finish once SIGTERM or Ctrl-C has come; a second "
        "one ends at once.",
    )
    log = click.option(
        "--log-format",
        type=click.Choice(("text", "json")),
        default="text",
        show_default=True,
        help="Form of the log on standard error.",
    )
    return drain(log(command))


def listening(command: Command) -> Command:
    """Let a command that serves HTTP choose where: ``host`` and ``port``, None for the settings."""
    host = click.option(
        "--host", metavar="HOST", help="Where to listen; by default the setting, 127.0.0.1."
    )
    port = click.option(
        "--port",
        metavar="PORT",
        type=click.IntRange(0, 65_535),
        help="Where to listen; by default the setting, 4200; 0 for any that is free.",
    )
    return host(port(command))


def monitoring(command: Command) -> Command:
    """Let a command that goes on show how it is by HTTP: ``host`` and ``port``, None for not."""
    host = click.option(
        "--host", metavar="HOST", help="Where to listen; by default the setting, 127.0.0.1."
    )
    port = click.option(
        "--port",
        metavar="PORT",
        type=click.IntRange(0, 65_535),
        help="Serve health and metrics by HTTP at this port; by default nowhere.",
    )
    return host(port(command))


def params(command: Command) -> Command:
    """Let a command give parameters of a run: ``assignments`` and ``params_file``."""
    command = click.option(
        "--params",
        "params_file",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A JSON file with parameters; -p is stronger.",
    )(command)
    return click.option(
        "-p",
        "--param",
        "assignments",
        metavar="NAME=VALUE",
        multiple=True,
        help="A parameter; its type decides how the value is read. Can be given again.",
    )(command)
