"""This module is Prefect's workload: `workload.py fan_out|chain threads|processes`."""
# mypy: disable-error-code="import-not-found,untyped-decorator"
# Prefect is in an environment of its own.

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version

from prefect import flow, get_client, task
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

TASKS = int(os.environ["PEER_TASKS"])
RUNNERS = {
    # A thread a core did 310 tasks/s; ten threads wait for each other, 240.
    "threads": ThreadPoolTaskRunner(max_workers=os.cpu_count()),
    "processes": ProcessPoolTaskRunner(max_workers=os.cpu_count()),
}
#: Task runs reach the database some seconds after the flow has ended; it is waited for.
RECORDED_LIMIT_S = 60.0


@task
def noop(number: int) -> int:
    return number


@flow
def warm_up() -> None:
    noop.submit(0).result()


@flow
def fan_out() -> None:
    noop.map(range(TASKS)).result()


@flow
def chain() -> None:
    number = 0
    for _ in range(TASKS):
        number = noop.submit(number).result()


@flow
def direct_chain() -> None:
    """Call each task in the flow's own thread, which is faster than by the thread runner."""
    number = 0
    for _ in range(TASKS):
        number = noop(number)


def main(measure: str, mode: str) -> None:
    flows = {"fan_out": fan_out, "chain": direct_chain if mode == "threads" else chain}
    runner = RUNNERS[mode]
    # This starts the temporary server, which stays until the process ends.
    warm_up.with_options(task_runner=runner)()

    # Its heartbeat sleeps in whole seconds and is waited for: each flow would end up to 1 s late.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        started = time.perf_counter()
        state = flows[measure].with_options(task_runner=runner)(return_state=True)
        wall_s = time.perf_counter() - started

    state.result()
    intervals = recorded_intervals(state.state_details.flow_run_id)
    print(json.dumps({"version": version("prefect"), "wall_s": wall_s, "intervals": intervals}))


def recorded_intervals(flow_run_id: object) -> list[tuple[float, float]]:
    """Wait until the server has recorded all task runs, and return their times."""
    deadline = time.monotonic() + RECORDED_LIMIT_S
    intervals: list[tuple[float, float]] = []
    with get_client(sync_client=True) as client:
        while len(intervals) < TASKS and time.monotonic() < deadline:
            time.sleep(0.2)
            runs = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
                limit=200,
            )
            intervals = [
                (run.start_time.timestamp(), run.end_time.timestamp())
                for run in runs
                if run.start_time and run.end_time
            ]
    return intervals


if __name__ == "__main__":
    main(*sys.argv[1:])
