"""This module holds the operators that call a function in another Python."""

import os
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from ostinato.authoring.operators.command import Command
from ostinato.authoring.operators.environments import (
    ENVIRONMENTS,
    EnvironmentSpec,
    python_of,
    read_requirements,
)
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.operators.shipped_function import MAIN, ShippedFunction
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.signals import Skip
from ostinato.errors import ExecutionError


class OtherPythonOperator(FunctionOperator):
    """Call a function in another Python: write ``find_python``.

    The function is sent by its source, so it imports what it needs itself. Its arguments and its
    result are pickled. A parameter that is named like a part of the context, such as ``ds``,
    receives it; the context as a whole stays here.

    Args:
        task_id: Unique in its group.
        python_callable: Written with ``def``, using nothing from outside of itself.
        op_args: Positional arguments; they may hold results of other tasks.
        op_kwargs: Arguments by name; they may hold results of other tasks.
        env_vars: Environment variables.
        inherit_env: Whether ``env_vars`` adds to the environment of the attempt instead of
            replacing it.
        skip_on_exit_code: Exit code, or several, by which the function skips the task.
        options: Policies, see ``Policies``.
    """

    def __init__(
        self,
        task_id: str,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | Reference = (),
        op_kwargs: Mapping[str, Any] | Reference | None = None,
        env_vars: Mapping[str, str] | None = None,
        inherit_env: bool = True,
        skip_on_exit_code: int | Container[int] | None = None,
        **options: Any,
    ) -> None:
        self.env_vars = dict(env_vars or {})
        self.inherit_env = inherit_env
        codes = (skip_on_exit_code,) if isinstance(skip_on_exit_code, int) else skip_on_exit_code
        self.skip_on_exit_code: Container[int] = codes or ()
        self._command: Command | None = None
        super().__init__(
            task_id,
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            **options,
        )
        self._check_parameters()
        try:
            self.shipped = ShippedFunction.of(python_callable)
        except ValueError as err:
            raise self.refusal(str(err)) from None

    def _check_parameters(self) -> None:
        signature = self.signature
        fixed = self.op_kwargs if isinstance(self.op_kwargs, Mapping) else {}
        resources = {*signature.resource_types, *(self.graph.resources if self.graph else ())}
        for name in signature.parameters:
            if name in fixed or name not in signature.required:
                continue
            if signature.context_parameters.get(name) == "" or name == "logger":
                problem = f"takes {name!r}, but the context stays outside of another Python"
                raise self.refusal(problem, hint="take its parts: ds, params, run_id ...")
            if name in resources:
                raise self.refusal(f"takes the resource {name!r}, which stays outside")

    @property
    def result_type(self) -> Any:
        """What the function is annotated to return."""
        return self.signature.returns

    def find_python(self, context: Context) -> Path:
        """Return the path of the interpreter.

        Args:
            context: Of the attempt.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Call the function and return what it returns.

        Args:
            context: Of the attempt.

        Raises:
            Skip: If it exits with a code of ``skip_on_exit_code``.
            ExecutionError: If it raises or exits.
            ValueNotSerialisable: If an argument or the result cannot be pickled.
        """
        signature = self.signature
        surplus, named = signature.assign(self.op_args, self.op_kwargs)
        parts = {
            name: getattr(context, attribute)
            for name, attribute in signature.context_parameters.items()
            if attribute and attribute != "logger" and name not in named
        }
        args, kwargs = signature.arrange(surplus, {**parts, **named})
        folder = context.temp_dir()
        self.shipped.write_call(folder, args, kwargs)
        python = self.find_python(context)
        # Isolated: the packages of this Python are not on the path of the other one.
        self._run([str(python), "-I", "-u", str(MAIN), str(folder)])
        if not (folder / "result.pickle").exists():
            raise ExecutionError(f"{self.shipped.name!r} ended its Python without a result")
        return self.shipped.read_result(folder)

    def on_kill(self) -> None:
        """End the other Python, gently first."""
        if self._command is not None:
            self._command.kill()

    def _run(self, arguments: Sequence[str]) -> None:
        env = {**os.environ, **self.env_vars} if self.inherit_env else self.env_vars
        self._command = command = Command("python", arguments, env=env)
        outcome = command.run()
        if outcome.code in self.skip_on_exit_code:
            raise Skip(f"exit code {outcome.code}")
        if outcome.code:
            raise outcome.failure(command.name)

    def _prepare(self, command: Command) -> None:
        self._command = command
        outcome = command.run()
        if outcome.code:
            raise outcome.failure(command.name)


