"""This module makes the keys under which steps' results are kept for other runs."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ostinato.authoring.cache_policies import Caching
from ostinato.authoring.steps import StepTask
from ostinato.runtime.capture import current_log
from ostinato.runtime.context import current_context
from ostinato.runtime.messages import RunInfo
from ostinato.runtime.step_digest import Digest


def cache_key(
    task: StepTask,
    caching: Caching,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    info: RunInfo,
) -> str | None:
    """Return the key of a call, None if its result cannot be kept under any.

    Args:
        task: What is called.
        caching: What it says of its key.
        args: Of the call.
        kwargs: Of the call.
        info: Of the run.
    """
    policy = caching.policy
    arguments = _all_arguments(task, args, kwargs)
    parts: list[Any] = [info.project]
    for function in policy.functions:
        part = function(current_context.get(), dict(arguments))
        if part is None:
            return None
        parts.append(str(part))
    if policy.inputs or policy.code or policy.params or policy.run:
        # A key function's keys are its own; all others are of one task.
        parts.append(identity_of(task.task_id, task.function))
    if policy.inputs:
        kept = {name: each for name, each in arguments.items() if name not in policy.without}
        inputs = sum_of(kept)
        if inputs is None:
            log = current_log.get()
            if log is not None:
                message = f"{task.task_id} is not cached: its arguments cannot be compared"
                log.write("WARNING", "ostinato", message)
            return None
        parts.append(inputs)
    parts.append(source_of(task.function) if policy.code else "")
    parts.append(bytes(info.params) if policy.params else b"")
    parts.append(info.run_id if policy.run else 0)
    return Digest("cache", {"parts": parts}).value.hex()


def _all_arguments(
    task: StepTask, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        bound = inspect.signature(task.function).bind(*args, **kwargs)
    except (TypeError, ValueError):
        # The call itself says what is wrong with them.
        return task.name_arguments(args, kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def sum_of(arguments: Mapping[str, Any]) -> bytes | None:
    """Return what is equal for equal arguments, None where they cannot be compared.

    Args:
        arguments: By name.
    """
    digest = Digest("inputs", arguments)
    if digest.is_exact:
        return digest.value
    # Heavy, and few arguments need it.
    import cloudpickle  # noqa: PLC0415 - see above

    try:
        data: bytes = cloudpickle.dumps(sorted(arguments.items()))
    except Exception:  # noqa: BLE001 - users' objects may refuse in any way
        return None
    # Equal bytes are equal arguments; the reverse need not hold, which costs a hit at most.
    return hashlib.blake2b(data, digest_size=16).digest()


def identity_of(task_id: str, written: Callable[..., Any]) -> str:
    """Return what tells a task of a function from those of other functions.

    Args:
        task_id: Of the task.
        written: The function.
    """
    function = inspect.unwrap(written)
    code = getattr(function, "__code__", None)
    file = code.co_filename if code is not None else type(function).__module__
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{task_id}\n{file}\n{name}"


@lru_cache(maxsize=256)
def source_of(function: Callable[..., Any]) -> str:
    """Return the source of a function, or what stands for it.

    Args:
        function: The function.
    """
    function = inspect.unwrap(function)
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        if code is None:
            return repr(type(function))
        return f"{code.co_code.hex()} {code.co_names} {code.co_consts}"
