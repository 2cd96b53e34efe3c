"""This module tests which operator the name in a file means."""

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ostinato
from ostinato import operators
from ostinato.authoring.files.operator_names import extensions
from ostinato.authoring.files.operator_names.airflow_names import airflow_names
from ostinato.authoring.files.operator_names.operator_aliases import ALIASES
from ostinato.authoring.files.operator_names.resolution import (
    OperatorNames,
    OperatorNotFound,
    local_folders,
    short_names,
    snake_case,
)
from ostinato.authoring.operators import catalogue
from tests.unit.authoring.files.folders import write


@pytest.fixture(autouse=True)
def _path_as_it_was() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("bash", operators.BashOperator),
        ("BashOperator", operators.BashOperator),
        ("python", operators.PythonOperator),
        ("sql", operators.SqlOperator),
        ("file_sensor", operators.FileSensor),
        ("short_circuit", operators.ShortCircuitOperator),
        ("airflow.operators.bash.BashOperator", operators.BashOperator),
        ("airflow.operators.bash_operator.BashOperator", operators.BashOperator),
        ("airflow.providers.standard.operators.bash.BashOperator", operators.BashOperator),
        ("airflow.operators.dummy.DummyOperator", operators.EmptyOperator),
        ("airflow.operators.dummy_operator.DummyOperator", operators.EmptyOperator),
        ("airflow.providers.postgres.operators.postgres.PostgresOperator", operators.SqlOperator),
        ("airflow.sensors.external_task.ExternalTaskSensor", operators.ExternalTaskSensor),
        ("ostinato.operators.BashOperator", operators.BashOperator),
        ("functools.partial", functools.partial),
    ],
)
def test_name_means_an_operator(name: str, found: Any) -> None:
    assert OperatorNames().find(name) is found


def test_every_alias_is_an_operator_or_comes_with_an_extra() -> None:
    known = {name for name in ALIASES.values() if name in catalogue.MODULES}

    assert set(ALIASES.values()) - known <= {"NotebookOperator"}


def test_short_names_follow_from_classes() -> None:
    assert short_names()["bash"] == "BashOperator"
    assert short_names()["bash_sensor"] == "BashSensor"
    assert set(short_names().values()) <= set(catalogue.MODULES)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("HelloOperator", "hello_operator"),
        ("HTTPGetOperator", "http_get_operator"),
        ("S3ToDbOperator", "s3_to_db_operator"),
        ("My-Operator", "my_operator"),
    ],
)
def test_module_of_a_local_operator_follows_from_its_class(name: str, module: str) -> None:
    assert snake_case(name) == module


def test_local_operators_are_looked_for_in_the_project_and_two_homes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GUSTY_HOME", "/gusty")
    monkeypatch.setenv("AIRFLOW_HOME", "/airflow")

    assert local_folders("/project") == [
        "/project/operators",
        "/gusty/operators",
        "/airflow/operators",
    ]


def test_local_operator_is_imported_once_with_what_lies_beside_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "words_of_greeting.py": "WORD = 'hello'",
            "greet_operator.py": (
                "import words_of_greeting\n"
                "from airflow.models.baseoperator import BaseOperator\n"
                "from airflow.utils.decorators import apply_defaults\n"
                "class GreetOperator(BaseOperator):\n"
                "    @apply_defaults\n"
                "    def __init__(self, word=words_of_greeting.WORD, *args, **kwargs):\n"
                "        super().__init__(*args, **kwargs)\n"
                "        self.word = word\n"
            ),
        },
    )
    names = OperatorNames([str(tmp_path)])

    found = names.find("local.GreetOperator")

    assert found(task_id="greet").word == "hello"
    assert issubclass(found, operators.BaseOperator)
    assert names.find("local.GreetOperator") is found
    assert OperatorNames([str(tmp_path)]).find("local.GreetOperator") is found


def test_names_of_airflow_are_there_while_an_operator_is_imported() -> None:
    def imported(path: str, name: str) -> Any:
        found: dict[str, Any] = {}
        exec(f"from {path} import {name}", found)
        return found[name]

    with airflow_names():
        exception = imported("airflow.exceptions", "AirflowException")
        skip = imported("airflow.exceptions", "AirflowSkipException")
        hook = imported("airflow.hooks.base", "BaseHook")
        dummy = imported("airflow.operators.dummy", "DummyOperator")
        group = imported("airflow.utils.task_group", "TaskGroup")
        with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
            imported("airflow.models", "Nonsense")

    assert dummy is operators.EmptyOperator
    assert exception is RuntimeError
    assert skip is ostinato.Skip
    assert group is ostinato.TaskGroup
    assert callable(hook.get_connection)
    with pytest.raises(ModuleNotFoundError):
        imported("airflow", "DAG")


def test_import_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    write(tmp_path, {"slow_operator.py": "while True:\n    pass\n"})
    path = str(tmp_path / "slow_operator.py")

    with pytest.raises(extensions.ExtensionError, match="it takes longer than 0"):
        extensions.import_file("slow_operator", path, limit_s=0.1)


def test_what_is_not_there_is_told_once_more(tmp_path: Path) -> None:
    names = OperatorNames([str(tmp_path)])

    for _ in range(2):
        with pytest.raises(OperatorNotFound, match="there is no nobody_operator"):
            names.find("local.NobodyOperator")
