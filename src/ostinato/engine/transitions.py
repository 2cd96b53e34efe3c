"""This module is the one table of how states follow each other."""

from ostinato.model.state import RunState, TaskRunState

_T = TaskRunState
_ENDS = frozenset({_T.SUCCEEDED, _T.FAILED, _T.SKIPPED, _T.UPSTREAM_FAILED, _T.CANCELLED})

#: What a task run may become from each state. A terminal one only leaves by a clear.
TASK_RUN_TRANSITIONS: dict[TaskRunState, frozenset[TaskRunState]] = {
    _T.PENDING: frozenset(
        {
            _T.QUEUED,
            _T.DEFERRED,
            _T.SKIPPED,
            _T.UPSTREAM_FAILED,
            _T.CANCELLED,
            _T.FAILED,
            _T.SUCCEEDED,
        }
    ),
    _T.QUEUED: frozenset({_T.RUNNING, _T.SKIPPED, _T.CANCELLED, _T.FAILED}),
    _T.RUNNING: _ENDS | {_T.QUEUED, _T.RETRYING, _T.DEFERRED},
    _T.RETRYING: frozenset({_T.QUEUED, _T.CANCELLED, _T.FAILED}),
    # What waits for earlier runs ends so if they went badly, or if it is mapped over nothing.
    _T.DEFERRED: frozenset({_T.QUEUED, _T.CANCELLED, _T.FAILED, _T.UPSTREAM_FAILED, _T.SKIPPED}),
    _T.SUCCEEDED: frozenset({_T.PENDING, _T.REMOVED}),
    _T.FAILED: frozenset({_T.PENDING, _T.REMOVED}),
    _T.SKIPPED: frozenset({_T.PENDING, _T.REMOVED}),
    _T.UPSTREAM_FAILED: frozenset({_T.PENDING, _T.REMOVED}),
    _T.CANCELLED: frozenset({_T.PENDING, _T.REMOVED}),
    _T.REMOVED: frozenset({_T.PENDING}),
}

_R = RunState
_LIVE_ENDS = frozenset({_R.SUCCEEDED, _R.FAILED, _R.CANCELLED})

#: What a run may become from each state. A terminal one only leaves by a clear.
RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    _R.QUEUED: frozenset({_R.RUNNING, _R.CANCELLED}),
    _R.RUNNING: _LIVE_ENDS | {_R.PAUSED, _R.CANCELLING},
    _R.PAUSED: frozenset({_R.RUNNING, _R.CANCELLING, _R.FAILED, _R.CANCELLED}),
    _R.CANCELLING: _LIVE_ENDS,
    _R.SUCCEEDED: frozenset({_R.RUNNING}),
    _R.FAILED: frozenset({_R.RUNNING}),
    _R.CANCELLED: frozenset({_R.RUNNING}),
}
