"""This module draws a flow as text, Mermaid or Graphviz."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ostinato.model.flow import FlowDefinition, GroupDefinition, TaskDefinition
from ostinato.model.selection import dependencies

_INDENT = "  "

#: Marks what runs once for each of many values.
_MAPPED = " ×n"  # noqa: RUF001 - it is the sign that is meant

#: What lies outside of a flow, by the task that waits for it.
Outside = Mapping[str, Sequence[str]]

#: What lies outside of flows in which nothing waits for anything.
NOTHING_OUTSIDE: Outside = MappingProxyType({})

Members = dict[str, list[TaskDefinition | GroupDefinition]]


def outside_of(graph: Mapping[str, Any], flow: FlowDefinition | None = None) -> Outside:
    """Return what tasks wait for in other flows, and the tables they read that no task makes.

    Args:
        graph: The flow as ``flow_json`` has it.
        flow: Its definition, which knows the tables.

    >>> outside_of({"tasks": {"wait": {"params": {"external_dag_id": "crm"}}}})
    {'wait': ['crm']}
    """
    found: dict[str, Sequence[str]] = {}
    for task_id, task in graph["tasks"].items():
        params = task["params"]
        waited_for = params.get("external_dag_id")
        if not isinstance(waited_for, str):
            continue
        named = params.get("external_task_ids") or params.get("external_task_id") or ()
        group = params.get("external_task_group_id")
        names = [named] if isinstance(named, str) else [*named, *([group] if group else [])]
        found[task_id] = [f"{waited_for}: {name}" for name in names] or [waited_for]
    for definition in flow.tasks if flow is not None else ():
        if definition.asset is not None and definition.asset.external:
            found[definition.id] = [*found.get(definition.id, ()), *definition.asset.external]
    return found


def as_text(flow: FlowDefinition, outside: Outside = NOTHING_OUTSIDE) -> str:
    """Return a flow as a list of tasks by group, each with what it waits for."""
    upstream, members = dependencies(flow), _by_group(flow)
    order = {task.id: index for index, task in enumerate(flow.tasks)}
    lines = [flow.name + (f"  ({flow.schedule})" if flow.schedule else "")]

    def draw(group: str, indent: str) -> None:
        for member in members[group]:
            name = member.id.removeprefix(f"{group}.") if group else member.id
            mapped = _MAPPED if member.expansion is not None else ""
            if isinstance(member, GroupDefinition):
                lines.append(f"{indent}{name}{mapped}/")
                draw(member.id, indent + _INDENT)
                continue
            waits_for = sorted(upstream[member.id], key=order.__getitem__)
            lines.append(
                f"{indent}{name}{mapped}" + _arrow([*outside.get(member.id, ()), *waits_for])
            )

    draw("", _INDENT)
    return "\n".join(lines)


def as_mermaid(flow: FlowDefinition, outside: Outside = NOTHING_OUTSIDE) -> str:
    """Return a flow as a Mermaid flowchart; what lies outside is dashed."""
    members = _by_group(flow)
    names = {task.id: f"t{index}" for index, task in enumerate(flow.tasks)}
    groups = {group.id: f"g{index}" for index, group in enumerate(flow.groups)}
    lines = ["flowchart LR"]

    def draw(group: str, indent: str) -> None:
        for member in members[group]:
            text = _mermaid_text(member.id.removeprefix(f"{group}.") if group else member.id)
            if isinstance(member, GroupDefinition):
                mapped = _MAPPED if member.expansion is not None else ""
                lines.append(f'{indent}subgraph {groups[member.id]}["{text}{mapped}"]')
                draw(member.id, indent + _INDENT)
                lines.append(f"{indent}end")
            elif member.expansion is not None:
                lines.append(f'{indent}{names[member.id]}[["{text}{_MAPPED}"]]')
            else:
                lines.append(f'{indent}{names[member.id]}["{text}"]')

    draw("", _INDENT)
    externals = {name: f"x{index}" for index, name in enumerate(_names_outside(outside))}
    for name, node in externals.items():
        lines.append(f'{_INDENT}{node}(["{_mermaid_text(name)}"])')
        lines.append(f"{_INDENT}style {node} stroke-dasharray: 4")
    for task_id, waits_for in outside.items():
        lines.extend(f"{_INDENT}{externals[name]} -.-> {names[task_id]}" for name in waits_for)
    for upstream, downstream, label in _edges(flow):
        middle = f'-->|"{_mermaid_text(label)}"|' if label else "-->"
        lines.append(f"{_INDENT}{names[upstream]} {middle} {names[downstream]}")
    return "\n".join(lines)


def as_dot(flow: FlowDefinition, outside: Outside = NOTHING_OUTSIDE) -> str:
    """Return a flow as a Graphviz digraph; what lies outside is dashed."""
    members = _by_group(flow)
    lines = [f"digraph {_dot_text(flow.name)} {{", f"{_INDENT}rankdir=LR; node [shape=box];"]

    def draw(group: str, indent: str) -> None:
        for member in members[group]:
            name = member.id.removeprefix(f"{group}.") if group else member.id
            mapped = _MAPPED if member.expansion is not None else ""
            label = f"label={_dot_text(name + mapped)}"
            if isinstance(member, GroupDefinition):
                lines.append(f"{indent}subgraph {_dot_text(f'cluster_{member.id}')} {{ {label};")
                draw(member.id, indent + _INDENT)
                lines.append(f"{indent}}}")
            else:
                peripheries = ", peripheries=2" if mapped else ""
                lines.append(f"{indent}{_dot_text(member.id)} [{label}{peripheries}];")

    draw("", _INDENT)
    lines += [
        f"{_INDENT}{_dot_text(name)} [style=dashed, shape=oval];"
        for name in _names_outside(outside)
    ]
    for task_id, waits_for in outside.items():
        lines += [
            f"{_INDENT}{_dot_text(name)} -> {_dot_text(task_id)} [style=dashed];"
            for name in waits_for
        ]
    for upstream, downstream, label in _edges(flow):
        attributes = f" [label={_dot_text(label)}]" if label else ""
        lines.append(f"{_INDENT}{_dot_text(upstream)} -> {_dot_text(downstream)}{attributes};")
    return "\n".join([*lines, "}"])


def _by_group(flow: FlowDefinition) -> Members:
    """Return what lies directly in each group, groups behind tasks."""
    members: Members = {"": [], **{group.id: [] for group in flow.groups}}
    for task in flow.tasks:
        members[task.group].append(task)
    for group in flow.groups:
        members[group.parent].append(group)
    return members


def _edges(flow: FlowDefinition) -> Iterator[tuple[str, str, str]]:
    """Yield every dependency once, in the order of the tasks, with its label."""
    order = {task.id: index for index, task in enumerate(flow.tasks)}
    labels = {(edge.upstream, edge.downstream): edge.label for edge in flow.edges}
    for downstream, upstream in dependencies(flow).items():
        for other in sorted(upstream, key=order.__getitem__):
            yield other, downstream, labels.get((other, downstream), "")


def _names_outside(outside: Outside) -> list[str]:
    return list(dict.fromkeys(name for names in outside.values() for name in names))


def _arrow(waits_for: list[str]) -> str:
    if not waits_for:
        return ""
    shown = ", ".join(waits_for[:5])
    return f"  <- {shown}" + (f" and {len(waits_for) - 5} more" if len(waits_for) > 5 else "")


def _mermaid_text(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;")


def _dot_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
