"""This module stands for runs that are asked for while their file is loaded."""

from typing import Any

from ostinato.authoring.places import calling_place, relative_place
from ostinato.errors import CallWhileLoading


class NotRun:
    """Stand for a run that was asked for while its file was loaded, and not started.

    Args:
        name: Of the flow.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._place = calling_place()

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise CallWhileLoading(
            f"flow {self._name!r} is run while its file is loaded",
            place=relative_place(self._place),
            hint='put the call under `if __name__ == "__main__":`',
        )
