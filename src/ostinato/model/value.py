"""This module describes a value that passed between tasks, as it is stored."""

from enum import StrEnum

from msgspec import Struct

#: Key under which a task's result is stored, as in Airflow's XCom.
RETURN_VALUE = "return_value"

#: Values up to this size, encoded, lie in the store; larger ones in storage.
INLINE_LIMIT_BYTES = 16 * 1024


class ValueFormat(StrEnum):
    """Say how a value is encoded."""

    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"
    PICKLE = "pickle"


class StoredValue(Struct, frozen=True, gc=False, omit_defaults=True):
    """A value under a key.

    Attributes:
        key: ``return_value`` or the user's.
        format: How it is encoded.
        size_bytes: Encoded size.
        data: The encoded value when it is small, else None.
        location: Path under the storage root when it is large, else empty.
        type_name: The Python type that it had, such as ``pandas.DataFrame``.
        preview: Some text for people, where the format is not readable by itself.
    """

    key: str
    format: ValueFormat
    size_bytes: int
    data: bytes | None = None
    location: str = ""
    type_name: str = ""
    preview: str = ""
