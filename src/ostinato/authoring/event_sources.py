"""This module checks where the messages come from that a flow names under ``on``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidArgument, Place
from ostinato.model.event_source import (
    EventSource,
    FileArrival,
    NatsMessage,
    PostgresNotify,
    RedisMessage,
    Webhook,
)

_NAME = re.compile(r"[\w.-]+")

#: PostgreSQL cuts longer names of channels.
_MAX_CHANNEL = 63


#: How sources are written in files: the key that says what it is, and the field that it holds.
FORMS: Mapping[str, tuple[type[EventSource], str]] = {
    "webhook": (Webhook, "name"),
    "files": (FileArrival, "path"),
    "notify": (PostgresNotify, "channel"),
    "redis_stream": (RedisMessage, "stream"),
    "redis_channel": (RedisMessage, "channel"),
    "nats": (NatsMessage, "subject"),
}


def event_sources(on: object, place: Place) -> tuple[EventSource, ...]:
    """Return what a flow listens to.

    Args:
        on: A source, several of them, or None; as files write it, ``{webhook: orders}``.
        place: Of the flow.

    Raises:
        InvalidArgument: One is none, or names nothing.
    """
    if on is None:
        return ()
    if isinstance(on, str) or not isinstance(on, Sequence):
        on = [on]
    return tuple(dict.fromkeys(_checked(_read(source, place), place) for source in on))


def _read(source: object, place: Place) -> object:
    """Return a source that is written as a mapping; others as they are."""
    if not isinstance(source, Mapping):
        return source
    forms = [key for key in source if key in FORMS]
    if len(forms) != 1:
        found = ", ".join(map(str, source))
        near = next((hint for key in source if (hint := did_you_mean(str(key), FORMS))), "")
        message = f"on: of {found!r} one must say what it is"
        raise InvalidArgument(message, place=place, hint=near or f"such as {', '.join(FORMS)}")
    cls, field = FORMS[forms[0]]
    fields: dict[str, Any] = {field if key == forms[0] else key: source[key] for key in source}
    known = cls.__struct_fields__
    for name in fields:
        if name not in known:
            message = f"on: {forms[0]} has no {name!r}"
            hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
            raise InvalidArgument(message, place=place, hint=hint)
    try:
        return msgspec.convert({**fields, "type": cls.__struct_config__.tag}, cls)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"on: {forms[0]}: {error}", place=place) from None


def _checked(source: object, place: Place) -> EventSource:
    match source:
        case Webhook():
            problem = "" if _is_name(source.name) else f"name {source.name!r} is no word"
        case PostgresNotify():
            problem = _missing(conn_id=source.conn_id, channel=source.channel)
            if not problem and len(source.channel.encode()) > _MAX_CHANNEL:
                problem = f"channel {source.channel!r} is longer than {_MAX_CHANNEL} bytes"
        case FileArrival():
            problem = _missing(path=source.path)
            if not problem and not 0 <= source.stable_for_s <= 3600:
                problem = f"stable_for_s {source.stable_for_s!r} is not from 0 to 3600"
        case RedisMessage():
            problem = _missing(conn_id=source.conn_id)
            if not problem and bool(source.stream) == bool(source.channel):
                problem = "it needs either a stream or a channel"
        case NatsMessage():
            problem = _missing(conn_id=source.conn_id, subject=source.subject)
        case _:
            hint = "give Webhook, PostgresNotify, FileArrival, RedisMessage or NatsMessage"
            raise InvalidArgument(f"on: {source!r} sends no messages", place=place, hint=hint)
    if "://" in getattr(source, "conn_id", ""):
        # It would be shown wherever the source is.
        problem = "conn_id is a URI, which may hold secrets; name a connection"
    if problem:
        raise InvalidArgument(f"on: {type(source).__name__}: {problem}", place=place)
    return source


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _missing(**texts: object) -> str:
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            return f"{name} {text!r} is no text"
    return ""
