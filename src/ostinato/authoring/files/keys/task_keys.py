"""This module lists the keys of front matter that make and wire tasks."""

from ostinato.authoring.files.keys.key import FLOW, GROUP, TASK, Key
from ostinato.authoring.files.keys.kinds import (
    ANYTHING,
    CALLABLE,
    KEYS,
    NAMES,
    TEXT,
    either,
    list_of,
    mapping_of,
)

_EXTERNAL = either(
    list_of(mapping_of(ANYTHING, "`flow: task`"), "a list of `flow: task`"),
    mapping_of(KEYS, "`flow: {tasks: [...]}`"),
)

TASK_KEYS = (
    Key(
        "operator",
        (TASK,),
        either(TEXT, CALLABLE),
        "What runs the file: a short name such as `bash`, a class or function by its path, "
        "or `local.Name` for one of the project's `operators` folder.",
        "by the file's type",
        "operator: bash",
    ),
    Key(
        "dependencies",
        (TASK,),
        NAMES,
        "What must be done before: tasks of the flow by short or full id, groups of the folder.",
        "",
        "dependencies: [extract, clean]",
    ),
    Key(
        "dependencies",
        (GROUP,),
        NAMES,
        "What must be done before any of its tasks: tasks and groups of the parent folder.",
        "",
        "dependencies: [extract, staging]",
    ),
    Key(
        "external_dependencies",
        (TASK, FLOW, GROUP),
        _EXTERNAL,
        "Tasks of other flows, or `all` of one, that must be done in the run for the same date.",
        "",
        "external_dependencies:\n  - other_flow: its_task\n  - another_flow: all",
    ),
    Key(
        "python_callable",
        (TASK,),
        CALLABLE,
        "The function of the file that is the task.",
        "`main`, else the one with `@task`, else the file runs as a script",
        "python_callable: load",
    ),
    Key(
        "extra_callables",
        (TASK,),
        mapping_of(CALLABLE, "arguments and names of functions"),
        "Further arguments of the operator that are functions of the file.",
        "",
        "extra_callables: {on_success_callback: tell}",
    ),
    Key(
        "python_callable_partials",
        (TASK,),
        mapping_of(KEYS, "ids of tasks and arguments"),
        "Makes one task of each entry, which calls the function with these arguments.",
        "",
        "python_callable_partials:\n  load_de: {country: de}\n  load_fr: {country: fr}",
    ),
    Key(
        "multi_task_spec",
        (TASK,),
        mapping_of(KEYS, "ids of tasks and keys"),
        "Makes one task of each entry, with these keys laid over the file's own.",
        "",
        "multi_task_spec:\n  load_de: {params: {country: de}}\n  load_fr: {}",
    ),
    Key(
        "sql", (TASK,), ANYTHING, "The query; of a `.sql` file it is the body.", "", "sql: select 1"
    ),
    Key(
        "task_id",
        (TASK,),
        TEXT,
        "Has no effect: the file's name is the id.",
        "the file's name",
        "task_id: load",
    ),
    Key(
        "task_group",
        (TASK,),
        ANYTHING,
        "Has no effect: the file's folder is the group.",
        "the folder",
        "task_group: staging",
    ),
    Key(
        "dag",
        (TASK,),
        ANYTHING,
        "Has no effect: the folder is the flow.",
        "the folder",
        "dag: shop",
    ),
)

#: Keys that the loader itself reads, whatever the operator.
WIRING = frozenset(
    {
        "operator",
        "dependencies",
        "external_dependencies",
        "extra_callables",
        "python_callable_partials",
        "multi_task_spec",
    }
)
