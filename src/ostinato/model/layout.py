"""This module says where the files lie that Ostinato writes, below their roots."""

import hashlib
from urllib.parse import quote

from ostinato.model.identity import MapPath, format_path

#: Holds all that Ostinato itself writes in a project.
DATA_FOLDER = ".ostinato"

#: Stands for the path of a task run that is not mapped.
NO_PATH = "_"

#: Characters of a name: file systems take 255 bytes, of which an ending needs some.
MAX_NAME_CHARACTERS = 200

#: File for what triggers print, in the folder of logs.
TRIGGER_LOG = "triggers.log"

#: Folder of the logs of a run's notices; no task's folder has this name, for ``+`` is encoded.
NOTICES = "+notices"

_SAFE = "-_.~"


def log_path(run_id: int, task_id: str, path: MapPath, generation: int, attempt: int) -> str:
    """Return the log file of an attempt, relative to the root of the logs.

    >>> log_path(7, "load", (3, 17), 0, 2)
    '7/load/3.17/0-2.jsonl'
    """
    return f"{_folder(run_id, task_id, path)}/{generation}-{attempt}.jsonl"


def notice_log_path(run_id: int, notice_id: int, number: int) -> str:
    """Return the log file of an execution of a notice, relative to the root of the logs.

    >>> notice_log_path(7, 12, 1)
    '7/+notices/12-1.jsonl'
    """
    return f"{run_id}/{NOTICES}/{notice_id}-{number}.jsonl"


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
    return (
        f"{_folder(run_id, task_id, path)}/{generation}-{attempt}/{file_name(key)}.{value_format}"
    )


def query_cache_path(folder: str) -> str:
    """Return the file that keeps what was read of the queries of a folder, below the data.

    >>> query_cache_path("flows/shop")
    'cache/queries/flows%2Fshop'
    """
    return f"cache/queries/{file_name(folder)}"


def file_cache_path(folder: str) -> str:
    """Return the file that keeps what was read of the files of a folder, below the data.

    >>> file_cache_path("flows/shop")
    'cache/files/flows%2Fshop'
    """
    return f"cache/files/{file_name(folder)}"


def file_name(text: str) -> str:
    """Make the name of a file or folder of any text: what is unsafe is percent-encoded.

    A name that would be too long ends in a digest of the whole text instead.

    >>> file_name("a/b")
    'a%2Fb'
    """
    quoted = quote(text, safe=_SAFE)
    if len(quoted) > MAX_NAME_CHARACTERS:
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{quoted[: MAX_NAME_CHARACTERS - 20]}~{digest}"
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted


def _folder(run_id: int, task_id: str, path: MapPath) -> str:
    return f"{run_id}/{file_name(task_id)}/{format_path(path) or NO_PATH}"
