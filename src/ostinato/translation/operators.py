"""This module knows which Airflow operator does what one of ours does, and with which arguments.

Each row names the class of ours, the module and the name of Airflow's, and the arguments: under
Airflow's name the attribute of ours that has the value. An argument that has our default is left
out where Airflow's default is the same.
"""

from collections.abc import Mapping
from datetime import timedelta
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from ostinato.authoring.hooks import fetch_all
from ostinato.authoring.operators.bash import BashOperator
from ostinato.authoring.operators.bash_function import BashFunctionOperator
from ostinato.authoring.operators.bash_sensor import BashSensor
from ostinato.authoring.operators.branch import BranchPythonOperator
from ostinato.authoring.operators.branch_date_time import BranchDateTimeOperator
from ostinato.authoring.operators.branch_day_of_week import BranchDayOfWeekOperator
from ostinato.authoring.operators.empty import EmptyOperator
from ostinato.authoring.operators.external_task_sensor import ExternalTaskSensor
from ostinato.authoring.operators.file_sensor import FileSensor
from ostinato.authoring.operators.latest_only import LatestOnlyOperator
from ostinato.authoring.operators.moment_sensors import (
    DateTimeSensor,
    DayOfWeekSensor,
    TimeDeltaSensor,
    TimeSensor,
)
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import PythonOperator
from ostinato.authoring.operators.script import ScriptOperator
from ostinato.authoring.operators.seed import SeedOperator
from ostinato.authoring.operators.sensor import (
    DEFAULT_POKE_INTERVAL_S,
    DEFAULT_TIMEOUT_S,
    PythonSensor,
    Sensor,
)
from ostinato.authoring.operators.short_circuit import ShortCircuitOperator
from ostinato.authoring.operators.sql import SqlOperator, SqlSensor
from ostinato.authoring.operators.sql_model import SqlModelOperator
from ostinato.authoring.operators.trigger_run import TriggerRunOperator
from ostinato.errors import NotInAirflow

_STANDARD = "airflow.providers.standard"


class Row(NamedTuple):
    """One operator in both worlds.

    Attributes:
        module: Of Airflow's class.
        name: Of Airflow's class.
        arguments: Attribute of ours by argument of Airflow's.
        defaults: Values that need not be written.
        decorator: What Airflow's ``@task`` calls it; empty where it takes no function.
    """

    module: str
    name: str
    arguments: Mapping[str, str] = MappingProxyType({})
    defaults: Mapping[str, Any] = MappingProxyType({})
    decorator: str = ""


_COMMAND = {"bash_command": "bash_command", "env": "env", "append_env": "append_env", "cwd": "cwd"}
_FUNCTION = {"op_args": "op_args", "op_kwargs": "op_kwargs", "templates_dict": "templates_dict"}
_NO_FUNCTION: dict[str, Any] = {"op_args": (), "op_kwargs": {}, "templates_dict": None}
_CHOICE = {
    "follow_task_ids_if_true": "follow_task_ids_if_true",
    "follow_task_ids_if_false": "follow_task_ids_if_false",
    "use_task_logical_date": "use_task_logical_date",
}

