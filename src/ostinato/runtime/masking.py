"""This module hides the secrets that have reached this process from what is shown of it."""

import re
import threading
from collections.abc import Iterable

import msgspec

from ostinato.model.secret import MASK

#: Characters of a secret; a shorter one would hide parts of every other word.
MIN_SECRET_LENGTH = 3

#: Characters of a line of a secret that has several, for the same reason.
MIN_LINE_LENGTH = 5


class Masker:
    """Secrets, and texts without them. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        #: Characters of the longest secret; 0 while there is none.
        self.longest = 0

    def add(self, secrets: Iterable[str]) -> None:
        """Hide secrets from now on, in the forms too that ``repr`` and JSON give them."""
        found = {form for secret in secrets for form in _forms(secret)}
        if found <= self._secrets:
            return
        with self._lock:
            self._secrets = self._secrets | found
            # The longer first: a secret may hold another one.
            ordered = sorted(self._secrets, key=len, reverse=True)
            self.longest = len(ordered[0])
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def mask(self, text: str) -> str:
        """Return a text with a mask in the place of each secret."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)


#: The secrets of this process: they stay secret for as long as it lives.
masker = Masker()


def _forms(secret: str) -> Iterable[str]:
    if len(secret) < MIN_SECRET_LENGTH or not secret.strip():
        return
    yield secret
    lines = secret.splitlines()
    if len(lines) > 1:
        # A log has lines, and so has what a program prints piece by piece.
        yield secret.rstrip("\r\n")
        for line in lines:
            if len(line.strip()) >= MIN_LINE_LENGTH:
                yield line.strip()
    if not secret.isalnum():
        yield repr(secret)[1:-1]
        yield msgspec.json.encode(secret).decode()[1:-1]
