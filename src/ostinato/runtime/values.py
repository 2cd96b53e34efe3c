"""This module encodes the values that pass between tasks, and reads them back.

JSON where a value is JSON, Parquet for data frames, cloudpickle else. What is small travels
in the message and lies in the store; what is large is written to storage first. Data frame
libraries are recognised by the module of the value's type and never imported otherwise.
"""

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import msgspec

from ostinato.errors import ValueMissing, ValueNotSerialisable
from ostinato.model.identity import PRIVATE_MODULE_PREFIX
from ostinato.model.layout import value_path
from ostinato.model.value import INLINE_LIMIT_BYTES, StoredValue, ValueFormat
from ostinato.runtime.failures import plain_text
from ostinato.runtime.messages import AttemptSpec

#: Decoded containers kept in a process, for the task runs that are mapped over their items.
KEPT_CONTAINERS = 16

#: Results of a mapped task that are fetched at a time.
PAGE = 1000

_PREVIEW_CHARACTERS = 500
_IMMUTABLE = (str, int, float, bool, type(None), bytes)
_json = msgspec.json.Encoder()


def encode_value(key: str, value: Any, spec: AttemptSpec, values_root: str) -> StoredValue:
    """Encode a value, and write it to storage if it is large.

    Args:
        key: Under which it is stored.
        value: Anything but None.
        spec: The attempt that made it.
        values_root: Folder of large values.

    Raises:
        ValueNotSerialisable: No format takes it; the message names task and type.
    """
    value_format, data, preview = _encode(value, spec.task_id)
    type_name = _type_name(value)
    if len(data) <= INLINE_LIMIT_BYTES:
        return StoredValue(key, value_format, len(data), data, "", type_name, preview)
    location = value_path(
        spec.run_id, spec.task_id, spec.path, spec.generation, spec.attempt, key, value_format
    )
    _write(Path(values_root) / location, data)
    return StoredValue(key, value_format, len(data), None, location, type_name, preview)


def decode_value(value: StoredValue | None, values_root: str) -> Any:
    """Read a stored value; None stands for the result None.

    Raises:
        ValueMissing: Its file is no longer in storage.
    """
    if value is None:
        return None
    data = value.data if value.data is not None else _read(value, values_root)
    match value.format:
        case ValueFormat.JSON:
            return msgspec.json.decode(data)
        case ValueFormat.PARQUET:
            return _from_parquet(data, value.type_name)
        case ValueFormat.ARROW | ValueFormat.PICKLE:
            import pickle

            # In the task's process, and of the run's own values.
            return pickle.loads(data)


def _encode(value: Any, task_id: str) -> tuple[ValueFormat, bytes, str]:
    try:
        is_json = _is_json(value)
    except RecursionError:
        # Too deep, or it contains itself.
        is_json = False
    if is_json:
        return ValueFormat.JSON, _json.encode(value), ""
    frame = _to_parquet(value)
    if frame is not None:
        return ValueFormat.PARQUET, frame, _preview(value)
    # Heavy, and few values need it.
    import cloudpickle

    try:
        return ValueFormat.PICKLE, cloudpickle.dumps(value), _preview(value)
    except Exception as error:
        message = (
            f"the result of task {task_id!r} cannot be stored: {_type_name(value)} "
            f"({plain_text(error) or type(error).__name__})"
        )
        hint = "return data instead, such as a list, or a path to where it was written"
        raise ValueNotSerialisable(message, hint=hint) from error