ROWS: dict[type[Operator], Row] = {
    EmptyOperator: Row(f"{_STANDARD}.operators.empty", "EmptyOperator"),
    BashOperator: Row(
        f"{_STANDARD}.operators.bash",
        "BashOperator",
        {
            **_COMMAND,
            "skip_on_exit_code": "skip_on_exit_code",
            "output_processor": "output_processor",
        },
        {
            "env": None,
            "append_env": False,
            "cwd": None,
            "skip_on_exit_code": {99},
            "output_processor": None,
        },
    ),
    PythonOperator: Row(
        f"{_STANDARD}.operators.python", "PythonOperator", _FUNCTION, _NO_FUNCTION, "task"
    ),
    BranchPythonOperator: Row(
        f"{_STANDARD}.operators.python",
        "BranchPythonOperator",
        _FUNCTION,
        _NO_FUNCTION,
        "task.branch",
    ),
    ShortCircuitOperator: Row(
        f"{_STANDARD}.operators.python",
        "ShortCircuitOperator",
        {**_FUNCTION, "ignore_downstream_trigger_rules": "ignore_downstream_trigger_rules"},
        {**_NO_FUNCTION, "ignore_downstream_trigger_rules": True},
        "task.short_circuit",
    ),
    PythonSensor: Row(
        f"{_STANDARD}.sensors.python", "PythonSensor", _FUNCTION, _NO_FUNCTION, "task.sensor"
    ),
    BashFunctionOperator: Row(
        f"{_STANDARD}.operators.bash",
        "BashOperator",
        {"env": "env", "append_env": "append_env", "cwd": "cwd"},
        {"env": None, "append_env": False, "cwd": None},
        "task.bash",
    ),
    LatestOnlyOperator: Row(f"{_STANDARD}.operators.latest_only", "LatestOnlyOperator"),
    BranchDayOfWeekOperator: Row(
        f"{_STANDARD}.operators.weekday",
        "BranchDayOfWeekOperator",
        {**_CHOICE, "week_day": "week_day"},
        {"use_task_logical_date": False},
    ),
    BranchDateTimeOperator: Row(
        f"{_STANDARD}.operators.datetime",
        "BranchDateTimeOperator",
        {**_CHOICE, "target_lower": "target_lower", "target_upper": "target_upper"},
        {"use_task_logical_date": False},
    ),
    TriggerRunOperator: Row(
        f"{_STANDARD}.operators.trigger_dagrun",
        "TriggerDagRunOperator",
        {
            "trigger_dag_id": "flow",
            "conf": "conf",
            "logical_date": "logical_date",
            "skip_when_already_exists": "skip_when_already_exists",
            "wait_for_completion": "wait_for_completion",
            "poke_interval": "poke_interval_s",
            "allowed_states": "allowed_states",
            "failed_states": "failed_states",
        },
        {
            "conf": None,
            "logical_date": None,
            "skip_when_already_exists": False,
            "wait_for_completion": False,
            "poke_interval": 60.0,
            "failed_states": (),
        },
    ),
    SqlOperator: Row(
        "airflow.providers.common.sql.operators.sql",
        "SQLExecuteQueryOperator",
        {
            "sql": "sql",
            "conn_id": "conn_id",
            "parameters": "parameters",
            "autocommit": "autocommit",
            "handler": "handler",
            "split_statements": "split_statements",
            "return_last": "return_last",
        },
        {"parameters": None, "autocommit": False, "handler": fetch_all, "return_last": True},
    ),
    SqlModelOperator: Row(
        "airflow.providers.common.sql.operators.sql",
        "SQLExecuteQueryOperator",
        {"conn_id": "conn_id"},
    ),
    SeedOperator: Row(
        "airflow.providers.common.sql.operators.sql",
        "SQLExecuteQueryOperator",
        {"conn_id": "conn_id"},
    ),
    ScriptOperator: Row(
        f"{_STANDARD}.operators.bash",
        "BashOperator",
        {"append_env": "append_env", "cwd": "cwd", "skip_on_exit_code": "skip_on_exit_code"},
        {"append_env": True, "cwd": None, "skip_on_exit_code": {99}},
    ),
    SqlSensor: Row(
        "airflow.providers.common.sql.sensors.sql",
        "SqlSensor",
        {
            "sql": "sql",
            "conn_id": "conn_id",
            "parameters": "parameters",
            "success": "success",
            "failure": "failure",
            "selector": "selector",
            "fail_on_empty": "fail_on_empty",
        },
        {"parameters": None, "success": None, "failure": None, "fail_on_empty": False},
    ),
    BashSensor: Row(
        f"{_STANDARD}.sensors.bash",
        "BashSensor",
        {"bash_command": "bash_command", "env": "env", "retry_exit_code": "retry_exit_code"},
        {"env": None, "retry_exit_code": None},
    ),
    FileSensor: Row(
        f"{_STANDARD}.sensors.filesystem",
        "FileSensor",
        {"filepath": "filepath", "fs_conn_id": "fs_conn_id", "recursive": "recursive"},
        {"fs_conn_id": None, "recursive": False},
    ),
    DateTimeSensor: Row(
        f"{_STANDARD}.sensors.date_time", "DateTimeSensor", {"target_time": "target_time"}
    ),
    TimeSensor: Row(f"{_STANDARD}.sensors.time", "TimeSensor", {"target_time": "target_time"}),
    TimeDeltaSensor: Row(f"{_STANDARD}.sensors.time_delta", "TimeDeltaSensor", {"delta": "delta"}),
    DayOfWeekSensor: Row(
        f"{_STANDARD}.sensors.weekday",
        "DayOfWeekSensor",
        {"week_day": "week_day", "use_task_logical_date": "use_task_logical_date"},
        {"use_task_logical_date": False},
    ),
    ExternalTaskSensor: Row(
        f"{_STANDARD}.sensors.external_task",
        "ExternalTaskSensor",
        {
            "external_dag_id": "external_dag_id",
            "external_task_id": "external_task_id",
            "external_task_ids": "external_task_ids",
            "external_task_group_id": "external_task_group_id",
            "allowed_states": "allowed_states",
            "failed_states": "failed_states",
            "skipped_states": "skipped_states",
            "execution_delta": "execution_delta",
            "execution_date_fn": "execution_date_fn",
            "check_existence": "check_existence",
        },
        {
            "allowed_states": ("success",),
            "external_task_id": None,
            "external_task_ids": None,
            "external_task_group_id": None,
            "failed_states": (),
            "skipped_states": (),
            "execution_delta": timedelta(),
            "execution_date_fn": None,
            "check_existence": False,
        },
    ),
}

