"""Opens the warehouse, a DuckDB file, for tasks in Python."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nyc.source import Staged

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Where the flow keeps its files.
DATA = Path(__file__).resolve().parents[1] / "data"


@contextmanager
def open_for_day(day: str, *, read_only: bool = False) -> "Iterator[DuckDBPyConnection]":
    """Open the warehouse for a transaction on a day: all that the block does is kept, or nothing.

    Statements find the day as `getvariable('day')`.
    """
    import duckdb  # 80 ms and only tasks need it: loading the flow stays cheap

    DATA.mkdir(exist_ok=True)
    path = str(DATA / "nyc_flights.duckdb")
    with duckdb.connect(path, read_only=read_only) as connection:
        connection.execute("set variable day = $day::date", {"day": day})
        connection.execute("begin")
        yield connection
        # An error in the block never gets here: closing the connection rolls back.
        connection.execute("commit")


def replace_day(connection: "DuckDBPyConnection", file: Staged) -> int:
    """Put a staged day in the place of what its table has of that day; return the rows written."""
    connection.execute(
        f"delete from {file['table']} where make_date(year, month, day) = getvariable('day')"
    )
    return append(connection, file)


def replace_dimension(connection: "DuckDBPyConnection", file: Staged) -> int:
    """Replace a dimension's content, unless it is the same; return the rows written."""
    version = {"table": file["table"], "digest": file["digest"]}
    if connection.execute(
        "from dimension_versions where (name, digest) = ($table, $digest)", version
    ).fetchone():
        return 0
    connection.execute(f"delete from {file['table']}")
    connection.execute(
        "delete from dimension_versions where name = $table", {"table": file["table"]}
    )
    connection.execute("insert into dimension_versions values ($table, $digest)", version)
    return append(connection, file)


def append(connection: "DuckDBPyConnection", file: Staged) -> int:
    """Append a staged file; text that does not fit the types of its table is an error."""
    connection.execute(
        f"insert into {file['table']} by name"
        " select * from read_csv($path, header = true, all_varchar = true, nullstr = 'NA')",
        {"path": file["path"]},
    )
    return file["rows"]
