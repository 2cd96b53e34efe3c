"""Tests of flows that are written down as DAG files of Airflow."""

import ast
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostinato.errors import NotInAirflow
from ostinato.project.loading import load_target
from ostinato.translation.airflow import compile_flow

Compile = Callable[[str], str]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compile the flow of a file with this text."""

    def compile_text(text: str) -> str:
        file = tmp_path / "flows.py"
        file.write_text(textwrap.dedent(text))
        loaded = load_target(str(file))
        assert loaded.manifest.problems == ()
        return compile_flow(next(iter(loaded.flows.values())))

    return compile_text


def problems_of(compiled: Compile, text: str) -> list[str]:
    with pytest.raises(ExceptionGroup) as raised:
        compiled(text)
    assert all(isinstance(problem, NotInAirflow) for problem in raised.value.exceptions)
    return [str(problem).rpartition("/")[2] for problem in raised.value.exceptions]


def test_a_small_flow_is_written_as_a_person_would_write_it(compiled: Compile) -> None:
    text = compiled(
        """
        import json
        from ostinato import dag, task
        from ostinato.operators import BashOperator

        LIMIT = 3
        UNUSED = 4

        @dag(tags=["shop"])
        def shop(day: str = "2025-01-01"):
            @task(retries=2, retry_delay=60)
            def orders(day):
                # Comments stay.
                return json.loads("[1, 2]")[:LIMIT]

            @task
            def total(numbers):
                return sum(numbers)

            total(orders(day)) >> BashOperator(task_id="done", bash_command="echo {{ ds }}")

        shop()
        """
    )

    ast.parse(text)
    body = text.partition("import json\n\nLIMIT")[2]
    assert "UNUSED" not in text
    assert "ostinato" not in text.partition('"""\n\n')[2]
    assert body == textwrap.dedent(
        """\
         = 3


        def orders(day):
            # Comments stay.
            return json.loads("[1, 2]")[:LIMIT]


        def total(numbers):
            return sum(numbers)


        with DAG(
            dag_id="shop",
            schedule=None,
            catchup=False,
            tags=["shop"],
            params={"day": Param("2025-01-01", type="string")},
            default_args={"retries": 0},
        ) as dag:
            orders_task = PythonOperator(
                task_id="orders",
                retries=2,
                retry_delay=pendulum.duration(minutes=1),
                python_callable=_given(orders, params={("day",): "day"}),
                op_kwargs={"day": None},
            )
            total_task = PythonOperator(
                task_id="total",
                python_callable=total,
                op_kwargs={"numbers": orders_task.output},
            )
            done = BashOperator(task_id="done", bash_command="echo {{ ds }}")

            total_task >> done
        """
    )


