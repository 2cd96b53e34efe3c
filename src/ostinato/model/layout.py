"""This module says where logs and large values lie below their roots."""

from urllib.parse import quote

from ostinato.model.identity import MapPath, format_path

#: Stands for the path of a task run that is not mapped.
NO_PATH = "_"

_SAFE = "-_.~"


def log_path(run_id: int, task_id: str, path: MapPath, generation: int, attempt: int) -> str:
    """Return the log file of an attempt, relative to the root of the logs.

    >>> log_path(7, "load", (3, 17), 0, 2)
    '7/load/3.17/0-2.jsonl'
    """
    return f"{_folder(run_id, task_id, path)}/{generation}-{attempt}.jsonl"


def value_path(
    run_id: int,
    task_id: str,
    path: MapPath,
    generation: int,
    attempt: int,
    key: str,
    value_format: str,
) -> str:
    """Return the file of a large value, relative to the root of the values.

    >>> value_path(7, "load", (), 0, 2, "return_value", "parquet")
    '7/load/_/0-2/return_value.parquet'
    """
    return f"{_folder(run_id, task_id, path)}/{generation}-{attempt}/{_name(key)}.{value_format}"


def _folder(run_id: int, task_id: str, path: MapPath) -> str:
    return f"{run_id}/{_name(task_id)}/{format_path(path) or NO_PATH}"


def _name(text: str) -> str:
    """Make a file name of any text: what is unsafe is percent-encoded."""
    quoted = quote(text, safe=_SAFE)
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted
