"""This module is the narrow interface that every store implements."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from ostinato.model.identity import RunId
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.value import StoredValue
from ostinato.store.backfills import BackfillStore
from ostinato.store.inspection import StoreInspection
from ostinato.store.pruning import PruningTables
from ostinato.store.records import (
    ArtifactRow,
    AttemptRow,
    Batch,
    BudgetAsk,
    CacheRow,
    Claimable,
    ConnectionRow,
    CoordinatorLease,
    CoordinatorRow,
    ExpansionRow,
    LoggedEvent,
    NewRun,
    NoticeRow,
    PoolRow,
    RunRequest,
    RunRow,
    ServedFlowRow,
    Share,
    ShareRow,
    TaskRunRow,
    VariableRow,
)
from ostinato.store.schedules import ScheduleTables
from ostinato.store.sensors import SensorStore

Row = TypeVar("Row", covariant=True)


class RunFilter(Struct, frozen=True):
    """Which runs are asked for; empty fields ask for all.

    Attributes:
        flow: Name of the flow.
        states: Any of these.
        trigger: What asked for the run.
        tag: One of its tags.
        params: Scalar parameters that it was given, as (name, JSON).
        created_from_us, created_to_us: When it was created, half open.
    """

    flow: str = ""
    states: tuple[RunState, ...] = ()
    trigger: str = ""
    tag: str = ""
    params: tuple[tuple[str, str], ...] = ()
    created_from_us: int = 0
    created_to_us: int = 0


class VaultStore(Protocol):
    """Keep connections, variables and pools; their secrets are encrypted before they get here."""

    def connection(self, conn_id: str) -> ConnectionRow | None:
        """Return a connection."""
        ...

    def connections(self) -> list[ConnectionRow]:
        """Return all connections in the order of their ids."""
        ...

    def save_connections(self, rows: Sequence[ConnectionRow]) -> None:
        """Keep connections in one commit; one that is there is replaced."""
        ...

    def delete_connection(self, conn_id: str) -> bool:
        """Delete a connection and return whether it was there."""
        ...

    def variable(self, key: str) -> VariableRow | None:
        """Return a variable."""
        ...

    def variables(self) -> list[VariableRow]:
        """Return all variables in the order of their keys."""
        ...

    def save_variables(self, rows: Sequence[VariableRow]) -> None:
        """Keep variables in one commit; one that is there is replaced."""
        ...

    def delete_variable(self, key: str) -> bool:
        """Delete a variable and return whether it was there."""
        ...

    def pools(self) -> list[PoolRow]:
        """Return all pools in the order of their names."""
        ...

    def save_pools(self, rows: Sequence[PoolRow]) -> None:
        """Keep pools in one commit; one that is there is replaced."""
        ...

    def delete_pool(self, name: str) -> bool:
        """Delete a pool and return whether it was there."""
        ...

    def replace_secrets(
        self,
        connections: Sequence[tuple[str, bytes, bytes]],
        variables: Sequence[tuple[str, bytes, bytes]],
    ) -> None:
        """Put other secrets in the place of those that were read, in one commit.

        Args:
            connections: Name, secrets as read, secrets to keep; one whose secrets are others
                by then stays as it is.
            variables: The same.
        """
        ...


class ServedFlowStore(Protocol):
    """Keep which flows are served, and in which version."""

    def all(self, project: str) -> list[ServedFlowRow]:
        """Return the flows of a project by name."""
        ...

    def find(self, project: str, flow: str) -> ServedFlowRow | None:
        """Return a flow, None if it is not served."""
        ...

    def replace(self, project: str, versions: Mapping[str, str]) -> None:
        """Make flows with their versions all that a project serves, in one commit."""
        ...


class CacheStore(Protocol):
    """Keep results for other runs; what is written comes with a batch."""

    def find(self, key: str, now_us: int) -> CacheRow | None:
        """Return what is kept under a key, unless it has expired."""
        ...

    def is_claimed_by(self, key: str, lease: CoordinatorLease) -> bool:
        """Whether an attempt of a coordinator computes a key."""
        ...

    def claim(self, key: str, lease: CoordinatorLease, token: int) -> bool:
        """Make an attempt the one that computes a key, unless a living one does.

        Args:
            key: Of what is computed.
            lease: Of the attempt's coordinator.
            token: Of the attempt.
        """
        ...

    def release(self, lease: CoordinatorLease, token: int, key: str = "") -> None:
        """Give up what an attempt claimed: one key, or all."""
        ...


class BudgetStore(Protocol):
    """Divide the limits that several coordinators share among them."""

    def shares(self) -> list[ShareRow]:
        """Return the shares of all coordinators, by budget."""
        ...

    def rebalance(self, lease: CoordinatorLease, asks: Sequence[BudgetAsk]) -> list[Share]:
        """Take what is due of each budget, and give back what is not.

        It writes only where that changes something, and wakes those whom it concerns. What a
        coordinator that is gone had stays taken until its children are surely dead.

        Args:
            lease: Of the coordinator.
            asks: All that it has taken or wants, one for each budget.

        Raises:
            OwnershipLost: The coordinator was shut out.
        """
        ...

    def release(self, lease: CoordinatorLease, budgets: Sequence[str]) -> None:
        """Give back all that a coordinator has of some budgets."""
        ...


class Store(Protocol):
    """Keep runs, their task runs, values and events.

    Methods that write acknowledge what is durable. All are safe to call from several
    threads. ``cursor`` and ``after`` take what an earlier page or event gave, "" for the start;
    anything else is a ``UsageError``.

    Raises:
        StoreError: Any method may raise one of its kinds; then nothing was written.
    """

    @property
    def vault(self) -> VaultStore:
        """Connections, variables and pools."""
        ...

    @property
    def budgets(self) -> BudgetStore:
        """What coordinators may take of the limits that they share."""
        ...

    @property
    def cache(self) -> CacheStore:
        """Results that are kept for other runs."""
        ...

    @property
    def backfills(self) -> BackfillStore:
        """Backfills and their dates."""
        ...

    @property
    def sensors(self) -> SensorStore:
        """Event sensors, their ticks, and messages that are to start runs."""
        ...

    @property
    def schedules(self) -> ScheduleTables:
        """How schedules stand, and their ticks."""
        ...

    @property
    def served(self) -> ServedFlowStore:
        """Which flows are served, and in which version."""
        ...

    @property
    def pruning(self) -> PruningTables:
        """Deletes what is old."""
        ...

    def close(self) -> None:
        """Give up coordinators, locks and connections."""
        ...

    def new_id(self) -> int:
        """Make a 63-bit id that no other process makes."""
        ...

    def save_manifest(self, version: str, project: str, data: bytes) -> None:
        """Keep encoded definitions under their version; a known version changes nothing."""
        ...

    def manifests(self, project: str) -> Iterable[bytes]:
        """Yield the encoded definitions of all versions of a project."""
        ...

    def manifest_versions(self, project: str) -> list[tuple[str, int]]:
        """Return the versions of a project and when each was first kept, oldest first."""
        ...

    def load_manifest(self, version: str) -> bytes | None:
        """Return the encoded definitions of a version."""
        ...

    def create_runs(
        self,
        runs: Sequence[NewRun],
        *,
        owner: CoordinatorLease | None = None,
        at_us: int = 0,
        before_commit: Callable[[], None] | None = None,
    ) -> list[RunRow]:
        """Create runs in one commit; one with a known logical key returns the first run.

        Args:
            runs: What to create.
            owner: Coordinator that takes the created runs over at once.
            at_us: Moment at which they count as created at the earliest.
            before_commit: Called when all is written that nobody sees yet; an error of it creates
                nothing. Nobody else creates runs meanwhile.

        Raises:
            OwnershipLost: The owner's epoch is no longer the newest one.
        """
        ...

    def run(self, run_id: RunId) -> RunRow | None:
        """Return a run."""
        ...

    def find_run(self, name: str) -> RunRow | None:
        """Return the run that a person names: an id, ``flow#17``, ``flow`` or ``last``."""
        ...

    def runs(
        self, which: RunFilter, *, cursor: str = "", limit: int = 50
    ) -> tuple[list[RunRow], str]:
        """Return runs, newest first, and the cursor of the next page ("" at the end)."""
        ...

    def previous_success(self, run: RunRow) -> RunRow | None:
        """Return the run of the same flow that succeeded with the next earlier logical date."""
        ...

    def runs_before(self, run: RunRow, *, limit: int) -> list[RunRow]:
        """Return runs of the same flow with earlier logical dates, the latest first."""
        ...

    def newest_run_with_value(self, flow: str, task_id: str, key: str, before: RunRow) -> RunId:
        """Return the newest run of a flow that has a task's value under a key, 0 if none has.

        Args:
            flow: Whose runs.
            task_id: Of the task.
            key: Under which the value is stored.
            before: Runs with a later logical date than this run's do not count, nor does it.
        """
        ...

    def task_runs(
        self,
        run_id: RunId,
        *,
        task_id: str = "",
        states: Sequence[TaskRunState] = (),
        cursor: str = "",
        limit: int = 1000,
    ) -> tuple[list[TaskRunRow], str]:
        """Return rows of a run in the order of task id and index, and the next cursor."""
        ...

    def steps(
        self, run_id: RunId, *, cursor: str = "", limit: int = 1000
    ) -> tuple[list[tuple[TaskRunRow, StoredValue | None]], str]:
        """Return recorded steps of a run with their results, and the next cursor."""
        ...

    def artifact(self, artifact_id: int) -> ArtifactRow | None:
        """Return what a task published."""
        ...

    def artifacts(
        self, *, key: str = "", run_id: RunId | None = None, limit: int = 100
    ) -> list[ArtifactRow]:
        """Return what tasks published, newest first.

        Args:
            key: All versions of this one; without it and a run, the newest of each key.
            run_id: Of this run.
            limit: At most so many.
        """
        ...

    def all_task_runs(self, run_id: RunId) -> Iterable[TaskRunRow]:
        """Return every row of a run, for taking it over."""
        ...

    def task_run_counts(self, run_id: RunId) -> list[tuple[str, TaskRunState, int]]:
        """Return (task id, state, rows) of a run; task runs without a row are not counted."""
        ...

    def expansions(self, run_id: RunId) -> list[ExpansionRow]:
        """Return the lengths of a run's mapped tasks and groups."""
        ...

    def attempts(self, run_id: RunId, task_id: str, path: str) -> list[AttemptRow]:
        """Return earlier attempts of a task run, oldest first."""
        ...

    def values(
        self, run_id: RunId, task_id: str, *, path: str | None = None, key: str = "return_value"
    ) -> list[tuple[str, StoredValue]]:
        """Return (path, value) of a task's newest values, in the order of index.

        Args:
            run_id: The run.
            task_id: The task.
            path: Of one task run, or None for all of the task.
            key: Under which key they were stored.
        """
        ...

    def notices(self, run_id: RunId) -> list[NoticeRow]:
        """Return the callbacks and alerts of a run, in the order in which they were caused."""
        ...

    def newest_alert_us(self, topic: str) -> int:
        """Return when the newest alert on a topic was made that was not dropped; 0 for never."""
        ...

    def open_subflows(self, flow: str, number: int) -> list[RunRow]:
        """Return the runs that a run of a flow called and that have not ended, oldest first.

        Args:
            flow: Whose run it is.
            number: Of the run within its flow.
        """
        ...

    def runs_with_callbacks(self, project: str) -> list[RunId]:
        """Return the runs of the service that have ended and whose callbacks nobody executes."""
        ...

    def take_notices(
        self, lease: CoordinatorLease, *, run_id: RunId | None = None, due_us: int = 0
    ) -> list[NoticeRow]:
        """Make a coordinator the sender of pending notices whose sender is gone.

        Args:
            lease: Of the coordinator.
            run_id: All pending ones of this run; None for the due alerts of all runs.
            due_us: Moment up to which an alert is due.

        Raises:
            OwnershipLost: The lease's epoch is no longer the newest one.
        """
        ...

    def events(
        self,
        *,
        after: str = "",
        run_id: RunId | None = None,
        limit: int = 1000,
        of_runs: bool = False,
    ) -> list[LoggedEvent]:
        """Return events in the order of the log, from behind a cursor.

        Args:
            after: The cursor; empty for the beginning of the log.
            run_id: Of one run alone.
            limit: At most so many.
            of_runs: Only what happened to runs, and not to their task runs.
        """
        ...

    def event_cursor(self) -> str:
        """Return the cursor behind the newest event."""
        ...

    def register_coordinator(
        self, *, wake_address: str = "", kind: str = "run", name: str = "", version: str = ""
    ) -> CoordinatorLease:
        """Register a coordinator of this process and lock its identity for life.

        Args:
            wake_address: Path of its datagram socket, or empty.
            kind: What it is: ``run``, ``worker``, ``scheduler`` ...
            name: What people call it, or empty.
            version: Release of Ostinato that it runs.
        """
        ...

    def coordinators(self) -> list[CoordinatorRow]:
        """Return all coordinators that have not signed off as others see them, oldest first."""
        ...

    def abandon_coordinator(self, lease: CoordinatorLease) -> None:
        """Let a coordinator of this process go: nothing that it started runs any more.

        Its runs stay its own until somebody takes them or ``reap`` leaves them to others.
        """
        ...

    def fence_until_s(self, lease: CoordinatorLease) -> float | None:
        """Return the moment of the monotonic clock until which a lease is surely valid.

        What a coordinator started must have ended by then unless a later moment is told; None
        where the lease lasts as long as the process.
        """
        ...

    @property
    def has_dying(self) -> bool:
        """Whether the last ``reap`` saw some dead who had not been so for long enough."""
        ...

    def reap(self, sure_after_s: float = 0.0) -> int:
        """Shut out dead coordinators and leave their service runs to others; return how many.

        Runs with home ``local`` stay theirs, as interrupted ones. Workers are woken.

        Args:
            sure_after_s: Seconds for which this process must have seen one dead: its code hosts
                need a moment to end what it has started.
        """
        ...

    def take_role(self, name: str, lease: CoordinatorLease) -> bool:
        """Make a coordinator the holder of a role, unless a living one has it.

        Args:
            name: Such as ``scheduler:shop``.
            lease: Of the coordinator.

        Raises:
            OwnershipLost: The lease's epoch is no longer the newest one.
        """
        ...

    def release_role(self, name: str, lease: CoordinatorLease) -> None:
        """Give a role up; one that somebody else holds stays with them."""
        ...

    def role_holder(self, name: str) -> CoordinatorRow | None:
        """Return who has a role and is alive."""
        ...

    def held_roles(self, prefix: str) -> dict[str, int]:
        """Return the roles with a prefix that living coordinators have, with their ids."""
        ...

    def claimable(self, project: str) -> list[Claimable]:
        """Return how many runs wait for a worker, by flow and definitions.

        Those come first of which one is the most urgent, then the oldest.

        They have home ``service``, no owner, and have not ended.
        """
        ...

    def claim_runs(
        self,
        lease: CoordinatorLease,
        project: str,
        pairs: Sequence[tuple[str, str]],
        *,
        limit: int,
        max_active: Mapping[str, int],
    ) -> list[RunRow]:
        """Make a coordinator the owner of runs that wait: the urgent first, then the oldest.

        Args:
            lease: Of the coordinator.
            project: Whose runs.
            pairs: Flows and versions of definitions that it can execute.
            limit: How many at most.
            max_active: By flow, how many runs may be under way over all coordinators; one that
                had begun is claimed though there is no room.

        Raises:
            OwnershipLost: The lease's epoch is no longer the newest one.
        """
        ...

    def wake_workers(self) -> None:
        """Tell workers of other processes that runs wait for them."""
        ...

    def wake_schedulers(self) -> None:
        """Tell schedulers of other processes that something is to be looked at."""
        ...

    def listen(self, callback: Callable[[], None]) -> None:
        """Have something called, in another thread, whenever others wake this process.

        With SQLite that never happens: a coordinator's socket (``wake_address``) is sent to.
        """
        ...

    def coordinator(self, coordinator_id: int) -> CoordinatorRow | None:
        """Return a coordinator as others see it."""
        ...

    def unregister_coordinator(self, lease: CoordinatorLease) -> None:
        """Give up runs and identity of a coordinator of this process."""
        ...

    def take_run(self, run_id: RunId, lease: CoordinatorLease) -> RunRow:
        """Make a coordinator the owner of a run whose owner is gone or nobody.

        The epoch of a dead owner is raised, so that it can never commit again.

        Raises:
            OwnershipLost: The lease's epoch is no longer the newest one.
            RunNotFound: No run has this id.
            RunOwned: A living coordinator owns it; says pid and host.
        """
        ...

    def repin_run(self, run_id: RunId, version: str, lease: CoordinatorLease) -> None:
        """Have a run that is executed again be of other definitions.

        Raises:
            OwnershipLost: The lease's epoch is no longer the newest one.
        """
        ...

    def release_run(self, run_id: RunId, lease: CoordinatorLease) -> None:
        """Leave a run without an owner."""
        ...

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Write a batch in one transaction, state and events together.

        A run that ends with it has no owner any more, and nothing is asked of it.

        Raises:
            OwnershipLost: The lease's epoch is no longer the newest one.
        """
        ...

    def waiting(self, run_id: RunId | None = None) -> list[TaskRunRow]:
        """Return deferred task runs, of all runs or of one, in the order of run, task and index."""
        ...

    def request(
        self,
        run_id: RunId,
        kind: str,
        by: str,
        *,
        task_id: str = "",
        path: str = "",
        payload: bytes = b"",
    ) -> RunRequest:
        """Ask something of a run's owner and wake it; without one, it waits for the next.

        Raises:
            RunNotFound: No run has this id.
            UsageError: The run has ended, and something else is asked than ``retry``.
        """
        ...

    def has_requests(self, run_id: RunId) -> bool:
        """Whether something is asked of a run that nobody has answered yet."""
        ...

    def requests_of_ended(self, project: str) -> list[RunRequest]:
        """Return what was asked of runs of the service that have ended, oldest first."""
        ...

    def pending_requests(self, lease: CoordinatorLease) -> list[RunRequest]:
        """Return what was asked of the runs that a coordinator owns."""
        ...

    def inspect(self) -> StoreInspection:
        """Return what the store is, and how much is in it."""
        ...

    def check_integrity(self) -> list[str]:
        """Return what is unsound in the store; nothing when all is well."""
        ...
