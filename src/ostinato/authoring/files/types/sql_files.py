"""This module knows what a ``.sql`` file becomes that names no operator."""

from collections.abc import Mapping
from typing import Any

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.keys.key import TASK
from ostinato.authoring.files.keys.known import wrong_types
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.files.sql.queries import Query, Use
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.files.types.tables import Maker, Reads, Tables, connection_of
from ostinato.authoring.files.wiring.plan import Implied, Plan
from ostinato.authoring.query_templates import QueryNames
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import Place

#: What ``config()`` in a query may say, by dbt's names.
_SETTINGS = ("full_refresh", "materialized", "partition", "partition_value", "unique_key")

_KINDS = ("table", "view", "incremental", "none")


def plan_of_sql(
    spec: TaskSpec, tables: Tables, inherited: Mapping[str, Any], problems: list[FileProblem]
) -> Plan | None:
    """Return what the file becomes, None if that is among the problems.

    Args:
        spec: Of the task.
        tables: Of the flow.
        inherited: What the METADATA around the file says.
        problems: Takes what is wrong.
    """
    maker = tables.maker(spec)
    query = maker.query
    assert query is not None, "it was read when the tables were looked for"
    is_sound = _note_faults(maker, query, problems)
    connection = connection_of(spec, inherited)
    if not connection:
        hint = "add connection: to the file or to METADATA.yml"
        message = "no connection is named for the query"
        problems.append(problem("F031", message, _start(maker), hint))
        is_sound = False
    _place_partition(spec)
    settings = _settings(maker, query, problems)
    # Other operators have arguments of these names, which may be of other types.
    wrong = wrong_types(spec.keys, TASK, only=("connection", *_SETTINGS))
    problems.extend(wrong)
    materialized = _materialized(maker, query, settings, problems)
    reads = reads_of(maker, tables, is_strict=inherited.get("strict") is True, problems=problems)
    tables.reads[maker.task_id] = reads
    if not is_sound or wrong or materialized is None:
        return None
    from ostinato.authoring.operators.sql_model import (  # noqa: PLC0415 - only for SQL files
        SqlModelOperator,
    )

    assert spec.file is not None, "a query stands in a file"
    arguments: dict[str, Any] = {
        **settings,
        "conn_id": connection,
        "table": maker.table,
        "materialized": materialized,
        "query_names": QueryNames(
            tables.refs,
            {**tables.sources(maker), **_makers_as_sources(query, tables)},
            reads.renames,
            Place(maker.shown, spec.file.body_line),
            reads.perhaps,
        ),
    }
    return Plan(SqlModelOperator, arguments, reads.implied)


def reads_of(
    maker: Maker, tables: Tables, *, is_strict: bool, problems: list[FileProblem]
) -> Reads:
    """Return what a query reads; names that are not there are among the problems.

    Args:
        maker: Whose query it is.
        tables: Of the flow.
        is_strict: Whether every table that no task makes is to be declared.
        problems: Takes what is wrong.
    """
    query = maker.query
    assert query is not None, "only tasks with a query read tables by name"
    implied: dict[str, Implied] = {}
    renames: dict[str, str] = {}
    keys: dict[str, str] = {}
    external: dict[str, None] = {}
    perhaps: set[str] = set()

    def wait_for(other: Maker, use: Use) -> None:
        if other is not maker:
            position = Position(maker.shown, use.line, use.column)
            implied.setdefault(other.task_id, Implied(other.task_id, position))

    for use in query.tables:
        found = tables.find(use.name, maker)
        if found.maker is not None:
            keys[use.name] = found.maker.key
            wait_for(found.maker, use)
            renames[use.name] = found.table
            if not found.maker.makes_table and found.table.lower() != use.name.lower():
                perhaps.add(use.name)
            continue
        keys[use.name] = found.table
        external[found.table] = None
        if found.is_declared and found.table.lower() != use.name.lower():
            renames[use.name] = found.table
        if not found.is_declared:
            _note_unknown(maker, use, tables, is_strict=is_strict, problems=problems)
    for use in query.refs:
        other = _referred(maker, use, tables, problems)
        if other is not None:
            keys[f"ref:{use.name}"] = other.key
            wait_for(other, use)
    for use in query.sources:
        found = tables.find(use.name, maker)
        if not found.is_declared:
            known = tables.sources(maker)
            hint = did_you_mean(use.name, known) or "sources: in METADATA.yml declares them"
            message = f"source {use.name!r} is not declared"
            position = Position(maker.shown, use.line, use.column)
            problems.append(problem("F030", message, position, hint))
        elif found.maker is not None:
            keys[f"source:{use.name}"] = found.maker.key
            wait_for(found.maker, use)
        else:
            keys[f"source:{use.name}"] = found.table
            external[found.table] = None
    return Reads(tuple(implied.values()), renames, keys, tuple(external), frozenset(perhaps))


