"""This module remembers the values of a live run, so that passing one on needs no query."""

from collections import OrderedDict

from ostinato.model.identity import MapPath, RunId, format_path, parse_path
from ostinato.model.value import StoredValue
from ostinato.store.protocol import Store

#: Inline data kept in memory for each run, in bytes; what is older is read from the store.
MEMORY_LIMIT_BYTES = 64 * 1024 * 1024

ValueKey = tuple[str, MapPath, str]


class RunValues:
    """The stored values of one run, newest attempt of each task run.

    A result of None is not stored, so an unknown key means None.

    Args:
        store: Where values that no longer fit in memory are read.
        run_id: The run.
    """

    # Invariant: _bytes == sum(len(value.data)) over _known
    def __init__(self, store: Store, run_id: RunId) -> None:
        self._store = store
        self._run_id = run_id
        self._known: OrderedDict[ValueKey, StoredValue] = OrderedDict()
        self._evicted: set[ValueKey] = set()
        #: Keys by task run, so that one can be dropped without a look at all others.
        self._keys: dict[tuple[str, MapPath], set[str]] = {}
        self._bytes = 0
        #: Whether the store has values from before this process had the run.
        self._has_earlier = False
        #: What was read from the store, as (task id, key), and task runs whose values are void.
        self._recalled: set[tuple[str, str]] = set()
        self._void: set[tuple[str, MapPath]] = set()

    def expect_earlier(self) -> None:
        """Look for unknown values in the store, task by task: the run was restored."""
        self._has_earlier = True

    def put(self, task_id: str, path: MapPath, value: StoredValue) -> None:
        """Keep a value that is being committed."""
        key = (task_id, path, value.key)
        self._forget(key)
        self._known[key] = value
        self._keys.setdefault((task_id, path), set()).add(value.key)
        if value.data is not None:
            self._bytes += len(value.data)
        while self._bytes > MEMORY_LIMIT_BYTES:
            oldest, dropped = self._known.popitem(last=False)
            self._bytes -= len(dropped.data or b"")
            self._evicted.add(oldest)

    def get(self, task_id: str, path: MapPath, key: str) -> StoredValue | None:
        """Return a value, or None where the task run stored none."""
        if self._has_earlier and (task_id, key) not in self._recalled:
            self._recall(task_id, key)
        name = (task_id, path, key)
        value = self._known.get(name)
        if value is None and name in self._evicted:
            found = self._store.values(self._run_id, task_id, path=format_path(path), key=key)
            return found[0][1] if found else None
        return value

    def drop(self, task_id: str, path: MapPath) -> None:
        """Forget the values of a task run that runs again."""
        if self._has_earlier:
            self._void.add((task_id, path))
        for key in self._keys.pop((task_id, path), ()):
            self._forget((task_id, path, key))

    def _recall(self, task_id: str, key: str) -> None:
        self._recalled.add((task_id, key))
        for text, value in self._store.values(self._run_id, task_id, key=key):
            path = parse_path(text)
            name = (task_id, path, key)
            is_newer = name in self._known or name in self._evicted
            if not is_newer and (task_id, path) not in self._void:
                self.put(task_id, path, value)

    def _forget(self, name: ValueKey) -> None:
        self._evicted.discard(name)
        known = self._known.pop(name, None)
        if known is not None and known.data is not None:
            self._bytes -= len(known.data)
