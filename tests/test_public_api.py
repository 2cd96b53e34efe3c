"""This module pins the public names: adding or removing one is a decision."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ostinato
from ostinato import operators

PUBLIC = """
ApprovalOperator
BaseOperator
BaseSensorOperator
BashOperator
BashSensor
BranchDateTimeOperator
BranchDayOfWeekOperator
BranchOperator
BranchPythonOperator
Connection
Context
DAG
DateTimeSensor
DayOfWeekSensor
Defer
DefinitionError
EmailOperator
EmptyOperator
ExternalPythonOperator
ExternalTaskSensor
Fail
FileArrival
FileSensor
Hook
HttpOperator
HttpSensor
InputOperator
Label
LatestOnlyOperator
NatsMessage
NotebookOperator
Notifier
Operator
OstinatoError
Param
ParameterError
PokeReturn
PostgresNotify
PythonOperator
PythonSensor
PythonVirtualenvOperator
RedisMessage
Resource
Retry
RunFailed
RunRequest
SQLExecuteQueryOperator
ScriptOperator
SeedOperator
Sensor
SensorContext
SensorResult
ShortCircuitOperator
SimpleHttpOperator
Skip
SkipReason
SqlHook
SqlModelOperator
SqlOperator
SqlSensor
TaskGroup
TaskSignal
TimeDeltaSensor
TimeSensor
Trigger
TriggerDagRunOperator
TriggerRule
TriggerRunOperator
Variable
Webhook
WeekDay
__version__
as_completed
chain
chain_linear
create_file_artifact
create_image_artifact
create_link_artifact
create_markdown_artifact
create_progress_artifact
create_table_artifact
cross_downstream
dag
flow
folder_flow
get_connection
get_current_context
get_transaction
pause
pause_flow_run
resume_flow_run
run_failure_sensor
run_status_sensor
sensor
setup
start_flow
suspend
suspend_flow_run
task
task_group
teardown
transaction
unmapped
update_progress_artifact
wait_for_input
"""

#: What `import ostinato` may load beside the package itself: nothing heavy.
LOADED_MODULES_LIMIT = 60


def test_public_names_are_these() -> None:
    assert sorted(ostinato.__all__) == sorted(PUBLIC.split())


@pytest.mark.parametrize("name", sorted({*PUBLIC.split()} - {"__version__"}))
def test_public_name_can_be_used(name: str) -> None:
    assert getattr(ostinato, name) is not None
    assert name in dir(ostinato)


def test_editors_see_the_same_names_as_the_interpreter() -> None:
    tree = ast.parse(Path(ostinato.__file__).read_text())
    seen = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    assert seen | {"__version__"} == set(ostinato.__all__)


def test_operators_are_found_where_users_look_for_them() -> None:
    for name in operators.__all__:
        assert getattr(ostinato, name) is getattr(operators, name)
    assert {name for name in ostinato.__all__ if name.endswith(("Operator", "Sensor"))} <= {
        *operators.__all__
    }


def test_unknown_name_is_an_error_with_a_guess() -> None:
    with pytest.raises(AttributeError, match="module 'ostinato' has no attribute 'BashOperatr'"):
        ostinato.BashOperatr  # type: ignore[attr-defined]  # noqa: B018  # what is tested


def test_import_loads_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import ostinato; print(*set(sys.modules) - before)"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    ours = {name for name in loaded if name.startswith("ostinato")}
    assert ours == {"ostinato", "ostinato.authoring", "ostinato.authoring.session"}
    assert not {"logging", "asyncio", "msgspec", "pydantic", "datetime", "subprocess"} & {*loaded}
    assert len(loaded) < LOADED_MODULES_LIMIT


def test_declaring_a_flow_loads_neither_engine_nor_store_nor_pydantic() -> None:
    code = """
import sys
from ostinato import DAG, BashOperator, EmptyOperator, dag, task, task_group
with DAG("flow"):
    EmptyOperator(task_id="a") >> BashOperator(task_id="b", bash_command="true")
@dag
def other(rows: int = 1):
    task(print)(rows)
other()
print(*sys.modules)
"""

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    unwanted = ("ostinato.engine", "ostinato.store", "ostinato.coordinator", "pydantic", "numpy")
    assert [name for name in loaded if name.startswith(unwanted)] == []
