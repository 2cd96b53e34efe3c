"""This module says what a file becomes: its operator, arguments, and what it waits for."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ostinato.authoring.files.spec import Position


class Implied(NamedTuple):
    """Something that a task reads, without a dependency that is written.

    Attributes:
        name: A task's id, or of what it makes: ``folder.task``, or its key ``asset``.
        position: Where it is read.
    """

    name: str
    position: Position


class Plan(NamedTuple):
    """What a file becomes.

    Attributes:
        operator: The class, or a function that returns a task.
        arguments: In addition to those that the file's keys name; keys win.
        implied: What it waits for, besides its dependencies.
    """

    operator: Any
    arguments: Mapping[str, Any] = {}
    implied: tuple[Implied, ...] = ()
