"""This module is the tree of every error that a user can see.

OstinatoError                   base: .code, .place, .hint
├── DefinitionError             what was declared cannot be run
│   ├── CycleError              tasks wait for each other
│   ├── DuplicateTask           two tasks with one id in a flow
│   ├── DuplicateFlow           two flows with one name in a project
│   ├── UnknownTask             a task or group id that nobody declared
│   ├── UnknownFlow             a flow name that nobody declared
│   ├── InvalidArgument         a policy, parameter or call with a wrong value
│   ├── TemplateError           a template that does not parse or cannot be rendered
│   ├── EdgeTypeError           what one task returns is not what the next accepts
│   ├── NotInAirflow            a flow says what Airflow has no word for
│   ├── FolderProblems          a folder of files is no flow, for these reasons
│   ├── CallWhileLoading        a flow was called while its file was loaded
│   └── LoadError               a file could not be imported
├── CodeUnavailable             the code of a run's version is gone
├── ParameterError              a run's parameters do not fit its flow
├── AnswerError                 what a person answered does not fit what was asked
├── UsageError                  a command or call that makes no sense here
├── SettingsError               ostinato.yaml says something unknown
├── RunNotFound                 no run has this id
├── SensorNotFound              no sensor of this name was ever seen
├── InvalidConnection           a connection's URI or JSON cannot be read
├── UnknownConnection           a connection id that is nowhere
├── UnknownVariable             a variable that is nowhere
├── VaultError                  a secret cannot be encrypted or decrypted
├── MissingPackage              an optional package is not installed
├── StoreError                  the durable state cannot be used
│   ├── StoreLocked             another process holds the store for too long
│   ├── StoreUnreachable        the server of the store cannot be reached
│   ├── StoreReadOnly           the store cannot be written
│   ├── StoreFull               no room is left on the disk
│   ├── StoreCorrupt            the file is not a sound store
│   ├── StoreVersionError       the store was made by another version
│   └── OwnershipLost           another coordinator has taken the run
├── RunOwned                    a living process drives this run
├── RunFailed                   raised by Run.raise_for_state()
├── ExecutionError              an attempt went wrong outside the user's code
│   ├── AttemptTimeout          longer than its timeout
│   ├── QueryError              a database refused a query
│   ├── ColumnsChanged          a query gives other columns than the table has that it adds to
│   ├── KeyNotUnique            rows of a query cannot be told apart by their unique key
│   ├── FlowDiverged            a flow went another way than its record says
│   ├── StepFailed              a recorded step failed with an error that is no longer known
│   ├── DeferralTimeout         what a task was deferred for did not come in time
│   ├── TriggerFailed           what a task was deferred for went wrong
│   ├── SensorError             a sensor cannot be evaluated, or returns what it must not
│   ├── MemoryLimitExceeded     more memory than its compute allows
│   ├── ChildDied               its process ended under it
│   ├── AlertNotSent            a channel of alerts was not reached
│   ├── ValueNotSerialisable    its result cannot be stored
│   └── ValueMissing            an input is no longer in storage
└── InternalError               a broken invariant; please report it
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where in a user's file something stands.

    Attributes:
        file: Path as the user would write it.
        line: 1-based line, or 0 when only the file is known.
        column: 1-based column, or 0 when only the line is known.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")


class OstinatoError(Exception):
    """Say what is wrong, where, and what to do about it, in one line.

    Args:
        message: What is wrong.
        place: File and line that the message is about, when there is one.
        hint: What the user can do.
    """

    #: Stable identifier for machines and for the documentation.
    code = "error"

    def __init__(self, message: str, *, place: Place | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{advice}"


class DefinitionError(OstinatoError, ValueError):
    """Report that what was declared cannot be run."""

    code = "definition"


class CycleError(DefinitionError):
    """Report tasks that wait for each other."""

    code = "cycle"


class DuplicateTask(DefinitionError):
    """Report two tasks or groups with one id in a flow."""

    code = "duplicate-task"


class DuplicateFlow(DefinitionError):
    """Report two flows with one name in a project."""

    code = "duplicate-flow"


class UnknownTask(DefinitionError, LookupError):
    """Report a task or group id that nobody declared."""

    code = "unknown-task"


class UnknownFlow(DefinitionError, LookupError):
    """Report a flow name that nobody declared."""

    code = "unknown-flow"


class InvalidArgument(DefinitionError, TypeError):
    """Report a policy, an operator argument or a call with a wrong value."""

    code = "invalid-argument"


class FolderProblems(DefinitionError):
    """Report all that is wrong in a folder of files.

    Args:
        flow: Its name.
        problems: Each with ``code``, ``message``, ``position``, ``hint`` and ``severity``;
            warnings too.
    """

    code = "folder"

    def __init__(self, flow: str, problems: Sequence[Any]) -> None:
        self.flow = flow
        self.problems = tuple(problems)
        errors = [one for one in self.problems if one.severity == "error"]
        lines = "".join(f"\n  {one}" for one in errors)
        many = "an error" if len(errors) == 1 else f"{len(errors)} errors"
        super().__init__(f"flow {flow!r} has {many}:{lines}")


class TemplateError(DefinitionError):
    """Report a template that does not parse, cannot be rendered, or whose file is missing."""

    code = "template"


class EdgeTypeError(DefinitionError, TypeError):
    """Report an edge whose two ends have types that do not fit."""

    code = "edge-type"


class NotInAirflow(DefinitionError):
    """Report what a flow says and Airflow has no word for."""

    code = "not-in-airflow"


class CallWhileLoading(DefinitionError):
    """Report that a flow was called while its file was loaded for definitions."""

    code = "call-while-loading"


class LoadError(DefinitionError, ImportError):
    """Report a file that could not be imported."""

    code = "load"


class CodeUnavailable(OstinatoError, LookupError):
    """Report a run whose code is gone, the files having changed since."""

    code = "code-unavailable"


class ParameterError(OstinatoError, ValueError):
    """Report parameters that do not fit the flow."""

    code = "parameter"


class AnswerError(OstinatoError, ValueError):
    """Report an answer that does not fit what was asked, or that nobody waits for."""

    code = "answer"


class UsageError(OstinatoError, ValueError):
    """Report a command or a call that makes no sense here."""

    code = "usage"


class SettingsError(OstinatoError, ValueError):
    """Report a setting that is unknown or has a wrong value."""

    code = "settings"


class RunNotFound(OstinatoError, LookupError):
    """Report that no run has the given id."""

    code = "run-not-found"


class SensorNotFound(OstinatoError, LookupError):
    """Report a sensor, or a source of messages, that no scheduler has ever seen."""

    code = "sensor-not-found"


class InvalidConnection(OstinatoError, ValueError):
    """Report a connection whose URI or JSON cannot be read."""

    code = "invalid-connection"


class UnknownConnection(OstinatoError, LookupError):
    """Report a connection id that is found nowhere."""

    code = "unknown-connection"


class UnknownVariable(OstinatoError, KeyError):
    """Report a variable that is found nowhere."""

    code = "unknown-variable"


class VaultError(OstinatoError):
    """Report a secret that cannot be encrypted or decrypted."""

    code = "vault"


class MissingPackage(OstinatoError, ImportError):
    """Report that an optional package is not installed; names the command that installs it."""

    code = "missing-package"


class StoreError(OstinatoError):
    """Report that the durable state cannot be used."""

    code = "store"


class StoreLocked(StoreError):
    """Report that another process held the store for longer than the busy time-out."""

    code = "store-locked"


class StoreUnreachable(StoreError):
    """Report that the server of the store cannot be reached, or ended the connection."""

    code = "store-unreachable"


class StoreReadOnly(StoreError):
    """Report a store that this process may not write."""

    code = "store-read-only"


class StoreFull(StoreError):
    """Report that no room was left to commit; nothing of the batch was written."""

    code = "store-full"


class StoreCorrupt(StoreError):
    """Report a file that is not a sound store."""

    code = "store-corrupt"


class StoreVersionError(StoreError):
    """Report a store that was made by another version of Ostinato."""

    code = "store-version"


class OwnershipLost(StoreError):
    """Report that another coordinator has taken the run over; nothing was written."""

    code = "ownership-lost"


class RunOwned(OstinatoError):
    """Report that a living process drives this run already."""

    code = "run-owned"


class RunFailed(OstinatoError):
    """Report a run that ended in another state than succeeded."""

    code = "run-failed"


class ExecutionError(OstinatoError):
    """Report an attempt that went wrong outside the user's code."""

    code = "execution"