def test_the_same_flow_gives_the_same_text(compiled: Compile) -> None:
    text = """
        from ostinato import DAG
        from ostinato.operators import BashOperator

        with DAG("same"):
            BashOperator(task_id="a", bash_command="true") >> BashOperator(
                task_id="b", bash_command="true", skip_on_exit_code=[3, 1]
            )
        """

    assert compiled(text) == compiled(text)


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ("deadline=60", "Airflow has no deadline (use timeout, the limit of one attempt)"),
        (
            "retries=2, retry_delay=[1, 2]",
            "Airflow has one retry_delay, not a list of them (name one)",
        ),
        ("retries=2, retry_jitter=0.5", "Airflow has no retry_jitter (leave it out)"),
        (
            'compute={"cpu": 2}',
            "Airflow has no compute (leave it out, and say it in Airflow's executor_config)",
        ),
        (
            'criticality="optional"',
            "Airflow has no criticality='optional' "
            "(decide by trigger rules what follows a failure)",
        ),
        (
            "retries=1, retry_if=ValueError",
            "Airflow has no retry_if "
            "(raise Fail in the task instead, for errors that are not worth a retry)",
        ),
        (
            'when="params.full"',
            "Airflow has no when of a task (decide by a branch or a short circuit above it)",
        ),
        (
            'schedule="@weekly"',
            "Airflow has no schedule of a task (decide by a branch or a short circuit above it)",
        ),
        (
            "on_failure=print",
            "callbacks (failure) take a context that Airflow lacks "
            "(put what they do into a task with a trigger rule)",
        ),
    ],
)
def test_a_policy_without_a_word_in_airflow_names_its_task(
    policy: str, problem: str, compiled: Compile
) -> None:
    text = f"""
        from ostinato import DAG
        from ostinato.operators import EmptyOperator

        with DAG("flow"):
            EmptyOperator(task_id="work", {policy})
        """

    assert problems_of(compiled, text) == [f"flows.py:6: task 'work': {problem}"]


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        (
            'Own(task_id="t")',
            "Own is an operator of this project, on Ostinato's Operator (do its work in a "
            "function, or make it a subclass of Airflow's BaseOperator by hand)",
        ),
        (
            'ApprovalOperator(task_id="t", subject="Go?")',
            "Airflow has nothing like ApprovalOperator (do its work in a function)",
        ),
        (
            'SqlOperator(task_id="t", sql="SELECT 1", conn_id="duckdb:///x.db")',
            "Airflow takes names of connections, not URIs "
            "(declare a connection, and name it: conn_id='shop')",
        ),
        (
            'BashOperator(task_id="t", bash_command="echo {{ run.id }}")',
            "Airflow's templates have no 'run'",
        ),
        (
            'PythonOperator(task_id="t", python_callable=located)',
            "function 'located' uses __file__, which differs in another file",
        ),
        (
            'PythonOperator(task_id="t", python_callable=yields)',
            "'yields' yields; Airflow stores what a function returns",
        ),
        (
            'PythonOperator(task_id="t", python_callable=asks)',
            "Airflow's context has no context.vault (there is attempt, data_interval_end, "
            "data_interval_start, ds, ds_nodash, logger, logical_date, map_index, params, pull, "
            "push, run_id, task_id, try_number, ts, ts_nodash, xcom_pull, xcom_push)",
        ),
        (
            'PythonOperator(task_id="t", python_callable=connects)',
            "function 'connects' uses 'get_connection' of Ostinato "
            "(Airflow has only Skip, Fail, PokeReturn)",
        ),
        (
            'PythonOperator(task_id="t", python_callable=print, op_args=[object])',
            "*args of a function (give the arguments by name)",
        ),
        (
            'PythonOperator(task_id="t", python_callable=dict, op_kwargs={"a": Own})',
            "<class 'flows.Own'> is a type, which cannot be written into another file",
        ),
    ],
)
def test_what_airflow_cannot_say_names_its_task(task: str, problem: str, compiled: Compile) -> None:
    text = f"""
        from ostinato import DAG, get_connection
        from ostinato.operators import *

        class Own(Operator):
            def execute(self, context):
                pass

        def located():
            return __file__

        def yields():
            yield 1

        def asks(context):
            return context.vault

        def connects():
            return get_connection("shop")

        with DAG("flow"):
            {task}
        """

    found = problems_of(compiled, text)

    assert [one.replace("_ostinato_flows", "flows") for one in found] == [
        f"flows.py:22: task 't': {problem}"
    ]


def test_flow_that_messages_start_is_not_compiled(compiled: Compile) -> None:
    text = """
        from ostinato import DAG, Webhook

        DAG("flow", on=Webhook("orders"))
        """

    (problem,) = problems_of(compiled, text)
    assert "messages start its runs" in problem


def test_all_problems_are_told_at_once(compiled: Compile) -> None:
    text = """
        from ostinato import DAG, TaskGroup
        from ostinato.operators import EmptyOperator

        with DAG("flow", deadline=60):
            with TaskGroup("a.b"):
                EmptyOperator(task_id="one", deadline=60, retry_jitter=0.5)
            EmptyOperator(task_id="two", compute={"cpu": 1})
        """

    assert len(problems_of(compiled, text)) == 5


def test_a_function_that_is_a_flow_has_no_graph(compiled: Compile) -> None:
    text = """
        from ostinato import flow

        @flow
        def steps():
            pass
        """

    assert problems_of(compiled, text) == [
        "flows.py:4: flow 'steps' is a function, whose tasks are known when it runs "
        "(Airflow needs a graph: declare it by @dag)"
    ]


