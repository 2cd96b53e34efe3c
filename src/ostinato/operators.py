"""This module is where users look for operators and sensors; each is loaded when it is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ostinato.authoring.operators.catalogue import MODULES

if TYPE_CHECKING:
    from ostinato.authoring.operators.bash import BashOperator
    from ostinato.authoring.operators.bash_sensor import BashSensor
    from ostinato.authoring.operators.branch import BranchOperator, BranchPythonOperator
    from ostinato.authoring.operators.branch_date_time import BranchDateTimeOperator
    from ostinato.authoring.operators.branch_day_of_week import BranchDayOfWeekOperator
    from ostinato.authoring.operators.email import EmailOperator
    from ostinato.authoring.operators.empty import EmptyOperator
    from ostinato.authoring.operators.external_task_sensor import ExternalTaskSensor
    from ostinato.authoring.operators.file_sensor import FileSensor
    from ostinato.authoring.operators.http import HttpOperator, HttpSensor, SimpleHttpOperator
    from ostinato.authoring.operators.latest_only import LatestOnlyOperator
    from ostinato.authoring.operators.moment_sensors import (
        DateTimeSensor,
        DayOfWeekSensor,
        TimeDeltaSensor,
        TimeSensor,
    )
    from ostinato.authoring.operators.notebook import NotebookOperator
    from ostinato.authoring.operators.operator import BaseOperator, Operator
    from ostinato.authoring.operators.other_python import (
        ExternalPythonOperator,
        PythonVirtualenvOperator,
    )
    from ostinato.authoring.operators.person import ApprovalOperator, InputOperator
    from ostinato.authoring.operators.python import PythonOperator
    from ostinato.authoring.operators.script import ScriptOperator
    from ostinato.authoring.operators.seed import SeedOperator
    from ostinato.authoring.operators.sensor import (
        BaseSensorOperator,
        PokeReturn,
        PythonSensor,
        Sensor,
    )
    from ostinato.authoring.operators.short_circuit import ShortCircuitOperator
    from ostinato.authoring.operators.sql import SQLExecuteQueryOperator, SqlOperator, SqlSensor
    from ostinato.authoring.operators.sql_model import SqlModelOperator
    from ostinato.authoring.operators.trigger_run import TriggerDagRunOperator, TriggerRunOperator
    from ostinato.authoring.weekdays import WeekDay

__all__ = [
    "ApprovalOperator",
    "BaseOperator",
    "BaseSensorOperator",
    "BashOperator",
    "BashSensor",
    "BranchDateTimeOperator",
    "BranchDayOfWeekOperator",
    "BranchOperator",
    "BranchPythonOperator",
    "DateTimeSensor",
    "DayOfWeekSensor",
    "EmailOperator",
    "EmptyOperator",
    "ExternalPythonOperator",
    "ExternalTaskSensor",
    "FileSensor",
    "HttpOperator",
    "HttpSensor",
    "InputOperator",
    "LatestOnlyOperator",
    "NotebookOperator",
    "Operator",
    "PokeReturn",
    "PythonOperator",
    "PythonSensor",
    "PythonVirtualenvOperator",
    "SQLExecuteQueryOperator",
    "ScriptOperator",
    "SeedOperator",
    "Sensor",
    "ShortCircuitOperator",
    "SimpleHttpOperator",
    "SqlModelOperator",
    "SqlOperator",
    "SqlSensor",
    "TimeDeltaSensor",
    "TimeSensor",
    "TriggerDagRunOperator",
    "TriggerRunOperator",
    "WeekDay",
]


if not TYPE_CHECKING:  # to type checkers it would make every name exist

    def __getattr__(name: str) -> Any:
        if name not in MODULES:
            message = f"module 'ostinato.operators' has no attribute {name!r}"
            raise AttributeError(message, name=name)
        value = getattr(import_module(f"ostinato.authoring.{MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
