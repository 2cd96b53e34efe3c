"""This module tests artifacts: what tasks and flows publish for people."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from ostinato import (
    DAG,
    BashOperator,
    create_file_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    flow,
    task,
    update_progress_artifact,
)
from ostinato.cli.entry import root
from ostinato.errors import ExecutionError, InvalidArgument, UsageError
from ostinato.store.records import ArtifactRow
from ostinato.store.sqlite import open_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for what the flows record."""
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def artifacts(home: Path, key: str = "") -> list[ArtifactRow]:
    store = open_store(home / "store.db")
    try:
        return store.artifacts(key=key)
    finally:
        store.close()


def content(row: ArtifactRow) -> object:
    return msgspec.json.decode(row.data)


@task
def load(rows: int) -> int:
    create_table_artifact([{"day": 1, "rows": rows}, {"day": 2}], "loaded", "What came in")
    return rows


def test_steps_and_bodies_publish_and_keys_have_versions(home: Path) -> None:
    @flow
    def etl(rows: int) -> None:
        load(rows)
        create_markdown_artifact("# Done", key="report")
        create_link_artifact("https://example.org", "the page")
        create_image_artifact("https://example.org/a.png")

    etl(1)
    etl(2)

    newest, first = artifacts(home, "loaded")
    assert (newest.version, first.version) == (2, 1)
    assert (newest.task_id, newest.path, newest.kind) == ("load", "0", "table")
    assert content(newest) == {"columns": ["day", "rows"], "rows": [[1, 2], [2, None]]}
    found = artifacts(home)
    assert sorted((row.kind, row.key, row.version) for row in found) == [
        ("image", "", 0),
        ("image", "", 0),
        ("link", "", 0),
        ("link", "", 0),
        ("markdown", "report", 2),
        ("table", "loaded", 2),
    ]


def test_attempt_that_is_tried_again_replaces_what_it_published(home: Path) -> None:
    tries: list[int] = []

    @task(retries=2, retry_delay=0)
    def flaky() -> None:
        tries.append(1)
        create_markdown_artifact(f"try {len(tries)}", key="notes")
        if len(tries) < 3:
            raise ValueError("again")

    @flow
    def etl() -> None:
        flaky()

    etl()

    (row,) = artifacts(home, "notes")
    assert (row.version, content(row)) == (1, {"markdown": "try 3"})


def test_progress_is_updated_in_place(home: Path) -> None:
    @flow
    def slow() -> None:
        progress = create_progress_artifact(0, key="progress", description="files")
        update_progress_artifact(progress, 50)
        update_progress_artifact(progress, 100.0, description="all files")

    slow()

    (row,) = artifacts(home, "progress")
    assert (row.version, row.description, content(row)) == (1, "all files", {"progress": 100.0})
    assert row.updated_us > row.created_us


def test_tasks_of_graphs_publish_too(home: Path) -> None:
    with DAG("graph") as graph:
        load.expand(rows=[1, 2])

    graph.run(executor="process").raise_for_state()

    assert sorted(row.path for row in artifacts(home, "loaded")) == ["0", "1"]


def test_files_are_kept_with_the_run(home: Path) -> None:
    with DAG("graph") as graph:
        BashOperator(task_id="plot", bash_command="echo points > $OSTINATO_OUT/plot.txt")
        BashOperator(task_id="none", bash_command="true")

    @task
    def report() -> None:
        Path("report.csv").write_text("a,b")
        create_file_artifact("report.csv", key="report", description="For all")

    @flow
    def reporting() -> None:
        report()
        report()

    (home / "report.csv").write_text("")
    graph.run(executor="process").raise_for_state()
    reporting()

    newest, _ = artifacts(home, "report")
    (plot,) = [row for row in artifacts(home) if row.task_id == "plot"]
    assert content(plot) == {
        "name": "plot.txt",
        "path": f"files/{plot.run_id}/plot/1/plot.txt",
        "size_bytes": 7,
        "media_type": "text/plain",
    }
    assert (home / f"files/{plot.run_id}/plot/1/plot.txt").read_text() == "points\n"
    assert (newest.version, newest.path, newest.description) == (2, "1", "For all")
    assert (home / f"files/{newest.run_id}/report[1]/1/report.csv").read_text() == "a,b"
    assert not (home / f"files/{plot.run_id}/none").exists()
    shown = CliRunner().invoke(root, ["artifacts"]).output
    assert (
        "/report[1]/1/report.csv (3 B)" in CliRunner().invoke(root, ["artifacts", "report"]).output
    )
    assert "plot.txt (7 B)" in shown


@pytest.mark.slow
def test_files_of_a_command_that_ran_out_of_time_are_kept(home: Path) -> None:
    command = "echo half > $OSTINATO_OUT/half.txt; sleep 30"
    with DAG("graph") as graph:
        BashOperator(task_id="plot", bash_command=command, timeout=1)

    run = graph.run(executor="process")

    assert run.state == "failed"
    (row,) = artifacts(home)
    assert (home / f"files/{row.run_id}/plot/1/half.txt").read_text() == "half\n"


def test_file_that_is_not_there_is_told(home: Path) -> None:
    @flow
    def reporting() -> None:
        create_file_artifact("none.csv")

    with pytest.raises(ExecutionError, match=r"none.csv' cannot be kept: No such file"):
        reporting()


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"a": [1, 2], "b": [3]}, {"columns": ["a", "b"], "rows": [[1, 3], [2, None]]}),
        ([[1, 2], (3, 4), 5], {"columns": [], "rows": [[1, 2], [3, 4], [5]]}),
        ([], {"columns": [], "rows": []}),
    ],
)
def test_tables_come_in_several_forms(home: Path, table: object, expected: object) -> None:
    @flow
    def tables() -> None:
        create_table_artifact(table)

    tables()

    assert content(artifacts(home)[0]) == expected


def test_what_is_wrong_is_said_with_its_line(home: Path) -> None:
    @flow
    def wrong(what: str) -> None:
        match what:
            case "key":
                create_markdown_artifact("text", key="No Key")
            case "size":
                create_markdown_artifact("x" * 2_000_000)
            case "percent":
                create_progress_artifact(101)
            case "table":
                create_table_artifact("text")
            case _:
                update_progress_artifact(1, 50)

    with pytest.raises(InvalidArgument, match=r"test_artifacts.py:\d+.*'No Key'"):
        wrong("key")
    with pytest.raises(InvalidArgument, match=r"2,000,015 bytes"):
        wrong("size")
    with pytest.raises(InvalidArgument, match="from 0 to 100, not 101"):
        wrong("percent")
    with pytest.raises(InvalidArgument, match="not str"):
        wrong("table")
    with pytest.raises(Exception, match="there is no artifact 1"):
        wrong("id")
    with pytest.raises(UsageError, match="tasks and flows that run"):
        create_markdown_artifact("text")


def test_command_lists_and_shows_them(home: Path) -> None:
    @flow
    def etl() -> None:
        load(7)
        create_progress_artifact(12.5, key="progress")

    etl()
    run = CliRunner().invoke

    listed = run(root, ["artifacts"]).output
    shown = run(root, ["artifacts", "loaded"]).output
    data = json.loads(run(root, ["artifacts", "--run", "etl", "--format", "json"]).output)
    missing = run(root, ["artifacts", "nothing"])

    assert "etl#1  load[0]" in listed
    assert "What came in" in listed
    assert "12.5 %" in listed
    assert shown.splitlines()[:4] == ["What came in", "day  rows", "1    7", "2"]
    assert {one["key"] for one in data} == {"loaded", "progress"}
    assert "there is no artifact 'nothing'" in str(missing.exception)
