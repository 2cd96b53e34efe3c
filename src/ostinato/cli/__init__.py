"""The command line: run, look, check."""

import sys
from typing import NoReturn

from ostinato.cli.version import installed_version


def main(arguments: list[str] | None = None) -> NoReturn:
    """Carry out a command and end the process with its exit code.

    Args:
        arguments: Of the command; those of the process by default.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given == ["--version"]:
        # Asked by scripts and by tools, often: half of its time would go to importing click.
        print(installed_version())
        sys.exit(0)
    from ostinato.cli.entry import main as carry_out

    carry_out(given)
