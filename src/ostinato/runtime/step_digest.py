"""This module sums up the arguments of a step, so that a replay can compare them."""

import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any

import msgspec

#: Bytes of a digest; collisions would take 2**64 different calls at one place.
DIGEST_BYTES = 16

_encoder = msgspec.msgpack.Encoder(order="deterministic")


class Digest:
    """Sums up one call.

    Attributes:
        value: The digest.
        is_exact: Whether each argument is covered by value; else some only by their type.
    """

    __slots__ = ("is_exact", "value")

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.is_exact = True
        try:
            data = _encoder.encode((name, arguments))
        except (TypeError, ValueError, RecursionError):
            data = _encoder.encode((name, self._plain(arguments, 0)))
        self.value = hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()

    def _plain(self, value: Any, depth: int) -> Any:
        if depth > 50:
            return self._by_type(value)
        if isinstance(value, Mapping):
            items = [[self._plain(part, depth + 1) for part in pair] for pair in value.items()]
            return {"": "mapping", "items": sorted(items, key=_encoder.encode)}
        if isinstance(value, list | tuple):
            return [self._plain(item, depth + 1) for item in value]
        if isinstance(value, AbstractSet):
            items = [self._plain(item, depth + 1) for item in value]
            return {"": "set", "items": sorted(items, key=_encoder.encode)}
        if isinstance(value, PurePath):
            return str(value)
        if hasattr(value, "model_dump"):
            return self._plain(value.model_dump(mode="python"), depth + 1)
        if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tobytes"):
            return [str(value.dtype), list(value.shape), value.tobytes()]
        try:
            return msgspec.to_builtins(value)
        except (TypeError, ValueError, RecursionError):
            return self._by_type(value)

    def _by_type(self, value: Any) -> str:
        # The bytes of what pickles itself may differ from process to process.
        self.is_exact = False
        kind = type(value)
        return f"{kind.__module__}.{kind.__qualname__}"
