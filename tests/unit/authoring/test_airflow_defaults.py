"""The ``default_args`` of Airflow's tutorial are understood."""

from datetime import timedelta

import pytest

from ostinato import DAG, EmptyOperator
from ostinato.errors import InvalidArgument


def test_what_a_tutorial_switches_off_is_no_error() -> None:
    defaults = {
        "owner": "airflow",
        "depends_on_past": False,
        "email": ["airflow@example.com"],
        "email_on_failure": False,
        "email_on_retry": False,
        "retries": 1,
        "retry_delay": timedelta(minutes=5),
    }

    with DAG("tutorial", default_args=defaults) as flow:
        EmptyOperator(task_id="a")

    task = flow.definition.tasks[0]
    assert task.owner == "airflow"
    assert task.policy.retries == 1


def test_what_is_switched_on_and_absent_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="'email_on_failure' in default_args"):
        DAG("tutorial", default_args={"email_on_failure": True})
