"""This module builds live runs: new ones, and those that were interrupted, from the store."""

import msgspec

from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.outside import outside_values
from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.machine import RUN_DEADLINE, RunMachine
from ostinato.engine.plan import Plan
from ostinato.engine.queueing import Lane
from ostinato.engine.task_run import TaskRunRecord
from ostinato.model.deferral import Deferral, Resumption, decode_wait
from ostinato.model.failure import Failure
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import MapPath, parse_path
from ostinato.model.state import TaskRunState
from ostinato.runtime.messages import InputValue, RunInfo
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow, TaskRunRow

#: Events that are read at a time.
EVENTS_PAGE = 10_000

_chosen_decoder = msgspec.json.Decoder(tuple[str, ...])
_lengths_decoder = msgspec.json.Decoder(tuple[int, ...])
_failure_decoder = msgspec.msgpack.Decoder(Failure)


def new_run(
    store: Store,
    row: RunRow,
    flow: FlowDefinition,
    info: RunInfo,
    *,
    lanes: list[Lane],
    outside: dict[tuple[str, str], InputValue],
) -> LiveRun:
    """Make a run that has not started.

    Args:
        store: Where it is recorded.
        row: The run as it was created.
        flow: What runs.
        info: What all its attempts share.
        lanes: Of its tasks, by position.
        outside: Values of tasks that a partial run leaves out.
    """
    plan = Plan(flow)
    return LiveRun(
        row,
        plan=plan,
        machine=RunMachine(plan),
        info=info,
        store=store,
        lanes=lanes,
        outside=outside,
    )


def restore_run(
    store: Store,
    row: RunRow,
    flow: FlowDefinition,
    info: RunInfo,
    *,
    lanes: list[Lane],
    now_us: int,
) -> tuple[LiveRun, list[cmd.Command]]:
    """Build a run as its last commit left it.

    Returns:
        The run, and what puts its queued and waiting task runs back in place.
    """
    plan = Plan(flow)
    rows = list(store.all_task_runs(row.id))
    expansions: dict[tuple[str, MapPath], tuple[int, ...]] = {}
    for expansion in store.expansions(row.id):
        lengths = _lengths_decoder.decode(expansion.lengths)
        if lengths:
            expansions[expansion.container_id, parse_path(expansion.path)] = lengths
    machine, commands = RunMachine.restore(
        plan,
        state=row.state,
        reason=row.reason,
        started_us=row.started_us,
        ended_us=row.ended_us,
        generation=row.generation,
        task_runs=[_record(each) for each in rows if each.task_id in plan.positions],
        expansions={key: value for key, value in expansions.items() if key[0] in plan.positions},
        at_us=now_us,
    )
    run = LiveRun(
        row,
        plan=plan,
        machine=machine,
        info=info,
        store=store,
        lanes=lanes,
        outside=outside_values(store, flow, row.id),
    )
    run.values.expect_earlier()
    for each in rows:
        task_run = machine.task_run(each.task_id, parse_path(each.path))
        if task_run is None:
            continue
        if each.failure is not None:
            run.failures[task_run] = _failure_decoder.decode(each.failure)
        if each.inputs is not None:
            run.inputs[task_run] = each.inputs
        if each.map_name:
            run.names[task_run] = each.map_name
        if each.reason:
            run.reasons[task_run] = each.reason
    return run, [each for each in commands if not _is_known_deadline(each, store, row, now_us)]


def _is_known_deadline(command: cmd.Command, store: Store, row: RunRow, now_us: int) -> bool:
    """Whether a command sets the timer of a deadline whose passing was recorded before."""
    if not isinstance(command, cmd.SetTimer) or command.kind != RUN_DEADLINE:
        return False
    if command.at_us > now_us:
        return False
    cursor = ""
    while page := store.events(after=cursor, run_id=row.id, limit=EVENTS_PAGE):
        cursor = page[-1].cursor
        if any(
            isinstance(each.event, ev.DeadlineMissed) and each.at_us >= command.at_us
            for each in page
        ):
            return True
    return False


def _record(row: TaskRunRow) -> TaskRunRecord:
    wait = decode_wait(row.wait)
    return TaskRunRecord(
        row.task_id,
        parse_path(row.path),
        TaskRunState(row.state),
        row.attempt,
        row.generation,
        row.failures,
        row.losses,
        row.queued_us,
        row.first_started_us,
        row.started_us,
        row.ended_us,
        row.due_us,
        row.length,
        None if row.chosen is None else _chosen_decoder.decode(row.chosen),
        bool(row.stop),
        wait if isinstance(wait, Deferral) else None,
        wait if isinstance(wait, Resumption) else None,
    )
