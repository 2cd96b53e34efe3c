"""This module is Dagster's workload: `workload.py fan_out|chain in-process|multiprocess`."""
# mypy: disable-error-code="import-not-found,untyped-decorator"
# Dagster is in an environment of its own.

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from typing import Any

from dagster import DagsterInstance, execute_job, job, op, reconstructable

TASKS = int(os.environ["PEER_TASKS"])
#: Printing each event to the console would only slow it down.
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
#: A server that has imported Dagster forks the children: 1.4 tasks/s against 0.5 with `spawn`.
FORKED: dict[str, Any] = {  # Any: Dagster's configuration
    "execution": {"config": {"multiprocess": {"start_method": {"forkserver": {}}}}},
}


@op
def noop() -> None: ...


@op
def first() -> int:
    return 0


@op
def following(number: int) -> int:
    return number


@job
def warm_up() -> None:
    noop()


@job
def fan_out() -> None:
    for number in range(TASKS):
        noop.alias(f"noop_{number}")()


@job
def chain() -> None:
    number = first()
    for position in range(1, TASKS):
        number = following.alias(f"following_{position}")(number)


def main(measure: str, mode: str) -> None:
    with DagsterInstance.get() as instance:
        execute = {"in-process": in_process, "multiprocess": multiprocess}[mode]
        execute("warm_up", instance)

        started = time.perf_counter()
        run_id = execute(measure, instance)
        wall_s = time.perf_counter() - started

        steps = instance.get_run_step_stats(run_id)
        intervals = [(step.start_time, step.end_time) for step in steps]
    print(json.dumps({"version": version("dagster"), "wall_s": wall_s, "intervals": intervals}))


def in_process(name: str, instance: DagsterInstance) -> str:
    result = globals()[name].execute_in_process(instance=instance, run_config=QUIET)
    return _run_id(result)


def multiprocess(name: str, instance: DagsterInstance) -> str:
    # It is what `dagster job execute` calls; the children import this module again.
    recipe = reconstructable(globals()[name])
    with execute_job(
        recipe, instance=instance, run_config=QUIET | FORKED, raise_on_error=True
    ) as result:
        return _run_id(result)


def _run_id(result: Any) -> str:  # Any: either of Dagster's two results
    if not result.success:
        raise SystemExit("the run failed")
    return str(result.run_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
