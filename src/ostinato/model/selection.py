"""This module chooses tasks of a flow by an expression, and narrows the flow to them.

::

    expression = both (("or" | "," | " ") both)*        union
    both       = single ("and" single)*                 intersection
    single     = "not" single | traversal
    traversal  = [[n] "+"] (name | "(" expression ")") ["+" [n]]
    name       = task id or group id, with globs | "group:" group id, with globs
               | path of a file or folder, with globs | "state:" ("new" | "modified")

``+x`` adds everything upstream of ``x``, ``x+`` everything downstream, ``2+x+1`` two steps
up and one step down. A path is told by its slash or by being the name of a task's file, and
may leave out the folders that it begins with.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from ostinato.errors import UnknownTask, UsageError
from ostinato.model.flow import (
    Edge,
    Expansion,
    FlowDefinition,
    GroupDefinition,
    LengthSource,
    LiteralLength,
    ResultLength,
)

#: Steps of a traversal that goes as far as the graph does.
_ALL = -1

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<comma>,)
        | (?P<open>(?P<up>\d*\+)?\()
        | (?P<close>\)(?P<down>\+\d*)?)
        | (?P<word>"[^"]*"|[^\s,()"]+)
    )""",
    re.VERBOSE,
)
_WORD = re.compile(r"(?:(\d*)\+)?([^+]*)(?:\+(\d*))?")
_GLOB = re.compile(r"[*?\[]")

Tasks = frozenset[str]

#: Returns the tasks that are ``new`` and ``modified``.
Changes = Callable[[], Mapping[str, Tasks]]


def select_tasks(
    flow: FlowDefinition, expression: str, *, changes: Changes | None = None
) -> frozenset[str]:
    """Return the ids of the tasks that an expression chooses; all if it is empty.

    Args:
        flow: The flow.
        expression: In the grammar of this module.
        changes: Returns the tasks that are ``new`` and ``modified``; called if the expression
            asks for them. None where there is nothing to compare with.

    Raises:
        UnknownTask: It names a task or group that the flow does not have.
        UsageError: It cannot be read.
    """
    if not expression.strip():
        return frozenset(task.id for task in flow.tasks)
    return _Parser(flow, expression, changes).parse()


def narrow(flow: FlowDefinition, selected: frozenset[str]) -> FlowDefinition:
    """Return the flow with the selected tasks only.

    Selected tasks that waited for each other through dropped ones still do. Inputs that
    point outside stay: whoever runs the flow supplies these values.

    Raises:
        UsageError: A selected task is mapped over the result of a dropped one, so that
            nobody would know how often it runs.
    """
    if all(task.id in selected for task in flow.tasks):
        return flow
    tasks = tuple(task for task in flow.tasks if task.id in selected)
    groups = _groups_around(flow, {task.group for task in tasks})
    for task in tasks:
        _check_lengths(task.id, task.expansion, selected)
    for group in groups:
        _check_lengths(group.id, group.expansion, selected)
    kept = [e for e in flow.edges if e.upstream in selected and e.downstream in selected]
    return msgspec.structs.replace(
        flow, tasks=tasks, groups=groups, edges=(*kept, *_bridges(flow, selected, kept))
    )


def dependencies(flow: FlowDefinition) -> dict[str, set[str]]:
    """Return what each task waits for: by edges, inputs, and what it is mapped over."""
    upstream: dict[str, set[str]] = {task.id: set() for task in flow.tasks}
    for edge in flow.edges:
        upstream[edge.downstream].add(edge.upstream)
    lengths = {group.id: _read_by(group.expansion) for group in flow.groups}
    parents = {group.id: group.parent for group in flow.groups}
    for task in flow.tasks:
        own = upstream[task.id]
        own.update(value.task_id for value in task.inputs if value.task_id in upstream)
        own.update(_read_by(task.expansion))
        group = task.group
        while group:
            own.update(lengths[group])
            group = parents[group]
        own.discard(task.id)
    return upstream


