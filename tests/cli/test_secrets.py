"""Secrets reach tasks in their processes, and are masked in all that is kept of them."""

from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow

LEAKY = """
import os, subprocess
from ostinato import BashOperator, Variable, dag, get_connection, task

@dag(params={"x": 1})
def leaky():
    @task
    def leak():
        connection = get_connection("shop")
        os.environ["PASSWORD"] = connection.password
        print("printed", connection.password, connection)
        subprocess.run('echo "echoed $PASSWORD"; printf s3c; printf "ret\\\n"', shell=True)
        Variable.set("api_token", "t0ken-of-api")
        print(Variable.get("api_token"), Variable.get("region"))
        use(connection.password)

    def use(password):
        raise ValueError(f"cannot log in with {password}")

    leak()
    BashOperator(task_id="bash", bash_command="echo nothing")

leaky()
"""


def test_secrets_are_masked_in_logs_and_failures(project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "leaky.py").write_text(LEAKY)
    settings = "name: shop\nconnections: {shop: 'pg://ann:${PW}@h'}\nvariables: {region: eu}\n"
    (project / "ostinato.yaml").write_text(settings)

    ran = ostinato("run", "leaky", code=1, variables={"PW": "s3cret"})

    logged = ostinato("logs", "leaky").out
    shown = ostinato("show", "leaky").out
    assert "printed *** Connection('shop', pg://ann:***@h)" in logged
    assert logged.count("***") >= 5
    assert "echoed ***" in logged
    assert "*** eu" in logged
    assert "cannot log in with ***" in shown
    for text in (
        ran.out,
        ran.err,
        logged,
        shown,
        ostinato("show", "leaky#1", "--format", "json").out,
    ):
        assert "s3cret" not in text
        assert "t0ken-of-api" not in text
    kept = [file for file in (project / ".ostinato").rglob("*") if file.is_file()]
    assert [file for file in kept if b"s3cret" in file.read_bytes()] == []
    assert [file for file in kept if b"t0ken-of-api" in file.read_bytes()] == []


def test_unknown_connection_of_a_task_is_one_line_with_a_guess(
    project: Path, ostinato: Ostinato
) -> None:
    (project / "flows" / "leaky.py").write_text(LEAKY)
    variables = {"OSTINATO_CONN_SHOPS": "pg://h"}

    ostinato("run", "leaky", code=1, variables=variables)

    assert (
        "UnknownConnection: there is no connection 'shop' in the environment, ostinato.yaml"
        " or the store (did you mean 'shops'?)"
    ) in ostinato("show", "leaky").out


def test_large_variables_go_to_tasks_and_back(project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "large.py").write_text(
        "from ostinato import Variable, dag, task\n@dag\ndef large():\n"
        "    @task\n    def copy():\n        text = Variable.get('large')\n"
        "        Variable.set('copy', text + '!')\n        return len(text)\n"
        "    copy()\nlarge()\n"
    )
    size = 3_000_000
    (project / "v.json").write_text('{"large": "' + "x" * size + '"}')
    ostinato("variables", "import", "v.json")

    ostinato("run", "large")

    assert len(ostinato("variables", "get", "copy").out) == size + 2
