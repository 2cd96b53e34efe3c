"""A data orchestrator: flows of tasks in plain Python, durable runs, one engine.

The public names are loaded when they are first used, so that ``import ostinato`` costs little.
"""

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from ostinato.authoring import session as _session

if TYPE_CHECKING:
    from ostinato.authoring.dag import DAG
    from ostinato.authoring.decorators import dag, flow, setup, task, task_group, teardown
    from ostinato.authoring.event_sensors import (
        RunRequest,
        SensorContext,
        SensorResult,
        SkipReason,
        run_failure_sensor,
        run_status_sensor,
        sensor,
    )
    from ostinato.authoring.files.folders import folder_flow
    from ostinato.authoring.futures import as_completed, unmapped
    from ostinato.authoring.groups import TaskGroup
    from ostinato.authoring.hooks import Hook, SqlHook
    from ostinato.authoring.notifiers import Notifier
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
    from ostinato.authoring.parameters import Param
    from ostinato.authoring.ports import Context, Resource
    from ostinato.authoring.questions import (
        pause,
        pause_flow_run,
        resume_flow_run,
        suspend,
        suspend_flow_run,
        wait_for_input,
    )
    from ostinato.authoring.signals import Defer, Fail, Retry, Skip, TaskSignal
    from ostinato.authoring.started_runs import start_flow
    from ostinato.authoring.transactions import get_transaction, transaction
    from ostinato.authoring.triggers import Trigger
    from ostinato.authoring.weekdays import WeekDay
    from ostinato.authoring.wiring import Label, chain, chain_linear, cross_downstream
    from ostinato.errors import DefinitionError, OstinatoError, ParameterError, RunFailed
    from ostinato.model.connection import Connection
    from ostinato.model.event_source import (
        FileArrival,
        NatsMessage,
        PostgresNotify,
        RedisMessage,
        Webhook,
    )
    from ostinato.model.policy import TriggerRule
    from ostinato.runtime.artifacts import (
        create_file_artifact,
        create_image_artifact,
        create_link_artifact,
        create_markdown_artifact,
        create_progress_artifact,
        create_table_artifact,
        update_progress_artifact,
    )
    from ostinato.runtime.context import get_current_context
    from ostinato.runtime.vault import Variable, get_connection

    __version__: str

__all__ = [
    "DAG",
    "ApprovalOperator",
    "BaseOperator",
    "BaseSensorOperator",
    "BashOperator",
    "BashSensor",
    "BranchDateTimeOperator",
    "BranchDayOfWeekOperator",
    "BranchOperator",
    "BranchPythonOperator",
    "Connection",
    "Context",
    "DateTimeSensor",
    "DayOfWeekSensor",
    "Defer",
    "DefinitionError",
    "EmailOperator",
    "EmptyOperator",
    "ExternalPythonOperator",
    "ExternalTaskSensor",
    "Fail",
    "FileArrival",
    "FileSensor",
    "Hook",
    "HttpOperator",
    "HttpSensor",
    "InputOperator",
    "Label",
    "LatestOnlyOperator",
    "NatsMessage",
    "NotebookOperator",
    "Notifier",
    "Operator",
    "OstinatoError",
    "Param",
    "ParameterError",
    "PokeReturn",
    "PostgresNotify",
    "PythonOperator",
    "PythonSensor",
    "PythonVirtualenvOperator",
    "RedisMessage",
    "Resource",
    "Retry",
    "RunFailed",
    "RunRequest",
    "SQLExecuteQueryOperator",
    "ScriptOperator",
    "SeedOperator",
    "Sensor",
    "SensorContext",
    "SensorResult",
    "ShortCircuitOperator",
    "SimpleHttpOperator",
    "Skip",
    "SkipReason",
    "SqlHook",
    "SqlModelOperator",
    "SqlOperator",
    "SqlSensor",
    "TaskGroup",
    "TaskSignal",
    "TimeDeltaSensor",
    "TimeSensor",
    "Trigger",
    "TriggerDagRunOperator",
    "TriggerRule",
    "TriggerRunOperator",
    "Variable",
    "Webhook",
    "WeekDay",
    "__version__",
    "as_completed",
    "chain",
    "chain_linear",
    "create_file_artifact",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "cross_downstream",
    "dag",
    "flow",
    "folder_flow",
    "get_connection",
    "get_current_context",
    "get_transaction",
    "pause",
    "pause_flow_run",
    "resume_flow_run",
    "run_failure_sensor",
    "run_status_sensor",
    "sensor",
    "setup",
    "start_flow",
    "suspend",
    "suspend_flow_run",
    "task",
    "task_group",
    "teardown",
    "transaction",
    "unmapped",
    "update_progress_artifact",
    "wait_for_input",
]

