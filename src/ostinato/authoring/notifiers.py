"""This module holds what sends a message where a callback is expected."""

from typing import Any

from ostinato.authoring.places import calling_place, relative_place
from ostinato.errors import InvalidArgument
from ostinato.model.notice import Callback, Moment

#: How often a message is tried, where its channel is not reached.
TRIES = 5


class Notifier:
    """Send a message: give it to ``on_failure`` and its like.

    Args:
        target: Name of a channel of ``ostinato.yaml``, or a URL of Apprise, in which ``${NAME}``
            stands for an environment variable.
        title: Template of the first line; the usual one if empty.
        body: Template of the message; the usual one if empty.

    Raises:
        InvalidArgument: The target is empty, or something is no text.

    Example:
        ``@dag(on_failure=Notifier("team", title="{{ run_name }} is down"))``
    """

    def __init__(self, target: str, *, title: str = "", body: str = "") -> None:
        given: dict[str, object] = {"target": target, "title": title, "body": body}
        wrong = [name for name, value in given.items() if not isinstance(value, str)]
        if wrong or not target:
            name = wrong[0] if wrong else "target"
            message = f"Notifier takes text as its {name}, not {given[name]!r}"
            raise InvalidArgument(message, place=relative_place(calling_place()))
        self.target = target
        self.title = title
        self.body = body

    @property
    def is_url(self) -> bool:
        """Whether the target is a URL and not the name of a channel."""
        return "://" in self.target or "${" in self.target

    def declare(self, moment: Moment) -> Callback:
        """Return what a definition says of it; a URL, which may be secret, is not shown."""
        scheme, separator, _ = self.target.partition("://")
        name = f"{scheme}://…" if separator else "${…}" if self.is_url else self.target
        channel = "" if self.is_url else self.target
        return Callback(moment, name, TRIES, channel, self.title, self.body)

    def __call__(self, context: Any) -> None:
        """Send the message.

        Args:
            context: Of the callback.
        """
        context.send(self.target, self.title, self.body)

    def __repr__(self) -> str:
        return f"Notifier({self.declare(Moment.FAILURE).name!r})"
