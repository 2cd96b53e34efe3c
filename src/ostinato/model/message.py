"""This module is a message from outside that starts runs."""

from typing import Any

from msgspec import Struct


class Message(Struct, frozen=True):
    """A message that starts a run of each flow that listens to its source.

    Attributes:
        id: Names it within its source: one that comes twice starts no second run.
        body: What it says, as JSON values; text where it is no JSON.
    """

    id: str
    body: Any