def test_names_of_two_files_that_clash_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rate in (("first", 1), ("second", 2)):
        (tmp_path / f"{name}_part.py").write_text(
            f"RATE = {rate}\n\n\ndef main():\n    return RATE\n"
        )
    (tmp_path / "flow.py").write_text(
        textwrap.dedent(
            """
            import first_part
            import second_part
            from ostinato import DAG
            from ostinato.operators import PythonOperator

            with DAG("parts"):
                PythonOperator(task_id="first", python_callable=first_part.main)
                PythonOperator(task_id="second", python_callable=second_part.main)
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    text = compile_flow(load_target(str(tmp_path / "flow.py")).flows["parts"])

    code = text.partition("import DAG\n")[2].partition("with DAG(")[0]
    made: dict[str, Any] = {"types": __import__("types")}
    exec(code, made)
    assert made["main"]() == 1
    assert made["second_part_py"].main() == 2
    assert "python_callable=second_part_py.main" in text


def test_modules_of_the_project_are_named_in_the_docstring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rates_of_shop.py").write_text("RATE = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {
        "METADATA.yml": "tags: [x]\n",
        "price.py": "import json\n\nimport rates_of_shop\n\n\ndef main():\n"
        "    return json.dumps(rates_of_shop.RATE)\n",
    }

    text = compiled_folder(tmp_path, files)

    assert "Modules of the project: rates_of_shop.\n" in text
    assert "import json\nimport rates_of_shop\n" in text


FOLDER = {
    "METADATA.yml": "connection: shop\nseeds: true\nschedule: '@daily'\n",
    "raw/orders.csv": "id,name,amount\n1,O'Hara,2.5\n2,,3\n",
    "raw/made.py": "import pandas\n\n\ndef main(ds, orders):\n    return orders\n",
    "marts/totals.sql": (
        "SELECT name, sum(amount) AS total FROM {{ ref('orders') }} GROUP BY name\n"
    ),
    "marts/days.sql": (
        "---\nmaterialized: incremental\npartition: day\npartition_value: '{{ ds }}'\n---\n"
        "SELECT '{{ ds }}' AS day, total FROM {{ ref('totals') }}\n"
    ),
    "say.sh": "#!/bin/bash\n# ---\n# dependencies: [totals]\n# ---\necho $OSTINATO_DS\n",
    "script.py": '"""Say so."""\n\nprint("so")\n',
}


def compiled_folder(folder: Path, files: dict[str, str], **types: str) -> str:
    for name, text in files.items():
        (folder / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "shop" / name).write_text(text)
    loaded = load_target(str(folder / "shop"))
    assert [each for each in loaded.manifest.problems if each.is_error] == []
    return compile_flow(loaded.flows["shop"], types)


def test_a_folder_of_files_stands_alone_in_one_file(tmp_path: Path) -> None:
    text = compiled_folder(tmp_path, FOLDER)

    ast.parse(text)
    assert '"CREATE TABLE raw.orders (id BIGINT, name VARCHAR, amount DOUBLE PRECISION)"' in text
    assert "(1, 'O''Hara', 2.5)," in text
    assert "(2, NULL, 3.0)" in text
    assert 'reads={"orders": ("shop", "raw.orders")}' in text
    assert 'table="raw.made"' in text
    assert "SELECT name, sum(amount) AS total FROM raw.orders GROUP BY name" in text
    assert "DELETE FROM marts.days WHERE day = '{{ ds }}'" in text
    assert 'env={"OSTINATO_DS": "{{ ds }}"}' in text
    assert 'functools.partial(_script, "script.py", ' in text
    assert "Connections: shop." in text


def test_where_there_are_no_schemas_tables_stand_alone(tmp_path: Path) -> None:
    text = compiled_folder(tmp_path, FOLDER, shop="sqlite")

    assert "CREATE SCHEMA" not in text
    assert "AS total FROM orders GROUP BY name" in text
    assert 'reads={"orders": ("shop", "orders")}' in text


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("x.sql", "SELECT 1 {% if is_incremental() %}+ 1{% endif %} AS n\n", "is_incremental()"),
        ("x.csv", "n\n" + "1\n" * 501, "a seed of 501 rows"),
        ("x.rb", "#!/usr/bin/env ruby\nputs 1\n", "a script that is not of the shell"),
        ("x.sh", '#!/bin/bash\necho 1 > "$OSTINATO_RESULT"\n', "uses $OSTINATO_RESULT"),
        ("x.py", "import os\n\nprint(os.environ['OSTINATO_DS'])\n", "reads variables of Ostinato"),
    ],
)
def test_what_of_a_file_airflow_cannot_say_names_its_task(
    name: str, text: str, problem: str, tmp_path: Path
) -> None:
    files = {"METADATA.yml": FOLDER["METADATA.yml"], name: text}

    with pytest.raises(ExceptionGroup) as raised:
        compiled_folder(tmp_path, files)

    (error,) = raised.value.exceptions
    assert "task 'x'" in str(error)
    assert problem in str(error)