#: Where each public name is found.
_HOMES = {
    "ostinato.authoring.dag": ("DAG",),
    "ostinato.authoring.decorators": ("dag", "flow", "setup", "task", "task_group", "teardown"),
    "ostinato.authoring.event_sensors": (
        "RunRequest",
        "SensorContext",
        "SensorResult",
        "SkipReason",
        "run_failure_sensor",
        "run_status_sensor",
        "sensor",
    ),
    "ostinato.authoring.files.folders": ("folder_flow",),
    "ostinato.authoring.futures": ("as_completed", "unmapped"),
    "ostinato.authoring.groups": ("TaskGroup",),
    "ostinato.authoring.hooks": ("Hook", "SqlHook"),
    "ostinato.authoring.notifiers": ("Notifier",),
    "ostinato.authoring.parameters": ("Param",),
    "ostinato.authoring.ports": ("Context", "Resource"),
    "ostinato.authoring.questions": (
        "pause",
        "pause_flow_run",
        "resume_flow_run",
        "suspend",
        "suspend_flow_run",
        "wait_for_input",
    ),
    "ostinato.authoring.signals": ("Defer", "Fail", "Retry", "Skip", "TaskSignal"),
    "ostinato.authoring.transactions": ("get_transaction", "transaction"),
    "ostinato.authoring.triggers": ("Trigger",),
    "ostinato.authoring.wiring": ("Label", "chain", "chain_linear", "cross_downstream"),
    "ostinato.errors": ("DefinitionError", "OstinatoError", "ParameterError", "RunFailed"),
    "ostinato.model.connection": ("Connection",),
    "ostinato.model.event_source": (
        "FileArrival",
        "NatsMessage",
        "PostgresNotify",
        "RedisMessage",
        "Webhook",
    ),
    "ostinato.model.policy": ("TriggerRule",),
    "ostinato.operators": (
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
    ),
    "ostinato.runtime.artifacts": (
        "create_file_artifact",
        "create_image_artifact",
        "create_link_artifact",
        "create_markdown_artifact",
        "create_progress_artifact",
        "create_table_artifact",
        "update_progress_artifact",
    ),
    "ostinato.authoring.started_runs": ("start_flow",),
    "ostinato.runtime.context": ("get_current_context",),
    "ostinato.runtime.vault": ("Variable", "get_connection"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # to type checkers it would make every name exist

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import PackageNotFoundError, version

            try:
                value: Any = version("ostinato")
            except PackageNotFoundError:  # used from its sources, not installed
                value = "0+unknown"
        elif name in _MODULES:
            from importlib import import_module

            value = getattr(import_module(_MODULES[name]), name)
        else:
            message = f"module 'ostinato' has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=sys.modules[__name__])
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@cache
def _make_local_session() -> _session.LocalSession:
    from ostinato.coordinator.session import EmbeddedSession

    return EmbeddedSession(show=_show)


def _show(*run: Any) -> Any:
    from contextlib import nullcontext

    stream = getattr(sys.stdout, "original", sys.stdout)
    if not stream.isatty():
        return nullcontext()
    from ostinato.cli.script_view import is_terminal, shown

    return shown(*run) if is_terminal() else nullcontext()


def _find_defaults(file: str) -> Any:
    from ostinato.project.discovery import defaults_near

    return defaults_near(file)


_session.set_local_session(_make_local_session)
_session.set_defaults_finder(_find_defaults)