class PythonVirtualenvOperator(OtherPythonOperator):
    """Call a function in an environment of its own, which uv makes and later attempts find again.

    Packages come from the index that uv is configured with, and the environment is kept with
    the data of the project under a hash of what it consists of.

    Args:
        task_id: Unique in its group.
        python_callable: Written with ``def``, using nothing from outside of itself.
        requirements: As pip reads them: several, or text with one on each line.
        python_version: Such as ``"3.12"``; by default the running one.
        system_site_packages: Whether the packages of the running Python are there too.
        op_args: Positional arguments; they may hold results of other tasks.
        op_kwargs: Arguments by name; they may hold results of other tasks.
        env_vars: Environment variables.
        inherit_env: Whether ``env_vars`` adds to the environment of the attempt instead of
            replacing it.
        skip_on_exit_code: Exit code, or several, by which the function skips the task.
        venv_cache_path: Folder of the environments; by default with the data of the project.
        options: Policies, see ``Policies``.

    Example:
        ``PythonVirtualenvOperator(task_id="fit", python_callable=fit, requirements=["scipy"])``
    """

    operator_name = "virtualenv"

    def __init__(
        self,
        task_id: str,
        *,
        python_callable: Callable[..., Any],
        requirements: str | Sequence[str] = (),
        python_version: str | None = None,
        system_site_packages: bool = False,
        op_args: Sequence[Any] | Reference = (),
        op_kwargs: Mapping[str, Any] | Reference | None = None,
        env_vars: Mapping[str, str] | None = None,
        inherit_env: bool = True,
        skip_on_exit_code: int | Container[int] | None = None,
        venv_cache_path: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            task_id,
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            env_vars=env_vars,
            inherit_env=inherit_env,
            skip_on_exit_code=skip_on_exit_code,
            **options,
        )
        several = isinstance(requirements, list | tuple | set)
        if not isinstance(requirements, str) and not (
            several and all(isinstance(each, str) for each in requirements)
        ):
            raise self.refusal(f"requirements are {requirements!r}, not a list of texts")
        version: Any = python_version
        if not isinstance(version, str | None):
            raise self.refusal(
                f"python_version is {version!r}, not text",
                hint=f"write python_version={str(version)!r}",
            )
        self.environment = EnvironmentSpec(
            read_requirements(requirements), version or "", system_site_packages
        )
        self.venv_cache_path = venv_cache_path

    def find_python(self, context: Context) -> Path:
        """Return the interpreter of the environment, which is made if it is not there.

        Args:
            context: Of the attempt.
        """
        kept = self.venv_cache_path
        root = context.data_dir / ENVIRONMENTS if kept is None else Path(kept).expanduser()
        return python_of(self.environment, root.absolute(), self._prepare)


class ExternalPythonOperator(OtherPythonOperator):
    """Call a function in a Python that is there, with the packages that it has.

    Args:
        task_id: Unique in its group.
        python: Path of the interpreter.
        python_callable: Written with ``def``, using nothing from outside of itself.
        op_args: Positional arguments; they may hold results of other tasks.
        op_kwargs: Arguments by name; they may hold results of other tasks.
        env_vars: Environment variables.
        inherit_env: Whether ``env_vars`` adds to the environment of the attempt instead of
            replacing it.
        skip_on_exit_code: Exit code, or several, by which the function skips the task.
        options: Policies, see ``Policies``.

    Example:
        ``ExternalPythonOperator(task_id="old", python="/opt/old/bin/python", python_callable=f)``
    """

    operator_name = "external_python"

    def __init__(
        self,
        task_id: str,
        *,
        python: str | Path,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | Reference = (),
        op_kwargs: Mapping[str, Any] | Reference | None = None,
        env_vars: Mapping[str, str] | None = None,
        inherit_env: bool = True,
        skip_on_exit_code: int | Container[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            task_id,
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            env_vars=env_vars,
            inherit_env=inherit_env,
            skip_on_exit_code=skip_on_exit_code,
            **options,
        )
        path: Any = python
        if not isinstance(path, str | Path) or not str(path):
            raise self.refusal(f"python is {path!r}, no path of an interpreter")
        self.python = Path(python).expanduser()

    def find_python(self, context: Context) -> Path:
        """Return the path of the interpreter.

        Args:
            context: Of the attempt.
        """
        del context
        return self.python
