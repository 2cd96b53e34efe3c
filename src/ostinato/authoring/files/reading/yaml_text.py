"""This module reads the YAML of headers: its values, where each key stands, what is wrong with it.

Tags call functions that the reader is given, and nothing else: a text cannot reach any other
Python.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.reading.tags import TagFunctions
from ostinato.authoring.files.spec import FileProblem, KeyPath, Keys, Position
from ostinato.authoring.suggestions import did_you_mean

if TYPE_CHECKING:
    import yaml

#: Brackets, dashes and indents a header may be nested in: libyaml needs stack for each.
MAX_DEPTH = 100

#: Values a header may expand to; aliases of aliases grow without bounds.
MAX_VALUES = 100_000

#: Digits of a whole number; the time to read `1:2:3:...` grows with their square.
_MAX_DIGITS = 500

#: A text with fewer brackets and dashes cannot nest deep enough to be counted first.
_HARMLESS = 1000
#: A text that is shorter cannot nest deep by its indents.
_SHORT = 200_000

_STANDARD = "tag:yaml.org,2002:"
_SCALARS = ("int", "float", "bool", "null", "timestamp", "binary")


class Origin(NamedTuple):
    """Where the lines of a header stand in the file.

    Attributes:
        first_line: Of the header in the file, 1-based.
        shifts: By how many characters each line is indented in the file, such as by ``# ``;
            empty if none is.
        lines: Line of the file of each line of the header, 1-based, where they do not follow each
            other.
    """

    first_line: int = 1
    shifts: Sequence[int] = ()
    lines: Sequence[int] = ()

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Return line and column in the file of those in the header; both are 0-based there."""
        shift = self.shifts[line] if line < len(self.shifts) else 0
        own = self.lines[line] if line < len(self.lines) else self.first_line + line
        return own, column + shift + 1


AT_THE_TOP = Origin()


def read_yaml(
    text: str,
    file: str,
    *,
    functions: TagFunctions,
    problems: list[FileProblem],
    origin: Origin = AT_THE_TOP,
) -> Keys | None:
    """Return the keys of a text that is a mapping; None if something is wrong with it.

    An empty text holds no keys.

    Args:
        text: YAML, one document.
        file: As the user would write it.
        functions: What tags call.
        problems: Receives what is wrong.
        origin: Where the text stands in the file.
    """
    before = sum(one.severity == "error" for one in problems)
    reader = _Reader(file, functions, problems, origin)
    keys = reader.read(text)
    after = sum(one.severity == "error" for one in problems)
    return keys if after == before else None


def construct_tag(node: Any, functions: TagFunctions) -> Any:
    """Return what a tag makes of its node, for a loader that users load YAML with.

    Raises:
        ValueError: It is called wrongly or fails.
    """
    try:
        return _Reader("", functions, [], AT_THE_TOP).called(node)
    except _WrongNodeError as error:
        raise ValueError(str(error)) from None


def parse_scalar_yaml(text: str) -> Any:
    """Return what a text in a tag says as YAML; the text itself if it is none."""
    import yaml  # noqa: PLC0415 - heavy; loaded already where there is a tag

    # Deep nesting takes the stack of the fast parser, of which a short text cannot have much.
    fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, Loader=fast if len(text) < _HARMLESS else yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


