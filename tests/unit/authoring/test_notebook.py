"""This module tests notebooks, which Papermill executes for real."""

import json
import os
import select
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from ostinato import DAG, NotebookOperator
from ostinato.authoring.operators import notebook_main
from ostinato.authoring.operators.notebook import OFFERED
from ostinato.cli.entry import root
from ostinato.errors import ExecutionError, InvalidArgument
from ostinato.model.identity import RunId
from ostinato.store.sqlite import open_store
from tests.unit.authoring.fakes import FakeContext, execute

WRITE = "import json, os\njson.dump({}, open(os.environ['OSTINATO_RESULT'], 'w'))"

Cell = tuple[str, list[str], str]


def code(source: str, *tags: str) -> Cell:
    return "code", list(tags), source


def text(source: str) -> Cell:
    return "markdown", [], source


def write_notebook(path: Path, *cells: Cell, **metadata: Any) -> Path:
    """Write a notebook as Jupyter does, with the kernel of whoever wrote it."""
    written = []
    for number, (kind, tags, source) in enumerate(cells):
        cell: dict[str, Any] = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {"tags": tags} if tags else {},
            "source": source.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        written.append(cell)
    kernel = {"name": "conda-env-mine", "display_name": "mine", "language": "python"}
    content = {
        "cells": written,
        "metadata": {"kernelspec": kernel} | metadata,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content, indent=1))
    return path


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    folder = tmp_path / "attempt"
    folder.mkdir()
    return FakeContext(temporary=folder, data_dir=tmp_path / "data")


def run_notebook(context: FakeContext, path: Path, **arguments: Any) -> Any:
    return execute(NotebookOperator(task_id="report", path=path, **arguments), context=context)


@pytest.mark.slow
def test_parameters_come_from_the_run_and_the_result_goes_to_it(
    context: FakeContext, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notebook = write_notebook(
        tmp_path / "report.ipynb",
        text("# Report"),
        code("region = 'none'\nds: str = ''\nlimit = 5\nmine = 1", "parameters"),
        code("print('of', region, 'to its end')"),
        code(WRITE.format("[region, ds, limit, mine, os.path.basename(os.getcwd())]")),
    )
    context.params = {"region": "EU", "limit": 6, "print": 7}

    result = run_notebook(
        context,
        notebook,
        parameters={"limit": 8},
        output_path=tmp_path / "copies" / "copy.ipynb",
    )

    assert result == ["EU", "2025-01-31", 8, 1, tmp_path.name]
    assert capfd.readouterr().out == "of EU to its end\n"
    page, executed = context.kept
    assert (page.name, executed.name) == ("report.html", "report.ipynb")
    assert "of EU to its end" in page.read_text()
    assert "of EU to its end" in executed.read_text()
    assert (tmp_path / "copies" / "copy.ipynb").read_text() == executed.read_text()


@pytest.mark.slow
def test_failing_cell_is_the_failure_and_what_was_executed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    notebook = write_notebook(
        tmp_path / "report.ipynb",
        text("# Report"),
        code("n = 1", "parameters"),
        code("def share(n):\n    return 1 / n"),
        code("print('before')\nshare(n)\nprint('after')"),
    )
    with DAG("reports", params={"n": 0}) as flow:
        NotebookOperator(task_id="report", path=notebook)

    run = flow.run(executor="process")

    line = next(
        number
        for number, each in enumerate(notebook.read_text().splitlines(), 1)
        if '"share(n)' in each
    )
    shown = CliRunner().invoke(root, ["show", "last"]).output
    assert f"report.ipynb:{line}: cell 4, line 2: ZeroDivisionError: division by zero" in shown
    detail = CliRunner().invoke(root, ["show", "last", "report"]).output
    assert "->   2 share(n)" in detail
    assert "return 1 / n" in CliRunner().invoke(root, ["logs", "last", "report"]).output
    store = open_store(tmp_path / "home" / "store.db")
    rows = store.artifacts(run_id=RunId(int(run.id)))
    store.close()
    files = {msgspec.json.decode(row.data)["name"]: row for row in rows}
    assert sorted(files) == ["report.html", "report.ipynb"]
    kept = tmp_path / "home" / "files" / run.id / "report" / "1" / "report.ipynb"
    assert "before" in kept.read_text()
    assert "ZeroDivisionError" in kept.with_suffix(".html").read_text()


@pytest.mark.slow
def test_death_of_the_kernel_is_told_with_its_cell(context: FakeContext, tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "a.ipynb", code("x = 1"), code("import os\nos._exit(3)"), code("x = 2")
    )

    with pytest.raises(ExecutionError, match=r"a.ipynb:\d+: cell 2: the kernel died"):
        run_notebook(context, notebook, html=False, parameters={"p": 1})

    assert [file.name for file in context.kept] == ["a.ipynb"]


@pytest.mark.slow
def test_kernel_ends_with_its_attempt(context: FakeContext, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    notebook = write_notebook(
        tmp_path / "a.ipynb",
        code("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(100)"),
    )
    operator = NotebookOperator(task_id="report", path=notebook)
    with ThreadPoolExecutor() as pool:
        attempt = pool.submit(operator.execute, context)
        kernel = os.pidfd_open(int((tmp_path / "pid").read_text()))

        operator.on_kill()

        ended, _, _ = select.select([kernel], [], [], 30)
        with pytest.raises(ExecutionError):
            attempt.result()
    os.close(kernel)
    assert ended


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("nonsense", {}, "a.ipynb: this is no notebook: "),
        ('{"cells": 5}', {}, "a.ipynb: this is no notebook: "),
        (None, {"kernel_name": "cobol"}, r"there is no kernel 'cobol' \(there are .*python3"),
        (None, {"output_path": "/proc/none/a.ipynb"}, "cannot be written: "),
    ],
)
def test_what_cannot_be_executed_is_told_in_one_line(
    content: str | None, arguments: Any, message: str, context: FakeContext, tmp_path: Path
) -> None:
    notebook = write_notebook(tmp_path / "a.ipynb", code("1"))
    if content is not None:
        notebook.write_text(content)

    with pytest.raises(ExecutionError, match=message):
        run_notebook(context, notebook, html=False, **arguments)


