"""This module holds the operator that runs a script of any language."""

import shlex
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from ostinato.authoring.operators.command import Command, CommandOperator
from ostinato.authoring.operators.environments import (
    ENVIRONMENTS,
    EnvironmentSpec,
    python_of,
    script_metadata,
)
from ostinato.authoring.operators.handover import RESULT, read_by
from ostinato.authoring.operators.interpreters import has_interpreter, interpreter_for
from ostinato.authoring.operators.shipped_function import MAIN, ShippedFunction
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.templates import is_template


class PythonScript:
    """Run a Python file, or a function of it, in a Python of its own.

    That is the running Python, or one of an environment that the file asks for by a block
    ``# /// script`` (PEP 723).

    Args:
        path: Of the file, absolute.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def run(self, context: Context) -> Any:
        """Run the file as ``__main__``; return the JSON that it wrote to ``$OSTINATO_RESULT``.

        Args:
            context: Of the attempt.
        """
        operator = ScriptOperator("script", path=self._path)
        operator.execute(context)
        return operator.written_result()

    def call(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], context: Context
    ) -> Any:
        """Call a function of the file; arguments and result are pickled.

        Args:
            name: Of the function.
            args: Positional arguments.
            kwargs: Arguments by name.
            context: Of the attempt.
        """
        text = self._path.read_text(encoding="utf-8")
        shipped = ShippedFunction(name, text, str(self._path), 1)
        folder = context.temp_dir()
        shipped.write_call(folder, args, kwargs)
        _FunctionOfScript(self._path, folder).execute(context)
        return shipped.read_result(folder)


class ScriptOperator(CommandOperator):
    """Run a script of any language; JSON that it writes to ``$OSTINATO_RESULT`` is its result.

    If it writes none, the last line of its output is. What runs it is the ``interpreter``, else
    what its first line says (``#!``), else what the end of its file's name means. A Python script
    that says what it needs in a block ``# /// script`` (PEP 723) runs in an environment with
    that, made by uv and kept.

    Args:
        task_id: Unique in its group.
        script: Its text, rendered as a template.
        path: File that runs as it is, instead of ``script``. A relative path starts at the
            file that declares the task, at the flow's file, or at the working directory.
        file_path: The same as ``path``, where neither is given.
        interpreter: Command that runs it, such as ``"bash -e"``.
        args: What the script is called with.
        env: Environment variables.
        append_env: Whether ``env`` adds to the environment of the attempt instead of replacing it.
        cwd: Working directory; by default that of the attempt.
        skip_on_exit_code: Exit code, or several, that skips the task; None for none.
        output_processor: Makes the result of the last line, such as ``json.loads``.
        policies: How it is run, see ``Policies``.

    Example:
        ``ScriptOperator(task_id="clean", path="clean.R", args=["{{ ds }}"])``
    """

    operator_name = "script"
    template_fields = ("script", "path", "args", "env", "cwd")

    def __init__(
        self,
        task_id: str,
        *,
        script: str | Reference | None = None,
        path: str | Path | Reference | None = None,
        file_path: str | Path | None = None,
        interpreter: str | None = None,
        args: Sequence[Any] | Reference = (),
        env: Mapping[str, Any] | Reference | None = None,
        append_env: bool = False,
        cwd: str | Path | Reference | None = None,
        skip_on_exit_code: int | Container[int] | None = 99,
        output_processor: Callable[[str], Any] | None = None,
        **policies: Unpack[Policies],
    ) -> None:
        self.script: Any = script
        self.path: Any = path or (file_path if script is None else None)
        self.interpreter = interpreter
        self.args: Any = args
        super().__init__(
            task_id,
            env=env,
            append_env=append_env,
            cwd=cwd,
            skip_on_exit_code=skip_on_exit_code,
            output_processor=output_processor,
            **policies,
        )
        self._check()

    def _check(self) -> None:
        if (self.script is None) == (self.path is None):
            raise self.refusal("it takes either script= or path=")
        for name, kinds in (("script", str), ("path", str | Path), ("interpreter", str)):
            value = getattr(self, name)
            if not isinstance(value, kinds | Reference | None):
                raise self.refusal(f"{name} is {value!r}, not text")
        given = self.args
        if isinstance(given, str) or not isinstance(given, Sequence | Reference):
            raise self.refusal(f"args is {given!r}, not a list")
        if self.interpreter is not None and not self.interpreter.strip():
            raise self.refusal("interpreter is empty")
        if isinstance(self.path, str | Path) and not is_template(str(self.path)):
            self.found_file(self.path)
        if isinstance(self.script, str) and not is_template(self.script):
            self._named_interpreter(self.script, "")

    def command(self, context: Context) -> Command:
        """Return what to run.

        Args:
            context: Of the attempt.
        """
        self._check()
        if self.path is not None:
            file = self.found_file(self.path)
            text, suffix = file.read_text(errors="replace"), file.suffix
        else:
            text, suffix = self.script, ""
            file = context.temp_dir() / "script"
            file.write_text(text)
        program = self._environment_of(text, suffix, context) or self._program(
            text, suffix, context
        )
        arguments = [*program, str(file), *map(str, self.args)]
        env = self.environment()
        if self.path is None:
            return Command(Path(program[0]).name, arguments, env=env, cwd=self.cwd)
        return Command(file.name, arguments, env=env, cwd=self.cwd, script=file)

    def inputs_of_context(self, context: Context) -> dict[str, Any]:
        """Return what the script reads of its run.

        Args:
            context: Of the attempt.
        """
        if self.path is None:
            return read_by(str(self.script), context)
        file = self.found_file(self.path)
        if file.suffix.lower() == ".rmd":
            return {"ds": context.ds, "params": dict(context.params)}
        return read_by(file.read_text(errors="replace"), context)

    def written_result(self) -> Any:
        """Return the JSON that was written to ``$OSTINATO_RESULT``, None if there is none."""
        return None if self._handover is None else self._handover.result()

    def may_write_result(self) -> bool:
        """Return whether the result may come from the file ``$OSTINATO_RESULT``."""
        return not isinstance(self.script, str) or RESULT in self.script

    def _program(self, text: str, suffix: str, context: Context) -> list[str]:
        named = self._named_interpreter(text, suffix)
        return named or interpreter_for(suffix, context.temp_dir())

    def _named_interpreter(self, text: str, suffix: str) -> list[str]:
        """Return what is said to run the script, nothing if the end of its name says it."""
        if self.interpreter is not None:
            return shlex.split(self.interpreter)
        if text.startswith("#!"):
            named = shlex.split(text.partition("\n")[0][2:])
            if named:
                return named
        if has_interpreter(suffix):
            return []
        raise self.refusal(
            "nothing says what runs the script",
            hint="begin it with a line such as #!/usr/bin/env bash, or give interpreter=",
        )

    def _environment_of(self, text: str, suffix: str, context: Context) -> list[str]:
        """Return the interpreter of the environment that a Python script asks for, if it does."""
        first = text.partition("\n")[0]
        is_python = suffix == ".py" or (
            first.startswith("#!") and ("python" in first or "uv" in first)
        )
        if self.interpreter is not None or not is_python:
            return []
        try:
            spec = script_metadata(text)
        except ValueError as err:
            raise self.refusal(str(err)) from None
        if spec is None or spec == EnvironmentSpec():
            return []
        return [str(python_of(spec, context.data_dir / ENVIRONMENTS, self._prepare)), "-u"]


class _FunctionOfScript(ScriptOperator):
    """Call a function that was shipped to a folder, with the packages that its file asks for."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__("script", path=path, skip_on_exit_code=None)
        self._folder = folder

    def command(self, context: Context) -> Command:
        text = Path(self.path).read_text(encoding="utf-8")
        python = (self._environment_of(text, ".py", context) or [sys.executable])[0]
        # Isolated: the packages of this Python are not on the path of the other one.
        arguments = [python, "-I", "-u", str(MAIN), str(self._folder)]
        file, env = Path(self.path), self.environment()
        return Command(file.name, arguments, env=env, cwd=self.cwd, script=file)
