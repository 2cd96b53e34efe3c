"""This module tests tasks of graphs whose results are kept for other runs."""

import re
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ostinato import DAG, BashOperator, Operator, PythonOperator, dag, task, testing
from ostinato.cache_policies import FLOW_PARAMETERS, INPUTS, RUN_ID, TASK_SOURCE
from ostinato.cli.entry import root
from ostinato.errors import InvalidArgument

calls: list[Any] = []


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    calls.clear()
    return tmp_path


def note(number: int, factor: int = 2) -> int:
    calls.append(number)
    return number * factor


def flow_of(cache: Any = True, **options: Any) -> DAG:
    with DAG("etl", params={"number": 3, "other": 0}) as made:
        noting = task(cache=cache, task_id="noting", **options)(note)
        PythonOperator(
            task_id="after",
            python_callable=lambda value: value + 1,
            op_args=[noting(made.param("number"))],
        )
    return made


def ran(flow: DAG, executor: str = "thread", **params: Any) -> Any:
    run = flow.run(executor=executor, params=params)
    run.raise_for_state()
    return run


def test_equal_task_takes_the_result_over_and_says_so(home: Path) -> None:
    first, second = ran(flow_of()), ran(flow_of())

    assert (first.result("after"), second.result("after")) == (7, 7)
    assert calls == [3]
    assert first.task_run("noting").reason == ""
    assert second.task_run("noting").reason == "cached from etl#1 noting"
    shown = CliRunner().invoke(root, ["show", "etl#2"]).output
    assert re.search(r"✔ noting +succeeded: cached from etl#1 noting\n", shown)


@pytest.mark.parametrize(
    ("cache", "count"),
    [
        (INPUTS, 2),
        (INPUTS - "number", 1),
        (TASK_SOURCE, 1),
        (FLOW_PARAMETERS, 3),
        ("inputs+run", 4),
        (RUN_ID, 4),
        (False, 4),
        (None, 4),
    ],
)
def test_policy_says_which_task_runs_are_equal(cache: Any, count: int) -> None:
    given: list[dict[str, Any]] = [
        {"number": 3},
        {"number": 4},
        {"number": 3},
        {"number": 3, "other": 1},
    ]
    for params in given:
        ran(flow_of(cache), **params)

    assert len(calls) == count


def test_result_expires_and_can_be_made_anew() -> None:
    for _ in range(2):
        ran(flow_of(cache_expiration=timedelta(microseconds=1)))
    assert len(calls) == 2
    ran(flow_of(refresh_cache=True))
    ran(flow_of())
    assert len(calls) == 3


def test_key_of_a_function_is_shared() -> None:
    def key(context: Any, arguments: dict[str, Any]) -> str | None:
        return None if arguments["number"] == 0 else f"{context.task_id}-{arguments['number']}"

    for number in (1, 1, 0, 0):
        ran(flow_of(None, cache_key_fn=key), number=number)

    assert calls == [1, 0, 0]


def test_indices_of_a_mapped_task_are_cached_each() -> None:
    def flow(items: list[int]) -> DAG:
        with DAG("mapped") as made:
            noting = task(cache="inputs", task_id="noting")(note)
            PythonOperator(
                task_id="total",
                python_callable=lambda xs: sum(xs),
                op_args=[noting.expand(number=items)],
            )
        return made

    assert ran(flow([1, 2])).result("total") == 6
    second = ran(flow([2, 3]))

    assert second.result("total") == 10
    assert sorted(calls) == [1, 2, 3]
    assert [view.reason for view in second.task_runs if view.task_id == "noting"] == [
        "cached from mapped#1 noting[1]",
        "",
    ]


def test_operators_and_defaults_take_the_policy(home: Path) -> None:
    with DAG("shell", default_args={"cache": "inputs"}, params={"word": "a"}) as shell:
        BashOperator(
            task_id="say", bash_command="echo {{ params.word }} | tee -a said.txt", cwd=str(home)
        )

    for word in ("a", "a", "b"):
        assert ran(shell, word=word).result("say") == word
    assert (home / "said.txt").read_text() == "a\nb\n"


