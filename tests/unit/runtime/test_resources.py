"""Resources are opened once, when they are asked for, and closed in reverse order."""

from ostinato.authoring.ports import Resource


class Recorded(Resource):
    """A resource that remembers what was done with it.

    Args:
        name: Of the resource.
        events: Where it is remembered.
    """

    def __init__(self, name: str, events: list[str] | None = None) -> None:
        self.name = name
        self.events = [] if events is None else events

    def open(self) -> str:
        self.events.append(f"open {self.name}")
        return f"the open {self.name}"

    def close(self) -> None:
        self.events.append(f"close {self.name}")
