"""This module gives functions of files the tables of other tasks as frames."""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ostinato.authoring.hooks import SqlHook
from ostinato.authoring.operators.connecting import hook_of
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.ports import Context
from ostinato.authoring.signatures import signature_of
from ostinato.authoring.sql_dialects import Relation

_CONTEXT = "context"


def connection_of_table(operator: Operator) -> str:
    """Return the connection in which a task makes a table, empty if it makes none.

    Args:
        operator: The task.
    """
    if not getattr(operator, "table", None) or getattr(operator, "materialized", "") == "none":
        return ""
    return str(getattr(operator, "conn_id", "") or "")


class WithTables:
    """Call a function whose arguments of some names are tables.

    Args:
        function: The function.
        connections: Where each of the tables is, by the name of the argument; what arrives there
            is what the task that makes the table returned.
    """

    def __init__(self, function: Callable[..., Any], connections: Mapping[str, str]) -> None:
        self.function = function
        self.connections = dict(connections)
        self.__name__ = self.__qualname__ = getattr(function, "__name__", "function")
        self.__module__ = getattr(function, "__module__", "")
        self.__doc__ = None
        own = inspect.signature(function)
        self._passes_context = _CONTEXT in signature_of(function).context_parameters
        if not self._passes_context:
            context = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY)
            named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
            rest = [p for p in own.parameters.values() if p.kind is p.VAR_KEYWORD]
            own = own.replace(parameters=[*named, context, *rest])
        self.__signature__ = own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Read the tables and call the function.

        Args:
            args: Positional arguments.
            kwargs: Arguments by name, the context among them.
        """
        context = kwargs[_CONTEXT] if self._passes_context else kwargs.pop(_CONTEXT)
        tables = {
            name: read_table(context, str(context.render(conn_id)), kwargs[name]["table"])
            for name, conn_id in self.connections.items()
        }
        return self.function(*args, **{**kwargs, **tables})


def read_table(context: Context, conn_id: str, table: str) -> Any:
    """Return a table as a frame of what is installed: pandas, Polars or Arrow; or as dicts.

    Args:
        context: Of the attempt.
        conn_id: Connection of the database.
        table: Its name there.

    Raises:
        QueryError: The database refuses it.
    """
    hook: SqlHook = hook_of(context, conn_id, SqlHook, "speaks no SQL")
    query = f"SELECT * FROM {hook.dialect.quote(Relation.parse(table))}"
    (frame,) = hook.execute(query, handler=_frame_of)
    return frame


def _frame_of(cursor: Any) -> Any:
    columns = [column[0] for column in cursor.description]
    library = next((name for name in _LIBRARIES if name and importlib.util.find_spec(name)), "")
    if library == "pandas" and hasattr(cursor, "fetch_df"):
        # DuckDB makes it without a Python object for each value.
        return cursor.fetch_df()
    rows = cursor.fetchall()
    return _LIBRARIES[library](columns, rows)


def _pandas(columns: list[str], rows: list[tuple[Any, ...]]) -> Any:
    import pandas as pd  # noqa: PLC0415 - only where a table is read, and if it is there

    return pd.DataFrame([tuple(row) for row in rows], columns=columns)


def _polars(columns: list[str], rows: list[tuple[Any, ...]]) -> Any:  # pragma: no cover - absent
    import polars as pl  # type: ignore[import-not-found]  # noqa: PLC0415 - as above

    return pl.DataFrame([tuple(row) for row in rows], schema=columns, orient="row")


def _arrow(columns: list[str], rows: list[tuple[Any, ...]]) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - as above

    return pa.Table.from_pylist(_dicts(columns, rows))


def _dicts(columns: list[str], rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


#: What makes a frame, in the order of preference; dicts without any library.
_LIBRARIES: dict[str, Callable[[list[str], list[tuple[Any, ...]]], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _arrow,
    "": _dicts,
}
