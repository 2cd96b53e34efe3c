"""This module makes folders at random, of everything that gusty knows, by a seed."""

import json
import random
from typing import Any

import yaml

Case = dict[str, Any]

_EMPTY = "airflow.providers.standard.operators.empty.EmptyOperator"
_BASH = "airflow.providers.standard.operators.bash.BashOperator"
_PYTHON = "airflow.providers.standard.operators.python.PythonOperator"
_SHORT = "airflow.providers.standard.operators.python.ShortCircuitOperator"
_SQL = "airflow.providers.common.sql.operators.sql.SQLExecuteQueryOperator"
_OLD = "airflow.operators.empty.EmptyOperator"
_RULES = ("all_success", "all_done", "none_failed", "one_success", "none_failed_min_one_success")
_WORDS = (
    *("Orders", "Items", "clean", "load", "users", "events", "stats", "report"),
    *("Daily_sums", "raw", "stage", "mart", "check", "mail", "sync"),
)
_FLOWS = ("upstream_dag", "other", "warehouse-daily", "a.b")


class Folders:
    """Make one case of one seed.

    Args:
        seed: Decides everything.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.files: dict[str, str] = {}
        self.known: list[str] = []
        self.root_tasks: list[str] = []
        self.used: set[str] = set()

    def case(self) -> Case:
        """Return the files and the arguments of ``create_dag``."""
        name = "flow"
        self._level(name, depth=0)
        self._metadata(name)
        files = {f"{name}/": "", **self.files}
        return {"files": files, "arguments": self._arguments()}

    def _maybe(self, share: float) -> bool:
        return self.chance.random() < share

    def _id(self) -> str:
        for _ in range(100):
            word = self.chance.choice(_WORDS)
            if self._maybe(0.6):
                word += f"_{self.chance.randint(1, 99)}"
            if word.lower() not in self.used:
                self.used.add(word.lower())
                return word
        raise AssertionError

    def _level(self, folder: str, depth: int) -> list[str]:
        groups: list[str] = []
        if depth < 3:
            for _ in range(
                self.chance.choice((0, 0, 1, 1, 2, 3))
                if depth
                else self.chance.choice((0, 1, 2, 3))
            ):
                groups += [self._group(folder, depth)]
        tasks: list[str] = []
        for _ in range(self.chance.randint(1, 4)):
            tasks.extend(self._file(folder, groups if self._maybe(0.4) else [], depth))
        if depth == 0:
            self.root_tasks = tasks
        if self._maybe(0.1):
            self.files[f"{folder}/_{self._id()}.yml"] = "operator: nonsense"
        if self._maybe(0.1):
            self.files[f"{folder}/README.txt"] = "nothing"
        return tasks

    def _group(self, folder: str, depth: int) -> str:
        name = self._id()
        path = f"{folder}/{name}"
        known = list(self.known)
        if self._maybe(0.08):
            self.files[f"{path}/.gustyignore"] = ""
            self.files[f"{path}/{self._id()}.yml"] = "operator: nonsense"
            return name
        metadata: dict[str, Any] = {}
        mode = self.chance.choice(("", "", "prefix", "suffix", "both", "off"))
        if mode in ("prefix", "both"):
            metadata["prefix_group_id"] = True
        if mode in ("suffix", "both"):
            metadata["suffix_group_id"] = True
        if mode == "off":
            metadata["prefix_group_id"] = False
        if self._maybe(0.3):
            metadata["tooltip"] = f"about {name}"
        if self._maybe(0.3):
            metadata["default_args"] = self._defaults()
        if self._maybe(0.1):
            metadata["group_id"] = f"renamed_{name}"
        if self._maybe(0.2):
            metadata["external_dependencies"] = self._externals()
        if self._maybe(0.3) and known:
            metadata["dependencies"] = self.chance.sample(known, min(len(known), 2))
        if self._maybe(0.1):
            metadata["ui_color"] = "#eee"
        tasks = self._level(path, depth + 1)
        if metadata or self._maybe(0.2):
            self.files[f"{path}/METADATA.yml"] = (
                yaml.safe_dump(metadata) if metadata else "tooltip: ''"
            )
        del tasks
        self.known.append(name)
        return name

    def _defaults(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._maybe(0.6):
            found["retries"] = self.chance.randint(0, 5)
        if self._maybe(0.3):
            found["owner"] = "somebody"
        if self._maybe(0.2):
            found["trigger_rule"] = self.chance.choice(_RULES)
        if self._maybe(0.2):
            found["email_on_failure"] = False
        if self._maybe(0.2):
            found["bash_command"] = "echo default"
        if self._maybe(0.1):
            found["depends_on_past"] = True
        return found

    def _externals(self) -> Any:
        flows = self.chance.sample(_FLOWS, self.chance.randint(1, 2))
        tasks = ("load", "all", "done")
        if self._maybe(0.3):
            found: dict[str, Any] = {}
            for flow in flows:
                found[flow] = {"tasks": self.chance.sample(tasks, self.chance.randint(1, 2))}
                if self._maybe(0.5):
                    found[flow]["timeout"] = 60
                if self._maybe(0.3):
                    found[flow]["retries"] = 2
            return found
        if self._maybe(0.3):
            return [{flow: self.chance.choice(tasks) for flow in flows}]
        return [{flow: self.chance.choice(tasks)} for flow in flows]

    def _file(self, folder: str, groups: list[str], depth: int) -> list[str]:
        name = self._id()
        spec: dict[str, Any] = {}
        if self._maybe(0.45):
            pool = [*self.known, *groups]
            count = min(len(pool), self.chance.randint(1, 3))
            spec["dependencies"] = self.chance.sample(pool, count)
            if self._maybe(0.1):
                spec["dependencies"].append("nobody_knows")
        if self._maybe(0.2):
            spec["external_dependencies"] = self._externals()
        if self._maybe(0.2):
            spec["retries"] = self.chance.randint(0, 4)
        if self._maybe(0.2):
            spec["trigger_rule"] = self.chance.choice(_RULES)
        if self._maybe(0.1):
            spec["my_own_key"] = [1, {"a": 2}]
        if self._maybe(0.1):
            spec["doc_md"] = "about it"
        task_id = name.lower()
        ids = [task_id]
        suffix = self.chance.choice(
            (".yml", ".yml", ".yml", ".yaml", ".py", ".py", ".sql", ".sql", ".ipynb", ".Rmd")
        )
        if self._maybe(0.12):
            ids = [f"{task_id}_{i}" for i in range(self.chance.randint(1, 3))]
            overrides: dict[str, Any] = {one: {} for one in ids}
            overrides[ids[0]] = {"retries": 7}
            if len(ids) > 1:
                overrides[ids[1]] = {"dependencies": [ids[0]]}
            spec["multi_task_spec"] = overrides
        self.files[f"{folder}/{name}{suffix}"] = getattr(self, f"_{suffix[1:].lower()}")(spec, ids)
        self.known.extend(ids)
        return ids

    def _yml(self, spec: dict[str, Any], ids: list[str]) -> str:
        kind = self.chance.choice(
            (
                _EMPTY,
                _BASH,
                _OLD,
                "local.HelloOperator",
                "local.DetectingOperator",
                "local.StrictOperator",
                "local.InheritedOperator",
            )
        )
        spec["operator"] = kind
        if kind == _BASH:
            spec["bash_command"] = "echo {{ ds }}"
        if kind == "local.DetectingOperator":
            pool = [name for name in self.known if name.isidentifier()] or ["nothing"]
            spec["sql"] = f"select * from {self.chance.choice(pool)}"
        if kind == "local.InheritedOperator":
            spec["colour"] = "blue"
        return yaml.safe_dump(spec)

    _yaml = _yml

    def _py(self, spec: dict[str, Any], ids: list[str]) -> str:
        kind = self.chance.choice(("script", "script", "callable", "short", "partials"))
        if kind in ("callable", "short", "partials"):
            spec["python_callable"] = "say"
        if kind == "short":
            spec["operator"] = _SHORT
        if kind == "partials" and "multi_task_spec" not in spec:
            base = ids[0]
            ids[:] = [f"{base}_x", f"{base}_y"]
            spec["python_callable_partials"] = {ids[0]: {"word": "a"}, ids[1]: {"word": "b"}}
        if not spec and self._maybe(0.5):
            return "print('plain')\n"
        spec.setdefault("owner", "py")
        header = "".join(f"# {line}\n" for line in yaml.safe_dump(spec).splitlines())
        return f"# ---\n{header}# ---\n\ndef say(word='x'):\n    return word\n"

    def _sql(self, spec: dict[str, Any], ids: list[str]) -> str:
        spec["operator"] = _SQL
        spec["conn_id"] = "db"
        text = yaml.safe_dump(spec)
        if self._maybe(0.5):
            return f"---\n{text}---\n\nselect 1\n---\nselect 2\n"
        return f"/*\n{text}*/\nselect 1 /* more */\n"

    def _ipynb(self, spec: dict[str, Any], ids: list[str]) -> str:
        spec["operator"] = "local.StrictOperator"
        cells = [
            {"cell_type": "markdown", "metadata": {}, "source": "# title", "id": "a"},
            {
                "cell_type": "markdown",
                "metadata": {},
                "source": f"```yaml\n{yaml.safe_dump(spec)}```",
                "id": "b",
            },
            {
                "cell_type": "code",
                "metadata": {},
                "source": "1 + 1",
                "outputs": [],
                "execution_count": None,
                "id": "c",
            },
        ]
        return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})

    def _rmd(self, spec: dict[str, Any], ids: list[str]) -> str:
        spec["operator"] = "local.StrictOperator"
        return f"---\n{yaml.safe_dump(spec)}---\n\n# Analysis\n"

    def _metadata(self, folder: str) -> None:
        metadata: dict[str, Any] = {}
        if self._maybe(0.5):
            metadata["default_args"] = self._defaults()
        if self._maybe(0.4):
            metadata["tags"] = ["b", "a"]
        if self._maybe(0.4):
            metadata["schedule"] = "0 6 * * *"
        if self._maybe(0.3):
            metadata["description"] = "what it is"
        if self._maybe(0.3):
            metadata["latest_only"] = self.chance.choice((True, False))
        if self._maybe(0.3):
            metadata["external_dependencies"] = self._externals()
        if self._maybe(0.3) and self.root_tasks:
            metadata["root_tasks"] = self._ends("first")
        if self._maybe(0.3) and self.root_tasks:
            metadata["leaf_tasks"] = self._ends("last")
        if self._maybe(0.1):
            metadata["ignore_subfolders"] = True
        if self._maybe(0.2):
            metadata["wait_for_defaults"] = {"retries": 5, "poke_interval": 30}
        if self._maybe(0.2):
            metadata["dependencies"] = ["useless"]
        if metadata:
            self.files[f"{folder}/METADATA.yml"] = yaml.safe_dump(metadata)

    def _ends(self, what: str) -> list[str]:
        if self._maybe(0.15):
            return [self.chance.choice(self.root_tasks)]
        names = [f"{what}_{number}" for number in range(self.chance.randint(1, 2))]
        for name in names:
            spec: dict[str, Any] = {"operator": _EMPTY}
            if self._maybe(0.1):
                spec["external_dependencies"] = self._externals()
            self.files[f"flow/{name}.yml"] = yaml.safe_dump(spec)
        return names

    def _arguments(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._maybe(0.6):
            found["latest_only"] = self.chance.choice((True, False))
        if self._maybe(0.2):
            found["task_group_defaults"] = {
                "prefix_group_id": self.chance.choice((True, False)),
                "tooltip": "by default",
            }
            if self._maybe(0.4):
                found["task_group_defaults"]["suffix_group_id"] = True
            if self._maybe(0.4):
                found["task_group_defaults"]["default_args"] = self._defaults()
        if self._maybe(0.2):
            found["wait_for_defaults"] = {"retries": 3, "timeout": 100, "nonsense": 1}
        if self._maybe(0.2):
            found["extra_tags"] = ["more"]
        if self._maybe(0.2):
            found["default_args"] = self._defaults()
        if self._maybe(0.2):
            found["external_dependencies"] = [{"from_call": "all"}]
        if self._maybe(0.15):
            found["leaf_tasks_from_dict"] = {
                "The_End": {"operator": _EMPTY},
                "end2": {"operator": _EMPTY, "retries": 1},
            }
        if self._maybe(0.1):
            found["ignore_subfolders"] = True
        if self._maybe(0.1) and self.root_tasks:
            found["root_tasks"] = [self.root_tasks[0]]
        if self._maybe(0.1):
            found["tags"] = ["call"]
        return found


def random_case(seed: int) -> Case:
    """Return the case of a seed."""
    return Folders(seed).case()
