"""This module names the spans of runs for distributed tracing.

The names follow from what is traced alone, so that a task, the process that drives its run, and
one that takes the run over give the same without asking each other. Forms of names:
https://www.w3.org/TR/trace-context/
"""

import hashlib

#: Variable in which a task finds the name of its span.
VARIABLE = "TRACEPARENT"


def trace_id(project: str, run_id: int) -> int:
    """Return the name of the trace of a run: 128 bits."""
    return _digest(16, "run", project, run_id)


def run_span_id(run_id: int, generation: int) -> int:
    """Return the name of the span of a run: 64 bits.

    Args:
        run_id: Of the run.
        generation: How often parts of it were cleared.
    """
    return _digest(8, "run", run_id, generation)


def task_run_span_id(run_id: int, task_id: str, path: str, generation: int) -> int:
    """Return the name of the span of a task run: 64 bits.

    Args:
        run_id: Of its run.
        task_id: Of its task.
        path: Its indices as text.
        generation: How often it was cleared.
    """
    return _digest(8, "task_run", run_id, task_id, path, generation)


def attempt_span_id(run_id: int, task_id: str, path: str, generation: int, attempt: int) -> int:
    """Return the name of the span of an attempt; see ``task_run_span_id``."""
    return _digest(8, "attempt", run_id, task_id, path, generation, attempt)


def traceparent(trace: int, span: int) -> str:
    """Return what a task hands on, so that what it calls is part of the trace.

    >>> traceparent(1, 2)
    '00-00000000000000000000000000000001-0000000000000002-01'
    """
    return f"00-{trace:032x}-{span:016x}-01"


def _digest(size: int, *parts: object) -> int:
    text = "\0".join(map(str, parts)).encode()
    # Zero is no name.
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest()) or 1