def _is_json(value: Any) -> bool:
    """Whether a value comes back equal, and of the same type, from JSON."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii()) or not any("\ud800" <= c <= "\udfff" for c in value)
    if kind is bool or value is None:
        return True
    if kind is int:
        return bool(-(2**63) <= value < 2**64)
    if kind is float:
        # Not a number and infinity are no JSON.
        return bool(value - value == 0)
    if kind is list:
        return all(map(_is_json, value))
    if kind is dict:
        return all(type(key) is str and _is_json(key) for key in value) and all(
            map(_is_json, value.values())
        )
    return False


def _to_parquet(value: Any) -> bytes | None:
    package, name = str(type(value).__module__).partition(".")[0], type(value).__name__
    if (package, name) == ("polars", "DataFrame"):
        import io

        buffer = io.BytesIO()
        value.write_parquet(buffer)
        return buffer.getvalue()
    if (package, name) not in {("pandas", "DataFrame"), ("pyarrow", "Table")}:
        return None
    try:
        # Optional; without it frames are pickled.
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return None
    try:
        table = pyarrow.Table.from_pandas(value) if package == "pandas" else value
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink)
        data: bytes = sink.getvalue().to_pybytes()
        if package == "pandas" and not table.to_pandas().equals(value):
            # Objects that Arrow takes for something else are pickled instead.
            return None
    except (pyarrow.ArrowException, TypeError, ValueError):
        return None
    return data


def _from_parquet(data: bytes, type_name: str) -> Any:
    if type_name.startswith("polars."):
        import io

        # Not among the packages that Ostinato itself is tested with.
        import polars  # type: ignore[import-not-found]  # optional

        return polars.read_parquet(io.BytesIO(data))
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    return table.to_pandas() if type_name.startswith("pandas.") else table


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, and stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        # The disk is full, or the attempt was stopped.
        aside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(value: StoredValue, values_root: str) -> bytes:
    path = Path(values_root) / value.location
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"the value {value.location} is no longer in storage"
        raise ValueMissing(message, hint="run the task that made it again") from error


def _type_name(value: Any) -> str:
    kind = type(value)
    # Users' classes may set both to anything.
    module, name = plain_text(kind.__module__), plain_text(kind.__qualname__)
    if module == "builtins" or module.startswith(PRIVATE_MODULE_PREFIX):
        return name
    return f"{module.partition('.')[0]}.{name}"


def _preview(value: Any) -> str:
    try:
        text = repr(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything
        return ""
    return text if len(text) <= _PREVIEW_CHARACTERS else text[: _PREVIEW_CHARACTERS - 1] + "…"


class Containers:
    """Decoded containers of this process: 100,000 task runs mapped over a list decode it once.

    Items that can be changed are given as copies, so that no task run sees another's.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[object, list[Any]] = OrderedDict()
        # Attempts may execute in several threads of a process.
        self._lock = threading.Lock()

    def items(self, key: object, load: Callable[[], Any]) -> list[Any]:
        """Return the items of a container; of a dict, (key, value) pairs.

        Args:
            key: Names the container; equal keys mean equal containers.
            load: Reads it where it is not kept.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        container = load()
        kept = list(container.items()) if isinstance(container, dict) else list(container)
        with self._lock:
            self._kept[key] = kept
            if len(self._kept) > KEPT_CONTAINERS:
                self._kept.popitem(last=False)
        return kept

    def item(self, key: object, index: int, load: Callable[[], Any]) -> Any:
        """Return one item, copied if it can be changed."""
        value = self.items(key, load)[index]
        return value if isinstance(value, _IMMUTABLE) else copy.deepcopy(value)


class LazyResults(Sequence[Any]):
    """The results of a mapped task, in order, fetched page by page as they are read.

    Args:
        count: How many there are.
        fetch: Returns the stored values from an offset, at most so many.
        values_root: Folder of large values.
        first: The first few.
    """

    def __init__(
        self,
        count: int,
        fetch: Callable[[int, int], Sequence[StoredValue | None]],
        values_root: str,
        first: Sequence[StoredValue | None] = (),
    ) -> None:
        self._count = count
        self._fetch = fetch
        self._values_root = values_root
        self._pages: OrderedDict[int, Sequence[StoredValue | None]] = OrderedDict()
        self._first = first

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._count))]
        if index < 0:
            index += self._count
        if not 0 <= index < self._count:
            message = f"there are {self._count} results, but number {index} was asked for"
            raise IndexError(message)
        return decode_value(self._stored(index), self._values_root)

    def __iter__(self) -> Iterator[Any]:
        for index in range(self._count):
            yield decode_value(self._stored(index), self._values_root)

    def _stored(self, index: int) -> StoredValue | None:
        if index < len(self._first):
            return self._first[index]
        page = index // PAGE
        values = self._pages.get(page)
        if values is None:
            values = self._pages[page] = self._fetch(page * PAGE, PAGE)
            if len(self._pages) > 2:
                self._pages.popitem(last=False)
        return values[index % PAGE]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # as for a list: its items may change

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        # Stored inside another value it is a list: what it fetches from is not there any more.
        return list, (list(self),)

    def __repr__(self) -> str:
        shown = ", ".join(repr(value) for value in self[:5])
        more = f", … {self._count - 5} more" if self._count > 5 else ""
        return f"[{shown}{more}]"