@pytest.mark.slow
def test_environment_that_a_notebook_asks_for_has_a_kernel(
    context: FakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An index that is not there: what is asked of it is what counts.
    monkeypatch.setenv("UV_INDEX_URL", (tmp_path / "none").as_uri())
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    block = '# /// script\n# dependencies = ["tuning"]\n# ///\nimport tuning'
    notebook = write_notebook(tmp_path / "a.ipynb", text("# A"), code(block))

    with pytest.raises(ExecutionError, match="uv exited with code"):
        run_notebook(context, notebook)

    (asked,) = (tmp_path / "data" / "environments").glob("*/requirements.txt")
    assert asked.read_text() == "tuning\nipykernel\n"


def test_block_that_cannot_be_read_is_told(context: FakeContext, tmp_path: Path) -> None:
    block = "# /// script\n# dependencies = 5\n# ///"
    notebook = write_notebook(tmp_path / "a.ipynb", code(block))

    with pytest.raises(InvalidArgument, match="dependencies of the script are 5"):
        run_notebook(context, notebook)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "it takes path=, the notebook"),
        ({"path": "none.ipynb"}, r"there is no file 'none.ipynb' \(it is looked for beside"),
        ({"path": __file__, "parameters": ["a"]}, r"parameters is \['a'\], not a dict"),
        ({"path": __file__, "parameters": {1: 2}}, "parameters has the name 1, which is no text"),
        ({"path": __file__, "kernel_name": 5}, "kernel_name is 5, not text"),
    ],
)
def test_wrong_argument_is_told_with_its_line(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"test_notebook\.py:\d+: 'report': {message}"):
        NotebookOperator(task_id="report", **arguments)


def test_airflows_names_are_taken(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "a.ipynb", code("1"))

    operator = NotebookOperator(task_id="a", input_nb=notebook, output_nb="b", kernel_language="R")

    assert (operator.path, operator.output_path, operator.language) == (notebook, "b", "R")
    assert NotebookOperator(task_id="a", file_path=notebook).path == notebook


def test_missing_papermill_is_told_with_the_remedy(
    context: FakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = write_notebook(tmp_path / "a.ipynb", code("1"))
    monkeypatch.setattr("sys.path", [])

    with pytest.raises(ExecutionError, match=r"not installed \(pip install 'ostinato\[notebook\]'"):
        run_notebook(context, notebook)


@pytest.mark.parametrize(
    ("source", "language", "names"),
    [
        ("a = 1\nb: int = 2\nc = d = 3\ne.f = 4\nprint(5)", "python", {"a", "b", "c", "d"}),
        ("a = ", "python", set()),
        ("a <- 1\nb = 2\n# c <- 3", "R", {"a", "b"}),
    ],
)
def test_parameters_are_what_their_cell_assigns(
    source: str, language: str, names: set[str], tmp_path: Path
) -> None:
    path = write_notebook(tmp_path / "a.ipynb", code("x = 1"), code(source, "parameters"))

    assert notebook_main._declared(notebook_main._read(str(path)), language) == names


def test_parts_of_the_context_are_offered_as_json() -> None:
    context = FakeContext()

    assert all(hasattr(context, name) for name in OFFERED)