class AttemptTimeout(ExecutionError, TimeoutError):
    """Report an attempt that ran longer than its timeout or its task's deadline."""

    code = "timeout"


class QueryError(ExecutionError):
    """Report a query that a database refused.

    Args:
        message: What the database says, in one line.
        position: Index in the query, None where it is not known.
        place: File and line of it.
    """

    code = "query"

    def __init__(
        self, message: str, position: int | None = None, *, place: Place | None = None
    ) -> None:
        super().__init__(message, place=place)
        self.position = position


class ColumnsChanged(ExecutionError):
    """Report a query that gives other columns than the table has that it adds to."""

    code = "columns-changed"


class KeyNotUnique(ExecutionError):
    """Report rows of a query that cannot be told apart by their unique key."""

    code = "key-not-unique"


class FlowDiverged(ExecutionError):
    """Report that a flow, executed again, called another step than is recorded in its place."""

    code = "flow-diverged"


class FlowSuspended(ExecutionError):
    """Report that a flow that was called waits for a person, and its process does not."""

    code = "flow-suspended"


class StepFailed(ExecutionError):
    """Stand for the exception of a recorded step that cannot be made again."""

    code = "step-failed"


class DeferralTimeout(ExecutionError, TimeoutError):
    """Report that what a task was deferred for did not come in time."""

    code = "deferral-timeout"


class TriggerFailed(ExecutionError):
    """Report that the trigger that a task was deferred for went wrong."""

    code = "trigger-failed"


class SensorError(ExecutionError, ValueError):
    """Report a sensor that cannot be evaluated, or that returns what it must not."""

    code = "sensor"


class MemoryLimitExceeded(ExecutionError, MemoryError):
    """Report an attempt that asked for more memory than its compute allows."""

    code = "memory-limit"


class ChildDied(ExecutionError):
    """Report that the process of an attempt ended under it."""

    code = "child-died"


class AlertNotSent(ExecutionError):
    """Report a channel of alerts that was not reached; the text holds none of its secrets."""

    code = "alert-not-sent"


class ValueNotSerialisable(ExecutionError, TypeError):
    """Report a result that cannot be stored."""

    code = "value-not-serialisable"


class ValueMissing(ExecutionError, LookupError):
    """Report an input value that is no longer in storage."""

    code = "value-missing"


class InternalError(OstinatoError):
    """Report a broken invariant of Ostinato itself.

    The message carries the state that broke it; please report it.
    """

    code = "internal"
