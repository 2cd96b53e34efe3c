"""This module is Airflow's workload: `workload.py fan_out|chain dag.test|scheduler`."""
# mypy: disable-error-code="import-not-found,untyped-decorator"
# Airflow is in an environment of its own.

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from airflow.sdk import dag, task

TASKS = int(os.environ.get("PEER_TASKS", "1"))
#: The services have this long to start and to find this file.
START_LIMIT_S = 120.0
#: A service has this long to end after SIGTERM.
STOP_LIMIT_S = 8.0
#: Airflow's own limit of 16 tasks of a DAG at once would bound the fan-out.
AT_ONCE = 64

Intervals = list[tuple[float, float]]


@task
def noop(number: int = 0) -> int:
    return number


@dag(schedule=None)
def warm_up() -> None:
    noop()


@dag(schedule=None, max_active_tasks=AT_ONCE)
def fan_out() -> None:
    noop.expand(number=list(range(TASKS)))


@dag(schedule=None)
def chain() -> None:
    number = noop()
    for position in range(1, TASKS):
        number = noop.override(task_id=f"noop_{position}")(number)


DAGS = {"warm_up": warm_up(), "fan_out": fan_out(), "chain": chain()}


def main(measure: str, mode: str) -> None:
    # The driver's SIGTERM must reach the `finally` that stops the services.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wall_s, run_id = {"dag.test": tested, "scheduler": scheduled}[mode](measure)
    intervals = recorded_intervals(measure, run_id)
    print(
        json.dumps({"version": version("apache-airflow"), "wall_s": wall_s, "intervals": intervals})
    )


def tested(measure: str) -> tuple[float, str]:
    """Run in this process, as one does at a desk; recorded in the database."""
    DAGS["warm_up"].test()
    started = time.perf_counter()
    run = DAGS[measure].test()
    wall_s = time.perf_counter() - started
    if run.state != "success":
        raise SystemExit(f"the run ended as {run.state}")
    return wall_s, str(run.run_id)


def scheduled(measure: str) -> tuple[float, str]:
    """Run by the services, with the LocalExecutor; timed by what the run's row says."""
    with services():
        trigger("warm_up", "first")
        wait_for_run("warm_up", "first")
        trigger(measure, "measured")
        return wait_for_run(measure, "measured"), "measured"


@contextlib.contextmanager
def services() -> Iterator[None]:
    port = free_port()
    environ = os.environ | {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
    }
    commands = (
        ("api-server", "--host", "127.0.0.1", "--port", str(port)),
        ("dag-processor",),
        ("scheduler",),
    )
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with Path(os.environ["AIRFLOW_HOME"], f"{command[0]}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(["airflow", *command], stdout=log, stderr=log, env=environ)
                )
        wait_for_port(port)
        wait_for_dags()
        yield
    finally:
        for service in started:
            service.terminate()
        for service in started:
            try:
                service.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                service.kill()


def trigger(dag_id: str, run_id: str) -> None:
    subprocess.run(
        ["airflow", "dags", "trigger", dag_id, "--run-id", run_id],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def wait_for_run(dag_id: str, run_id: str) -> float:
    """Return how long the run took; the driver's time limit ends a wait that is in vain."""
    query = "SELECT state, start_date, end_date FROM dag_run WHERE dag_id = ? AND run_id = ?"
    while True:
        for state, start, end in rows(query, dag_id, run_id):
            if state == "failed":
                raise SystemExit("the run failed")
            if state == "success" and end:
                return seconds(end) - seconds(start)
        time.sleep(0.5)


def wait_for_dags() -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        found = {dag_id for (dag_id,) in rows("SELECT dag_id FROM serialized_dag")}
        if DAGS.keys() <= found:
            return
        time.sleep(0.5)
    raise SystemExit("the DAG processor did not find the DAGs")


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.5)
    raise SystemExit("the API server did not start")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def recorded_intervals(dag_id: str, run_id: str) -> Intervals:
    query = (
        "SELECT start_date, end_date FROM task_instance"
        " WHERE dag_id = ? AND run_id = ? AND state = 'success'"
    )
    return [(seconds(start), seconds(end)) for start, end in rows(query, dag_id, run_id)]


def rows(query: str, *parameters: str) -> list[tuple[str, ...]]:
    """Read Airflow's database: asking its command takes seconds each time."""
    database = Path(os.environ["AIRFLOW_HOME"], "airflow.db")
    with contextlib.closing(sqlite3.connect(database, timeout=30.0)) as connection:
        return connection.execute(query, parameters).fetchall()


def seconds(stored: str) -> float:
    return datetime.fromisoformat(stored).timestamp()


if __name__ == "__main__":
    main(*sys.argv[1:])
