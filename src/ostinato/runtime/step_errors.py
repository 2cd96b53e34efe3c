"""This module keeps the exceptions of steps, so that a replay raises them again."""

import pickle

from ostinato.errors import AttemptTimeout, MemoryLimitExceeded, StepFailed
from ostinato.model.failure import FailureKind
from ostinato.model.identity import TaskRunKey
from ostinato.runtime.messages import RecordedStep


def pickled_error(error: Exception) -> bytes:
    """Return an exception as it is kept, nothing if it cannot be."""
    # Heavy, and only failed steps need it.
    import cloudpickle  # noqa: PLC0415 - see above

    try:
        data: bytes = cloudpickle.dumps(error)
    except Exception:  # noqa: BLE001 - users' exceptions may hold anything
        return b""
    return data


def recorded_error(recorded: RecordedStep) -> Exception:
    """Return the exception that a recorded step ended with, or what stands for it."""
    failure = recorded.failure
    if failure is not None and failure.kind is FailureKind.MEMORY:
        # Who raised knew of no limit.
        return MemoryLimitExceeded(failure.message)
    if recorded.info.error:
        try:
            error = pickle.loads(recorded.info.error)
        except Exception:  # noqa: BLE001 - its class may be gone
            error = None
        if isinstance(error, Exception):
            return error
    if failure is not None and failure.kind is FailureKind.TIMEOUT:
        return AttemptTimeout(failure.message)
    name = TaskRunKey(recorded.task_id, recorded.path)
    summary = failure.summary if failure is not None else "it failed"
    return StepFailed(f"step {str(name)!r} failed: {summary}")
