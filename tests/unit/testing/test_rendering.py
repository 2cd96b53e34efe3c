"""Fields of single tasks are rendered with no run around them."""

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ostinato import DAG, BashOperator, EmptyOperator, PythonOperator, dag, task, testing
from ostinato.authoring.references import ResultReference
from ostinato.errors import InvalidArgument, TemplateError, UsageError


def command(text: str, **context: Any) -> Any:
    return testing.render(BashOperator(task_id="say", bash_command=text), **context)["bash_command"]


def test_a_task_without_a_flow_is_rendered() -> None:
    assert (
        command("{{ ds }} {{ params.x }} {{ ti.task_id }}", params={"x": 5}) == "2025-01-01 5 say"
    )
    assert command("{{ ts }}", date=datetime.fromisoformat("2025-02-03T04:00")) == (
        "2025-02-03T04:00:00+00:00"
    )


def test_files_lie_beside_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "say.sh").write_text("echo {{ ds }}")
    monkeypatch.chdir(tmp_path)

    assert command("say.sh") == "echo 2025-01-01"


def test_a_task_of_a_flow_has_its_parameters_macros_and_zone() -> None:
    with DAG(
        "etl",
        params={"rows": 7},
        timezone="Europe/Berlin",
        schedule="@daily",
        user_defined_macros={"twice": lambda number: number * 2},
    ):
        say = BashOperator(
            task_id="say",
            bash_command="{{ twice(params.rows) }} {{ ts }} {{ data_interval_start | ds }}",
            env={"X": "{{ run.flow }}"},
        )

    fields = testing.render(say, date="2025-01-31")

    assert fields == {
        "bash_command": "14 2025-01-31T00:00:00+01:00 2025-01-30",
        "env": {"X": "etl"},
        "cwd": None,
    }


def test_names_of_the_context_are_replaced() -> None:
    assert command("{{ ds }} {{ mine }}", ds="today", mine=1) == "today 1"
    pulled = command("{{ ti.xcom_pull('a') }}", ti=SimpleNamespace(xcom_pull=len))
    assert pulled == "1"


def test_variables_and_connections_are_given() -> None:
    given: dict[str, Any] = {"variables": {"b": "x"}, "connections": {"dw": "sqlite://host/"}}

    assert command("{{ var.value.b }} {{ conn.dw.host }}", **given) == "x host"
    for text, problem in (
        ("{{ var.value.c }}", "there is no variable 'c' (give variables=)"),
        ("{{ conn.dv.host }}", "there is no connection 'dv' (give connections=)"),
        ("{{ ti.xcom_pull('a') }}", "give ti=, or use testing.run"),
    ):
        with pytest.raises(TemplateError) as caught:
            command(text, **given)
        assert problem in str(caught.value)
    assert command("{{ prev_start_date_success }}") == "None"


def test_results_are_given_and_are_no_templates() -> None:
    with DAG("etl"):
        first = EmptyOperator(task_id="first")
        take = PythonOperator(
            task_id="take",
            python_callable=print,
            op_args=[first.output, first.output["k"], ResultReference(first, "more")],
        )

    fields = testing.render(take, results={"first": {"k": "{{ ds }}"}, "first/more": 1})

    assert fields == {"*args": [{"k": "{{ ds }}"}, "{{ ds }}", 1]}
    with pytest.raises(UsageError, match=r"takes the result of 'first' \(give results="):
        testing.render(take)


def test_an_index_of_a_mapped_task_is_rendered() -> None:
    @dag
    def etl(day: str = "x") -> None:
        @task
        def pages() -> list[str]:
            return []

        @task
        def read(day: str, page: str, n: int) -> None: ...

        reading = read.partial(day=day).expand(page=pages(), n=[1, 2])
        read.override(task_id="literal").partial(day=day, n=1).expand(page=["{{ ds }}"])
        tasks.append(reading)

    tasks: list[Any] = []
    flow = etl()
    results = {"pages": {"a": 1, "b": 2}}

    fields = testing.render(tasks[0], results=results, map_index=2, params={"day": "mon"})

    assert fields == {"day": "mon", "page": ("b", 2), "n": 1}
    literal = testing.render(flow.operators["literal"])
    assert literal == {"day": "x", "n": 1, "page": "2025-01-01"}


def test_what_stands_in_a_mapped_group_needs_a_run() -> None:
    from ostinato import task_group

    with DAG("etl") as flow:

        @task_group
        def group(name: str) -> None:
            BashOperator(task_id="say", bash_command=name)

        group.expand(name=["a"])

    with pytest.raises(UsageError, match="an item of the mapped 'group'"):
        testing.render(flow.operators["group.say"])


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="is no task whose fields could be rendered"):
        testing.render("echo")  # type: ignore[arg-type]  # that is the test
