"""This module writes the message of an alert and hands it to what sends it."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ostinato.authoring.template_engine import Engine
from ostinato.authoring.templates import is_template
from ostinato.errors import AlertNotSent, MissingPackage, OstinatoError, TemplateError
from ostinato.model.alert import Channel
from ostinato.model.connection import Connection
from ostinato.model.secret import MASK
from ostinato.runtime.masking import masker

#: Installed packages that send messages: the name is a URL's scheme, or ``apprise``, which
#: sends what no other does. Each loads as a function of URL, title and body.
ENTRY_POINTS = "ostinato.notifiers"

#: What sends where no package knows the scheme of a URL.
USUAL_SENDER = "apprise"

#: Characters of a URL's part from which on it may be a secret, and of one without a digit.
SHORTEST_SECRET = 6
SHORTEST_WORDY_SECRET = 16

#: What happened, by moment; the usual title says so.
_HAPPENED = {
    "start": "started",
    "success": "succeeded",
    "failure": "failed",
    "retry": "failed and is tried again",
    "skip": "was skipped",
    "run_success": "succeeded",
    "run_failure": "failed",
    "run_cancel": "was cancelled",
    "deadline": "is late",
}

_VARIABLE = re.compile(r"\$\{(\w+)\}")

Send = Callable[[str, str, str], object]


def render_message(names: Mapping[str, Any], title: str, body: str) -> tuple[str, str]:
    """Return title and body of a message.

    Args:
        names: The context of the notice.
        title: Template; the usual one if empty.
        body: Template; the usual one if empty.

    Raises:
        TemplateError: A template cannot be rendered.
    """
    return (
        _render("title", title, names) if title else usual_title(names),
        _render("body", body, names) if body else usual_body(names),
    )


def usual_title(names: Mapping[str, Any]) -> str:
    """Return what a title says by itself, such as ``etl#17: load[3] failed``."""
    of_task = f": {names['task_run']}" if names["task_run"] else ""
    return f"{names['run_name']}{of_task} {_HAPPENED[names['moment']]}"


def usual_body(names: Mapping[str, Any]) -> str:
    """Return what a body says by itself: why, where, and what to look at."""
    lines = [names["reason"], names["error"]]
    if names["try_number"] > 1 and names["task_run"]:
        lines.append(f"attempt {names['try_number']}")
    lines.append(f"logical date {names['ts']}")
    lines.append(f"look at it: {names['command']}")
    return "\n".join(dict.fromkeys(line for line in lines if line))


def _render(field: str, text: str, names: Mapping[str, Any]) -> str:
    if not is_template(text):
        return text
    engine = Engine([], macros={}, filters={}, is_native=False, options={})
    try:
        return str(engine.render(engine.compile(text), names))
    except engine.errors as error:
        problem = engine.problem_of(error, names)
        message = f"{field!r} of an alert: {problem.message}"
        raise TemplateError(message, hint=problem.hint) from None


def send_message(
    channel: Channel, message: tuple[str, str], connection: Callable[[str], Connection]
) -> None:
    """Send a message to all URLs of a channel.

    Args:
        channel: Where it goes.
        message: Title and body.
        connection: Returns a connection by its id.

    Raises:
        AlertNotSent: A URL was not reached; the text holds nothing that is secret of it.
        MissingPackage: What sends is not installed.
    """
    urls = resolve_urls(channel, connection)
    problems = []
    for url in urls:
        # What sends it may log it.
        masker.add(secrets_of(url))
        try:
            sender_for(url)(url, *message)
        except MissingPackage:
            raise
        except OstinatoError as error:
            problems.append(mask_url(error.message, url))
        except Exception as error:  # noqa: BLE001 - foreign code; its text may hold the URL
            problems.append(mask_url(f"{type(error).__name__}: {error}", url))
    if problems:
        raise AlertNotSent(f"channel {channel.name!r} was not reached: {'; '.join(problems)}")


def resolve_urls(channel: Channel, connection: Callable[[str], Connection]) -> tuple[str, ...]:
    """Return the URLs of a channel with all that is secret in them.

    Args:
        channel: As it was declared.
        connection: Returns a connection by its id.

    Raises:
        AlertNotSent: A variable that a URL names is not set, or there is no URL.
        UnknownConnection: There is no such connection.
    """
    if channel.connection:
        found = connection(channel.connection)
        url = found.extra.get("url")
        return (str(url) if url else found.to_uri(),)
    if not channel.urls:
        # Its alert was written when the settings were others.
        raise AlertNotSent(f"channel {channel.name!r} is no longer declared")

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            message = f"channel {channel.name!r} needs the variable {match[1]}, which is not set"
            raise AlertNotSent(message)
        return os.environ[match[1]]

    return tuple(_VARIABLE.sub(value, url) for url in channel.urls)


def sender_for(url: str) -> Send:
    """Return what sends to a URL: a package that knows its scheme, else Apprise.

    Raises:
        MissingPackage: It cannot be imported.
    """
    # Only the process of an alert needs it; it takes 20 ms.
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    scheme = url.partition("://")[0].lower()
    group = entry_points(group=ENTRY_POINTS)
    for name in (scheme, USUAL_SENDER):
        for point in group.select(name=name):
            sender: Send = point.load()
            return sender
    message = "no installed package sends alerts"  # pragma: no cover - ours is always there
    raise MissingPackage(message, hint="install Ostinato again")  # pragma: no cover - see above


def mask_url(text: str, url: str) -> str:
    """Return a text with a mask in place of a URL and of what may be secret in it."""
    for secret in sorted(secrets_of(url), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def secrets_of(url: str) -> Iterable[str]:
    """Yield what nobody should see of a URL: all of it, its password, its tokens."""
    return set(_secrets(url))


def _secrets(url: str) -> Iterator[str]:
    yield url
    try:
        parts = urlsplit(url)
        password, user, host = parts.password, parts.username, parts.hostname
    except ValueError:
        return
    if password:
        yield from (password, unquote(password))
    is_address = "." in (host or "") or ":" in parts.netloc.rpartition("@")[2]
    tokens = [user or "", "" if is_address or host == "localhost" else parts.netloc]
    tokens += [*parts.path.split("/"), parts.fragment]
    tokens += [value for _, value in parse_qsl(parts.query)]
    for token in tokens:
        if _may_be_secret(token):
            yield from (token, unquote(token))


def _may_be_secret(token: str) -> bool:
    """Whether a part of a URL is more than a plain word, which a log may hold elsewhere too."""
    has_digit = any(character.isdigit() for character in token)
    return len(token) >= (SHORTEST_SECRET if has_digit else SHORTEST_WORDY_SECRET)
