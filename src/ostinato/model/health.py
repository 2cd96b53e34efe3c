"""This module is how a part of a process that goes on is doing."""

from msgspec import Struct


class PartHealth(Struct, frozen=True):
    """How a part is.

    Attributes:
        is_live: Whether it does its work; if not, its process is to be started again.
        is_ready: Whether it can take work on.
        detail: What is the matter, for people; empty if all is well.
    """

    is_live: bool = True
    is_ready: bool = True
    detail: str = ""
