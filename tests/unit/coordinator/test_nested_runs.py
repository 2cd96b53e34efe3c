"""This module tests who may ask on behalf of a subflow."""

from typing import Any

import pytest

from ostinato.coordinator.nested_runs import NestedRuns
from ostinato.errors import ExecutionError
from ostinato.model.identity import RunId
from ostinato.runtime.messages import AttemptSpec, RunInfo
from tests.unit.runtime.attempts import run_info


class Nowhere:
    """Stands where nothing is asked of a store or a starter."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def executed_by(caller: int, info: RunInfo) -> NestedRuns:
    """Return runs of which one is executed, as token 7, by an attempt."""
    nested = NestedRuns(Nowhere(), Nowhere())
    nested.await_attempt(RunId(info.run_id), parent=RunId(1), caller=caller)
    nested.start([AttemptSpec(7, info.run_id, "@body")], info)
    return nested


def test_only_the_attempt_that_executes_a_subflow_asks_for_it(tmp_path: Any) -> None:
    nested = executed_by(3, run_info(tmp_path))

    nested.check_caller(7, 3)

    with pytest.raises(ExecutionError, match="was given up; its call is refused"):
        nested.check_caller(7, 4)
    with pytest.raises(ExecutionError, match="was given up"):
        nested.check_caller(8, 3)


def test_attempt_that_has_ended_asks_no_more(tmp_path: Any) -> None:
    nested = executed_by(3, run_info(tmp_path))

    nested.caller_ended(3)

    with pytest.raises(ExecutionError, match="was given up"):
        nested.check_caller(7, 3)
    assert [report.token for report in nested.poll()] == [7]