class _Parser:
    """Read an expression from left to right; every rule returns the tasks that it chooses."""

    def __init__(self, flow: FlowDefinition, text: str, changes: Changes | None) -> None:
        self._text = text
        self._tokens = _tokenise(text)
        self._at = 0
        self._names = _Names(flow, changes)

    def parse(self) -> Tasks:
        chosen = self._union()
        if self._at < len(self._tokens):
            raise self._unreadable()
        return chosen

    def _union(self) -> Tasks:
        chosen = self._intersection()
        while (token := self._peek()) is not None and token.kind != "close":
            if token.kind == "comma" or token.is_keyword("or"):
                self._at += 1
            chosen |= self._intersection()
        return chosen

    def _intersection(self) -> Tasks:
        chosen = self._single()
        while (token := self._peek()) is not None and token.is_keyword("and"):
            self._at += 1
            chosen &= self._single()
        return chosen

    def _single(self) -> Tasks:
        token = self._peek()
        if token is None or token.kind in ("comma", "close") or token.is_keyword("and", "or"):
            raise self._unreadable()
        self._at += 1
        if token.is_keyword("not"):
            return self._names.tasks - self._single()
        if token.kind == "open":
            chosen = self._union()
            closing = self._peek()
            if closing is None:
                raise self._unreadable()
            self._at += 1
            return self._names.around(chosen, _steps(token.up), _steps(closing.down))
        return self._names.traverse(token.text)

    def _peek(self) -> "_Token | None":
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _unreadable(self) -> UsageError:
        token = self._peek()
        where = f"at {token.text!r}" if token else "at its end"
        hint = "such as 'extract+', '+load', 'group:clean and not report'"
        return UsageError(f"cannot read the selection {self._text!r} {where}", hint=hint)


