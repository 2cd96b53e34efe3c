"""This module tests what the definitions of files' tasks say of the tables that they make."""

import textwrap
from pathlib import Path

import pytest

from ostinato.authoring import session
from ostinato.authoring.dag import DAG
from ostinato.authoring.files.folders import folder_flow
from ostinato.authoring.files.sql import queries
from ostinato.errors import FolderProblems
from ostinato.model.asset import AssetDefinition, Check, Column, Freshness


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(files: dict[str, str], metadata: str = "connection: shop\n") -> DAG:
    for name, text in {"METADATA.yml": metadata, **files}.items():
        path = Path("shop", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder_flow(Path("shop").absolute())


def asset_of(flow: DAG, task_id: str) -> AssetDefinition:
    task = next(task for task in flow.definition.tasks if task.id == task_id)
    assert task.asset is not None
    return task.asset


def lineage_of(flow: DAG, task_id: str) -> dict[str, list[str]]:
    return {
        line.column: [f"{origin.asset}.{origin.column}" for origin in line.origins]
        for line in asset_of(flow, task_id).lineage
    }


def asset_said(header: str) -> AssetDefinition:
    text = textwrap.indent(textwrap.dedent(header), "")
    return asset_of(make({"a.sql": f"---\n{text}\n---\nSELECT 1 AS id"}), "a")


def test_definition_says_what_is_made_and_read() -> None:
    flow = make(
        {
            "raw/orders.sql": "SELECT * FROM {{ source('crm', 'orders') }}",
            "daily.sql": "---\nmaterialized: view\n---\nSELECT o.id FROM raw.orders o JOIN days",
        },
        "connection: shop\nsources: {crm: [orders]}\n",
    )

    assert asset_of(flow, "orders") == AssetDefinition(
        "raw/orders",
        "raw.orders",
        "shop",
        "table",
        reads=("crm.orders",),
        external=("crm.orders",),
    )
    daily = asset_of(flow, "daily")
    assert (daily.key, daily.table, daily.materialized) == ("daily", "daily", "view")
    assert (daily.reads, daily.external) == (("days", "raw/orders"), ("days",))


def test_uri_of_a_connection_is_not_told() -> None:
    flow = make({"a.sql": "SELECT 1"}, "connection: postgres://ann:secret@host/shop\n")

    assert asset_of(flow, "a").connection == ""


def test_task_that_makes_nothing_has_no_asset() -> None:
    flow = make({"a.sql": "DELETE FROM x", "b.yml": "operator: empty"})

    assert [task.asset for task in flow.definition.tasks] == [None, None]


def test_any_task_may_say_what_it_makes() -> None:
    flow = make({"b.yml": "operator: empty\nasset: lake.events\nproduces: [out/a.csv]\nowners: me"})

    assert asset_of(flow, "b") == AssetDefinition(
        "lake/events", owners=("me",), produces=("out/a.csv",)
    )


def test_columns_are_said_in_short_or_at_length() -> None:
    said = asset_said(
        """\
        columns:
          id: int
          total: {type: float, description: With tax, checks: [not_null, {between: [0, 9]}]}
          note:
        """
    )

    assert said.columns == (
        Column("id", "int"),
        Column(
            "total",
            "float",
            "With tax",
            (Check("not_null"), Check("between", {"values": [0, 9]})),
        ),
        Column("note"),
    )


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("[not_empty]", Check("not_empty")),
        ("[{row_count: {min: 1}}]", Check("row_count", {"min": 1})),
        ("{row_count: {min: 1, severity: warn}}", Check("row_count", {"min": 1}, "warn")),
        ("[{name: mine, n: [a], severity: warn}]", Check("mine", {"n": ["a"]}, "warn")),
        ("[{accepted_values: [a, b]}]", Check("in_set", {"values": ["a", "b"]})),
        ("[{sql: SELECT 1}]", Check("sql", {"value": "SELECT 1"})),
        ("[mine]", Check("mine")),
    ],
)  # fmt: skip
def test_checks_are_said_in_several_ways(text: str, check: Check) -> None:
    assert asset_said(f"checks: {text}").checks == (check,)


@pytest.mark.parametrize(
    ("text", "freshness"),
    [
        ("1d", Freshness(fail_s=86400)),
        ("{warn: 12h, fail: 1d}", Freshness(43200, 86400)),
        (
            "{cron: '0 6 * * *', tz: Europe/Berlin, lower_bound: 1h}",
            Freshness(cron="0 6 * * *", timezone="Europe/Berlin", lower_bound_s=3600),
        ),
    ],
)
def test_freshness_is_an_age_or_a_moment(text: str, freshness: Freshness) -> None:
    assert asset_said(f"freshness: {text}").freshness == freshness


