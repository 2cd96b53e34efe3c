"""This module tells which names stand for secrets."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: What a secret looks like to people and in logs.
MASK = "***"

#: Words that make a name one of a secret, wherever they stand in it.
SECRET_WORDS = (
    "access_key",
    "api_key",
    "apikey",
    "authorization",
    "credential",
    "keyfile_dict",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "service_account",
    "token",
)


def is_secret_name(name: str, more_words: Iterable[str] = ()) -> bool:
    """Return whether a name stands for a secret.

    Args:
        name: Of a variable, or of a field.
        more_words: Words beyond ``SECRET_WORDS``, in lower case.

    >>> is_secret_name("STRIPE-API-KEY"), is_secret_name("country")
    (True, False)
    """
    plain = name.lower().replace("-", "_")
    return any(word in plain for word in SECRET_WORDS) or any(word in plain for word in more_words)


def find_secrets(content: Any, more_words: Iterable[str] = ()) -> Iterator[str]:
    """Yield the texts below names of secrets in nested mappings and lists."""
    words = tuple(more_words)
    if isinstance(content, Mapping):
        for name, value in content.items():
            if is_secret_name(str(name), words):
                yield from _texts(value)
            else:
                yield from find_secrets(value, words)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from find_secrets(value, words)


def hide_secrets(content: Any, more_words: Iterable[str] = ()) -> Any:
    """Return nested mappings and lists with a mask in place of what has a secret's name."""
    words = tuple(more_words)
    if isinstance(content, Mapping):
        return {
            name: MASK if is_secret_name(str(name), words) and value else hide_secrets(value, words)
            for name, value in content.items()
        }
    if isinstance(content, list | tuple):
        return [hide_secrets(value, words) for value in content]
    return content


def drop_secrets(content: Any, more_words: Iterable[str] = ()) -> Any:
    """Return nested mappings and lists without what has a secret's name."""
    words = tuple(more_words)
    if isinstance(content, Mapping):
        return {
            name: drop_secrets(value, words)
            for name, value in content.items()
            if not is_secret_name(str(name), words)
        }
    if isinstance(content, list | tuple):
        return [drop_secrets(value, words) for value in content]
    return content


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
