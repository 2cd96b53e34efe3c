"""This module cuts functions, and what they need, out of the files that they stand in.

What is cut out is text of the user: the ``def`` without the decorators that made it a task, and
the imports, constants, functions and classes of its file that it names, and those that these
name. A name that the surrounding function gave is written as the value that it has.
"""

import ast
import builtins
import functools
import inspect
import re
import symtable
import sys
import textwrap
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ostinato.authoring.files.types.file_functions import FileFunction, FileScript
from ostinato.authoring.task_functions import TaskFunction
from ostinato.errors import NotInAirflow
from ostinato.translation.literals import quoted, written

#: What Airflow calls what tasks may import from Ostinato.
EQUIVALENTS = {
    "Skip": ("airflow.sdk.exceptions", "AirflowSkipException"),
    "Fail": ("airflow.sdk.exceptions", "AirflowFailException"),
    "PokeReturn": ("airflow.sdk", "PokeReturnValue"),
}

#: What stands only in annotations, which are not evaluated.
_ANNOTATIONS = frozenset({"Context", "Param"})

_Definition = ast.FunctionDef | ast.AsyncFunctionDef


class Sources:
    """Collect the code of functions for one generated file.

    Args:
        reserved: Names that the file uses itself.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self._reserved = frozenset(reserved)
        self._files: dict[str, _File] = {}
        self._imports: dict[str, None] = {}
        #: Modules that functions import and nobody installed: they lie in the project.
        self.own_modules: set[str] = set()
        #: Whether files run as scripts.
        self.has_scripts = False

    def name_of(self, function: Any) -> str:
        """Return the expression by which the generated file names a function.

        Raises:
            NotInAirflow: Its code cannot be cut out.
        """
        if isinstance(function, TaskFunction):
            function = function.function
        if isinstance(function, functools.partial):
            self._imports["import functools"] = None
            given = [written(value, self.other) for value in function.args]
            given += [f"{name}={written(v, self.other)}" for name, v in function.keywords.items()]
            return f"functools.partial({', '.join([self.name_of(function.func), *given])})"
        if isinstance(function, FileScript):
            return self._script(function)
        if isinstance(function, FileFunction):
            # The file is imported here, as it would be in a task.
            function = function.loaded()
            if isinstance(function, TaskFunction):
                function = function.function
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is None or _is_installed(code.co_filename):
            return self._imported(function)
        if not isinstance(function, types.FunctionType):
            raise NotInAirflow(f"{function!r} is no plain function")
        return self._file(inspect.unwrap(function)).name_of(inspect.unwrap(function))

    def other(self, value: Any) -> str | None:
        """Return the expression of a function or class, None for anything else."""
        if isinstance(value, type):
            return self._imported(value) if _is_installed(_file_of(value)) else None
        return self.name_of(value) if callable(value) else None

    def imports(self) -> list[str]:
        """Return the statements that the expressions need."""
        return list(self._imports)

    def text(self) -> str:
        """Return all code that was cut out."""
        return "\n\n\n".join(file.text() for file in self._files.values())

    def names(self) -> set[str]:
        """Return the names that the code binds in the generated file."""
        return {name for file in self._files.values() for name in file.outer_names()}

    def _script(self, script: FileScript) -> str:
        """Return the expression of a function that runs a file as a script."""
        self._imports["import functools"] = None
        self.has_scripts = True
        source = Path(script.path).read_text(encoding="utf-8")
        if "OSTINATO_" in source:
            hint = "make it a function main(ds), which Airflow calls with its own names"
            raise NotInAirflow("the script reads variables of Ostinato", hint=hint)
        text = written(source)
        return f"functools.partial(_script, {quoted(Path(script.path).name)}, {text})"

    def _imported(self, value: Any) -> str:
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if not module or "<" in name or module.split(".")[0] == "ostinato":
            raise NotInAirflow(f"{value!r} cannot be imported where Ostinato is not")
        if module == "builtins":
            return str(name)
        self._imports[f"import {module}"] = None
        return f"{module}.{name}"

    def _file(self, function: types.FunctionType) -> "_File":
        path = function.__code__.co_filename
        if path not in self._files:
            try:
                text = Path(path).read_text(encoding="utf-8")
                tree = ast.parse(text)
            except (OSError, SyntaxError, ValueError) as err:
                message = f"the code of {function.__name__!r} is not there: {err}"
                raise NotInAirflow(message) from None
            taken: dict[str, str] = {}
            for file in self._files.values():
                taken |= file.bound if not file.factory else {file.factory: "", file.namespace: ""}
            self._files[path] = _File(
                path, text, tree, function.__globals__, self, taken, self._reserved
            )
        return self._files[path]


class _File:
    """What is needed of one file."""

    def __init__(
        self,
        path: str,
        text: str,
        tree: ast.Module,
        names: dict[str, Any],
        sources: Sources,
        taken: dict[str, str],
        reserved: frozenset[str],
    ) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._tree = tree
        self._values = names
        self._sources = sources
        self._statements = dict(_bindings(tree.body))
        #: Text of the statement that binds each name of the file.
        self.bound = {name: self._text_of(node) for name, node in self._statements.items()}
        #: What is cut out, by line.
        self._pieces: dict[tuple[int, int], str] = {}
        self._seen: set[str] = set()
        self._exported: dict[str, None] = {}
        clashing = any(
            name in reserved or (name in taken and taken[name] != piece)
            for name, piece in self.bound.items()
            if not _is_of_ostinato(self._statements[name])
        )
        stem = re.sub(r"\W", "_", Path(path).stem)
        #: Names of the function that keeps the names of the file apart; empty if none does.
        self.namespace = f"{stem}_py" if clashing else ""
        self.factory = f"_{stem}_py" if clashing else ""

    def name_of(self, function: types.FunctionType) -> str:
        name = function.__name__
        if name == "<lambda>":
            name = self._add_lambda(function)
        elif "<locals>" in function.__qualname__:
            self._add_nested(function)
        else:
            self._need(name, f"function {name!r}")
        self._exported[name] = None
        return f"{self.namespace}.{name}" if self.namespace else name

    def outer_names(self) -> Iterator[str]:
        yield from (self.namespace, self.factory) if self.factory else self._seen

    def text(self) -> str:
        pieces = [self._pieces[place] for place in sorted(self._pieces)]
        if not self.factory:
            return _joined(pieces, "\n\n\n")
        body = _joined(pieces, "\n\n")
        names = "".join(f"        {name}={name},\n" for name in self._exported)
        inner = textwrap.indent(body, "    ")
        return (
            f"def {self.factory}():\n{inner}\n\n"
            f"    return types.SimpleNamespace(\n{names}    )\n\n\n"
            f"{self.namespace} = {self.factory}()"
        )

    def _need(self, name: str, about: str) -> None:
        """Add the statement that binds a name of the file."""
        if name in self._seen:
            return
        node = self._statements.get(name)
        if node is None:
            if hasattr(builtins, name) and name not in ("__file__", "__name__"):
                return
            if name in ("__file__", "__name__"):
                raise NotInAirflow(f"{about} uses {name}, which differs in another file")
            raise NotInAirflow(f"{about} uses {name!r}, which its file does not bind at its top")
        self._seen.add(name)
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._add_import(node, name, about)
        elif isinstance(node, _Definition):
            self._check_kept(name, about)
            self._add_function(node, f"function {name!r}")
        else:
            self._check_kept(name, about)
            self._pieces[node.lineno, 0] = self._text_of(node)
            for other in _loaded(node):
                self._need(other, about)

    def _check_kept(self, name: str, about: str) -> None:
        value = self._values.get(name)
        kind = type(value)
        if kind.__module__.split(".")[0] == "ostinato" and not isinstance(value, TaskFunction):
            raise NotInAirflow(f"{about} uses {name!r}, a {kind.__name__} of Ostinato")

    def _add_import(self, node: ast.Import | ast.ImportFrom, name: str, about: str) -> None:
        alias = next(each for each in node.names if _bound_by(each) == name)
        named = alias.name if isinstance(node, ast.Import) else node.module or ""
        top = sys.modules.get(named.partition(".")[0])
        if top is not None and not _is_installed(_file_of_module(top)):
            self._sources.own_modules.add(top.__name__)
        if isinstance(node, ast.Import):
            if alias.name.split(".")[0] == "ostinato":
                hint = "from ostinato import Skip"
                raise NotInAirflow(f"{about} uses the module {alias.name!r}", hint=hint)
            suffix = f" as {alias.asname}" if alias.asname else ""
            self._pieces[node.lineno, node.names.index(alias)] = f"import {alias.name}{suffix}"
            return
        module, original = node.module or "", alias.name
        if node.level:
            raise NotInAirflow(
                f"{about} uses {name!r} of a relative import", hint="import it by its full name"
            )
        if module.split(".")[0] == "ostinato":
            if original in _ANNOTATIONS:
                return
            if original not in EQUIVALENTS:
                known = ", ".join(EQUIVALENTS)
                raise NotInAirflow(
                    f"{about} uses {original!r} of Ostinato", hint=f"Airflow has only {known}"
                )
            module, original = EQUIVALENTS[original]
        renamed = f" as {name}" if name != original else ""
        piece = f"from {module} import {original}{renamed}"
        self._pieces[node.lineno, node.names.index(alias)] = piece

    def _add_function(self, node: _Definition, about: str) -> None:
        kept = [each for each in node.decorator_list if not self._is_ours(each)]
        lines = [f"@{ast.unparse(each)}" for each in kept]
        text = textwrap.dedent("\n".join(self._lines[node.lineno - 1 : node.end_lineno]))
        self._pieces[node.lineno, 0] = "\n".join([*lines, text])
        outside = [*kept, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        for part in outside:
            for name in _loaded(part):
                self._need(name, about)
        for name in _globals_of(text):
            if name not in self._seen:
                self._need(name, about)
        for name in _annotations_of(node):
            # Never evaluated, but a reader looks for them.
            bound = self._statements.get(name)
            if isinstance(bound, ast.Import | ast.ImportFrom) and not _is_of_ostinato(bound):
                self._need(name, about)

    def _add_nested(self, function: types.FunctionType) -> None:
        name, about = function.__name__, f"function {function.__name__!r}"
        line = function.__code__.co_firstlineno
        node = next(
            (
                each
                for each in ast.walk(self._tree)
                if isinstance(each, _Definition) and each.name == name and _first_line(each) == line
            ),
            None,
        )
        if node is None or (name in self._statements and name not in self._seen):
            raise NotInAirflow(f"{about} cannot be told from another one of its file")
        if (node.lineno, 0) in self._pieces:
            return
        self._seen.add(name)
        self._add_values(function)
        self._add_function(node, about)

    def _add_values(self, function: types.FunctionType) -> None:
        """Add what a function takes from the one around it."""
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if name in self._seen:
                continue
            value = cell.cell_contents
            self._seen.add(name)
            if isinstance(value, types.ModuleType):
                piece = f"import {value.__name__} as {name}"
            else:
                expression = written(value, self._sources.other)
                if expression in (name, f"{self.namespace}.{name}"):
                    continue
                piece = f"{name} = {expression}"
            self._pieces[function.__code__.co_firstlineno, -len(self._seen)] = piece

    def _add_lambda(self, function: types.FunctionType) -> str:
        code = function.__code__
        found = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Lambda)
            and node.lineno == code.co_firstlineno
            and _same_code(node, code)
        ]
        if not found:
            raise NotInAirflow(f"the lambda of line {code.co_firstlineno} cannot be cut out")
        name = f"_lambda_{code.co_firstlineno}_{found[0].col_offset}"
        if name not in self._seen:
            self._seen.add(name)
            self._add_values(function)
            text = ast.unparse(found[0])
            self._pieces[found[0].lineno, found[0].col_offset + 1] = f"{name} = {text}"
            for other in _globals_of(f"{name} = {text}"):
                self._need(other, f"the lambda of line {code.co_firstlineno}")
        return name

    def _is_ours(self, decorator: ast.expr) -> bool:
        root = decorator
        while isinstance(root, ast.Call | ast.Attribute):
            root = root.func if isinstance(root, ast.Call) else root.value
        if not isinstance(root, ast.Name):
            return False
        value = self._values.get(root.id)
        module = value.__name__ if isinstance(value, types.ModuleType) else type(value).__module__
        made_by = getattr(value, "__module__", None) or ""
        return "ostinato" in (str(module).split(".")[0], str(made_by).split(".")[0]) or (
            value is None and root.id == "task"
        )

    def _text_of(self, node: ast.stmt) -> str:
        return "\n".join(self._lines[_first_line(node) - 1 : node.end_lineno])


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Yield each name that the top of a file binds, with its statement; the last one counts."""
    for node in body:
        if isinstance(node, ast.If) and _is_apart(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((_bound_by(alias), node) for alias in node.names)
        elif isinstance(node, _Definition | ast.ClassDef):
            yield node.name, node
        else:
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id, node
                elif isinstance(part, ast.Import | ast.ImportFrom):
                    yield from ((_bound_by(alias), node) for alias in part.names)
                elif isinstance(part, _Definition | ast.ClassDef):
                    yield part.name, node


def _is_apart(test: ast.expr) -> bool:
    """Whether a block is only for type checkers, or for when the file is a script."""
    text = ast.unparse(test)
    return text.endswith("TYPE_CHECKING") or text.startswith("__name__ ==")


def _is_of_ostinato(node: ast.stmt) -> bool:
    """Whether a statement imports from Ostinato; it is never written as it is."""
    if isinstance(node, ast.Import):
        return all(alias.name.split(".")[0] == "ostinato" for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ostinato"


def _bound_by(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _loaded(node: ast.AST) -> list[str]:
    bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _is_store(n)}
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not _is_store(n)]
    arguments = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    return [name for name in dict.fromkeys(names) if name not in bound | arguments]


def _annotations_of(node: _Definition) -> list[str]:
    arguments = node.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    written_ones = [node.returns, *(argument.annotation for argument in every)]
    return [name for each in written_ones if each is not None for name in _loaded(each)]


def _is_store(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _globals_of(text: str) -> list[str]:
    """Return the names that a function, alone in a file, would take from it."""
    found: dict[str, None] = {}
    # Annotations are not evaluated in the generated file, and so need nothing.
    top = symtable.symtable("from __future__ import annotations\n" + text, "<function>", "exec")
    stack = [child for child in top.get_children() if child.get_type() != "annotation"]
    while stack:
        table = stack.pop()
        if table.get_type() == "function":
            found |= dict.fromkeys(
                symbol.get_name()
                for symbol in table.get_symbols()
                if symbol.is_global() and symbol.is_referenced()
            )
        else:
            found |= dict.fromkeys(
                symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()
            )
        stack.extend(table.get_children())
    return sorted(found)


def _same_code(node: ast.Lambda, code: types.CodeType) -> bool:
    compiled = compile(ast.Expression(body=node), "<lambda>", "eval")
    inner = next((c for c in compiled.co_consts if isinstance(c, types.CodeType)), None)
    return inner is not None and (inner.co_names, inner.co_varnames, inner.co_consts) == (
        code.co_names,
        code.co_varnames,
        code.co_consts,
    )


#: Begin the names of files that are not the user's own: Python's, Ostinato's, and what has none.
_FOREIGN = ("<", f"{Path(ast.__file__).parent}/", f"{Path(__file__).parents[1]}/")


def _is_installed(file: str) -> bool:
    return not file or "/site-packages/" in file or file.startswith(_FOREIGN)


def _file_of(value: type) -> str:
    return _file_of_module(sys.modules.get(value.__module__))


def _file_of_module(module: types.ModuleType | None) -> str:
    # A package without an __init__ has folders alone.
    folders = list(getattr(module, "__path__", ()))
    return getattr(module, "__file__", None) or (folders[0] if folders else "")


def _joined(pieces: Iterable[str], apart: str) -> str:
    text, before = "", ""
    for piece in pieces:
        is_block = piece.lstrip().startswith(("def ", "async def ", "class ", "@"))
        was_block = before.lstrip().startswith(("def ", "async def ", "class ", "@"))
        if text:
            is_import = piece.startswith(("import ", "from "))
            was_import = before.startswith(("import ", "from "))
            text += apart if is_block or was_block else "\n"
            if was_import and not (is_import or is_block):
                text += "\n"
        text += piece
        before = piece
    return text
