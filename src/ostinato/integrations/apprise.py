"""This module sends alerts through Apprise: mail, chats, webhooks, by a URL."""

import logging
from typing import Any

from ostinato.errors import AlertNotSent, MissingPackage

#: Characters of Apprise's own account of what went wrong.
MAX_REASON_CHARACTERS = 300


def send(url: str, title: str, body: str) -> None:
    """Send a message to one URL.

    Args:
        url: As Apprise has it, such as ``mailto://`` or ``slack://``.
        title: First line, or subject.
        body: Text.

    Raises:
        AlertNotSent: It is no such URL, or was not reached.
        MissingPackage: Apprise is not installed.
    """
    try:
        # Optional, and 0.3 s to import.
        import apprise  # noqa: PLC0415 - see above
    except ImportError:
        message = "alerts need the package apprise"
        raise MissingPackage(message, hint="pip install 'ostinato[alerts]'") from None
    messenger = apprise.Apprise()
    capture: Any = apprise.LogCapture
    with capture(level=logging.WARNING, fmt="%(message)s") as log:
        if not messenger.add(url):
            scheme = url.partition("://")[0]
            raise AlertNotSent(f"Apprise takes no such URL of {scheme}://")
        if not messenger.notify(title=title, body=body):
            lines = [line for line in log.getvalue().splitlines() if line]
            reason = "; ".join(lines) or "no reason given"
            raise AlertNotSent(reason[:MAX_REASON_CHARACTERS])