def test_owners_and_freshness_come_from_folders_too() -> None:
    flow = make(
        {
            "x/METADATA.yml": "owners: [ann]\nfreshness: 1h\n",
            "x/a.sql": "SELECT 1",
            "x/b.sql": "---\nowners: [bob, team:x]\n---\nSELECT 1",
        }
    )

    assert asset_of(flow, "a").owners == ("ann",)
    assert asset_of(flow, "a").freshness == Freshness(fail_s=3600)
    assert asset_of(flow, "b").owners == ("bob", "team:x")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "freshness: {fial: 1d}",
            "shop/a.sql:2:13 F014 freshness has no 'fial'; did you mean 'fail'?",
        ),
        (
            "freshness: {cron: nonsense}",
            "shop/a.sql:2:13 F014 freshness.cron is 'nonsense', no cron expression",
        ),
        (
            "checks: [{not_null: {severity: wran}}]",
            "shop/a.sql:2:10 F014 the severity of a check is 'wran'; did you mean 'warn'?",
        ),
    ],
)
def test_mistakes_are_told_where_they_stand(header: str, expected: str) -> None:
    with pytest.raises(FolderProblems) as raised:
        asset_said(header)

    assert [str(problem) for problem in raised.value.problems] == [expected]


def test_check_that_is_nearly_one_is_warned_of() -> None:
    flow = make({"a.sql": "---\nchecks: [not_nul]\n---\nSELECT 1"})

    assert flow.folder is not None
    assert [str(problem) for problem in flow.folder.warnings] == [
        "shop/a.sql:2:10 F013 there is no check 'not_nul' of ours; did you mean 'not_null'?"
    ]


# Lineage


def test_columns_are_traced_through_the_tables_of_a_flow() -> None:
    flow = make(
        {
            "raw/orders.sql": "SELECT id, price * n AS total, customer FROM landing.orders",
            "raw/customers.sql": "SELECT 1 AS id, 'ann' AS name",
            "wide.sql": "SELECT o.*, name FROM {{ ref('orders') }} o JOIN raw.customers ON true",
            "sums.sql": "WITH a AS (SELECT * FROM {{ ref('wide') }}) SELECT name, sum(total) AS t "
            "FROM a GROUP BY 1",
        }
    )

    assert lineage_of(flow, "orders") == {
        "id": ["landing.orders.id"],
        "total": ["landing.orders.n", "landing.orders.price"],
        "customer": ["landing.orders.customer"],
    }
    assert lineage_of(flow, "wide") == {
        "id": ["raw/orders.id"],
        "total": ["raw/orders.total"],
        "customer": ["raw/orders.customer"],
        "name": ["raw/customers.name"],
    }
    assert lineage_of(flow, "sums") == {"name": ["wide.name"], "t": ["wide.total"]}


def test_declared_columns_are_those_of_tables_that_cannot_be_read() -> None:
    flow = make(
        {
            "orders.py": "# ---\n# columns: {id: int, total: float}\n# ---\ndef main(): ...\n",
            "wide.sql": "SELECT * FROM orders, other",
        }
    )

    assert lineage_of(flow, "wide") == {"id": ["orders.id"], "total": ["orders.total"]}


def test_columns_of_seeds_are_known() -> None:
    files = {"days.csv": "day,week\n2024-01-01,1\n", "a.sql": "SELECT * FROM days"}
    flow = make(files, "connection: shop\nseeds: true\n")

    assert lineage_of(flow, "a") == {"day": ["days.day"], "week": ["days.week"]}


def test_own_rows_are_no_origin() -> None:
    text = "---\nmaterialized: incremental\nunique_key: id\n---\n"
    flow = make({"a.sql": text + "SELECT id FROM x UNION SELECT max(id) FROM {{ this }}"})

    assert lineage_of(flow, "a") == {"id": ["x.id"]}


# What is kept


def test_queries_of_a_project_are_read_once(
    working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (working_folder / ".ostinato").mkdir()
    files = {"a.sql": "SELECT id FROM x", "b.sql": "SELECT * FROM {{ ref('a') }}"}
    root = session.source_root.set(str(working_folder))
    first = make(files)

    def refuse(*args: object) -> None:
        raise AssertionError("it was read before")

    monkeypatch.setattr(queries, "read_script_and_trees", refuse)
    second = make(files)

    assert second.definition == first.definition
    assert lineage_of(second, "b") == {"id": ["a.id"]}
    with pytest.raises(AssertionError, match="it was read before"):
        make(files | {"b.sql": "SELECT 2 AS other"})
    session.source_root.reset(root)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"ostinato-queries-1\n\x93", b"ostinato-queries-0\n"]
)
def test_file_of_kept_queries_that_cannot_be_read_is_made_anew(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "kept"
    path.write_bytes(content)
    kept = queries.KeptQueries(str(path))

    assert kept.get("key") is None
    kept.put("key", queries.Query("SELECT 1"))
    kept.save()

    assert queries.KeptQueries(str(path)).get("key") == queries.Query("SELECT 1")


def test_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = queries.KeptQueries(str(tmp_path / "file" / "kept"))

    kept.put("key", queries.Query("SELECT 1"))
    kept.save()

    assert kept.get("key") == queries.Query("SELECT 1")
