"""This module hides the secrets that have reached this process from what is shown of it."""

import threading
from collections.abc import Iterable

import msgspec

from ostinato.model.secret import MASK

#: Characters of a secret; a shorter one would hide parts of every other word.
MIN_SECRET_LENGTH = 3

#: Characters of a line of a secret that has several, for the same reason.
MIN_LINE_LENGTH = 5


#: Lines of a secret that are hidden one by one; a longer text is hidden as a whole only.
MAX_LINES = 200


class Masker:
    """Secrets, and texts without them. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The longer first: a secret may hold another one.
        self._secrets: tuple[str, ...] = ()
        #: Characters of the longest secret; 0 while there is none.
        self.longest = 0

    def add(self, secrets: Iterable[str]) -> None:
        """Hide secrets from now on, in the forms too that ``repr`` and JSON give them."""
        found = {form for secret in secrets for form in _forms(secret)}
        if found.issubset(self._secrets):
            return
        with self._lock:
            self._secrets = tuple(sorted({*self._secrets, *found}, key=len, reverse=True))
            self.longest = len(self._secrets[0])

    def mask(self, text: str) -> str:
        """Return a text with a mask in the place of each secret."""
        # Searched one by one: 12 us for a line and a hundred secrets, where a regular
        # expression of them all took 15 us and had to be compiled, also of long ones.
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        return text


#: The secrets of this process: they stay secret for as long as it lives.
masker = Masker()


def _forms(secret: str) -> Iterable[str]:
    if len(secret) < MIN_SECRET_LENGTH or not secret.strip():
        return
    yield secret
    lines = secret.splitlines()
    if 1 < len(lines) <= MAX_LINES:
        # A log has lines, and so has what a program prints piece by piece.
        yield secret.rstrip("\r\n")
        for line in lines:
            if len(line.strip()) >= MIN_LINE_LENGTH:
                yield line.strip()
    if not secret.isalnum():
        yield repr(secret)[1:-1]
        yield msgspec.json.encode(secret).decode()[1:-1]
