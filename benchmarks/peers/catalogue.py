"""This module lists the systems that are compared, and how each is started."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.workloads import Layout

#: The folder with one subfolder a system.
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Mode:
    """A way to execute tasks, by the word that the workload takes."""

    name: str
    layout: Layout


#: How every system's hello run is started.
COMMAND = Mode("command", Layout.SHELL)


@dataclass(frozen=True)
class System:
    """One orchestrator: its modes, its command for the hello run, and its settings.

    Args:
        name: Also the name of its folder, with `workload.py` and `hello.py`.
        modes: The most favourable local modes that still record state.
        hello: The command that runs `hello.py`; `{bin}` is the folder of its programs.
        prepare: A command that a fresh home needs first; it is not measured.
        workload: The command that runs `workload.py`, without the measure and the mode.
        environ: Environment variables; `{home}` is the temporary folder of the run.
    """

    name: str
    modes: tuple[Mode, ...]
    hello: tuple[str, ...]
    environ: dict[str, str]
    prepare: tuple[str, ...] = ()
    workload: tuple[str, ...] = ("{bin}/python", "workload.py")

    @property
    def folder(self) -> Path:
        return HERE / self.name

    @property
    def requirements(self) -> Path:
        return self.folder / "requirements.txt"


OURS = System(
    name="ours",
    modes=(Mode("inline", Layout.EMBEDDED), Mode("process", Layout.PROCESSES)),
    workload=(sys.executable, "workload.py"),
    hello=("{bin}/ostinato", "run", "hello.py"),
    environ={"OSTINATO_HOME": "{home}/ostinato"},
)

AIRFLOW = System(
    name="airflow",
    modes=(Mode("dag.test", Layout.EMBEDDED), Mode("scheduler", Layout.PROCESSES)),
    prepare=("{bin}/airflow", "db", "migrate"),
    hello=("{bin}/airflow", "dags", "test", "hello"),
    environ={
        "AIRFLOW_HOME": "{home}",
        # The folder holds the copies of workload.py and hello.py.
        "AIRFLOW__CORE__DAGS_FOLDER": "{home}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of use only while the benchmark runs" * 2,
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
    },
)

DAGSTER = System(
    name="dagster",
    modes=(Mode("in-process", Layout.EMBEDDED), Mode("multiprocess", Layout.PROCESSES)),
    hello=("{bin}/dagster", "job", "execute", "--python-file", "hello.py", "--job", "hello_job"),
    # The folder also holds a copy of dagster.yaml, with telemetry off.
    environ={"DAGSTER_HOME": "{home}", "DAGSTER_DISABLE_TELEMETRY": "1"},
)

PREFECT = System(
    name="prefect",
    modes=(Mode("threads", Layout.EMBEDDED), Mode("processes", Layout.PROCESSES)),
    hello=("{bin}/python", "hello.py"),
    environ={
        "PREFECT_HOME": "{home}/prefect",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        # On two loaded cores its server needs more than the 20 s that it has by default.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    },
)

PEERS = (AIRFLOW, DAGSTER, PREFECT)


def our_programs() -> Path:
    """Return the folder of the `ostinato` command: beside this Python, or on PATH."""
    beside = Path(sys.executable).parent
    found = None if (beside / "ostinato").exists() else shutil.which("ostinato")
    return Path(found).parent if found else beside
