"""This module lets users' own operators import Airflow's names where Airflow is not installed.

Whatever path they are imported from, they are found by their last segment among the public names
of Ostinato. They are there only while such an operator is imported: elsewhere ``import airflow``
fails as it must.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ostinato.authoring.files.operator_names.operator_aliases import ALIASES

#: The package whose names are stood in for.
_PACKAGE = "airflow"

#: Names that mean the same and are spelt otherwise; operators have a table of their own.
_SAME = {
    "AirflowFailException": "Fail",
    "AirflowSkipException": "Skip",
}


@contextmanager
def airflow_names() -> Iterator[None]:
    """Let Airflow's names be imported, unless Airflow itself is there."""
    if _PACKAGE in sys.modules or importlib.util.find_spec(_PACKAGE) is not None:
        yield
        return
    finder = _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [*sys.modules]:
            if name == _PACKAGE or name.startswith(f"{_PACKAGE}."):
                del sys.modules[name]


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != _PACKAGE and not fullname.startswith(f"{_PACKAGE}."):
            return None
        if not fullname.islower():
            # A class that is not there is looked for as a module, too.
            return None
        return ModuleSpec(fullname, _Maker(), is_package=True)


class _Maker(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        del module


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "apply_defaults":
            return lambda function: function
        if name in ("AirflowException", "AirflowNotFoundException"):
            return RuntimeError
        ostinato = importlib.import_module("ostinato")
        if name == "BaseHook":
            find = staticmethod(ostinato.get_connection)
            return type(name, (ostinato.Hook,), {"get_connection": find})
        wanted = _SAME.get(name) or ALIASES.get(name, name)
        if wanted in ostinato.__all__:
            return getattr(ostinato, wanted)
        message = f"Airflow is not installed, and Ostinato has nothing like {name!r}"
        raise AttributeError(message)