class _WrongNodeError(Exception):
    """Say what is wrong with a node; it becomes a problem."""

    def __init__(self, code: str, message: str, node: Any, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.node = node
        self.hint = hint


class _Reader:
    """One reading of a text."""

    def __init__(
        self, file: str, functions: TagFunctions, problems: list[FileProblem], origin: Origin
    ) -> None:
        import yaml  # noqa: PLC0415 - 12 ms that only what has files pays

        self._yaml = yaml
        self._file = file
        self._functions = functions
        self._problems = problems
        self._origin = origin
        self._places: dict[KeyPath, tuple[int, int]] = {}
        self._known: dict[int, Any] = {}
        self._open: set[int] = set()
        self._scalars = yaml.constructor.SafeConstructor()
        self._reads_surroundings = False

    def read(self, text: str) -> Keys | None:
        """Return the keys of a text; None after a problem."""
        root = self._compose(text)
        line = self._origin.place(0, 0)[0]
        if root is None:
            return Keys(self._file, line=line)
        if not isinstance(root, self._yaml.MappingNode) or root.tag != f"{_STANDARD}map":
            message = f"keys and values are expected here, such as `retries: 2`, not {_seen(root)}"
            self._add("F003", message, root)
            return None
        try:
            if "*" in text and "&" in text:
                self._refuse_growth(root)
            values = self._mapping(root, ())
        except _WrongNodeError as error:
            self._add(error.code, str(error), error.node, error.hint)
            return None
        except RecursionError:
            self._add("F001", f"nested deeper than {MAX_DEPTH} levels", root)
            return None
        values = self._with_text_keys(root, values)
        return Keys(self._file, values, self._places, line, self._reads_surroundings)

    def _with_text_keys(self, root: Any, values: dict[Any, Any]) -> dict[str, Any]:
        for name in [name for name in values if not isinstance(name, str)]:
            node = next(key for key, _ in root.value if self._scalar(key) == name)
            written = node.value if isinstance(node.value, str) else node.tag
            message = f"key {written} is read as {name!r}, which is no name"
            self._add("F013", message, node, "write it in quotes")
            del values[name]
        return values

    # -- Composing --------------------------------------------------------------------------

    def _compose(self, text: str) -> Any:
        yaml = self._yaml
        fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            if self._is_deep(text, fast):
                message = f"nested deeper than {MAX_DEPTH} levels"
                self._problems.append(problem("F001", message, self._position(0, 0)))
                return None
            return _single_node(fast, text)
        except (yaml.YAMLError, ValueError) as error:
            first = error
        if len(text) > _SHORT:
            self._add_syntax(first, text)
            return None
        try:
            # The slow parser says what is wrong in the same words on every machine; it takes a
            # hundred times as long.
            return _single_node(yaml.SafeLoader, text)
        except yaml.YAMLError as error:
            self._add_syntax(error, text)
        except (ValueError, RecursionError):
            self._add_syntax(first, text)
        return None

    def _is_deep(self, text: str, loader: Any) -> bool:
        marks = text.count("[") + text.count("{") + text.count("- ") + text.count("? ")
        if marks < _HARMLESS and len(text) < _SHORT:
            return False
        events = self._yaml.events
        depth = 0
        # Only the composer takes stack for each level; the parser does not.
        for event in self._yaml.parse(text, Loader=loader):
            if isinstance(event, events.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    return True
            elif isinstance(event, events.CollectionEndEvent):
                depth -= 1
        return False

    def _add_syntax(self, error: Any, text: str) -> None:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        words = " ".join(str(said).split())
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        if mark is None and (at := getattr(error, "position", None)) is not None:
            line = text.count("\n", 0, at)
            column = at - (text.rfind("\n", 0, at) + 1)
        hint = next((hint for part, hint in _HINTS.items() if part in words), "")
        message = _SAID_BETTER.get(words, f"YAML: {words}")
        self._problems.append(problem("F001", message, self._position(line, column), hint))

    # -- Values -----------------------------------------------------------------------------

    def _value(self, node: Any, path: KeyPath) -> Any:
        known = self._known.get(id(node), self)
        if known is not self:
            return known
        if id(node) in self._open:
            raise _WrongNodeError("F001", "this value holds itself", node)
        if len(path) > MAX_DEPTH:
            raise _WrongNodeError("F001", f"nested deeper than {MAX_DEPTH} levels", node)
        yaml = self._yaml
        if node.tag.startswith("!"):
            value = self.called(node)
        elif isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        else:
            self._open.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                value = self._sequence(node, path)
            else:
                value = self._set_or_mapping(node, path)
            self._open.discard(id(node))
        self._known[id(node)] = value
        return value

    def _scalar(self, node: Any) -> Any:
        tag = node.tag
        if tag == f"{_STANDARD}str":
            return node.value
        kind = tag.removeprefix(_STANDARD)
        if kind in _SCALARS and isinstance(node, self._yaml.ScalarNode):
            if kind == "int" and len(node.value) > _MAX_DIGITS:
                message = f"a number of more than {_MAX_DIGITS} digits is too large"
                raise _WrongNodeError("F001", message, node, "write it in quotes")
            try:
                return getattr(self._scalars, f"construct_yaml_{kind}")(node)
            except (ValueError, self._yaml.YAMLError, KeyError, AttributeError):
                message = f"{node.value!r} is {_KINDS[kind]} in form but not in fact"
                raise _WrongNodeError("F001", message, node, "write it in quotes") from None
        if tag == f"{_STANDARD}value":
            return node.value
        if tag.startswith("!"):
            return self.called(node)
        raise self._unknown_tag(node)

    def _sequence(self, node: Any, path: KeyPath) -> Any:
        if node.tag in (f"{_STANDARD}omap", f"{_STANDARD}pairs"):
            pairs = [pair for item in node.value for pair in self._value(item, path).items()]
            return dict(pairs) if node.tag.endswith("omap") else pairs
        if node.tag != f"{_STANDARD}seq":
            raise self._unknown_tag(node)
        items = []
        for index, item in enumerate(node.value):
            own = (*path, index)
            self._places[own] = self._place(item)
            items.append(self._value(item, own))
        return items

    def _set_or_mapping(self, node: Any, path: KeyPath) -> Any:
        if node.tag == f"{_STANDARD}set":
            return set(self._mapping(node, path))
        if node.tag not in (f"{_STANDARD}map", f"{_STANDARD}omap"):
            raise self._unknown_tag(node)
        return self._mapping(node, path)

    def _mapping(self, node: Any, path: KeyPath) -> dict[Any, Any]:
        merged: dict[Any, Any] = {}
        values: dict[Any, Any] = {}
        repeated: set[Any] = set()
        for key_node, value_node in node.value:
            if key_node.tag == f"{_STANDARD}merge":
                merged = {**merged, **self._merged(value_node, path)}
                continue
            name = self._key(key_node, path)
            own = (*path, name)
            if name in values and name not in repeated:
                repeated.add(name)
                first = self._places[own][0]
                message = f"{name!r} stands here a second time, and this one counts"
                self._add("F007", message, key_node, f"the first is on line {first}")
            self._places[own] = self._place(key_node)
            values[name] = self._value(value_node, own)
        return {**merged, **values} if merged else values

    def _key(self, node: Any, path: KeyPath) -> Any:
        name = self._value(node, path)
        try:
            hash(name)
        except TypeError:
            hint = "write a template in quotes" if node.tag == f"{_STANDARD}map" else ""
            raise _WrongNodeError("F001", "this cannot be a key", node, hint) from None
        return name

    def _merged(self, node: Any, path: KeyPath) -> dict[Any, Any]:
        if isinstance(node, self._yaml.MappingNode):
            value = self._value(node, path)
            if isinstance(value, dict):
                return value
        elif isinstance(node, self._yaml.SequenceNode):
            merged: dict[Any, Any] = {}
            for item in reversed(node.value):
                merged.update(self._merged(item, path))
            return merged
        raise _WrongNodeError("F001", "`<<` takes a mapping or a list of them", node)

    def _refuse_growth(self, root: Any) -> None:
        sizes: dict[int, int] = {}

        def size_of(node: Any) -> int:
            if isinstance(node, self._yaml.ScalarNode):
                return 1
            known = sizes.get(id(node))
            if known is not None:
                return known
            sizes[id(node)] = 1  # A node that holds itself is found when it is constructed.
            parts = node.value
            if isinstance(node, self._yaml.MappingNode):
                parts = [part for pair in parts for part in pair]
            sizes[id(node)] = total = min(1 + sum(map(size_of, parts)), 2 * MAX_VALUES)
            return total

        if size_of(root) > MAX_VALUES:
            message = f"aliases make more than {MAX_VALUES:,} values of this text"
            raise _WrongNodeError("F005", message, root)

    # -- Tags -------------------------------------------------------------------------------

    def called(self, node: Any) -> Any:
        """Return what the tag of a node makes of it."""
        name = node.tag[1:]
        function = self._function(node)
        if isinstance(node, self._yaml.ScalarNode):
            value = parse_scalar_yaml(node.value)
            return self._call(node, name, lambda: _apply(function, value))
        self._open.add(id(node))
        value = self._arguments(node)
        self._open.discard(id(node))
        return self._call(node, name, lambda: _apply(function, value))

    def _function(self, node: Any) -> Any:
        name = node.tag[1:]
        if name not in self._functions.of_tags:
            raise self._unknown_tag(node)
        if name not in self._functions.constant:
            self._reads_surroundings = True
        return self._functions.of_tags[name]

    def _arguments(self, node: Any) -> Any:
        if isinstance(node, self._yaml.SequenceNode):
            return [self._nested(item) for item in node.value]
        values: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_STANDARD}merge":
                values = {**self._merged(value_node, ()), **values}
            else:
                values[self._nested(key_node)] = self._nested(value_node)
        return values

    def _nested(self, node: Any) -> Any:
        """Return a value within a tag's arguments, where gusty reads some things otherwise."""
        yaml = self._yaml
        if not isinstance(node, yaml.ScalarNode):
            if node.tag.startswith("!"):
                return self._value(node, ())
            if node.tag not in (f"{_STANDARD}map", f"{_STANDARD}seq"):
                raise self._unknown_tag(node)
            if id(node) in self._open:
                raise _WrongNodeError("F001", "this value holds itself", node)
            self._open.add(id(node))
            value = self._arguments(node)
            self._open.discard(id(node))
            return value
        if node.tag == f"{_STANDARD}int":
            try:
                return int(node.value)  # `010` is ten here, as in `!datetime [2022, 010, 05]`.
            except ValueError:
                return self._scalar(node)
        if node.tag.startswith("!"):
            return self._called_within(node)
        return self._scalar(node)

    def _called_within(self, node: Any) -> Any:
        """Call the tag of a scalar in a tag's arguments: with its text, and only then as YAML."""
        function = self._function(node)
        value = parse_scalar_yaml(node.value)
        if value == node.value:
            return self._call(node, node.tag[1:], lambda: function(node.value))
        try:
            return function(node.value)
        except Exception:  # noqa: BLE001 - users' code may raise anything; the other form is tried
            return self._call(node, node.tag[1:], lambda: _apply(function, value))

    def _call(self, node: Any, name: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - users' code may raise anything
            message = f"!{name} failed: {type(error).__name__}: {_line_of(error)}"
            raise _WrongNodeError("F009", message, node) from None

    def _unknown_tag(self, node: Any) -> _WrongNodeError:
        tag = node.tag.replace(_STANDARD, "!!")
        known = [f"!{name}" for name in self._functions.of_tags]
        return _WrongNodeError("F008", f"tag {tag} is unknown", node, did_you_mean(tag, known))

    # -- Places -----------------------------------------------------------------------------

    def _place(self, node: Any) -> tuple[int, int]:
        mark = node.start_mark
        return self._origin.place(mark.line, mark.column)

    def _position(self, line: int, column: int) -> Position:
        return Position(self._file, *self._origin.place(line, column))

    def _add(self, code: str, message: str, node: Any, hint: str = "") -> None:
        self._problems.append(
            problem(code, message, Position(self._file, *self._place(node)), hint)
        )


def _single_node(loader_class: Any, text: str) -> "yaml.Node | None":
    loader = loader_class(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def _apply(function: Any, value: Any) -> Any:
    """Call a tag's function: a list is its arguments, a mapping its keyword arguments."""
    if value is None:
        return function() if callable(function) else function
    if isinstance(value, list):
        return function(*value)
    if isinstance(value, dict):
        return function(**value)
    return function(value)


def _seen(node: Any) -> str:
    value = node.value
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:37]}...")
    return "a list" if node.tag.endswith("seq") else f"a {node.tag} value"


def _line_of(error: Exception) -> str:
    return " ".join(str(error).split())


_KINDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "binary": "Base64",
}

_SAID_BETTER: Mapping[str, str] = {
    "mapping values are not allowed here": "YAML: a `:` is not expected here",
    "could not find expected ':'": "YAML: a `:` is missing after the key",
    "found character '\\t' that cannot start any token": "YAML: a tab stands where spaces must",
    "expected the node content, but found '<stream end>'": "YAML: the text ends within a bracket",
    "expected ',' or ']', but got '<stream end>'": "YAML: the text ends within a bracket",
    "expected ',' or '}', but got '<stream end>'": "YAML: the text ends within a bracket",
    "found unexpected end of stream": "YAML: the text ends within quotes",
    "but found another document": "YAML: a second document begins here",
}

_HINTS: Mapping[str, str] = {
    "<stream end>": "close each `[` and `{`",
    "found unexpected end of stream": "close the quote",
    "mapping values are not allowed here": "write a value that holds `: ` in quotes",
    "found character '\\t'": "indent with spaces",
    "but found another document": "a file is one document",
    "found character '%'": "write a value that begins with `%` in quotes",
    "found character '@'": "write a value that begins with `@` in quotes",
    "found character '`'": "write a value that begins with a backtick in quotes",
}