class Times(Operator):
    template_fields = ("number",)

    def __init__(self, task_id: str, *, number: int, factor: int = 2, **policies: Any) -> None:
        self.number = number
        self.factor = factor
        super().__init__(task_id, **policies)

    def execute(self, context: Any) -> int:
        calls.append((self.number, self.factor))
        return self.number * self.factor


def test_what_an_operator_is_made_with_is_part_of_its_inputs() -> None:
    for factor in (2, 2, 3):
        with DAG("times") as flow:
            Times("times", number=4, factor=factor, cache=INPUTS + TASK_SOURCE)
        ran(flow)

    assert calls == [(4, 2), (4, 3)]


def test_what_a_function_reads_of_its_context_is_part_of_its_inputs() -> None:
    with DAG("dated") as flow:

        @task(cache="inputs")
        def day(ds: str) -> str:
            calls.append(ds)
            return ds

        @task(cache="inputs")
        def all_of_it(**context: Any) -> str:
            calls.append(context["ts"])
            return str(context["ds"])

        day()
        all_of_it()

    for date in ("2025-01-01", "2025-01-01", "2025-01-02"):
        run = flow.run(executor="thread", date=date)
        assert (run.result("day"), run.result("all_of_it")) == (date, date)
    assert len(calls) == 4


def test_items_of_a_result_of_several_are_there_too() -> None:
    with DAG("items") as flow:

        @task(cache="inputs", multiple_outputs=True)
        def split() -> dict[str, int]:
            calls.append("split")
            return {"a": 1, "b": 2}

        @task
        def add(a: int, b: int) -> int:
            return a + b

        both = split()
        add(both["a"], both["b"])

    assert [ran(flow).result("add") for _ in range(2)] == [3, 3]
    assert calls == ["split"]


def test_failure_is_kept_by_nobody() -> None:
    with DAG("failing") as flow:

        @task(cache="inputs", retries=0)
        def fails() -> None:
            calls.append(1)
            message = "no"
            raise ValueError(message)

        fails()

    for _ in range(2):
        assert flow.run(executor="thread").state == "failed"
    assert len(calls) == 2


def test_two_runs_compute_once() -> None:
    begun = threading.Event()

    def slow() -> int:
        calls.append(1)
        begun.set()
        time.sleep(0.3)
        return 5

    with DAG("slow") as flow:
        PythonOperator(task_id="slow", python_callable=slow, cache="inputs")
    other = threading.Thread(target=lambda: ran(flow))

    other.start()
    begun.wait(30)
    second = ran(flow)
    other.join()

    assert calls == [1]
    assert second.result("slow") == 5


def test_equal_tasks_of_one_inline_run_do_not_wait_for_each_other() -> None:
    def flow(cache: str) -> DAG:
        with DAG("inline") as made:
            for number in range(3):
                PythonOperator(
                    task_id=f"noting_{number}",
                    python_callable=note,
                    op_args=[1],
                    cache_key_fn=lambda *_: "same",
                )
        return made

    assert testing.run(flow("inputs")).state == "succeeded"


def test_wrong_policy_is_refused_where_it_stands() -> None:
    with pytest.raises(InvalidArgument, match=r"test_cached_tasks.py:\d+: cache: 'everything'"):
        BashOperator(task_id="say", bash_command="echo", cache="everything")
    with pytest.raises(InvalidArgument, match="takes 'cache' once"):
        BashOperator(task_id="say", bash_command="echo", cache=True, cache_policy=INPUTS)


@dag
def on_processes() -> None:
    @task(cache="inputs+code")
    def load() -> int:
        with open("ledger.txt", "a") as ledger:
            ledger.write("loaded\n")
        return 4

    load()


@pytest.mark.slow
def test_children_take_results_over_too(home: Path) -> None:
    runs = [ran(on_processes(), executor="process") for _ in range(2)]

    assert [run.result("load") for run in runs] == [4, 4]
    assert (home / "ledger.txt").read_text() == "loaded\n"
