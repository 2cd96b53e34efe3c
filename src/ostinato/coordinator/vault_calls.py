"""This module answers what running attempts ask of the vault: connections and variables."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ostinato.client.vault_answers import VaultAnswers

if TYPE_CHECKING:
    from ostinato.client.vault import Vault
    from ostinato.coordinator.live_run import LiveRun
    from ostinato.engine.task_run import TaskRun


class VaultCalls:
    """Answer calls by their method; what they mean is said at ``runtime.messages.CALLS``.

    Args:
        open_vault: Opens the vault; called when something is asked of it for the first time.
    """

    def __init__(self, open_vault: "Callable[[], Vault]") -> None:
        #: By method; each takes the run, the task run and the call's arguments by name.
        self.answers: dict[str, Callable[..., Any]] = {
            method: partial(_answer, answer)
            for method, answer in VaultAnswers(open_vault).answers.items()
        }


def _answer(answer: Callable[..., Any], _run: "LiveRun", _task_run: "TaskRun", **args: Any) -> Any:
    # Whoever asks sees the same vault.
    return answer(**args)
