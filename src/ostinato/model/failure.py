"""This module describes an error of user code as data."""

from enum import StrEnum

from msgspec import Struct


class FailureKind(StrEnum):
    """Say what made an attempt fail."""

    ERROR = "error"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    LOST = "lost"
    CANCELLED = "cancelled"


class StackFrame(Struct, frozen=True, gc=False, omit_defaults=True):
    """One line of a stack.

    Attributes:
        file: Path of the source file.
        line: 1-based.
        function: Name of the function.
        code: The source line, stripped.
    """

    file: str
    line: int
    function: str
    code: str = ""


class Failure(Struct, frozen=True, omit_defaults=True):
    """What went wrong in an attempt; the user's frames stand apart from the framework's.

    Attributes:
        kind: What made it fail.
        type: Name of the exception's class, with its module unless builtin.
        message: Text of the exception.
        frames: The user's frames, outermost first.
        framework_frames: Frames of Ostinato and of libraries around them, outermost first.
        cause: What it was raised from.
        notes: What ``add_note`` added.
    """

    kind: FailureKind
    type: str
    message: str
    frames: tuple[StackFrame, ...] = ()
    framework_frames: tuple[StackFrame, ...] = ()
    cause: "Failure | None" = None
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One line: the user's innermost frame, the type and the message."""
        first_line = self.message.strip().split("\n", 1)[0]
        text = f"{self.type}: {first_line}" if first_line else self.type
        if self.frames:
            frame = self.frames[-1]
            return f"{frame.file}:{frame.line}: {text}"
        return text
