"""This module is what people may want of backfills, and ask of them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from ostinato.errors import UsageError
from ostinato.model.backfill import (
    LIVE,
    BackfillDate,
    BackfillDateRow,
    BackfillRow,
    BackfillState,
    DatedRun,
    DateState,
    Reprocess,
    Settled,
)
from ostinato.model.state import RunState
from ostinato.store.backfills import BackfillStore

#: Runs of a backfill that may be live at a time, unless it says otherwise.
MAX_ACTIVE = 10

_PAGE = 1000


class PlannedDate(Struct, frozen=True):
    """What a backfill would do with a date.

    Attributes:
        date: The date.
        is_run: Whether it would be run.
        known: The newest run of that date; None if there is none.
    """

    date: BackfillDate
    is_run: bool
    known: DatedRun | None


class Progress(Struct, frozen=True):
    """How far a backfill has come.

    Attributes:
        backfill: It.
        counts: How many dates are in each state; those with none are left out.
        first_us, last_us: Its first and its last date.
    """

    backfill: BackfillRow
    counts: dict[DateState, int]
    first_us: int
    last_us: int

    @property
    def total(self) -> int:
        """How many dates there are."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """How many of them have ended, whichever way."""
        left = (DateState.WAITING, DateState.ACTIVE)
        return self.total - sum(self.counts.get(state, 0) for state in left)


class Backfills:
    """Create, follow and steer backfills; a scheduler drives them.

    Args:
        store: Where they are kept.
        wake: Tells schedulers that something is to be looked at.
    """

    def __init__(self, store: BackfillStore, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake

    def create(
        self,
        project: str,
        flow: str,
        manifest_version: str,
        dates: Sequence[BackfillDate],
        *,
        params: bytes,
        reprocess: Reprocess = Reprocess.NONE,
        max_active: int = MAX_ACTIVE,
        by: str = "",
    ) -> BackfillRow:
        """Keep a backfill, whose runs are made in the order of its dates.

        Args:
            project: Name of the project.
            flow: What is to be run.
            manifest_version: Its definitions, for when none are in force any more.
            dates: At least one.
            params: Of all runs, as JSON.
            reprocess: Which dates are run that have been run before.
            max_active: How many runs may be live at a time.
            by: Who wants it.
        """
        row = BackfillRow(
            id=0,
            project=project,
            flow=flow,
            manifest_version=manifest_version,
            params=params,
            reprocess=reprocess.value,
            max_active=max_active,
            state=BackfillState.RUNNING.value,
            by=by,
        )
        made = self._store.create(row, dates)
        self._wake()
        return made

    def plan(
        self, project: str, flow: str, dates: Sequence[BackfillDate], reprocess: Reprocess
    ) -> list[PlannedDate]:
        """Return what a backfill would do, by the runs that there are."""
        found = []
        for date in dates:
            known = self._store.newest_run(project, flow, date.date_us)
            found.append(PlannedDate(date, is_to_be_run(reprocess, known), known))
        return found

    def find(self, project: str, name: str) -> BackfillRow:
        """Return the backfill that a person names: its number, or ``last``.

        Raises:
            UsageError: There is none; says what there is.
        """
        newest = self._store.page(project, limit=1)
        if name == "last" and newest:
            return newest[0]
        row = self._store.find(int(name)) if name.isdecimal() and len(name) < 18 else None
        if row is None or row.project != project:
            hint = f"the newest is {newest[0].id}" if newest else "ostinato backfill create"
            raise UsageError(f"there is no backfill {name!r}", hint=hint)
        return row

    def page(self, project: str, *, before_id: int = 0, limit: int = 50) -> list[BackfillRow]:
        """Return backfills of a project, newest first."""
        return self._store.page(project, before_id=before_id, limit=limit)

    def live(self, project: str) -> list[BackfillRow]:
        """Return the backfills of a project that are not over, oldest first."""
        return self._store.live(project)

    def progress(self, row: BackfillRow) -> Progress:
        """Return how far a backfill has come."""
        return Progress(row, self._store.counts(row.id), *self._store.span(row.id))

    def dates(self, row: BackfillRow, state: DateState | None = None) -> Iterator[BackfillDateRow]:
        """Yield the dates of a backfill in the order of their runs, all or those in a state."""
        after = -1
        while True:
            page = self._store.dates(row.id, state=state, after=after, limit=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].position

    def pause(self, row: BackfillRow) -> None:
        """Have a backfill make no more runs until it is resumed; those that are live go on.

        Raises:
            UsageError: It does not run.
        """
        self._change(row, (BackfillState.RUNNING,), BackfillState.PAUSED, "pause")

    def resume(self, row: BackfillRow) -> None:
        """Have a paused backfill go on.

        Raises:
            UsageError: It is not paused.
        """
        self._change(row, (BackfillState.PAUSED,), BackfillState.RUNNING, "resume")

    def cancel(self, row: BackfillRow) -> None:
        """Have a backfill end: it makes no more runs, and those that are live are cancelled.

        Raises:
            UsageError: It has ended.
        """
        before = (BackfillState.RUNNING, BackfillState.PAUSED)
        self._change(row, before, BackfillState.CANCELLING, "cancel")

    def retry(self, row: BackfillRow) -> int:
        """Run the dates again that failed or were cancelled, and return how many there are.

        Raises:
            UsageError: There are none, or it is being cancelled.
        """
        state = BackfillState(row.state)
        if state is BackfillState.CANCELLING:
            raise UsageError(f"backfill {row.id} is being cancelled", hint="wait for its end")
        count = self._store.retry(row.id, state)
        if not count:
            raise UsageError(f"nothing of backfill {row.id} failed or was cancelled")
        self._wake()
        return count

    # What drives them

    def newest_run(self, row: BackfillRow, date_us: int) -> DatedRun | None:
        """Return the newest run of a backfill's flow at a logical date."""
        return self._store.newest_run(row.project, row.flow, date_us)

    def some_dates(self, row: BackfillRow, state: DateState, limit: int) -> list[BackfillDateRow]:
        """Return the first dates of a backfill in a state."""
        return self._store.dates(row.id, state=state, limit=limit)

    def ended(self, row: BackfillRow) -> list[tuple[int, int, int]]:
        """Return position, state and id of the ended runs of active dates."""
        return self._store.ended(row.id)

    def settle(self, row: BackfillRow, dates: Sequence[Settled]) -> None:
        """Write what becomes of dates, in one commit."""
        if dates:
            self._store.settle(row.id, dates)

    def end(self, row: BackfillRow, state: BackfillState) -> bool:
        """Let a backfill end as it has come out, unless it was steered meanwhile."""
        return self._store.change_state(row.id, BackfillState(row.state), state)

    def _change(
        self, row: BackfillRow, before: Sequence[BackfillState], after: BackfillState, verb: str
    ) -> None:
        if any(self._store.change_state(row.id, state, after) for state in before):
            self._wake()
            return
        found = self._store.find(row.id) or row
        is_live = BackfillState(found.state) in LIVE
        is_what = f"is {found.state}" if is_live else f"has ended: it is {found.state}"
        raise UsageError(f"backfill {row.id} {is_what}; there is nothing to {verb}")


