"""This module tests how flows are drawn."""

from ostinato.cli.graphs import as_dot, as_mermaid, as_text, outside_of
from ostinato.model.asset import AssetDefinition
from ostinato.model.flow import (
    Edge,
    Expansion,
    Factor,
    FlowDefinition,
    GroupDefinition,
    LiteralLength,
    TaskDefinition,
)

MAPPED = Expansion((Factor("x", LiteralLength(3)),))
FLOW = FlowDefinition(
    'say "hi"',
    tasks=(
        TaskDefinition("a"),
        TaskDefinition("g.b", group="g", expansion=MAPPED),
        TaskDefinition("g.h.c", group="g.h"),
        TaskDefinition("wide"),
        *(TaskDefinition(f"x{index}") for index in range(6)),
    ),
    groups=(GroupDefinition("g", expansion=MAPPED), GroupDefinition("g.h", parent="g")),
    edges=(
        Edge("a", "g.b", label='if "new"'),
        Edge("g.b", "g.h.c"),
        *(Edge(f"x{index}", "wide") for index in range(6)),
    ),
)


def test_text() -> None:
    lines = as_text(FLOW).splitlines()

    assert lines[:3] == [
        'say "hi"',
        "  a",
        "  wide  <- x0, x1, x2, x3, x4 and 1 more",
    ]
    assert lines[9:] == [
        "  g ×n/",  # noqa: RUF001 - it is the sign that is meant
        "    b ×n  <- a",  # noqa: RUF001 - it is the sign that is meant
        "    h/",
        "      c  <- g.b",
    ]


def test_mermaid() -> None:
    text = as_mermaid(FLOW)

    assert '  t0["a"]\n' in text
    assert '  subgraph g0["g ×n"]\n    t1[["b ×n"]]\n' in text  # noqa: RUF001 - the sign is meant
    assert '    subgraph g1["h"]\n      t2["c"]\n    end\n  end\n' in text
    assert '  t0 -->|"if #quot;new#quot;"| t1\n' in text


def test_graphviz() -> None:
    text = as_dot(FLOW)

    assert text.startswith('digraph "say \\"hi\\"" {\n')
    assert '  subgraph "cluster_g" { label="g ×n";\n' in text  # noqa: RUF001 - the sign is meant
    assert '    "g.b" [label="b ×n", peripheries=2];\n' in text  # noqa: RUF001 - the sign is meant
    assert '  "a" -> "g.b" [label="if \\"new\\""];\n' in text
    assert text.endswith("}")


OUTSIDE = {"a": ["crm: load"], "g.h.c": ["crm: load", "crm"]}


def test_what_lies_outside_is_drawn_dashed() -> None:
    mermaid, dot = as_mermaid(FLOW, OUTSIDE), as_dot(FLOW, OUTSIDE)

    assert '  x0(["crm: load"])\n  style x0 stroke-dasharray: 4\n  x1(["crm"])\n' in mermaid
    assert "  x0 -.-> t0\n  x0 -.-> t2\n  x1 -.-> t2\n" in mermaid
    assert '  "crm: load" [style=dashed, shape=oval];\n' in dot
    assert '  "crm" -> "g.h.c" [style=dashed];\n' in dot
    assert "      c  <- crm: load, crm, g.b" in as_text(FLOW, OUTSIDE).splitlines()


def test_sensors_of_tasks_and_groups_of_other_flows_lie_outside() -> None:
    def sensor(**params: object) -> dict[str, object]:
        return {"params": {"external_dag_id": "crm", **params}}

    tasks = {
        "plain": {"params": {"bash_command": "true"}},
        "flow": sensor(),
        "task": sensor(external_task_id="load"),
        "tasks": sensor(external_task_ids=["a", "b"]),
        "group": sensor(external_task_group_id="marts"),
        "computed": {"params": {"external_dag_id": {"result": "x"}}},
    }

    assert outside_of({"tasks": tasks}) == {
        "flow": ["crm"],
        "task": ["crm: load"],
        "tasks": ["crm: a", "crm: b"],
        "group": ["crm: marts"],
    }


def test_tables_that_no_task_makes_lie_outside() -> None:
    reads = AssetDefinition("a", external=("crm.clients", "days"))
    flow = FlowDefinition("shop", tasks=(TaskDefinition("a", asset=reads), TaskDefinition("b")))

    assert outside_of({"tasks": {}}, flow) == {"a": ["crm.clients", "days"]}
