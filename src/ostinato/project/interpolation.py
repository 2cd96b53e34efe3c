"""This module puts environment variables into the texts of settings, when they are used.

``${NAME}`` is the variable, ``${NAME:-text}`` has a text for where it is not set, and ``$${``
stands for ``${`` itself.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from ostinato.errors import SettingsError

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def fill(content: Any, environ: Mapping[str, str], *, subject: str) -> Any:
    """Return settings with variables in the place of references, in nested values too.

    Args:
        content: What the settings say.
        environ: The variables.
        subject: What the settings are about, for messages.

    Raises:
        SettingsError: A variable is not set.

    >>> fill({"region": "${REGION:-eu}"}, {}, subject="it")
    {'region': 'eu'}
    """
    if isinstance(content, str):
        return _fill_text(content, environ, subject, str)
    if isinstance(content, Mapping):
        return {name: fill(value, environ, subject=subject) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [fill(value, environ, subject=subject) for value in content]
    return content


def fill_uri(uri: str, environ: Mapping[str, str], *, subject: str) -> str:
    """Return a URI with variables in the place of references.

    A variable inside the URI is percent-encoded, so that a password may hold any character;
    one that is all of the text is a URI itself.

    Raises:
        SettingsError: A variable is not set.
    """
    found = _REFERENCE.fullmatch(uri.strip())
    if found is not None and found[1]:
        return _fill_text(uri.strip(), environ, subject, str)
    return _fill_text(uri, environ, subject, lambda text: quote(text, safe=""))


def without_references(content: Any) -> Any:
    """Return settings with a number in the place of each reference, to see their form."""
    if isinstance(content, str):
        return _REFERENCE.sub("1", content)
    if isinstance(content, Mapping):
        return {name: without_references(value) for name, value in content.items()}
    return content


def _fill_text(
    text: str, environ: Mapping[str, str], subject: str, encode: Callable[[str], str]
) -> str:
    def replace(found: re.Match[str]) -> str:
        name = found[1]
        if not name:
            return "${"
        value = environ.get(name)
        if not value and found[2] is not None:
            value = found[2]
        if value is None:
            message = f"{subject} refers to the variable {name}, which is not set"
            raise SettingsError(message, hint=f"set it, or write ${{{name}:-default}}")
        return encode(value)

    return _REFERENCE.sub(replace, text) if "${" in text else text
