"""This module finds the operator that a name in a file means.

``bash`` and ``BashOperator`` are built-in ones, and so is every path of Airflow's whose last
segment is the name of one. ``local.HelloOperator`` is looked for in the folders of the users' own
operators, in the module ``hello_operator``; every other path is imported.
"""

import importlib
import importlib.util
import os
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from ostinato.authoring.files.operator_names import extensions
from ostinato.authoring.files.operator_names.operator_aliases import ALIASES
from ostinato.authoring.operators import catalogue
from ostinato.authoring.places import relative_file
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import DefinitionError

#: From which likeness on, 0 to 1, the name of a class is taken for a slip of the pen.
_SLIP = 0.9

#: Begins the names of users' own operators.
LOCAL = "local"

#: Short names that do not follow from that of the class.
_SHORT = {"sql": "SqlOperator", "shell": "BashOperator", "dummy": "EmptyOperator"}

#: What the catalogue holds beside operators that a file can name.
_NO_OPERATORS = frozenset(
    {"BaseOperator", "BaseSensorOperator", "Operator", "PokeReturn", "Sensor"}
)


class OperatorNotFound(DefinitionError):
    """Report that a file names an operator that there is not.

    Args:
        message: What is wrong.
        problem_code: Of the files' codes.
        hint: What to do.
    """

    def __init__(self, message: str, problem_code: str = "F011", *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problem_code = problem_code


class OperatorNames:
    """Find operators by name, each once.

    Args:
        folders: Where ``local`` ones are looked for, in this order.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        self.folders = tuple(folders)
        self._found: dict[str, Any] = {}
        self._failed: dict[str, OperatorNotFound] = {}

    def find(self, name: str) -> Any:
        """Return the class or function that a name means.

        Args:
            name: As a file writes it.

        Raises:
            OperatorNotFound: There is none, or it cannot be imported.
        """
        if name in self._failed:
            raise self._failed[name]
        if name not in self._found:
            try:
                self._found[name] = self._look_for(name)
            except OperatorNotFound as error:
                self._failed[name] = error
                raise
        return self._found[name]

    def local_names(self) -> dict[str, str]:
        """Return the files of users' own operators, by the name of their module."""
        found: dict[str, str] = {}
        for folder in self.folders:
            try:
                entries = sorted(os.listdir(folder))
            except OSError:
                continue
            for entry in entries:
                stem, suffix = os.path.splitext(entry)
                path = os.path.join(folder, entry)
                if suffix == ".py" and stem != "__init__":
                    found.setdefault(stem, path)
                elif os.path.isfile(os.path.join(path, "__init__.py")):
                    found.setdefault(entry, os.path.join(path, "__init__.py"))
        return found

    def _look_for(self, name: str) -> Any:
        path, _, last = name.rpartition(".")
        if not path:
            return self._built_in(last, name, is_plain=True)
        top = path.partition(".")[0]
        if top == LOCAL:
            return self._local(last)
        if top == "airflow" or path == "ostinato.operators":
            return self._built_in(last, name, is_plain=False)
        return _attribute(_imported(path, name), last, name)

    def _built_in(self, last: str, name: str, *, is_plain: bool) -> Any:
        wanted = ALIASES.get(last, last)
        if is_plain:
            wanted = short_names().get(wanted, wanted)
        if wanted in catalogue.MODULES and wanted not in _NO_OPERATORS:
            module = importlib.import_module(f"ostinato.authoring.{catalogue.MODULES[wanted]}")
            return getattr(module, wanted)
        if is_plain:
            hint = did_you_mean(last, [*short_names(), *short_names().values()])
            raise OperatorNotFound(f"operator {name!r} is unknown", hint=hint or _PLAIN_HINT)
        if name.startswith("airflow."):
            return _of_airflow(name)
        hint = did_you_mean(last, short_names().values())
        raise OperatorNotFound(f"operator {name!r} is unknown", hint=hint)

    def _local(self, last: str) -> Any:
        module_name = snake_case(last)
        known = self.local_names()
        if module_name not in known:
            if not self.folders:
                hint = "put it into the folder operators of the project"
            else:
                folder = relative_file(self.folders[0])
                hint = did_you_mean(module_name, known) or f"it is looked for in {folder}"
            message = f"operator 'local.{last}' is unknown: there is no {module_name}.py"
            raise OperatorNotFound(message, hint=hint)
        try:
            module = extensions.import_file(module_name, known[module_name])
        except extensions.ExtensionError as error:
            raise _broken(f"{LOCAL}.{last}", error) from error
        return _attribute(module, last, f"{LOCAL}.{last}")


_PLAIN_HINT = "name one such as bash, python or sql, local.MyOperator, or package.module.Class"


@cache
def short_names() -> dict[str, str]:
    """Return the classes of the built-in operators by their short names."""
    found = {
        snake_case(name).removesuffix("_operator"): name
        for name in catalogue.MODULES
        if name.endswith(("Operator", "Sensor")) and name not in _NO_OPERATORS
    }
    return {**found, **_SHORT}


def written_class(name: object) -> str:
    """Return the class that a name of an operator ends in, empty if it is none of the built-in."""
    last = name.strip().rpartition(".")[2] if isinstance(name, str) else ""
    last = ALIASES.get(last, last)
    return last if last in catalogue.MODULES else ""


def local_folders(root: str, folder: str = "") -> list[str]:
    """Return where users' own operators are looked for.

    Args:
        root: Of the project.
        folder: Of the flow, beside and above which they may lie too.
    """
    homes = [root, os.environ.get("GUSTY_HOME", ""), os.environ.get("AIRFLOW_HOME", "")]
    if folder:
        beside = os.path.dirname(folder)
        homes += [beside, os.path.dirname(beside)]
    return list(dict.fromkeys(os.path.join(home, "operators") for home in homes if home))


def snake_case(name: str) -> str:
    """Return the name of the module of a class.

    >>> snake_case("HTTPGetOperator")
    'http_get_operator'
    """
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name)
    return name.replace("-", "_").lower()


def _imported(path: str, name: str) -> Any:
    try:
        return extensions.import_named(path)
    except extensions.ExtensionError as error:
        raise _broken(name, error) from error


def _attribute(module: Any, last: str, name: str) -> Callable[..., Any]:
    found = getattr(module, last, None)
    if found is None:
        known = [key for key, value in vars(module).items() if isinstance(value, type)]
        message = f"operator {name!r} is unknown: its module has no {last!r}"
        raise OperatorNotFound(message, hint=did_you_mean(last, known))
    if not callable(found):
        raise OperatorNotFound(f"operator {name!r} is neither a class nor a function")
    value: Callable[..., Any] = found
    return value


def _broken(name: str, error: Exception) -> OperatorNotFound:
    return OperatorNotFound(f"operator {name!r} cannot be imported: {error}", "F025")


def _of_airflow(name: str) -> Any:
    if importlib.util.find_spec("airflow") is None:
        last = name.rpartition(".")[2]
        slips = get_close_matches(last, short_names().values(), n=1, cutoff=_SLIP)
        if slips:
            raise OperatorNotFound(f"operator {name!r} is unknown", hint=did_you_mean(last, slips))
        message = f"operator {name!r} is Airflow's own, and Airflow is not installed"
        raise OperatorNotFound(message, "F035", hint="install apache-airflow beside Ostinato")
    path, _, last = name.rpartition(".")
    adapter = importlib.import_module("ostinato.authoring.operators.airflow")
    return adapter.operator_of(_attribute(_imported(path, name), last, name))
