"""The command line: run, look, check."""

from ostinato.cli.entry import main

__all__ = ["main"]
