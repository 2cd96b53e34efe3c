"""This module is the workload of Ostinato: `workload.py fan_out|chain inline|process`."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version

from ostinato import dag, task

TASKS = int(os.environ["PEER_TASKS"])


@task
def noop(number: int) -> int:
    return number


@dag
def warm_up() -> None:
    noop(0)


@dag
def fan_out() -> None:
    noop.expand(number=list(range(TASKS)))


@dag
def chain() -> None:
    number = noop(0)
    for _ in range(TASKS - 1):
        number = noop(number)


FLOWS = {"fan_out": fan_out, "chain": chain}


def main(measure: str, mode: str) -> None:
    flow = FLOWS[measure]()
    warm_up().run(executor=mode).raise_for_state()

    started = time.perf_counter()
    run = flow.run(executor=mode)
    wall_s = time.perf_counter() - started

    run.raise_for_state()
    intervals = [
        (task_run.started_at.timestamp(), task_run.ended_at.timestamp())
        for task_run in run.task_runs
    ]
    print(
        json.dumps({"version": version("ostinato"), "wall_s": wall_s, "intervals": intervals}),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
