"""This module loads data frames and files into tables.

Libraries of frames are told by the module of a value's type and never imported for it.
"""

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from ostinato.authoring.hooks import SqlHook, missing_package
from ostinato.authoring.materializations import Materialized, Target, materialize
from ostinato.authoring.sql_dialects import Relation, SqlDialect
from ostinato.errors import ExecutionError

#: Types of frames: the package and the name of the class.
_FRAMES = {("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table")}


class Rows(NamedTuple):
    """What is loaded into a table.

    Attributes:
        columns: Their names.
        types: Of the values of each column, as Python has them.
        rows: The values.
    """

    columns: tuple[str, ...]
    types: tuple[type, ...]
    rows: Sequence[tuple[Any, ...]]


def is_frame(value: object) -> bool:
    """Whether a value is a data frame of pandas or Polars, or a table of Arrow."""
    kind = type(value)
    return (kind.__module__.partition(".")[0], kind.__name__) in _FRAMES


def load_frame(
    hook: SqlHook, table: str, frame: Any, *, is_full_refresh: bool = False
) -> dict[str, Any]:
    """Put a data frame in the place of a table; who reads sees the one or the other.

    Args:
        hook: Of the database.
        table: Name of the table, such as ``raw.orders``.
        frame: Of pandas or Polars, or a table of Arrow.
        is_full_refresh: Whether views that read the table and do not fit any more are dropped.

    Returns:
        Name and number of rows.
    """
    if hook.dialect.reads_frames:
        return _replaced(
            hook,
            table,
            lambda dialect, cursor: dialect.query_of(cursor, frame),
            is_full_refresh=is_full_refresh,
        )
    return load_rows(hook, table, rows_of_frame(frame), is_full_refresh=is_full_refresh)


def load_file(
    hook: SqlHook, table: str, path: Path, *, is_full_refresh: bool = False
) -> dict[str, Any]:
    """Put a ``.csv`` or ``.parquet`` file in the place of a table; see ``load_frame``.

    Raises:
        ExecutionError: It cannot be read.
        MissingPackage: It is Parquet, and Arrow is not installed.
    """
    if not path.is_file():
        raise ExecutionError(f"there is no file {path}")
    if hook.dialect.reads_frames:
        if path.suffix.lower() == ".csv":
            _check_lengths(path)
        return _replaced(
            hook,
            table,
            lambda dialect, cursor: dialect.query_of(cursor, path),
            is_full_refresh=is_full_refresh,
        )
    rows = rows_of_csv(path) if path.suffix.lower() == ".csv" else _rows_of_parquet(path)
    return load_rows(hook, table, rows, is_full_refresh=is_full_refresh)


def load_rows(
    hook: SqlHook, table: str, rows: Rows, *, is_full_refresh: bool = False
) -> dict[str, Any]:
    """Put rows in the place of a table; see ``load_frame``."""

    def query(dialect: SqlDialect, cursor: Any) -> str:
        aside = Relation(f"{Relation.parse(table).name[:40]}__rows")
        columns = ", ".join(
            f"{dialect.quote_name(name)} {dialect.column_type(kind)}"
            for name, kind in zip(rows.columns, rows.types, strict=True)
        )
        cursor.execute(f"CREATE TEMPORARY TABLE {dialect.quote(aside)} ({columns})")
        dialect.insert(cursor, aside, rows.columns, rows.rows)
        return f"SELECT * FROM {dialect.quote(aside)}"

    return _replaced(hook, table, query, is_full_refresh=is_full_refresh)


def _replaced(
    hook: SqlHook,
    table: str,
    query: Callable[[SqlDialect, Any], str],
    *,
    is_full_refresh: bool,
) -> dict[str, Any]:
    dialect = hook.dialect
    with hook.transaction() as cursor:
        relation = dialect.placed(cursor, Relation.parse(table))
        dialect.prepare(cursor, relation)
        target = Target(relation, Materialized.TABLE)
        existing = dialect.kind_of(cursor, relation)
        text = query(dialect, cursor)
        made = materialize(dialect, cursor, target, text, existing, is_full_refresh=is_full_refresh)
    return {"table": str(relation), "rows": made.rows}


# Frames


def rows_of_frame(frame: Any) -> Rows:
    """Return the rows of a data frame, its index left out, with missing values as None."""
    package = type(frame).__module__.partition(".")[0]
    if package == "polars":
        return _typed(tuple(frame.columns), list(frame.rows()))
    if package == "pyarrow":
        columns = frame.to_pydict()
        return _typed(tuple(columns), list(zip(*columns.values(), strict=True)))
    names = tuple(map(str, frame.columns))
    columns = [frame.iloc[:, index].astype(object).tolist() for index in range(len(names))]
    kinds = tuple(_NUMPY_KINDS.get(kind.kind) for kind in frame.dtypes)
    rows = [tuple(map(_plain, row)) for row in zip(*columns, strict=True)]
    return _typed(names, rows, kinds)


