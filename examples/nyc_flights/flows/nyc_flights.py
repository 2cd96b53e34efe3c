"""Flights from New York: each day's rows into a warehouse, its marts and a dashboard.

The folder beside this file is the flow: queries, a notebook, a script. What is easier said in
Python stands here, and is put between them:

    list_tables -> schema, extract (one per table) -> load -> rules -> validate -> transform -> ...

The logical date is the day that a run works on. Each task replaces what the warehouse has of
that day, in one transaction, so a killed run can be resumed anywhere and running a day again
changes nothing.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from ostinato import Context, folder_flow, task

sys.path.append(str(Path(__file__).resolve().parents[1]))

from nyc import source, warehouse  # found through the line above

# Why extract and load are two tasks: DuckDB lets one process write to a file, and none other open
# it meanwhile. What takes time, reading the source, runs in parallel and touches no database:
# each mapped `extract` leaves a file in the staging folder. One `load` writes all five in one
# transaction, so the warehouse has all of a day or nothing of it.


@task
def list_tables() -> list[str]:
    """Name the tables of the source."""
    warehouse.DATA.mkdir(exist_ok=True)
    return [*source.DAILY, *source.DIMENSIONS]


@task
def extract(table: str, context: Context) -> source.Staged:
    """Copy what the day brings of one table into the staging folder."""
    day = context.logical_date.date()
    staged = source.stage(table, day, warehouse.DATA / "staging")
    context.logger.info("%s: %d rows", table, staged["rows"])
    return staged


@task
def load(staged: Sequence[source.Staged], context: Context) -> dict[str, int]:
    """Replace the day's flights and weather, and the dimensions that changed; count the rows."""
    written = {}
    with warehouse.open_for_day(context.ds) as connection:
        for file in staged:
            is_daily = file["table"] in source.DAILY
            replace = warehouse.replace_day if is_daily else warehouse.replace_dimension
            written[file["table"]] = replace(connection, file)
    context.logger.info("rows written: %s", written)
    return written


with folder_flow("nyc_flights") as nyc_flights:
    tables = list_tables()
    loaded = load(extract.expand(table=tables))
    tables >> nyc_flights.operators["schema"] >> loaded >> nyc_flights.operators["rules"]