class _Token(NamedTuple):
    kind: str
    text: str
    up: str | None = None
    down: str | None = None

    def is_keyword(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


class _Names:
    """What the words of an expression stand for."""

    def __init__(self, flow: FlowDefinition, changes: Changes | None) -> None:
        self.tasks: Tasks = frozenset(task.id for task in flow.tasks)
        self._flow = flow
        self._changes = changes
        self._members = _tasks_of_groups(flow)
        self._upstream: Mapping[str, Iterable[str]] = dependencies(flow)
        downstream: dict[str, list[str]] = {task: [] for task in self.tasks}
        for task, waits_for in self._upstream.items():
            for other in waits_for:
                downstream[other].append(task)
        self._downstream: Mapping[str, Iterable[str]] = downstream

    def traverse(self, word: str) -> Tasks:
        """Return the tasks of a word such as ``2+group:clean+1``."""
        found = _WORD.fullmatch(word)
        if found is None or not found[2]:
            raise UsageError(f"cannot read {word!r} in the selection", hint="write '2+name+1'")
        up = None if found[1] is None else f"{found[1]}+"
        down = None if found[3] is None else f"+{found[3]}"
        return self.around(self.named(found[2].strip('"')), _steps(up), _steps(down))

    def around(self, chosen: Tasks, up: int, down: int) -> Tasks:
        """Add what lies so many steps upstream and downstream."""
        return chosen | _reach(chosen, self._upstream, up) | _reach(chosen, self._downstream, down)

    def named(self, name: str) -> Tasks:
        """Return the tasks with a name: their own, their group's or their file's."""
        kind, separator, rest = name.partition(":")
        if separator:
            if kind == "state":
                return self._of_state(rest)
            if kind != "group":
                hint = "use 'group:' or 'state:'"
                raise UsageError(f"nothing can be selected by {kind!r}:", hint=hint)
            return self._of_groups(rest)
        if name in self.tasks:
            return frozenset([name])
        if "/" in name:
            files = sorted({task.source.file for task in self._flow.tasks})
            in_files = self._of_files(name)
            if not in_files:
                raise self._unknown("file or folder", name, files, listed=files)
            return in_files
        if name in self._members:
            return self._members[name]
        matching = frozenset(task for task in self.tasks if fnmatchcase(task, name))
        matching = matching or self._of_files(name)
        if matching:
            return matching
        if _GLOB.search(name):
            raise self._unknown("task like", name, [])
        raise self._unknown("task or group", name, [*self.tasks, *self._members])

    def _of_groups(self, name: str) -> Tasks:
        matching = [group for group in self._members if fnmatchcase(group, name)]
        if not matching:
            raise self._unknown("group", name, list(self._members))
        return frozenset().union(*(self._members[group] for group in matching))

    def _of_files(self, name: str) -> Tasks:
        """Return the tasks whose file, or a folder around it, has a path that ends so."""
        wanted = name.removeprefix("./").strip("/").split("/")
        return frozenset(
            task.id
            for task in self._flow.tasks
            if task.source.file and _is_at(task.source.file.split("/"), wanted, "/" in name)
        )

    def _of_state(self, name: str) -> Tasks:
        if name not in ("new", "modified"):
            raise UsageError(f"there is no state:{name}", hint="use state:modified or state:new")
        if self._changes is None:
            raise UsageError(f"there is nothing that state:{name} could be compared with")
        return self._changes()[name]

    def _unknown(
        self, kind: str, name: str, known: list[str], listed: list[str] | None = None
    ) -> UnknownTask:
        close = get_close_matches(name, known, n=1)
        names = listed or [task.id for task in self._flow.tasks]
        shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
        are = "files" if listed else "tasks"
        hint = f"did you mean {close[0]!r}?" if close else f"its {are} are {shown}"
        return UnknownTask(f"flow {self._flow.name!r} has no {kind} {name!r}", hint=hint)


def _tokenise(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            hint = "a quote is not closed"
            raise UsageError(f"cannot read the selection {text!r} at {text[at:]!r}", hint=hint)
        kind = found.lastgroup or ""
        for group in ("comma", "open", "close", "word"):
            if found[group]:
                kind = group
        tokens.append(_Token(kind, found[0].strip(), found["up"], found["down"]))
        at = found.end()
    return tokens


def _is_at(path: list[str], wanted: list[str], is_path: bool) -> bool:  # noqa: FBT001 - private
    """Whether the wanted parts end the path of a file, or, of a path, that of a folder around."""
    ends = range(len(wanted), len(path) + 1) if is_path else [len(path)]
    return any(
        all(map(fnmatchcase, path[end - len(wanted) : end], wanted))
        for end in ends
        if end >= len(wanted)
    )


def _steps(sign: str | None) -> int:
    """Return how far ``+``, ``2+`` or ``+2`` goes; no sign goes nowhere."""
    if sign is None:
        return 0
    digits = sign.strip("+")
    return int(digits) if digits else _ALL


def _reach(start: Tasks, neighbours: Mapping[str, Iterable[str]], steps: int) -> Tasks:
    reached: set[str] = set(start)
    frontier: Iterable[str] = start
    while frontier and steps:
        steps -= 1
        frontier = {other for task in frontier for other in neighbours[task]} - reached
        reached |= frontier
    return frozenset(reached)


def _tasks_of_groups(flow: FlowDefinition) -> dict[str, Tasks]:
    members: dict[str, set[str]] = {group.id: set() for group in flow.groups}
    parents = {group.id: group.parent for group in flow.groups}
    for task in flow.tasks:
        group = task.group
        while group:
            members[group].add(task.id)
            group = parents[group]
    return {group: frozenset(tasks) for group, tasks in members.items()}


def _groups_around(flow: FlowDefinition, innermost: set[str]) -> tuple[GroupDefinition, ...]:
    parents = {group.id: group.parent for group in flow.groups}
    wanted: set[str] = set()
    for group in innermost:
        name = group
        while name:
            wanted.add(name)
            name = parents[name]
    return tuple(group for group in flow.groups if group.id in wanted)


def _check_lengths(container: str, expansion: Expansion | None, selected: Tasks) -> None:
    missing = sorted(_read_by(expansion) - selected)
    if missing:
        message = f"{container!r} is mapped over the result of {missing[0]!r}, which is left out"
        raise UsageError(message, hint=f"select {missing[0]!r} too")


def _read_by(expansion: Expansion | None) -> set[str]:
    """Return the tasks whose results decide how often something is mapped."""
    if expansion is None:
        return set()
    return {task_id for factor in expansion.factors for task_id in _sources(factor.length)}


def _sources(length: LengthSource) -> list[str]:
    if isinstance(length, LiteralLength):
        return []
    if isinstance(length, ResultLength):
        return [length.task_id]
    return [task_id for part in length.parts for task_id in _sources(part)]


def _bridges(flow: FlowDefinition, selected: Tasks, kept: list[Edge]) -> list[Edge]:
    """Return edges between selected tasks that were connected through dropped ones only."""
    upstream = dependencies(flow)
    known = {(edge.upstream, edge.downstream) for edge in kept}
    nearest: dict[str, frozenset[str]] = {}

    def selected_above(dropped: str) -> frozenset[str]:
        """Return the selected tasks that a dropped one waits for, through dropped ones."""
        stack = [dropped]
        while stack:
            task = stack[-1]
            open_ones = [t for t in upstream[task] if t not in selected and t not in nearest]
            if open_ones:
                stack.extend(open_ones)
                continue
            stack.pop()
            direct = {other for other in upstream[task] if other in selected}
            nearest[task] = frozenset(direct).union(
                *(nearest[other] for other in upstream[task] if other not in selected)
            )
        return nearest[dropped]

    bridges: list[Edge] = []
    for task in flow.tasks:
        if task.id not in selected:
            continue
        above = frozenset().union(
            *(selected_above(other) for other in upstream[task.id] if other not in selected)
        )
        bridges.extend(
            Edge(other, task.id)
            for other in sorted(above - upstream[task.id])
            if (other, task.id) not in known
        )
    return bridges
