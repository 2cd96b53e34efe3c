"""Flights from New York: each day's rows into a warehouse, its marts and a dashboard.

    list_tables -> extract (one per table) -> load -> validate -> transform -> datamart -> dashboard

The logical date is the day that a run works on. Each task replaces what the warehouse has of
that day, in one transaction, so a killed run can be resumed anywhere and running a day again
changes nothing.
"""

import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from ostinato import Context, dag, task

PROJECT = Path(__file__).resolve().parents[1]
sys.path.append(str(PROJECT))

from nyc import source, warehouse  # noqa: E402  # found through the line above

# Why extract and load are two tasks: DuckDB lets one process write to a file, and none other open
# it meanwhile. What takes time, reading the source, runs in parallel and touches no database:
# each mapped `extract` leaves a file in the staging folder. One `load` writes all five in one
# transaction, so the warehouse has all of a day or nothing of it. The tasks after it use the
# file one after the other.


@task
def list_tables() -> list[str]:
    """Name the tables of the source."""
    return [*source.DAILY, *source.DIMENSIONS]


@task
def extract(table: str, context: Context) -> source.Staged:
    """Copy what the day brings of one table into the staging folder."""
    staged = source.stage(table, day_of(context), data_folder(context) / "staging")
    context.logger.info("%s: %d rows", table, staged["rows"])
    return staged


@task
def load(staged: Sequence[source.Staged], context: Context) -> dict[str, int]:
    """Replace the day's flights and weather, and the dimensions that changed; count the rows."""
    written = {}
    with warehouse.open_for_day(database(context), day_of(context)) as connection:
        warehouse.run_sql(connection, "schema")
        for file in staged:
            is_daily = file["table"] in source.DAILY
            replace = warehouse.replace_day if is_daily else warehouse.replace_dimension
            written[file["table"]] = replace(connection, file)
    context.logger.info("rows written: %s", written)
    return written


@task(retries=0)  # wrong rows stay wrong
def validate(context: Context) -> dict[str, int]:
    """Fail if the day's rows break a rule; return how often something odd was found."""
    errors, warnings = [], {}
    with warehouse.open_for_day(database(context), day_of(context), read_only=True) as connection:
        for severity, rule, count, example in warehouse.run_sql(connection, "validate").fetchall():
            if severity == "error" and count:
                errors.append(f"{rule} ({count} times not, such as {example})")
            elif count:
                warnings[rule] = count
                context.logger.warning("%s: %d, such as %s", rule, count, example)
    if errors:
        raise ValueError(f"{day_of(context)} breaks {len(errors)} rules: {'; '.join(errors)}")
    return warnings


@task
def transform(context: Context) -> None:
    """Clean the day's flights and give each the weather of its hour at its origin."""
    with warehouse.open_for_day(database(context), day_of(context)) as connection:
        warehouse.run_sql(connection, "transform")


@task
def datamart(context: Context) -> None:
    """Update the marts for the day: delays by carrier, airport, hour and weather."""
    with warehouse.open_for_day(database(context), day_of(context)) as connection:
        warehouse.run_sql(connection, "datamart")


@task
def dashboard(context: Context) -> str:
    """Draw the dashboard over all days that the marts have."""
    from nyc.dashboard import write_dashboard  # imports plotly, which only this task needs

    page = data_folder(context) / "dashboard.html"
    with warehouse.open_for_day(database(context), day_of(context), read_only=True) as connection:
        write_dashboard(connection, page)
    return str(page)


def day_of(context: Context) -> date:
    """Return the day that the run works on."""
    return context.logical_date.date()


def data_folder(context: Context) -> Path:
    """Return where the run keeps its files; a relative folder lies in the project."""
    return PROJECT / str(context.params["data_folder"])


def database(context: Context) -> Path:
    """Return the warehouse."""
    return data_folder(context) / "nyc_flights.duckdb"


@dag(
    schedule="@daily",
    start_date=datetime(2013, 1, 1),
    end_date=datetime(2013, 12, 31),
    max_active_runs=1,  # one writer at a time
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
    tags=["example"],
)
def nyc_flights(data_folder: str = "data") -> None:
    """Bring a day of flights from New York into the warehouse and onto the dashboard."""
    staged = extract.expand(table=list_tables())
    load(staged) >> validate() >> transform() >> datamart() >> dashboard()


nyc_flights()
