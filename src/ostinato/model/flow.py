"""This module declares flows, tasks, groups, edges and parameters as frozen data."""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from ostinato.model.asset import AssetDefinition
from ostinato.model.event_source import EventSource
from ostinato.model.notice import Callback
from ostinato.model.policy import DEFAULT_POLICY, Policy


class TaskKind(StrEnum):
    """Say what a task does to the graph around it."""

    NORMAL = "normal"
    BRANCH = "branch"
    SHORT_CIRCUIT = "short_circuit"
    SENSOR = "sensor"
    SETUP = "setup"
    TEARDOWN = "teardown"


class LiteralLength(Struct, frozen=True, tag="literal", gc=False):
    """The length of a list or dict that stands in the definition."""

    length: int


class ResultLength(Struct, frozen=True, tag="result", gc=False):
    """The length of a task's result; of a mapped task, how many of its runs succeeded."""

    task_id: str


class SumLength(Struct, frozen=True, tag="sum"):
    """The length of several sequences one after the other."""

    parts: "tuple[LengthSource, ...]"


class MinLength(Struct, frozen=True, tag="min"):
    """The length of several sequences side by side, as ``zip`` reads them."""

    parts: "tuple[LengthSource, ...]"


LengthSource = LiteralLength | ResultLength | SumLength | MinLength


class Factor(Struct, frozen=True):
    """One mapped argument; the lengths of all factors multiply.

    Attributes:
        name: The argument.
        length: Where its number of values comes from.
    """

    name: str
    length: LengthSource


class Expansion(Struct, frozen=True):
    """How a task or a group is mapped; the last factor varies fastest."""

    factors: tuple[Factor, ...]


class Input(Struct, frozen=True, gc=False, omit_defaults=True):
    """A stored value that a task reads.

    Attributes:
        task_id: The task that produced it.
        key: Under which key; ``return_value`` is its result.
    """

    task_id: str
    key: str = "return_value"


class Source(Struct, frozen=True, gc=False, omit_defaults=True):
    """Where a definition stands.

    Attributes:
        file: Path relative to the project, or empty where there is no file.
        line: 1-based, 0 when unknown.
    """

    file: str = ""
    line: int = 0


class TaskDefinition(Struct, frozen=True, omit_defaults=True):
    """A unit of work of a flow.

    Attributes:
        id: Unique in the flow; groups joined by dots.
        operator: The name of its operator, such as ``python`` or ``bash``.
        kind: What it does to the graph around it.
        group: Id of the innermost group around it, or empty.
        policy: How it is run.
        expansion: How it is mapped, or None.
        inputs: The stored values that it reads.
        measured: Whether a mapping needs the length of its result.
        ignore_downstream_trigger_rules: For a short circuit: skip everything
            downstream and not only the direct neighbours.
        map_name: Template of the names of its task runs, where it is mapped.
        doc: Markdown for people.
        source: Where it is declared.
        owner: Who looks after it.
        tags: For searching.
        callbacks: What is called at its moments.
        inlets, outlets: Keys of the data objects that it reads and writes.
        asset: What is known of what it makes.
    """

    id: str
    operator: str = "python"
    kind: TaskKind = TaskKind.NORMAL
    group: str = ""
    policy: Policy = DEFAULT_POLICY
    expansion: Expansion | None = None
    inputs: tuple[Input, ...] = ()
    measured: bool = False
    ignore_downstream_trigger_rules: bool = True
    map_name: str = ""
    doc: str = ""
    source: Source = Source()
    owner: str = ""
    tags: tuple[str, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    inlets: tuple[str, ...] = ()
    outlets: tuple[str, ...] = ()
    asset: AssetDefinition | None = None


class GroupDefinition(Struct, frozen=True, omit_defaults=True):
    """A named, nestable set of tasks.

    Attributes:
        id: Unique among the flow's tasks and groups.
        parent: Id of the group around it, or empty.
        expansion: How the whole group is mapped, or None.
        tooltip: One line for people.
    """

    id: str
    parent: str = ""
    expansion: Expansion | None = None
    tooltip: str = ""


class Edge(Struct, frozen=True, gc=False, omit_defaults=True):
    """``downstream`` waits for ``upstream``; both are task ids."""

    upstream: str
    downstream: str
    label: str = ""


class Parameter(Struct, frozen=True, omit_defaults=True):
    """A value that a run is given.

    Attributes:
        name: As callers write it.
        schema: JSON Schema that a value must fit; empty accepts anything.
        default: Used when a run says nothing.
        is_required: Whether a run must give it.
        description: One line for people.
    """

    name: str
    schema: dict[str, Any] = {}
    default: Any = None
    is_required: bool = False
    description: str = ""


class FlowDefinition(Struct, frozen=True, omit_defaults=True):
    """The named unit that can be run and scheduled.

    Attributes:
        name: Unique in its project.
        tasks: In the order of declaration.
        groups: In the order of declaration, parents first.
        edges: Between tasks.
        parameters: What a run is given.
        schedule: As ``ostinato.model.schedule`` writes it; empty for none.
        timezone: IANA name; empty for the project's.
        start_at_us: First moment that it is scheduled for, microseconds since the epoch.
        end_at_us: Last moment, or None.
        catchup: Whether missed schedules run afterwards.
        max_active_runs: Runs at a time; 0 for no limit.
        max_active_tasks: Task runs at a time within a run; 0 for no limit.
        timeout_s: Seconds that a run may take; 0 for no limit.
        deadline_s: Seconds from its start after which a run that goes on is late; 0 for never.
        fail_fast: Whether any failure cancels the rest at once.
        executor: Executor of tasks that name none; empty for the project's.
        tags: For searching.
        owner: Who looks after it.
        doc: Markdown for people.
        source: Where it is declared.
        callbacks: What is called at its moments.
        run_name: Template of what people call its runs, of their parameters; empty for none.
        on: Whose messages start runs of it.
        priority: Each level doubles its share of what flows contend for.
        schedule_reading: ``interval_start`` where a scheduled run stands for the begin of its data
            interval; empty where it stands for the moment of its tick.
        jitter_s: Seconds by which runs of its schedule start later at most.
        schedule_params: Parameters of the runs of its schedule.
    """

    name: str
    tasks: tuple[TaskDefinition, ...] = ()
    groups: tuple[GroupDefinition, ...] = ()
    edges: tuple[Edge, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    schedule: str = ""
    timezone: str = ""
    start_at_us: int | None = None
    end_at_us: int | None = None
    catchup: bool = False
    max_active_runs: int = 0
    max_active_tasks: int = 0
    timeout_s: float = 0.0
    deadline_s: float = 0.0
    fail_fast: bool = False
    executor: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    doc: str = ""
    source: Source = Source()
    callbacks: tuple[Callback, ...] = ()
    run_name: str = ""
    on: tuple[EventSource, ...] = ()
    priority: int = 0
    schedule_reading: str = ""
    jitter_s: float = 0.0
    schedule_params: dict[str, Any] = {}
