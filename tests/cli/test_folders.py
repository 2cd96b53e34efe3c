"""Tests of commands on flows that are folders of files."""

from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

FILES = {
    "ostinato.yaml": "",
    "flows/shop/METADATA.yml": 'schedule: "@daily"\ndescriptoin: A shop\n',
    "flows/shop/raw/orders.yml": (
        "operator: bash\nbash_command: echo orders\nexternal_dependencies:\n  - crm: load\n"
    ),
    "flows/shop/report.yml": (
        "operator: bash\nbash_command: echo report\ndependencies: [orders]\nretires: 2\n"
    ),
}


@pytest.fixture
def shop(folder: Path) -> Path:
    """A project with one flow, a folder of files; two keys in it are misspelt."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_warnings_are_shown_with_their_place_and_keep_nothing_from_running(
    shop: Path, ostinato: Ostinato
) -> None:
    checked = ostinato("check")

    assert checked.out.splitlines() == [
        "flows/shop/METADATA.yml:2:1 F021 warning: key 'descriptoin' of METADATA is unknown; "
        "did you mean 'description'?",
        "flows/shop/report.yml:4:1 F013 warning: BashOperator takes no argument 'retires'; "
        "did you mean 'retries'?",
        "1 flow, 3 tasks: 2 warnings",
    ]
    assert ostinato("check", "--strict", code=2).out == checked.out


def test_errors_and_warnings_have_columns_as_json_and_for_github(
    shop: Path, ostinato: Ostinato
) -> None:
    (shop / "flows/shop/METADATA.yml").write_text("")
    (shop / "flows/shop/report.yml").write_text("operator: bahs\nbash_command: echo\n")

    found = ostinato("check", "--format", "json", code=2).json
    lines = ostinato("check", "--format", "github", code=2).out.splitlines()

    assert [
        (one["code"], one["severity"], one["file"], one["line"], one["column"])
        for one in found["problems"]
    ] == [("F011", "error", "flows/shop/report.yml", 1, 1)]
    assert lines[0].startswith(
        "::error file=flows/shop/report.yml,line=1,col=1,title=F011::operator 'bahs' is unknown"
    )
    assert lines[-1] == "0 flows, 0 tasks: 1 problem"


def test_a_folder_is_drawn_with_groups_and_what_lies_outside(
    shop: Path, ostinato: Ostinato
) -> None:
    mermaid = ostinato("graph", "shop", "--format", "mermaid").out

    assert 'subgraph g0["raw"]' in mermaid
    assert 'x0(["crm: load"])' in mermaid
    assert ostinato("graph", "shop").out.splitlines() == [
        "shop  (@daily)",
        "  report  <- orders",
        "  wait_for_crm_load  <- crm: load",
        "  raw/",
        "    orders  <- wait_for_crm_load",
    ]


def test_tables_that_no_task_makes_are_drawn_outside(shop: Path, ostinato: Ostinato) -> None:
    (shop / "flows/shop/top.sql").write_text(
        "---\nconnection: crm\n---\nSELECT * FROM crm.clients JOIN orders USING (id)\n"
    )

    assert "  top  <- crm.clients, orders" in ostinato("graph", "shop").out.splitlines()
    dot = ostinato("graph", "shop", "--format", "dot").out
    assert '"crm.clients" -> "top" [style=dashed];' in dot


def test_one_file_alone_and_what_was_changed_are_run(shop: Path, ostinato: Ostinato) -> None:
    (shop / "flows/shop/raw/orders.yml").write_text("operator: bash\nbash_command: echo one\n")
    ostinato("run", "shop")
    (shop / "flows/shop/raw/orders.yml").write_text("operator: bash\nbash_command: echo two\n")

    alone = ostinato("run", "flows/shop", "-s", "raw/orders.yml", "--format", "json").json
    changed = ostinato("run", "shop", "-s", "state:modified+", "--format", "json").json

    assert alone["counts"] == {"succeeded": 1}
    assert changed["counts"] == {"succeeded": 2}


def test_a_folder_compiles_to_a_dag_file(shop: Path, ostinato: Ostinato) -> None:
    text = ostinato("compile", "airflow", "shop").out

    assert 'raw = TaskGroup("raw", prefix_group_id=False)' in text
    assert 'external_dag_id="crm"' in text
    assert "orders >> report" in text
    compile(text, "shop.py", "exec")


def test_check_knows_connections_of_settings_environment_and_store(
    folder: Path, ostinato: Ostinato
) -> None:
    shop = folder / "flows/shop"
    shop.mkdir(parents=True)
    (folder / "ostinato.yaml").write_text("connections:\n  wh: duckdb:///wh.db\n")
    names = ("OSTINATO_CONN_THE_LAKE", "AIRFLOW_CONN_CRM")
    variables = dict.fromkeys(names, "duckdb:///lake.db")
    ostinato("connections", "set", "vault", "duckdb:///vault.db")
    (shop / "METADATA.yml").write_text("description: A shop\nconnection: whh\n")
    for name in ("wh", "the-lake", "crm", "vault", "nowhere"):
        (shop / f"of_{name}.sql").write_text(f"---\nconnection: {name}\n---\nselect 1 as one\n")
    (shop / "other.sql").write_text("---\nconnection: '{{ var.value.db }}'\n---\nselect 1 as one\n")
    (shop / "inherits.sql").write_text("select 1 as one\n")

    assert ostinato("check", variables=variables).out.splitlines() == [
        "flows/shop/METADATA.yml:2:1 F031 warning: connection 'whh' is unknown; did you mean 'wh'?",
        "flows/shop/of_nowhere.sql:2:1 F031 warning: connection 'nowhere' is unknown; "
        "ostinato connections set nowhere URI",
        "1 flow, 7 tasks: 2 warnings",
    ]


def test_check_leaves_connections_to_secrets_backends(folder: Path, ostinato: Ostinato) -> None:
    shop = folder / "flows/shop"
    shop.mkdir(parents=True)
    (folder / "ostinato.yaml").write_text("secrets:\n  backends:\n    - file: secrets.yaml\n")
    (shop / "METADATA.yml").write_text("connection: whh\n")
    (shop / "a.sql").write_text("select 1 as one\n")

    assert ostinato("check").out == "1 flow, 1 task: no problems\n"
