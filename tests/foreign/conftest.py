"""This module finds the Python that has Airflow and gusty, and runs scripts with it."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Runs a script beside this module with arguments, and returns the JSON that it prints.
Foreign = Callable[..., Any]

_HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    """Run a script with Airflow's Python; its state lies in a folder of its own."""
    python = request.config.getoption("--foreign")
    if not python:
        pytest.skip("not run: make test-foreign")
    home = tmp_path_factory.mktemp("airflow")
    scratch = {"conn_type": "sqlite", "host": str(home / "scratch.db")}
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_FS_DEFAULT": "fs://",
        "AIRFLOW_CONN_SCRATCH": json.dumps(scratch),
    }

    def run(script: str, *arguments: object, **more: str) -> Any:
        command = [str(Path(python).absolute()), str(_HERE / script), *map(str, arguments)]
        done = subprocess.run(
            command, env={**environment, **more}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    migrate = [str(Path(python).absolute().with_name("airflow")), "db", "migrate"]
    subprocess.run(migrate, env=environment, capture_output=True, check=True)
    return run
