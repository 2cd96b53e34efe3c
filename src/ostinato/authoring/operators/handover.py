"""This module hands an attempt over to a command, and takes back its result and its files.

The command knows of its attempt by environment variables, in any language. Its result is what it
writes as JSON to the file ``$OSTINATO_RESULT``; what it writes to the folder ``$OSTINATO_OUT`` is
kept with the run.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

from ostinato.authoring.ports import Context
from ostinato.errors import ExecutionError

#: Begins the names of all variables.
PREFIX = "OSTINATO_"

#: Environment variables of the result's file and of the folder of files.
RESULT = "OSTINATO_RESULT"
OUT = "OSTINATO_OUT"

#: What lies in the folder beside the command's own files.
_RESULT_FILE = ".ostinato-result.json"
_OWN = frozenset({_RESULT_FILE})

#: Begins the environment variables of single parameters.
PARAM = "OSTINATO_PARAM_"


class Handover:
    """What one command is given and gives back.

    Args:
        context: Of the attempt.
        is_told: Whether it is told where to write result and files. A folder for them takes as
            long as a short command, while others wait for the disk.
        is_safe: Whether files are written where they are kept, so that nothing is lost if the
            attempt is killed; that takes even longer.
    """

    def __init__(self, context: Context, *, is_told: bool = True, is_safe: bool = False) -> None:
        self._context = context
        self._is_told = is_told
        self.folder = context.temp_dir() if is_told else Path(os.devnull)
        self.result_file = self.folder / _RESULT_FILE
        self.out = context.files_dir() if is_safe else self.folder

    @property
    def has_result(self) -> bool:
        """Whether something was written as the result."""
        return self._is_told and self.result_file.exists()

    def environment(self) -> dict[str, str]:
        """Return the variables that tell of the attempt."""
        told = told_of(self._context)
        if self._is_told:
            told |= {RESULT: str(self.result_file), OUT: str(self.out)}
        return told

    def keep(self) -> None:
        """Keep and publish the files that were written, also by what failed."""
        found = self._files() if self._is_told else []
        if found and self.out is self.folder:
            kept = self._context.files_dir()
            for name in found:
                target = kept / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(self.out / name, target)
        else:
            kept = self.out
        for name in found:
            self._context.keep_file(kept / name)

    def result(self, default: Any = None) -> Any:
        """Return what was written as the result.

        Args:
            default: What nothing written stands for.

        Raises:
            ExecutionError: It is no JSON.
        """
        if not self.has_result:
            return default
        written = self.result_file.read_bytes()
        if not written.strip():
            return default
        try:
            return msgspec.json.decode(written)
        except msgspec.DecodeError as err:
            shown = written[:60].decode(errors="replace")
            message = f"what was written to ${RESULT} is no JSON: {err}: {shown!r}"
            raise ExecutionError(message) from None

    def _files(self) -> list[str]:
        # Most commands write none, and pathlib would take ten times as long to see it.
        found = [
            os.path.relpath(os.path.join(folder, name), self.out)
            for folder, _, names in os.walk(self.out)
            for name in names
            if os.path.isfile(os.path.join(folder, name))
        ]
        return sorted(name for name in found if name not in _OWN)


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
    if PREFIX not in text:
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
