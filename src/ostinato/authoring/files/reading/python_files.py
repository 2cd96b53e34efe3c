"""This module reads what a Python file declares, without importing it."""

import ast
import contextlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, Position, PythonFile, PythonFunction

_BLOCK_BEGIN = re.compile(r"# /// ([a-zA-Z0-9-]+)")


def read_python(text: str, file: str, problems: list[FileProblem]) -> PythonFile | None:
    r"""Return what a file declares; None if it does not parse.

    Args:
        text: Of the file, with newlines as ``\n``.
        file: As the user would write it.
        problems: Receives what is wrong.
    """
    try:
        with warnings.catch_warnings():
            # What the file's author is warned of, the interpreter says when it runs.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        position = Position(file, error.lineno or 1, max(error.offset or 1, 1))
        problems.append(problem("F027", f"this Python does not parse: {error.msg}", position))
        return None
    except (ValueError, RecursionError, MemoryError) as error:
        message = f"this Python does not parse: {str(error) or 'nested too deep'}"
        problems.append(problem("F027", message, Position(file, 1, 1)))
        return None
    functions: dict[str, PythonFunction] = {}
    names: set[str] = set()
    is_idle = True
    for statement in _top_level(tree.body):
        is_idle = is_idle and not _does_something(statement)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.pop(statement.name, None)
            functions[statement.name] = _function(statement)
        else:
            names.update(_names_of(statement))
    dependencies, line = _script_block(text, file, problems)
    docstring = _docstring(tree)
    names -= functions.keys()
    return PythonFile(
        tuple(functions.values()),
        frozenset(names),
        docstring,
        dependencies,
        line,
        is_idle=is_idle,
        called=frozenset(filter(None, map(_called, tree.body))),
    )


#: Statements that only declare something, or whose parts are looked at one by one.
_DECLARING = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom),
    *(ast.Pass, ast.If, ast.Try),
)


def _does_something(statement: ast.stmt) -> bool:
    """Whether a statement at the top of a file does more than declare names."""
    if isinstance(statement, _DECLARING):
        return False
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return any(isinstance(part, ast.Call) for part in ast.walk(statement))
    return True


def _called(statement: ast.stmt) -> str:
    """Return the function that a statement calls, empty if it calls none by its name."""
    value = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id
    return ""


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Iterate over the statements that a module executes, those in `if` and `try` too."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _top_level(statement.body)
            yield from _top_level(statement.orelse)
        elif isinstance(statement, ast.Try):
            yield from _top_level(statement.body)
            for handler in statement.handlers:
                yield from _top_level(handler.body)
            yield from _top_level(statement.orelse)
            yield from _top_level(statement.finalbody)
        elif isinstance(statement, ast.With | ast.For | ast.While):
            yield from _top_level(statement.body)


def _names_of(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from _targets(target)
    elif isinstance(statement, ast.AnnAssign):
        yield from _targets(statement.target)


def _targets(target: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from _targets(item)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> PythonFunction:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    parameters = [
        (argument.arg, index >= first_default)
        for index, argument in enumerate(positional)
        if index >= len(arguments.posonlyargs)
    ]
    options = dict(_options(node.decorator_list))
    parameters += [
        (argument.arg, default is not None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return PythonFunction(
        node.name,
        node.lineno,
        node.col_offset + 1,
        tuple(parameters),
        tuple(filter(None, map(_dotted, node.decorator_list))),
        tuple((name, value) for name, value in options.items() if value is not ...),
        isinstance(node, ast.AsyncFunctionDef),
        arguments.kwarg is not None,
        tuple(name for name, value in options.items() if value is ...),
    )


def _options(decorators: list[ast.expr]) -> Iterator[tuple[str, Any]]:
    """Yield what ``@task`` is given by name; ``...`` for what only an import would tell."""
    for decorator in decorators:
        if not isinstance(decorator, ast.Call) or "task" not in _dotted(decorator).split("."):
            continue
        for keyword in decorator.keywords:
            if keyword.arg is not None and keyword.arg != "task_id":
                yield keyword.arg, _plain_value(keyword.value)


def _plain_value(node: ast.expr) -> Any:
    with contextlib.suppress(ValueError, TypeError, RecursionError, MemoryError):
        value = ast.literal_eval(node)
        if _is_plain(value):
            return value
    return ...


def _is_plain(value: object) -> bool:
    """Return whether a value is one that YAML could have said."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(each) for name, each in value.items())
    return isinstance(value, str | int | float | None)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    if isinstance(node, ast.Attribute):
        around = _dotted(node.value)
        return f"{around}.{node.attr}" if around else ""
    return node.id if isinstance(node, ast.Name) else ""


def _docstring(tree: ast.Module) -> str:
    return ast.get_docstring(tree) or ""


def _script_block(text: str, file: str, problems: list[FileProblem]) -> tuple[str | None, int]:
    """Return the TOML of the PEP 723 block, and the line on which the block begins."""
    if "# /// script" not in text:
        return None, 0
    lines = text.split("\n")
    found: tuple[str, int] | None = None
    index = 0
    while index < len(lines):
        begin = _BLOCK_BEGIN.fullmatch(lines[index].rstrip())
        if begin is None:
            index += 1
            continue
        end = _end_of_block(lines, index)
        if end is None:
            if begin.group(1) == "script":
                message = "the block `# /// script` is never closed"
                position = Position(file, index + 1, 1)
                problems.append(problem("F033", message, position, "end it with a line `# ///`"))
                return None, 0
            index += 1
            continue
        if begin.group(1) == "script":
            if found is not None:
                message = "a second block `# /// script` stands here"
                hint = f"the first is on line {found[1]}"
                problems.append(problem("F033", message, Position(file, index + 1, 1), hint))
                return None, 0
            content = "\n".join(line[2:] for line in lines[index + 1 : end])
            found = content, index + 1
        index = end + 1
    if found is None or not _is_sound(found, file, problems):
        return None, 0
    return found


def _end_of_block(lines: list[str], begin: int) -> int | None:
    """Return the index of the last `# ///` of the comment that begins a block, if there is one."""
    end = None
    for index in range(begin + 1, len(lines)):
        line = lines[index]
        if not (line.rstrip() == "#" or line.startswith("# ")):
            break
        if line.rstrip() == "# ///":
            end = index
    return end


def _is_sound(block: tuple[str, int], file: str, problems: list[FileProblem]) -> bool:
    # Few files have a block.
    import tomllib  # noqa: PLC0415 - see above

    text, line = block
    position = Position(file, line, 1)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        if at:
            position = Position(file, line + int(at.group(1)), int(at.group(2)) + 2)
        said = re.sub(r" \(at .*\)", "", str(error))
        problems.append(problem("F033", f"the PEP 723 block is no TOML: {said}", position))
        return False
    wanted = content.get("dependencies", [])
    python = content.get("requires-python", "")
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        message = "`dependencies` of the PEP 723 block must be a list of texts"
    elif not isinstance(python, str):
        message = "`requires-python` of the PEP 723 block must be a text"
    else:
        return True
    problems.append(problem("F033", message, position))
    return False
