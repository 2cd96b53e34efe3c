"""This module holds the sensor that waits until a command succeeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostinato.authoring.operators.bash import BashOperator
from ostinato.authoring.operators.sensor import Sensor
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.signatures import UNTYPED


class BashSensor(BashOperator, Sensor):
    """Wait until a command exits with 0.

    Args:
        task_id: Unique in its group.
        bash_command: The command or script, or the name of a file that ends in ``.sh``.
        env: Environment variables.
        append_env: Whether ``env`` adds to the environment of the attempt instead of replacing it.
        cwd: Working directory; by default that of the attempt.
        retry_exit_code: The exit code that means "not yet"; any other but 0 is a failure then.
            None: every code but 0 means "not yet".
        options: What ``Sensor`` takes, and policies.

    Example:
        ``BashSensor(task_id="mounted", bash_command="mountpoint /data", poke_interval="30s")``
    """

    operator_name = "bash_sensor"

    def __init__(
        self,
        task_id: str,
        *,
        bash_command: str | Reference,
        env: Mapping[str, Any] | Reference | None = None,
        append_env: bool = False,
        cwd: str | Path | Reference | None = None,
        retry_exit_code: int | None = None,
        **options: Any,
    ) -> None:
        self.retry_exit_code = retry_exit_code
        super().__init__(
            task_id,
            bash_command=bash_command,
            env=env,
            append_env=append_env,
            cwd=cwd,
            **options,
        )
        if not isinstance(retry_exit_code, int | None):
            raise self.refusal(f"retry_exit_code is {retry_exit_code!r}, not a number")

    @property
    def result_type(self) -> Any:
        """Nothing is known: it has no result."""
        return UNTYPED

    def poke(self, context: Context) -> bool:
        """Run the command.

        Args:
            context: Of the attempt.

        Raises:
            ExecutionError: If it cannot be started, or exits with a code that is neither 0 nor
                ``retry_exit_code``.
        """
        self._command = command = self.command(context)
        outcome = command.run()
        if outcome.code and self.retry_exit_code not in (None, outcome.code):
            raise outcome.failure(command.name)
        return outcome.code == 0

    def execute(self, context: Context) -> Any:
        """Poke as any sensor.

        Args:
            context: Of the attempt.
        """
        return Sensor.execute(self, context)
