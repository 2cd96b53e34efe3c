"""This module hands an attempt over to a command, and takes back its result and its files.

The command knows of its attempt by environment variables, in any language. Its result is what it
writes as JSON to the file ``$OSTINATO_RESULT``; what it writes to the folder ``$OSTINATO_OUT`` is
kept with the run.
"""

import contextlib
import re
from pathlib import Path
from typing import Any

import msgspec

from ostinato.authoring.ports import Context
from ostinato.errors import ExecutionError

#: Environment variables of the result's file and of the folder of files.
RESULT = "OSTINATO_RESULT"
OUT = "OSTINATO_OUT"

#: Begins the environment variables of single parameters.
PARAM = "OSTINATO_PARAM_"


class Handover:
    """What one command is given and gives back.

    Args:
        context: Of the attempt.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.folder = context.temp_dir()
        self.result_file = self.folder / "result.json"
        #: Kept from the beginning, so that nothing is lost if the attempt is killed.
        self.out = context.files_dir()
        self._were_there = set(self._files())

    def environment(self) -> dict[str, str]:
        """Return the variables that tell of the attempt."""
        return {
            **told_of(self._context),
            RESULT: str(self.result_file),
            OUT: str(self.out),
        }

    def keep(self) -> None:
        """Publish the files that were written, also by what failed."""
        for file in self._files():
            if file not in self._were_there:
                self._context.keep_file(file)
        # Removed only if it is empty, as it is for most commands.
        for folder in (self.out, *self.out.parents[:2]):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def result(self, default: Any = None) -> Any:
        """Return what was written as the result.

        Args:
            default: What nothing written stands for.

        Raises:
            ExecutionError: It is no JSON.
        """
        try:
            written = self.result_file.read_bytes()
        except FileNotFoundError:
            return default
        if not written.strip():
            return default
        try:
            return msgspec.json.decode(written)
        except msgspec.DecodeError as err:
            shown = written[:60].decode(errors="replace")
            message = f"what was written to ${RESULT} is no JSON: {err}: {shown!r}"
            raise ExecutionError(message) from None

    def _files(self) -> list[Path]:
        return sorted(each for each in self.out.rglob("*") if each.is_file())


def told_of(context: Context) -> dict[str, str]:
    """Return the variables that tell of an attempt and its run.

    Args:
        context: Of the attempt.
    """
    params = dict(context.params)
    single = {PARAM + _in_capitals(name): as_text(value) for name, value in params.items()}
    return {
        **single,
        "OSTINATO_FLOW": context.flow,
        "OSTINATO_RUN_ID": context.run_id,
        "OSTINATO_TASK_ID": context.task_id,
        "OSTINATO_MAP_INDEX": str(context.map_index),
        "OSTINATO_ATTEMPT": str(context.attempt),
        "OSTINATO_TRY_NUMBER": str(context.try_number),
        "OSTINATO_DS": context.ds,
        "OSTINATO_LOGICAL_DATE": context.logical_date.isoformat(),
        "OSTINATO_DATA_INTERVAL_START": context.data_interval_start.isoformat(),
        "OSTINATO_DATA_INTERVAL_END": context.data_interval_end.isoformat(),
        "OSTINATO_PARTITION": context.partition_key,
        "OSTINATO_PARAMS": as_text(params),
    }


def read_by(text: str, context: Context) -> dict[str, Any]:
    """Return those of the variables that a text reads: they are inputs of its task.

    Args:
        text: Of a script or command.
        context: Of the attempt.
    """
    if "OSTINATO_" not in text:
        return {}
    return {name: value for name, value in told_of(context).items() if name in text}


def as_text(value: Any) -> str:
    """Return a value as one environment variable: text as it is, all else as JSON.

    >>> as_text("EU"), as_text({"rows": [1, 2]}), as_text(None)
    ('EU', '{"rows":[1,2]}', 'null')
    """
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value, enc_hook=str).decode()


def _in_capitals(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()