#: Types of columns by the kinds of numpy, which tell of an empty column too.
_NUMPY_KINDS: Mapping[str, type] = {"b": bool, "f": float, "i": int, "M": datetime, "u": int}


def _plain(value: Any) -> Any:
    """Return a value of a frame as drivers take it."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    return value.item() if type(value).__module__ == "numpy" else value


def _typed(
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    known: Sequence[type | None] = (),
) -> Rows:
    types = []
    for index in range(len(columns)):
        found = {type(row[index]) for row in rows if row[index] is not None}
        types.append(_type_of(found) or (known[index] if known else None) or str)
    return Rows(columns, tuple(types), rows)


def _type_of(found: set[type]) -> type | None:
    """Return the type of a column by those of its values."""
    if len(found) == 1:
        return next(iter(found))
    if found and found <= {int, float, bool, Decimal}:
        return float
    return str if found else None


# Files


def rows_of_csv(path: Path) -> Rows:
    """Return the rows of a CSV file, whose first line has the names of the columns.

    A column of which all values look like numbers, truth values, dates or times has this type;
    an empty value is None. What begins with a zero that is not its only digit is text.

    Raises:
        ExecutionError: It has no columns, or a row of another length.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        columns = tuple(next(lines, []))
        if not columns:
            raise ExecutionError(f"{path} has no line with the names of the columns")
        texts: list[list[str]] = []
        for line in lines:
            if not line:
                continue
            if len(line) != len(columns):
                raise _other_length(path, lines.line_num, line, columns)
            texts.append(line)
    readers = [_reader_of(line[index] for line in texts) for index in range(len(columns))]
    rows = [
        tuple(read(text) if text else None for (_, read), text in zip(readers, line, strict=True))
        for line in texts
    ]
    return Rows(columns, tuple(kind for kind, _ in readers), rows)


#: What may stand between the values of a CSV file that a database reads itself.
_DELIMITERS = ",;\t|"


def _check_lengths(path: Path) -> None:
    """Refuse a CSV file with a row of another length than its first line.

    A database that guesses how a file is written takes it for one of a single column otherwise.

    Raises:
        ExecutionError: There is such a row.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline()
        file.seek(0)
        lines = csv.reader(file, delimiter=max(_DELIMITERS, key=first.count))
        columns = next(lines, [])
        for line in lines:
            if line and len(line) != len(columns):
                raise _other_length(path, lines.line_num, line, columns)


def _other_length(
    path: Path, number: int, line: Sequence[str], columns: Sequence[str]
) -> ExecutionError:
    values = f"is 1 value, and {len(columns)} columns"
    if len(line) != 1:
        ends = "s" * (len(columns) != 1)
        values = f"are {len(line)} values, and {len(columns)} column{ends}"
    return ExecutionError(f"{path}:{number}: there {values}")


def _rows_of_parquet(path: Path) -> Rows:
    try:
        # Heavy and optional.
        from pyarrow import parquet  # noqa: PLC0415 - see above
    except ModuleNotFoundError:
        raise missing_package("pyarrow", "ostinato[arrow]", "a Parquet file") from None
    return rows_of_frame(parquet.read_table(path))


_TRUTH = {"true": True, "false": False}

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?")

#: What values of a column may look like, the type that they have then, and what reads them.
_READERS: tuple[tuple[re.Pattern[str], type, Callable[[str], Any]], ...] = (
    (re.compile(r"(?i:true|false)"), bool, lambda text: _TRUTH[text.lower()]),
    (re.compile(r"-?(?:0|[1-9]\d{0,17})"), int, int),
    (re.compile(r"-?(?:0|[1-9]\d*)?(?:\.\d+)?(?:[eE][-+]?\d+)?"), float, float),
    (re.compile(r"\d{4}-\d\d-\d\d"), date, date.fromisoformat),
    (_MOMENT, datetime, datetime.fromisoformat),
)


def _reader_of(texts: Iterable[str]) -> tuple[type, Callable[[str], Any]]:
    given = [text for text in texts if text]
    for pattern, kind, read in _READERS:
        if given and all(pattern.fullmatch(text) for text in given) and _reads(read, given):
            return kind, read
    return str, str


def _reads(read: Callable[[str], Any], texts: Sequence[str]) -> bool:
    """Whether all texts are what they look like: the 30th of February is not."""
    try:
        for text in texts:
            read(text)
    except ValueError:
        return False
    return True