def _referred(maker: Maker, use: Use, tables: Tables, problems: list[FileProblem]) -> Maker | None:
    found = tables.ref(use.name)
    if len(found) > 1:
        # The same folder is nearest.
        found = [one for one in found if _folder(one) == _folder(maker)] or found
    position = Position(maker.shown, use.line, use.column)
    if len(found) == 1:
        if found[0] is maker:
            message = f"ref({use.name!r}) is the table that the query makes"
            problems.append(problem("F030", message, position, "write {{ this }}"))
            return None
        return found[0]
    if found:
        message = f"ref({use.name!r}) may be {' or '.join(one.key for one in found)}"
        problems.append(problem("F030", message, position, "name the folder too"))
    elif not tables.is_broken(use.name):
        message = f"ref({use.name!r}) names what is not in the flow"
        problems.append(problem("F030", message, position, tables.near_ref(use.name)))
    return None


def _note_unknown(
    maker: Maker, use: Use, tables: Tables, *, is_strict: bool, problems: list[FileProblem]
) -> None:
    if tables.is_broken(use.name):
        return
    near = tables.near(use.name, maker)
    if not near and not is_strict:
        return
    hint = near or "sources: in METADATA.yml declares tables that no task makes"
    position = Position(maker.shown, use.line, use.column)
    problems.append(problem("F012", f"table {use.name} not found", position, hint))


def _note_faults(maker: Maker, query: Query, problems: list[FileProblem]) -> bool:
    """Note why a query cannot be read; return whether a task can be made of it all the same."""
    if query.template_fault is not None:
        fault = query.template_fault
        position = Position(maker.shown, fault.line, fault.column or 1)
        problems.append(problem("F023", fault.message, position))
        return False
    if query.sql_fault is not None:
        fault = query.sql_fault
        position = Position(maker.shown, fault.line, fault.column)
        message = f"the SQL does not parse: {fault.message}"
        hint = "only ref() and source() tell what it reads"
        problems.append(problem("F029", message, position, hint))
    elif not query.statements:
        problems.append(problem("F026", "there is no SQL in the file", _start(maker)))
        return False
    return True


def _settings(maker: Maker, query: Query, problems: list[FileProblem]) -> dict[str, Any]:
    """Return what ``config()`` says where the front matter says nothing."""
    chosen: dict[str, Any] = {}
    for name, value in query.settings.items():
        if name in _SETTINGS:
            if maker.spec.values.get(name) is None:
                chosen[name] = value
        else:
            hint = did_you_mean(name, _SETTINGS) or f"known are {', '.join(_SETTINGS)}"
            message = f"config({name}=...) has no effect here"
            problems.append(problem("F013", message, _start(maker), hint))
    return chosen


def _materialized(
    maker: Maker, query: Query, settings: dict[str, Any], problems: list[FileProblem]
) -> str | None:
    said = maker.spec.values.get("materialized") or settings.pop("materialized", None)
    position = maker.spec.position("materialized")
    if said is None:
        makes = query.gives_rows and not (query.statements > 1 and query.writes)
        return "table" if makes else "none"
    if said not in _KINDS:
        if maker.spec.values.get("materialized"):
            # Its type is wrong, which is among the problems already.
            return None
        hint = did_you_mean(str(said), _KINDS) or f"it is one of {', '.join(_KINDS)}"
        problems.append(problem("F014", f"materialized is {said!r}", position, hint))
        return None
    if said != "none" and not query.gives_rows:
        message = f"materialized is {said}, and the file does not end with a SELECT"
        problems.append(problem("F014", message, position, "materialized: none only executes it"))
        return None
    return str(said)


def _place_partition(spec: TaskSpec) -> None:
    """Part ``partition: {column: day, value: ...}`` into what the operator takes."""
    said = spec.values.get("partition")
    if isinstance(said, Mapping):
        spec.values["partition"] = str(said.get("column") or "")
        if said.get("value") is not None:
            spec.values.setdefault("partition_value", said["value"])


def _makers_as_sources(query: Query, tables: Tables) -> dict[str, str]:
    """Return tables of tasks that the query calls sources."""
    return {use.name: makers[0].table for use in query.sources if (makers := tables.ref(use.name))}


def _folder(maker: Maker) -> str:
    return maker.shown.rpartition("/")[0]


def _start(maker: Maker) -> Position:
    file = maker.spec.file
    return Position(maker.shown, file.body_line if file else 1, 1)