def is_to_be_run(reprocess: Reprocess, known: DatedRun | None) -> bool:
    """Return whether a date is to be run.

    A run of it that has not ended is never doubled.

    Args:
        reprocess: Which dates are run again.
        known: The newest run of the date.
    """
    if known is None:
        return True
    state = RunState(known.state)
    if not state.is_terminal or reprocess is Reprocess.NONE:
        return False
    return reprocess is Reprocess.ALL or state is not RunState.SUCCEEDED


def key_of(row: BackfillRow, date: BackfillDateRow) -> str:
    """Return the logical key of the run of a date.

    >>> row = BackfillRow(3, "shop", "etl", "", b"{}", "none", 1, "running", "")
    >>> key_of(row, BackfillDateRow(3, 0, 0, 0, 0, "waiting", 0, tries=0))
    'backfill:3:1970-01-01T00:00:00Z'
    >>> key_of(row, BackfillDateRow(3, 0, 1_500_000, 0, 0, "waiting", 0, tries=1))
    'backfill:3:1970-01-01T00:00:01.500000Z:2'
    """
    moment = datetime.fromtimestamp(date.date_us // 1_000_000, UTC)
    moment = moment.replace(microsecond=date.date_us % 1_000_000)
    text = moment.isoformat().replace("+00:00", "Z")
    again = f":{date.tries + 1}" if date.tries else ""
    return f"backfill:{row.id}:{text}{again}"
