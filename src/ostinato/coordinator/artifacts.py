"""This module keeps what tasks publish for people."""

import hashlib
from collections.abc import Callable
from typing import Any

from ostinato.clock import Clock
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.steps import Committer
from ostinato.engine.task_run import TaskRun
from ostinato.errors import UsageError
from ostinato.executors.protocol import Later
from ostinato.store.protocol import Store
from ostinato.store.records import ArtifactRow


class ArtifactDesk:
    """Answer the calls of tasks that publish something.

    Args:
        store: Where artifacts are kept.
        committer: Writes them.
        clock: Stamps them.
    """

    def __init__(self, store: Store, committer: Committer, clock: Clock) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock
        self.answers: dict[str, Callable[..., Any]] = {
            "publish": self._publish,
            "update_artifact": self._update,
        }

    def _publish(
        self,
        run: LiveRun,
        _: TaskRun,
        *,
        task_id: str,
        path: str,
        number: int,
        kind: str,
        key: str,
        description: str,
        data: bytes,
    ) -> Later:
        place = f"{run.id}/{task_id}/{path}/{number}/{kind}/{key}"
        digest = hashlib.blake2b(place.encode(), digest_size=8).digest()
        id_ = int.from_bytes(digest) >> 1
        now_us = self._clock.now_us()
        row = ArtifactRow(
            id_, run.id, task_id, path, kind, key, 0, description, data, now_us, now_us
        )
        self._committer.batch.artifacts.append(row)
        return self._committer.after_commit(id_)

    def _update(
        self, _: LiveRun, __: TaskRun, *, artifact_id: int, description: str | None, data: bytes
    ) -> Later:
        row = self._store.artifact(artifact_id)
        if row is None:
            message = f"there is no artifact {artifact_id}"
            raise UsageError(message, hint="ostinato artifacts lists them")
        text = row.description if description is None else description
        now_us = self._clock.now_us()
        changed = row._replace(description=text, data=data, updated_us=now_us)
        self._committer.batch.artifacts.append(changed)
        return self._committer.after_commit()
