"""This module keeps which coordinator may take how much of the limits that they share."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from ostinato.clock import Clock
from ostinato.engine.sharing import Claim, divide
from ostinato.store.database import Database
from ostinato.store.ownership import Ownership
from ostinato.store.records import BudgetAsk, CoordinatorLease, Share, ShareRow

#: Microseconds for which the slots of a coordinator that is gone stay taken after somebody
#: has seen that it is gone: its code host needs a moment to kill the children.
LOST_US = 2_000_000


class BudgetTables:
    """Implements ``BudgetStore``; see there for its methods.

    Each coordinator changes the rows of its own alone, and what it adds to them is checked
    against all others in the same transaction: so the sum of what is granted never passes what
    there is, whatever anybody believes.

    Args:
        database: Of the store.
        sql: Statements by name.
        ownership: Knows which coordinators are alive.
        clock: Of the machine, where the database has none of its own.
        wake: Wakes the loops of coordinators.
    """

    def __init__(
        self,
        database: Database,
        sql: Mapping[str, str],
        ownership: Ownership,
        *,
        clock: Clock,
        wake: Callable[[Iterable[int]], None],
    ) -> None:
        self._database = database
        self._sql = sql
        self._ownership = ownership
        self._clock = clock
        self._wake = wake

    def shares(self) -> list[ShareRow]:
        """Return the shares of all coordinators, by budget."""
        return [ShareRow._make(row) for row in self._database.read(self._sql["select_shares"])]

    def rebalance(self, lease: CoordinatorLease, asks: Sequence[BudgetAsk]) -> list[Share]:
        """Take what is due of each budget, and give back what is not."""
        rows = self.shares()
        alive = self._alive(rows, lease)
        if not _changes(rows, lease.id, asks, alive):
            return [_decide(ask, rows, lease.id, alive)[0] for ask in asks]
        with self._ownership.writing(lease) as connection:
            # Monotonic, as a clock that is set would free slots too early, or never.
            now_us = int(connection.execute(self._sql["lock_budgets"]).fetchone()[0])
            now_us = now_us or round(self._clock.monotonic_s() * 1e6)
            found = connection.execute(self._sql["select_shares"]).fetchall()
            rows = [ShareRow._make(row) for row in found]
            alive |= self._alive([row for row in rows if row.owner not in alive], lease)
            kept = []
            for row in rows:
                seen = _age(row, alive, now_us)
                if seen is None:
                    connection.execute(self._sql["delete_share"], (row.budget, row.owner))
                    continue
                if seen != row:
                    connection.execute(self._sql["upsert_share"], seen)
                kept.append(seen)
            decided = [_decide(ask, kept, lease.id, alive, now_us) for ask in asks]
            after = [row for _, row in decided]
            connection.executemany(self._sql["upsert_share"], after)
        self._wake(_concerned(kept, after, [share for share, _ in decided]))
        return [share for share, _ in decided]

    def release(self, lease: CoordinatorLease, budgets: Sequence[str]) -> None:
        """Give back all that a coordinator has of some budgets."""
        with self._database.writing() as connection:
            parameters = [(budget, lease.id) for budget in budgets]
            connection.executemany(self._sql["delete_share"], parameters)
        rows = [row for row in self.shares() if row.budget in budgets]
        self._wake({row.owner for row in rows if row.wanted > row.granted})

    def _alive(self, rows: Sequence[ShareRow], lease: CoordinatorLease) -> set[int]:
        owners = {row.owner for row in rows} - {lease.id}
        return self._ownership.living(owners) | {lease.id} if owners else {lease.id}


def _changes(
    rows: Sequence[ShareRow], owner: int, asks: Sequence[BudgetAsk], alive: set[int]
) -> bool:
    """Whether there is anything to write."""
    known = {row.budget: row for row in rows if row.owner == owner}
    budgets = {ask.budget for ask in asks}
    if any(row.owner not in alive for row in rows if row.budget in budgets):
        return True
    for ask in asks:
        before = known.get(ask.budget)
        _, after = _decide(ask, rows, owner, alive)
        if before is None or after[2:5] != before[2:5]:
            is_alone = all(row.owner == owner for row in rows if row.budget == ask.budget)
            # What somebody wants who has all concerns nobody while there is nobody else.
            if before is None or not is_alone or after.granted != before.granted:
                return True
    return False


def _age(row: ShareRow, alive: set[int], now_us: int) -> ShareRow | None:
    """Return a share as time has changed it, None if it is free again."""
    if row.owner in alive:
        return row._replace(lost_us=0) if row.lost_us else row
    if not row.lost_us:
        return row._replace(wanted=0, least=0, lost_us=max(now_us, 1))
    # A clock that has begun anew belongs to a machine that has, with nothing of then alive.
    return row if 0 <= now_us - row.lost_us < LOST_US else None


def _decide(
    ask: BudgetAsk, rows: Sequence[ShareRow], owner: int, alive: set[int], now_us: int = 0
) -> tuple[Share, ShareRow]:
    """Return what a coordinator may take of a budget, and its row."""
    mine = ShareRow(ask.budget, owner, 0, 0, 0, 0, 0)
    taken = 0
    lost = 0
    claims = []
    for row in rows:
        if row.budget != ask.budget:
            continue
        if row.owner == owner:
            mine = row
        elif row.owner in alive:
            taken += row.granted
            claims.append(Claim(row.owner, row.wanted, row.least, row.served_us))
        else:
            lost += row.granted
    wanted = max(ask.wanted, ask.used)
    claims.append(Claim(owner, wanted, ask.least, mine.served_us))
    due = divide(ask.slots - lost, claims)[owner]
    granted = max(ask.used, min(due, ask.slots - lost - taken), 0)
    is_served = granted > mine.granted and granted >= ask.least
    served_us = now_us if is_served else mine.served_us
    after = ShareRow(ask.budget, owner, granted, wanted, ask.least, served_us, 0)
    is_shared = bool(claims[1:]) or lost > 0
    return Share(ask.budget, granted, due, is_shared), after


def _concerned(
    before: Sequence[ShareRow], after: Sequence[ShareRow], shares: Sequence[Share]
) -> set[int]:
    """Return who is to look again: who lacks what is free, and who has what is due to others."""
    concerned: set[int] = set()
    for row, share in zip(after, shares, strict=True):
        others = [each for each in before if each.budget == row.budget and each.owner != row.owner]
        mine = sum(each.granted for each in before if each[:2] == row[:2])
        if row.granted < mine:
            concerned |= {each.owner for each in others if each.wanted > each.granted}
        if row.granted < min(share.due, row.wanted):
            concerned |= {each.owner for each in others if each.granted and not each.lost_us}
    return concerned
