"""This module turns an exception of user code into data, the user's frames apart."""

import linecache
import os
import sysconfig
import traceback
from types import TracebackType

from ostinato.model.failure import Failure, FailureKind, StackFrame
from ostinato.model.identity import PRIVATE_MODULE_PREFIX
from ostinato.runtime.masking import masker

#: Frames of a kind that are kept at most: the outermost and innermost of a deep recursion.
MAX_FRAMES = 40

_MAX_MESSAGE_CHARACTERS = 10_000
_MAX_CAUSES = 5
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple(
    os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "purelib", "platlib")
)


def describe_failure(
    error: BaseException, kind: FailureKind = FailureKind.ERROR, *, depth: int = 0
) -> Failure:
    """Describe an exception as data.

    Args:
        error: What was raised.
        kind: What made the attempt fail.
        depth: How many exceptions it is the cause of; a chain is cut after a few.
    """
    user, framework = _frames(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename and _is_users(error.filename):
        user.append(
            StackFrame(
                error.filename,
                error.lineno or 0,
                "<module>",
                masker.mask((error.text or "").strip()),
            )
        )
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return Failure(
        kind,
        masker.mask(_type_name(error)),
        # Masked first: half a secret is no longer found.
        masker.mask(_message(error))[:_MAX_MESSAGE_CHARACTERS],
        tuple(_cut(user)),
        tuple(_cut(framework)),
        describe_failure(cause, depth=depth + 1)
        if cause is not None and depth < _MAX_CAUSES
        else None,
        tuple(masker.mask(str(note)) for note in getattr(error, "__notes__", ())),
    )


def _frames(trace: TracebackType | None) -> tuple[list[StackFrame], list[StackFrame]]:
    user: list[StackFrame] = []
    framework: list[StackFrame] = []
    for frame, line in traceback.walk_tb(trace):
        code = frame.f_code
        file = code.co_filename
        source = linecache.getline(file, line, frame.f_globals).strip()
        into = user if _is_users(file) else framework
        into.append(StackFrame(file, line, code.co_qualname, masker.mask(source)))
    return user, framework


def _cut(frames: list[StackFrame]) -> list[StackFrame]:
    if len(frames) <= MAX_FRAMES:
        return frames
    return frames[: MAX_FRAMES // 2] + frames[-MAX_FRAMES // 2 :]


def _is_users(file: str) -> bool:
    return not (file.startswith(("<frozen", _PACKAGE)) or file.startswith(_LIBRARIES))


def _type_name(error: BaseException) -> str:
    kind = type(error)
    module = kind.__module__
    if module in ("builtins", "__main__") or module.startswith(PRIVATE_MODULE_PREFIX):
        return kind.__qualname__
    return f"{module}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the task called sys.exit({error.code!r})"
    if isinstance(error, KeyboardInterrupt):
        return "the task raised KeyboardInterrupt"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return "its message cannot be read: __str__ raised"
    if isinstance(error, BaseExceptionGroup):
        parts = "; ".join(f"{_type_name(part)}: {_message(part)}" for part in error.exceptions[:5])
        return f"{message}: {parts}"
    return message
