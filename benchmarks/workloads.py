"""This module holds the work that is measured; each function runs in a process of its own."""

import os
import resource
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

from ostinato import DAG, EmptyOperator, dag, task


def _fan_out(width: int, isolation: Literal["warm", "fork"] = "warm") -> DAG:
    @dag
    def fan_out() -> None:
        @task(isolation=isolation)
        def nothing(index: int) -> None:
            return None

        nothing.expand(index=list(range(width)))

    return fan_out()


def _chain(length: int) -> DAG:
    @dag
    def chained() -> None:
        @task
        def nothing(before: Any = None) -> None:
            return None

        last = None
        for _ in range(length):
            last = nothing(last)

    return chained()


def _seconds(run: Any) -> float:
    assert run.state == "succeeded", run.reason
    seconds: float = (run.ended_at - run.started_at).total_seconds()
    return seconds


def fan_out_rate(width: int, executor: str) -> float:
    """Return tasks/s of a fan-out of no-ops, by the run's recorded times."""
    return width / _seconds(_fan_out(width).run(executor=executor))


def fresh_fork_rate(width: int) -> float:
    """Return tasks/s of no-ops that each get a process forked for them."""
    return width / _seconds(_fan_out(width, isolation="fork").run(executor="process"))


def chain_gaps(length: int, executor: str) -> tuple[float, float]:
    """Return median and 99th percentile of the seconds between the tasks of a chain."""
    run = _chain(length).run(executor=executor)
    views = sorted(run.task_runs, key=lambda view: view.started_at)
    gaps = sorted(
        (after.started_at - before.ended_at).total_seconds() for before, after in pairwise(views)
    )
    return gaps[len(gaps) // 2], gaps[int(len(gaps) * 0.99)]


def build_graph(tasks: int) -> tuple[float, float]:
    """Return seconds and peak MB to build, validate and serialise a graph."""
    from ostinato.model.manifest import Manifest, encode_manifest

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with DAG("large", start_date=datetime(2025, 1, 1, tzinfo=UTC)) as flow:
        last = None
        for index in range(tasks):
            current = EmptyOperator(task_id=f"task_{index}")
            if last is not None and index % 10:
                last >> current
            last = current
    data = encode_manifest(Manifest("benchmark", (flow.definition,)))
    took = time.perf_counter() - began
    assert len(data) > tasks
    after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return took, (after_kb - before_kb) / 1024


def template_rates(fields: int) -> tuple[float, float]:
    """Return fields per second that are rendered, and that Jinja renders with all at hand."""
    import jinja2

    from ostinato import BashOperator
    from ostinato.clock import VirtualClock
    from ostinato.runtime.context import TaskContext
    from ostinato.runtime.messages import AttemptSpec, RunInfo
    from ostinato.runtime.templates import Renderer, render_value

    text = "echo {{ ds }} {{ params.country }} {% if ti.try_number > 1 %}again{% endif %}"
    with DAG("templates", params={"country": "NL"}) as flow:
        operator = BashOperator(task_id="say", bash_command=text)
    info = RunInfo(1, 1, "p", "templates", b'{"country":"NL"}', 0, 0, 0, "UTC", "", "", "", "", 0)
    spec = AttemptSpec(1, 1, "say")
    clock = VirtualClock(0)
    nowhere: Any = None  # the template asks nothing of the coordinator
    rendered = ""
    began = time.perf_counter()
    for _ in range(fields):
        # A context for each field: nothing that was looked up for one serves the next.
        context = TaskContext(spec, info, flow, nowhere, clock)
        rendered = render_value(text, Renderer(operator, flow, context))
    took = time.perf_counter() - began
    assert rendered == "echo 1970-01-01 NL "
    template = jinja2.Environment().from_string(text)
    names = {"ds": "1970-01-01", "params": {"country": "NL"}, "ti": spec}
    began = time.perf_counter()
    for _ in range(fields):
        template.render(names)
    return fields / took, fields / (time.perf_counter() - began)


def _fib(n: int) -> int:
    return n if n < 2 else _fib(n - 1) + _fib(n - 2)


def fib_ratio(large: int) -> tuple[float, float]:
    """Return seconds of 40 x fib(10), then 10 x fib(large), as tasks and as a loop."""
    numbers = [10] * 40 + [large] * 10

    @dag
    def fibs() -> None:
        @task
        def fib(n: int, before: Any = None) -> int:
            return _fib(n)

        last = None
        for n in numbers:
            last = fib(n, last)

    flow = fibs()
    began = time.perf_counter()
    for n in numbers:
        _fib(n)
    bare = time.perf_counter() - began
    return _seconds(flow.run(executor="process")), bare


if __name__ == "__main__":
    import json
    import sys

    # A store of its own, on the disk.
    with tempfile.TemporaryDirectory(prefix="ostinato-bench-") as folder:
        os.environ["OSTINATO_HOME"] = folder
        os.chdir(folder)
        name, *arguments = sys.argv[1:]
        print(json.dumps(globals()[name](*map(json.loads, arguments))))
