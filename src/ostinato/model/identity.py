"""This module names the things that have an identity."""

from typing import NamedTuple, NewType

#: A run's 63-bit id: milliseconds (41 bits), node (10), counter (12); ordered by creation.
RunId = NewType("RunId", int)

#: The indices of a task run in the mapped groups and the mapped task around it,
#: outermost first; empty for a task that is not mapped. Written ``3.17``.
MapPath = tuple[int, ...]


#: Begins the names under which users' files are imported; nothing that people see shows it.
PRIVATE_MODULE_PREFIX = "_ostinato_"


class TaskRunKey(NamedTuple):
    """Name a task run inside its run."""

    task_id: str
    path: MapPath = ()

    def __str__(self) -> str:
        return f"{self.task_id}[{format_path(self.path)}]" if self.path else self.task_id


def format_path(path: MapPath) -> str:
    """Write a map path as people and the store do: ``3.17``, or nothing.

    >>> format_path((3, 17))
    '3.17'
    """
    return ".".join(map(str, path))


def parse_path(text: str) -> MapPath:
    """Read a map path as ``format_path`` writes it.

    >>> parse_path("3.17")
    (3, 17)
    """
    return tuple(int(part) for part in text.split(".")) if text else ()
