"""This module tests what is found wrong with definitions that loaded."""

from pathlib import Path

import pytest

from ostinato.model.flow import FlowDefinition, Parameter, Source, TaskDefinition
from ostinato.model.manifest import DefinitionProblem, Manifest
from ostinato.model.policy import Compute, Policy
from ostinato.project.checks import find_problems
from ostinato.project.discovery import Project
from ostinato.project.settings import ComputeSettings, Settings

PROJECT = Project(
    name="shop",
    root=Path("/shop"),
    settings=Settings(
        pools={"dw": 2, "default_pool": 3}, compute=ComputeSettings(gpu=1, memory="1GB")
    ),
    data_dir=Path("/shop/.ostinato"),
    store_path=Path("/shop/.ostinato/store.db"),
    values_root=Path("/shop/.ostinato/values"),
    logs_root=Path("/shop/.ostinato/logs"),
    is_implicit=False,
)
HERE = Source("flows/etl.py", 7)
REQUIRED = Parameter("day", is_required=True)


def problems(flow: FlowDefinition) -> list[str]:
    return [str(problem) for problem in find_problems(Manifest("shop", (flow,)), PROJECT)]


def task(policy: Policy) -> FlowDefinition:
    return FlowDefinition("etl", tasks=(TaskDefinition("load", policy=policy, source=HERE),))


def test_sound_flow_has_no_problems() -> None:
    sound = FlowDefinition(
        "etl",
        tasks=(TaskDefinition("load", policy=Policy(pool="dw", executor="thread")),),
        schedule="@daily",
        timezone="Europe/Berlin",
        executor="inline",
    )

    assert problems(sound) == []


def test_problems_of_loading_come_first() -> None:
    broken = DefinitionProblem("load", "SyntaxError", "bad.py", 1)

    assert find_problems(Manifest("shop", problems=(broken,)), PROJECT) == [broken]


@pytest.mark.parametrize(
    ("flow", "problem"),
    [
        (
            task(Policy(compute=Compute(cpu=99, gpu=2, memory_bytes=10**9))),
            "/shop/flows/etl.py:7: task 'load' asks for 2 of gpu, and there is 1 "
            "(it would never run)",
        ),
        (
            FlowDefinition("etl", schedule="61 * * * *", source=HERE),
            "/shop/flows/etl.py:7: flow 'etl': '61 * * * *' is no schedule: Bad minute",
        ),
        (
            FlowDefinition("etl", timezone="Mars", source=HERE),
            "/shop/flows/etl.py:7: flow 'etl': there is no time zone 'Mars' "
            "(such as Europe/Berlin)",
        ),
        (
            FlowDefinition("etl", executor="proces"),
            "flow 'etl' asks for the executor 'proces', which does not exist "
            "(did you mean 'process'?)",
        ),
        (
            task(Policy(executor="nowhere")),
            "/shop/flows/etl.py:7: task 'load' asks for the executor 'nowhere', which does not "
            "exist (there are process, thread, inline)",
        ),
        (
            task(Policy(pool="dwh")),
            "/shop/flows/etl.py:7: task 'load' asks for the pool 'dwh', which does not exist "
            "(did you mean 'dw'?)",
        ),
        (
            task(Policy(pool="dw", pool_slots=3)),
            "/shop/flows/etl.py:7: task 'load' takes 3 slots of pool 'dw' of 2 "
            "(it would never run)",
        ),
        (
            task(Policy(pool_slots=4)),
            "/shop/flows/etl.py:7: task 'load' takes 4 slots of pool 'default_pool' of 3 "
            "(it would never run)",
        ),
    ],
)
def test_what_a_run_would_stumble_over(flow: FlowDefinition, problem: str) -> None:
    assert problems(flow) == [problem]


@pytest.mark.parametrize(
    ("flow", "problem"),
    [
        (
            FlowDefinition("etl", schedule="0 0 29 2 *", start_at_us=0, end_at_us=10**12),
            "warning: its schedule has no moment between start and end (it never fires)",
        ),
        (
            FlowDefinition("etl", schedule="@daily", parameters=(REQUIRED,)),
            "warning: its schedule gives no 'day' (give it a default, or schedule_params)",
        ),
        (
            FlowDefinition(
                "etl",
                schedule="@once",
                parameters=(REQUIRED,),
                schedule_params={"dya": 1, "day": 2},
            ),
            "error: schedule_params has 'dya', which is no parameter (did you mean 'day'?)",
        ),
        (
            FlowDefinition("etl", schedule="FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"),
            "error: the schedule 'FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30' never fires",
        ),
    ],
)
def test_schedule_that_could_not_be_run(flow: FlowDefinition, problem: str) -> None:
    (found,) = find_problems(Manifest("shop", (flow,)), PROJECT)

    assert f"{found.severity}: {str(found).removeprefix('flow ' + repr('etl') + ': ')}" == problem


def test_schedules_that_fire() -> None:
    flow = FlowDefinition(
        "etl",
        schedule="0 6 * * * | FREQ=DAILY",
        start_at_us=0,
        end_at_us=10**15,
        parameters=(REQUIRED,),
        schedule_params={"day": "monday"},
    )

    assert problems(flow) == []
    assert problems(FlowDefinition("etl", schedule="timetable Workdays()", start_at_us=0)) == []
