"""This module tells the coordinator of steps that take long, so that people see them."""

import threading
from collections.abc import Callable

from ostinato.errors import OstinatoError
from ostinato.model.identity import MapPath

#: Seconds after which a step is told of. Shorter ones are seen when they have ended.
LONG_S = 0.3

#: Seconds that its thread may take to end; one that has just asked waits for the answer.
END_S = 1.0

#: Tells of a step: its task and place, and when it began.
Tell = Callable[[str, MapPath, int], object]


class StepWatch:
    """The steps of one attempt of a body that execute at this moment, in its process.

    Args:
        tell: Tells the coordinator of a step, from a thread of its own.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._under_way: dict[MapPath, tuple[str, int]] = {}
        self._told: set[MapPath] = set()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, task_id: str, path: MapPath, at_us: int) -> None:
        """Note a step that begins."""
        self._under_way[path] = (task_id, at_us)
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="attempt-watch", daemon=True)
            self._thread.start()

    def end(self, path: MapPath) -> None:
        """Note a step that has ended."""
        self._under_way.pop(path, None)

    def close(self) -> None:
        """Tell of nothing any more."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(END_S)

    def _look(self) -> None:
        seen: dict[MapPath, tuple[str, int]] = {}
        while not self._ending.wait(LONG_S):
            # What was there at the look before has lasted that long.
            for path, begun in list(self._under_way.items()):
                if path in self._told or seen.get(path) != begun:
                    continue
                self._told.add(path)
                try:
                    self._tell(begun[0], path, begun[1])
                except (OstinatoError, OSError, RuntimeError):
                    # The attempt was given up, or its process ends.
                    return
            seen = dict(self._under_way)
