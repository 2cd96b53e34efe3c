"""This module is where the command line begins, and where its errors end.

It imports nothing but click: a command's module, and what that needs, is imported when the
command is used.
"""

import io
import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from ostinato.cli.version import installed_version
from ostinato.errors import InternalError, OstinatoError

#: What the exit codes mean.
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CANCELLED = 130

#: In the order in which people meet them.
COMMANDS = (
    "init",
    "new",
    "check",
    "graph",
    "render",
    "schema",
    "compile",
    "run",
    "dev",
    "trigger",
    "worker",
    "backfill",
    "runs",
    "show",
    "logs",
    "artifacts",
    "diff",
    "debug",
    "cancel",
    "inputs",
    "answer",
    "resume",
    "retry",
    "schedules",
    "sensors",
    "alerts",
    "connections",
    "variables",
    "pools",
    "db",
    "doctor",
    "server",
    "scheduler",
)


class LazyGroup(click.Group):
    """Import a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"ostinato.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with, or say what it could have been."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from ostinato.authoring.suggestions import did_you_mean

            hint = did_you_mean(args[0], COMMANDS) or f"commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command {args[0]!r} ({hint})", ctx)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it so
    if not value or ctx.resilient_parsing:
        return
    click.echo(installed_version())
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def root() -> None:
    """Run flows, and see what became of them."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Carry out a command and end the process with its exit code.

    Args:
        arguments: Of the command; those of the process by default.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show an icon shows a question mark.
            stream.reconfigure(errors="replace")
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        # https://no-color.org; None leaves it to whether the output is a terminal.
        color = False if os.environ.get("NO_COLOR") else None
        code = root.main(arguments, prog_name="ostinato", standalone_mode=False, color=color)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.UsageError as error:
        message = _sentence(error.format_message())
        command = error.ctx.command_path if error.ctx is not None else "ostinato"
        _complain(message if message.endswith(")") else f"{message} (see {command} --help)")
        return EXIT_USAGE
    except click.ClickException as error:
        _complain(error.format_message())
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        return EXIT_CANCELLED
    except InternalError:
        raise
    except OstinatoError as error:
        _complain(str(error))
        return EXIT_USAGE
    except BrokenPipeError:
        # The reader, such as ``head``, has seen enough. Nothing may be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return code if isinstance(code, int) else EXIT_DONE


def _complain(message: str) -> None:
    click.echo(f"error: {message}", err=True)


def _sentence(message: str) -> str:
    text = " ".join(message.split()).removesuffix(".")
    return text[:1].lower() + text[1:] if text[:2].istitle() else text
