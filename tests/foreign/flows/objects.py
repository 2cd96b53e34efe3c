"""Declare operators as objects: commands, sensors, SQL, templates and policies."""

import os
from datetime import UTC, datetime, timedelta

from ostinato import DAG, Label, Param
from ostinato.operators import (
    BashOperator,
    BashSensor,
    DateTimeSensor,
    EmptyOperator,
    FileSensor,
    PythonOperator,
    PythonSensor,
    SqlOperator,
    SqlSensor,
)


def greeting(name: str, *, loud: bool = False) -> str:
    """Make a greeting; a macro of templates too."""
    return f"hello {name}" + ("!" if loud else "")


def compare(rows: list[list[object]], templates_dict: dict[str, str]) -> None:
    assert [list(row) for row in rows] == [[2, "hello ada!"]], rows
    assert templates_dict["who"] == "hello ada"


with DAG(
    "objects",
    schedule="30 6 * * *",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    timezone="Europe/Berlin",
    params={"name": Param("ada", type="string", description="Who is greeted")},
    user_defined_macros={"greeting": greeting, "limit": 3},
    default_args={"owner": "team", "retries": 1, "retry_delay": timedelta(seconds=1)},
    doc_md="Objects.\n\nIn two paragraphs.",
    max_active_runs=1,
) as objects:
    fill = SqlOperator(
        task_id="fill",
        conn_id="scratch",
        sql="""
        DROP TABLE IF EXISTS greetings;
        CREATE TABLE greetings AS
        SELECT 2 AS number, '{{ greeting(params.name, loud=True) }}' AS text;
        """,
    )
    read = SqlOperator(task_id="read", conn_id="scratch", sql="SELECT * FROM greetings")
    there = SqlSensor(
        task_id="there", conn_id="scratch", sql="SELECT count(*) FROM greetings", poke_interval=1
    )
    fill >> there >> Label("once it is there") >> read
    PythonOperator(
        task_id="compare",
        python_callable=compare,
        op_args=[read.output],
        templates_dict={"who": "{{ greeting(params.name) }}"},
    )
    say = BashOperator(
        task_id="say",
        bash_command="set -e\necho $GREETING\ntest {{ limit }} = 3\necho '{{ ds }}'",
        env={"GREETING": "{{ greeting('bob') }}"},
        append_env=True,
        timeout="1m",
        priority=5,
        trigger_rule="all_success",
    )
    script = BashOperator(task_id="script", bash_command="echo not a file.sh")
    sensors = [
        PythonSensor(task_id="ready", python_callable=lambda: True, mode="poke"),
        BashSensor(task_id="command", bash_command="true", poke_interval="10s"),
        FileSensor(task_id="file", filepath=os.devnull.replace("null", ""), poke_interval=1),
        DateTimeSensor(task_id="later", target_time="2025-01-01T00:00:00"),
    ]
    sensors >> EmptyOperator(task_id="after") >> say
    say >> script
