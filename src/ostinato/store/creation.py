"""This module creates runs, any number in one commit."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ostinato.clock import Clock
from ostinato.store import rows
from ostinato.store.database import Connection
from ostinato.store.ids import IdGenerator
from ostinato.store.records import NewRun, RunRow

_json = msgspec.json.Encoder()

#: Project, flow and logical key.
_Key = tuple[str, str, str | None]


class Creation:
    """Decide which runs are new, and number them; inside a transaction that is the only one.

    Args:
        statements: By name.
        ids: Makes ids.
        clock: Stamps rows.
        owner: Id of the coordinator that owns what is created; 0 for none.
        at_us: Moment at which runs count as created at the earliest.
    """

    def __init__(
        self,
        statements: Mapping[str, str],
        ids: IdGenerator,
        clock: Clock,
        owner: int,
        at_us: int = 0,
    ) -> None:
        self._sql = statements
        self._ids = ids
        self._clock = clock
        self._owner = owner
        self._at_us = at_us

    def rows(
        self, connection: Connection, runs: Sequence[NewRun]
    ) -> tuple[list[RunRow], list[RunRow]]:
        """Return a row for each run that is asked for, and those that are to be inserted.

        Args:
            connection: In the transaction.
            runs: What is asked for.
        """
        keys = [_key(new) for new in runs]
        known = self._known(connection, keys)
        fresh = _fresh(runs, keys, known)
        made = self._made(connection, fresh) if fresh else []
        if len(made) == len(runs):
            return made, made
        known.update((_key(row), row) for row in made if row.logical_key is not None)
        unkeyed = (row for row in made if row.logical_key is None)
        asked = [next(unkeyed) if key[2] is None else known[key] for key in keys]
        return asked, made

    def _made(self, connection: Connection, fresh: Sequence[NewRun]) -> list[RunRow]:
        """Return the rows of new runs."""
        # Invariant: a run that is created later has a larger id, a larger number in its flow and no
        # earlier moment, also when the clock jumps back: pages, ranges of time and the search for
        # a number rest on it.
        found = connection.execute(self._sql["newest_run"]).fetchone()
        newest_id, newest_us = found or (0, 0)
        created_us = max(self._clock.now_us(), newest_us, self._at_us)
        ids = self._ids.take(len(fresh), after=newest_id)
        numbers = self._numbers(connection, fresh)
        # Hot path: ten thousand schedules may be due at once.
        return [
            rows.created_run(
                new,
                id=id_,
                number=next(numbers[new.flow]),
                created_us=created_us,
                owner=self._owner,
            )
            for new, id_ in zip(fresh, ids, strict=True)
        ]

    def _known(self, connection: Connection, keys: Sequence[_Key]) -> dict[_Key, RunRow]:
        """Return runs that were asked for under the same keys before."""
        wanted = [key for key in keys if key[2] is not None]
        if not wanted:
            return {}
        asked = _json.encode(wanted).decode()
        query = " ".join((self._sql["select_runs"], self._sql["among_known_runs"]))
        found = map(rows.run_row, connection.execute(query, (asked,)).fetchall())
        return {_key(row): row for row in found}

    def _numbers(self, connection: Connection, fresh: Sequence[NewRun]) -> dict[str, Iterator[int]]:
        """Return the numbers of the new runs of each flow."""
        counts = Counter(new.flow for new in fresh)
        # In order of their names: their rows stand so.
        asked = _json.encode(sorted(counts.items())).decode()
        last = connection.execute(self._sql["take_numbers"], (asked,)).fetchall()
        return {flow: iter(range(number - counts[flow] + 1, number + 1)) for flow, number in last}


def _key(run: NewRun | RunRow) -> _Key:
    return run.project, run.flow, run.logical_key


def _fresh(
    runs: Sequence[NewRun], keys: Sequence[_Key], known: Mapping[_Key, RunRow]
) -> Sequence[NewRun]:
    """Return the runs that are new, of each key the first."""
    if not known and len({*keys}) == len(keys):
        return runs
    seen = set(known)
    fresh: list[NewRun] = []
    for new, key in zip(runs, keys, strict=True):
        if key not in seen:
            fresh.append(new)
        if new.logical_key is not None:
            seen.add(key)
    return fresh
