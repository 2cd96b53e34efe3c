"""This module holds the operator that executes a notebook."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import msgspec

from ostinato.authoring.operators.command import Command, CommandOperator
from ostinato.authoring.operators.environments import (
    ENVIRONMENTS,
    EnvironmentSpec,
    python_of,
    script_metadata,
)
from ostinato.authoring.operators.handover import Handover, read_by
from ostinato.authoring.places import relative_place
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.templates import is_template
from ostinato.errors import ExecutionError, Place

#: Executes the notebook, in a process of its own.
MAIN = Path(__file__).with_name("notebook_main.py")

#: What a Python needs to be a kernel.
_KERNEL_PACKAGE = "ipykernel"

#: Parts of the context that a notebook receives where its cell of parameters names them.
OFFERED = (
    "ds",
    "ds_nodash",
    "ts",
    "run_id",
    "partition_key",
    "map_index",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
)

#: Lines of a failing cell that are shown around the one that failed.
_AROUND = 3


class NotebookOperator(CommandOperator):
    """Execute a notebook by Papermill; the executed one and a page of it are kept with the run.

    Its cell with the tag ``parameters`` says which parameters it takes, with defaults. Those
    that the run has too are the run's; ``ds``, ``partition`` and other parts of the context are
    filled in; and ``parameters`` beats both. JSON that it writes to ``$OSTINATO_RESULT`` is its
    result. A block ``# /// script`` (PEP 723) in its first cell of code runs it in an
    environment of its own.

    Args:
        task_id: Unique in its group.
        path: The notebook. A relative path starts at the file that declares the task, at the
            flow's file, or at the working directory.
        parameters: Further parameters, by name.
        kernel_name: Kernel that executes it; by default the one that it names itself, or the
            Python that runs if that is one of Python.
        language: Of the kernel, where the notebook does not say.
        html: Whether a page of it is made.
        output_path: Where a copy of the executed notebook is written, too.
        env: Environment variables.
        append_env: Whether ``env`` adds to the environment of the attempt instead of replacing it.
        cwd: Working directory; by default the folder of the notebook.
        input_nb: The same as ``path``, as Airflow calls it.
        output_nb: The same as ``output_path``, as Airflow calls it.
        kernel_language: The same as ``language``.
        file_path: The same as ``path``, where neither is given.
        policies: How it is run, see ``Policies``.

    Example:
        ``NotebookOperator(task_id="report", path="report.ipynb", parameters={"region": "EU"})``
    """

    operator_name = "notebook"
    template_fields = ("path", "parameters", "output_path", "env", "cwd")

    def __init__(
        self,
        task_id: str,
        *,
        path: str | Path | Reference | None = None,
        parameters: Mapping[str, Any] | Reference | None = None,
        kernel_name: str | None = None,
        language: str | None = None,
        html: bool = True,
        output_path: str | Path | Reference | None = None,
        env: Mapping[str, Any] | Reference | None = None,
        append_env: bool = True,
        cwd: str | Path | Reference | None = None,
        input_nb: str | Path | Reference | None = None,
        output_nb: str | Path | Reference | None = None,
        kernel_language: str | None = None,
        file_path: str | Path | None = None,
        **policies: Unpack[Policies],
    ) -> None:
        self.path: Any = path or input_nb or file_path
        self.parameters: Any = parameters
        self.kernel_name = kernel_name
        self.language = language or kernel_language
        self.html = html
        self.output_path: Any = output_path or output_nb
        super().__init__(
            task_id, env=env, append_env=append_env, cwd=cwd, skip_on_exit_code=None, **policies
        )
        self._check()

    def _check(self) -> None:
        if not isinstance(self.path, str | Path | Reference):
            raise self.refusal("it takes path=, the notebook")
        if not isinstance(self.parameters, Mapping | Reference | None):
            raise self.refusal(f"parameters is {self.parameters!r}, not a dict")
        if isinstance(self.parameters, Mapping):
            wrong = next((name for name in self.parameters if not isinstance(name, str)), None)
            if wrong is not None:
                raise self.refusal(f"parameters has the name {wrong!r}, which is no text")
        for name in ("kernel_name", "language"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise self.refusal(f"{name} is {value!r}, not text")
        if isinstance(self.path, str | Path) and not is_template(str(self.path)):
            self.found_file(self.path)

    def inputs_of_context(self, context: Context) -> dict[str, Any]:
        """Return what the notebook may read of its run.

        Args:
            context: Of the attempt.
        """
        text = self.found_file(self.path).read_text(errors="replace")
        named = {name: value for name, value in _offered(context).items() if name in text}
        return {**named, **read_by(text, context)}

    def command(self, context: Context) -> Command:
        """Return what to run.

        Args:
            context: Of the attempt.
        """
        self._check()
        assert self._handover is not None
        file = self.found_file(self.path)
        out = self._handover.out
        call = {
            "path": str(file),
            "output": str(out / file.name),
            "html": str(out / f"{file.stem}.html") if self.html else "",
            "parameters": dict(self.parameters or {}),
            "offered": _offered(context),
            "kernel_name": self.kernel_name or "",
            "language": self.language or "",
            "python": self._python_of(file, context),
            "cwd": str(self.cwd or file.parent),
        }
        folder = self._handover.folder
        (folder / "call.json").write_bytes(msgspec.json.encode(call, enc_hook=str))
        # -P: beside the script lie modules of ours with names of the standard library.
        arguments = [sys.executable, "-P", "-u", str(MAIN), str(folder)]
        return Command(file.name, arguments, env=self.environment())

    def execute(self, context: Context) -> Any:
        """Execute the notebook and return what it wrote as its result.

        Args:
            context: Of the attempt.

        Raises:
            ExecutionError: A cell raised, Papermill is not installed, or the notebook cannot be
                executed.
        """
        _check_installed()
        self._handover = handover = Handover(context, is_safe=True)
        self._command = command = self.command(context)
        try:
            outcome = command.run()
        finally:
            # Also of what has run out of time.
            handover.keep()
        if outcome.code:
            raise self._failure(handover) or outcome.failure(command.name)
        if self.output_path:
            executed = handover.out / Path(self.path).name
            _copy(executed, Path(self.output_path).expanduser())
        return handover.result()

    def _python_of(self, file: Path, context: Context) -> str:
        """Return the Python of the environment that the notebook asks for, empty if for none."""
        try:
            cells = json.loads(file.read_bytes()).get("cells", [])
            code: dict[str, Any] = next((c for c in cells if c.get("cell_type") == "code"), {})
            source = code.get("source", "")
            text = source if isinstance(source, str) else "".join(source)
        except (ValueError, AttributeError, TypeError):
            # Whoever executes it says what is wrong.
            return ""
        try:
            spec = script_metadata(text if text.endswith("\n") else f"{text}\n")
        except ValueError as err:
            raise self.refusal(str(err)) from None
        if spec is None or spec == EnvironmentSpec():
            return ""
        if not any(each.startswith(_KERNEL_PACKAGE) for each in spec.requirements):
            spec = spec._replace(requirements=(*spec.requirements, _KERNEL_PACKAGE))
        return str(python_of(spec, context.data_dir / ENVIRONMENTS, self._prepare))

    def _failure(self, handover: Handover) -> ExecutionError | None:
        """Return the error of the cell that failed, None if nothing is known of it."""
        try:
            failure = json.loads((handover.folder / "failure.json").read_bytes())
        except (OSError, ValueError):
            return None
        file = self.found_file(self.path)
        cell, source = failure.get("cell", 0), failure.get("source", "")
        line = failure.get("cell_line", 0)
        where = f"cell {cell}, line {line}: " if line else f"cell {cell}: " if cell else ""
        at = _line_in_file(file, cell, line or 1) if cell else 0
        place = relative_place(Place(str(file), at))
        error = ExecutionError(f"{where}{failure['message']}", place=place)
        if source:
            error.add_note(_shown(source, line))
        return error


def _check_installed() -> None:
    from importlib.util import find_spec  # noqa: PLC0415 - asked where a notebook is executed

    lacking = [name for name in ("papermill", "nbconvert", "ipykernel") if find_spec(name) is None]
    if lacking:
        message = f"notebooks are executed by {lacking[0]}, which is not installed"
        raise ExecutionError(message, hint="pip install 'ostinato[notebook]'")


def _offered(context: Context) -> dict[str, Any]:
    parts = {name: getattr(context, name) for name in OFFERED}
    texts = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in parts.items()}
    return {
        **texts,
        "partition": context.partition_key,
        "params": dict(context.params),
        **context.params,
    }


def _copy(file: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    except OSError as err:
        message = f"the notebook {str(target)!r} cannot be written: {err.strerror}"
        raise ExecutionError(message) from err


def _line_in_file(file: Path, cell: int, line: int) -> int:
    """Return the line of a notebook's file in which a line of a cell stands, 0 if unknown.

    Jupyter writes each line of a cell as a line of its own.
    """
    text = file.read_text(errors="replace")
    try:
        source = json.loads(text)["cells"][cell - 1]["source"]
    except (ValueError, LookupError, TypeError):
        return 0
    written = [json.dumps(each, ensure_ascii=False) for each in source]
    lines = [each.strip().rstrip(",") for each in text.splitlines()]
    for start in range(len(lines) - len(written) + 1):
        if lines[start : start + len(written)] == written:
            return start + line if line <= len(written) else start + 1
    return 0


def _shown(source: str, line: int) -> str:
    """Return the code of a cell around a line, with an arrow at it."""
    lines = source.splitlines()
    first = max(0, line - 1 - _AROUND)
    last = line + _AROUND if line else 2 * _AROUND
    shown = [
        f"{'->' if number == line else '  '} {number:>3} {text}"
        for number, text in enumerate(lines[first:last], first + 1)
    ]
    return "\n".join(["the cell", *shown])
