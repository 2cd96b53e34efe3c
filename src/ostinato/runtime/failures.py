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
    if isinstance(error, SyntaxError) and error.filename and _is_users(str(error.filename)):
        line = masker.mask(plain_text(error.text or "").strip())
        user.append(StackFrame(plain_text(error.filename), error.lineno or 0, "<module>", line))
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
        _notes(error),
    )


def plain_text(value: object) -> str:
    r"""Return a user's object as text that any message can carry.

    >>> plain_text(7), plain_text("caf\ud800")
    ('7', 'caf\\ud800')
    """
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        text = f"<{_type_name(value)} whose __str__ raised>"
    # A lone surrogate is no text that a message can carry; nor is a subclass of str.
    return text.encode("utf-8", "backslashreplace").decode()


def _frames(trace: TracebackType | None) -> tuple[list[StackFrame], list[StackFrame]]:
    user: list[StackFrame] = []
    framework: list[StackFrame] = []
    for frame, line in traceback.walk_tb(trace):
        code = frame.f_code
        file = code.co_filename
        source = linecache.getline(file, line, frame.f_globals).strip()
        into = user if _is_users(file) else framework
        shown = masker.mask(plain_text(source))
        into.append(StackFrame(plain_text(file), line or 0, code.co_qualname, shown))
    return user, framework


def _cut(frames: list[StackFrame]) -> list[StackFrame]:
    if len(frames) <= MAX_FRAMES:
        return frames
    return frames[: MAX_FRAMES // 2] + frames[-MAX_FRAMES // 2 :]


def _is_users(file: str) -> bool:
    return not (file.startswith(("<frozen", _PACKAGE)) or file.startswith(_LIBRARIES))


def _type_name(value: object) -> str:
    kind = type(value)
    # Users' classes may set both to anything.
    module, name = str(kind.__module__), plain_text(kind.__qualname__)
    if module in ("builtins", "__main__") or module.startswith(PRIVATE_MODULE_PREFIX):
        return name
    return f"{plain_text(module)}.{name}"


def _notes(error: BaseException) -> tuple[str, ...]:
    notes = error.__dict__.get("__notes__")
    if not isinstance(notes, list | tuple):
        return ()
    return tuple(masker.mask(plain_text(note)) for note in notes)


def _message(error: BaseException, depth: int = 0) -> str:
    if isinstance(error, SystemExit):
        return f"the task called sys.exit({_shown(error.code)})"
    if isinstance(error, KeyboardInterrupt):
        return "the task raised KeyboardInterrupt"
    try:
        message = str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return "its message cannot be read: __str__ raised"
    if isinstance(error, BaseExceptionGroup) and depth < _MAX_CAUSES:
        # The first of each deeper group: five of each would be thousands.
        most = 5 if depth == 0 else 1
        parts = "; ".join(
            f"{_type_name(part)}: {_message(part, depth + 1)}" for part in error.exceptions[:most]
        )
        return f"{message}: {parts}"
    return message


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, int | None) else repr(plain_text(value))
