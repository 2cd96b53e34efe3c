"""This module holds the operator that runs a shell command."""

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from ostinato.authoring.operators.command import Command, CommandOperator
from ostinato.authoring.operators.handover import PREFIX, RESULT, read_by
from ostinato.authoring.places import relative_place
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.errors import InvalidArgument


class BashOperator(CommandOperator):
    """Run a command with bash; the last line that it writes is the task's result.

    The command runs in a process group of its own, which is killed when the attempt ends
    before the command does.

    Args:
        task_id: Unique in its group.
        bash_command: The command or script, or the name of a file that ends in ``.sh``.
        env: Environment variables.
        append_env: Whether ``env`` adds to the environment of the attempt instead of replacing it.
        cwd: Working directory; by default that of the attempt.
        skip_on_exit_code: Exit code, or several, that skips the task; None for none.
        output_processor: Makes the result of the last line, such as ``json.loads``.
        policies: How it is run, see ``Policies``.

    Example:
        ``BashOperator(task_id="count", bash_command="wc -l < data.csv")``
    """

    operator_name = "bash"
    template_fields = ("bash_command", "env", "cwd")
    template_ext: Sequence[str] = (".sh", ".bash")

    def __init__(
        self,
        task_id: str,
        *,
        bash_command: str | Reference,
        env: Mapping[str, Any] | Reference | None = None,
        append_env: bool = False,
        cwd: str | Path | Reference | None = None,
        skip_on_exit_code: int | Container[int] | None = 99,
        output_processor: Callable[[str], Any] | None = None,
        **policies: Unpack[Policies],
    ) -> None:
        self.bash_command: Any = bash_command
        super().__init__(
            task_id,
            env=env,
            append_env=append_env,
            cwd=cwd,
            skip_on_exit_code=skip_on_exit_code,
            output_processor=output_processor,
            **policies,
        )
        self._check_command()

    def _check_command(self) -> None:
        if not isinstance(self.bash_command, str | Reference):
            message = f"bash_command of {self.node_id!r} is {self.bash_command!r}, not text"
            raise InvalidArgument(message, place=relative_place(self.place))

    def may_write_result(self) -> bool:
        """Return whether the result may come from the file ``$OSTINATO_RESULT``."""
        return RESULT in str(self.bash_command) or str(self.bash_command).endswith(".sh")

    def is_told(self) -> bool:
        """Return whether the command names what it would be told."""
        return PREFIX in str(self.bash_command)

    def inputs_of_context(self, context: Context) -> dict[str, Any]:
        """Return what the command reads of its run.

        Args:
            context: Of the attempt.
        """
        return read_by(str(self.bash_command), context)

    def command(self, context: Context) -> Command:
        """Return what to run.

        Args:
            context: Of the attempt.
        """
        del context
        self._check_command()
        arguments = ["bash", "-c", self.bash_command]
        return Command("bash", arguments, env=self.environment(), cwd=self.cwd)