#: Airflow's name of each state that sensors and triggers wait for.
_STATES = {
    "succeeded": "success",
    "failed": "failed",
    "skipped": "skipped",
    "upstream_failed": "upstream_failed",
}


def row_of(operator_class: type[Operator]) -> Row:
    """Return what Airflow has for a class of operators.

    Raises:
        NotInAirflow: It has nothing that does the same.
    """
    row = ROWS.get(operator_class)
    if row is not None:
        return row
    name = operator_class.__name__
    if operator_class.__module__.split(".")[0] == "ostinato":
        raise NotInAirflow(f"Airflow has nothing like {name}", hint="do its work in a function")
    hint = "do its work in a function, or make it a subclass of Airflow's BaseOperator by hand"
    raise NotInAirflow(f"{name} is an operator of this project, on Ostinato's Operator", hint=hint)


def own_values(operator: Operator, row: Row) -> dict[str, Any]:
    """Return the arguments of Airflow's operator that have to be written, as values."""
    values: dict[str, Any] = {}
    for name, attribute in row.arguments.items():
        value = _converted(name, getattr(operator, attribute))
        if name not in row.defaults or value != row.defaults[name]:
            values[name] = value
    if isinstance(operator, Sensor):
        values |= _of_sensor(operator)
    if isinstance(operator, SqlOperator):
        _check_connection(operator.conn_id)
        if operator.handler is None:
            values["handler"] = None
    elif isinstance(operator, SqlModelOperator | SeedOperator):
        _check_connection(operator.conn_id)
    elif isinstance(operator, SqlSensor):
        _check_connection(operator.conn_id)
        if isinstance(values.get("selector"), itemgetter):
            if operator.selector((0, 1)) != 0:
                raise NotInAirflow("selector: write a function instead of an itemgetter")
            del values["selector"]
    elif isinstance(operator, TriggerRunOperator) and operator.logical_key:
        raise NotInAirflow("Airflow has no logical_key", hint="use logical_date")
    return values


def _of_sensor(sensor: Sensor) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if sensor.poke_interval_s != DEFAULT_POKE_INTERVAL_S:
        values["poke_interval"] = _seconds(sensor.poke_interval_s)
    if sensor.timeout_s != DEFAULT_TIMEOUT_S:
        values["timeout"] = _seconds(sensor.timeout_s)
    if sensor.mode != "poke":
        values["mode"] = sensor.mode
    if sensor.soft_fail:
        values["soft_fail"] = True
    if sensor.backoff == 2:
        values["exponential_backoff"] = True
    elif sensor.backoff != 1:
        raise NotInAirflow("a sensor's exponential_backoff is only True or False in Airflow")
    if sensor.max_wait_s is not None:
        values["max_wait"] = timedelta(seconds=sensor.max_wait_s)
    return values


def _converted(name: str, value: Any) -> Any:
    if name.endswith("_states"):
        return _states(value)
    if name == "week_day":
        return {day.name.title() for day in value}
    if name == "skip_on_exit_code":
        return set(value)
    return _seconds(value) if name == "poke_interval" else value


def _seconds(value: float) -> float:
    return int(value) if value == int(value) else value


def _states(states: Any) -> tuple[str, ...]:
    names = []
    for state in states:
        if state not in _STATES:
            raise NotInAirflow(f"Airflow has no state {state!r}")
        names.append(_STATES[state])
    return tuple(sorted(dict.fromkeys(names)))


def _check_connection(conn_id: Any) -> None:
    if isinstance(conn_id, str) and "://" in conn_id:
        hint = "declare a connection, and name it: conn_id='shop'"
        raise NotInAirflow("Airflow takes names of connections, not URIs", hint=hint)
