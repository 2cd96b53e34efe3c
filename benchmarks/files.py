"""This module measures folders as flows: 1,000 files read cold, and again after a change."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import limits
from benchmarks.result import Figure

METADATA = """
description: All that the shop sells
schedule: "@daily"
connection: warehouse
default_args:
  owner: sales
  retries: 2
  retry_delay: !timedelta "minutes: 5"
"""

PYTHON = '''"""What task {i} does."""

# ---
# dependencies: [{upstream}]
# python_callable: load
# retries: 3
# ---

import json
import os


def load(ds=None):
    """Load a day."""
    path = os.path.join("data", f"{{ds}}.json")
    if not os.path.exists(path):
        return 0
    with open(path) as file:
        rows = json.load(file)
    return len([row for row in rows if row])
'''

YAML = """operator: bash
dependencies: [{upstream}]
bash_command: |
  echo "{{{{ ds }}}}"
  echo {i}
params:
  country: de
  limit: 10
doc: What task {i} does.
"""

SQL = """---
{operator}dependencies: [{upstream}]
doc: What task {i} does.
---

with days as (
  select id, total, day from {table} where day = '{{{{ ds }}}}'
)
select days.id, sum(days.total) as total, count(*) as orders
from days
join raw.orders as orders on orders.id = days.id
group by days.id
"""

#: Prints how long the parts took, in seconds.
MEASURE = """
import json
import os
import sys
import time

began = time.perf_counter()
from ostinato.authoring.files.folders import folder_flow
from ostinato.authoring.files.reading.kept_files import KeptFiles
from ostinato.authoring.files.reading.folder_reading import read_folder

path, changed = sys.argv[1:]
folder_flow(path).definition
whole = time.perf_counter()
kept = os.path.join(os.path.dirname(path), "kept")
read_folder(path, kept=KeptFiles(kept))
began_again = time.perf_counter()
read_folder(path, kept=KeptFiles(kept))
unchanged = time.perf_counter()
with open(changed, "a") as file:
    file.write("\\n")
began_changed = time.perf_counter()
read_folder(path, kept=KeptFiles(kept))
ended = time.perf_counter()
print(json.dumps([whole - began, unchanged - began_again, ended - began_changed]))
"""


def write_folder(folder: Path, count: int, *, is_parsed: bool) -> Path:
    """Write files of all types, and return one of them.

    Args:
        folder: Is made.
        count: Of the files: a quarter each of Python and YAML, two fifths of SQL, a tenth of
            notebooks.
        is_parsed: Whether the SQL names no operator, so that its tables are found by parsing it.
    """
    folder.mkdir()
    (folder / "METADATA.yml").write_text(METADATA)
    changed = folder
    for i in range(count):
        group = folder / f"group_{i // 50:02}"
        group.mkdir(exist_ok=True)
        stem = group / f"task_{i:04}"
        upstream = f"task_{i - 1:04}" if i % 10 else ""
        share = i / count
        if share < 0.25:
            stem.with_suffix(".py").write_text(PYTHON.format(i=i, upstream=upstream))
        elif share < 0.5:
            changed = stem.with_suffix(".yml")
            changed.write_text(YAML.format(i=i, upstream=upstream))
        elif share < 0.9:
            operator = "" if is_parsed else "operator: sql\nconn_id: warehouse\n"
            table = f"group_{(i - 1) // 50:02}.task_{i - 1:04}" if i % 10 else "raw.customers"
            text = SQL.format(i=i, upstream=upstream, operator=operator, table=table)
            stem.with_suffix(".sql").write_text(text)
        else:
            stem.with_suffix(".ipynb").write_text(_notebook(upstream))
    return changed


def files(scale: float) -> Iterator[Figure]:
    """Measure folders of 1,000 files."""
    count = max(int(1_000 * scale), 20)
    with tempfile.TemporaryDirectory() as name:
        for is_parsed, label, goal in ((False, "without", 0.5), (True, "with", 3.0)):
            folder = Path(name) / f"shop_{label}"
            changed = write_folder(folder, count, is_parsed=is_parsed)
            timings = [_measured(folder, changed) for _ in range(3)]
            whole, unchanged, one_changed = map(min, zip(*timings, strict=True))
            yield Figure(
                f"a flow of {count:,} files, cold, {label} parsing SQL",
                whole,
                "s",
                goal,
                limit=limits.command_seconds(["-c", "import ostinato"], repeats=5),
                limit_name="import ostinato",
            )
            if not is_parsed:
                work = f"read {count:,} files again"
                yield Figure(f"{work}, nothing changed", unchanged * 1e3, "ms", 20)
                yield Figure(f"{work}, one changed", one_changed * 1e3, "ms", 50)


def _measured(folder: Path, changed: Path) -> list[float]:
    command = [sys.executable, "-c", MEASURE, str(folder), str(changed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=folder.parent)
    seconds: list[float] = json.loads(done.stdout)
    return seconds


def _notebook(upstream: str) -> str:
    header = [
        "```yaml\n",
        f"dependencies: [{upstream}]\n",
        "retries: 1\n",
        "```",
    ]
    cells: list[dict[str, object]] = [{"cell_type": "markdown", "metadata": {}, "source": header}]
    cells += [
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": ["import math\n", f"print({number})\n"],
        }
        for number in range(10)
    ]
    return json.dumps(
        {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1
    )
