"""This module lists the keys of what tasks make, and when tasks run."""

from ostinato.authoring.files.keys.key import FLOW, GROUP, TASK, Key
from ostinato.authoring.files.keys.kinds import (
    ANYTHING,
    DURATION,
    FLAG,
    KEYS,
    NAMES,
    TEXT,
    either,
    keys_of,
    list_of,
    mapping_of,
    one_of,
    optional,
)

_NAME_OR_NAMES = either(TEXT, NAMES)
_CHECKS = either(
    list_of(either(TEXT, KEYS), "a list of checks"),
    mapping_of(ANYTHING, "checks and their arguments"),
)
_COLUMN = optional(
    either(
        TEXT,
        keys_of(
            {"type": optional(TEXT), "checks": optional(_CHECKS), "description": optional(TEXT)},
            "`{type, checks, description}`",
        ),
    )
)
_EXPAND = mapping_of(ANYTHING, "keys and values: an argument and what it is mapped over")

ASSET_KEYS = (
    Key(
        "connection",
        (TASK, FLOW, GROUP),
        TEXT,
        "The database of the SQL files; of a folder: of all beneath.",
        "",
        "connection: warehouse",
    ),
    Key(
        "materialized",
        (TASK,),
        one_of("table", "view", "incremental", "none"),
        "What a SELECT becomes: a table, a view, a table to which new rows are added, nothing.",
        "table",
        "materialized: view",
    ),
    Key(
        "unique_key",
        (TASK,),
        _NAME_OR_NAMES,
        "Columns by which new rows replace old ones in an incremental table.",
        "",
        "unique_key: order_id",
    ),
    Key(
        "partition",
        (TASK,),
        either(TEXT, KEYS),
        "Column whose values of a run replace those of an earlier run for the same date.",
        "",
        "partition: day",
    ),
    Key(
        "partition_value",
        (TASK,),
        ANYTHING,
        "The only value of `partition` in a run: its rows are replaced even by none.",
        "the values that the query gives",
        "partition_value: '{{ ds }}'",
    ),
    Key(
        "full_refresh",
        (TASK,),
        either(FLAG, TEXT),
        "Whether an incremental table is made anew; a parameter of this name says so too.",
        "false",
        "full_refresh: '{{ params.again }}'",
    ),
    Key(
        "asset",
        (TASK,),
        TEXT,
        "Name of the table or frame that it makes.",
        "the group and the task: `group.task`",
        "asset: marts.revenue",
    ),
    Key(
        "columns",
        (TASK,),
        mapping_of(_COLUMN, "names of columns and their types"),
        "The columns of what it makes, by name.",
        "",
        "columns:\n  id: int\n  total: {type: float, checks: [not_null]}",
    ),
    Key("checks", (TASK,), _CHECKS, "What must hold of what it makes.", "", "checks: [not_empty]"),
    Key(
        "freshness",
        (TASK, FLOW, GROUP),
        either(DURATION, KEYS),
        "How old what it makes may become.",
        "",
        "freshness: 1d",
    ),
    Key(
        "owners",
        (TASK, FLOW, GROUP),
        _NAME_OR_NAMES,
        "Who answers for what it makes.",
        "",
        "owners: [sales]",
    ),
    Key(
        "produces",
        (TASK,),
        _NAME_OR_NAMES,
        "Files that it makes.",
        "",
        "produces: [out/report.html]",
    ),
    Key(
        "sources",
        (FLOW, GROUP),
        either(NAMES, mapping_of(ANYTHING)),
        "Tables that nothing here makes but that queries may read.",
        "",
        "sources: [raw.orders]",
    ),
    Key(
        "seeds",
        (FLOW, GROUP),
        FLAG,
        "Whether `.csv` and `.parquet` files are loaded as tables.",
        "false",
        "seeds: true",
    ),
    Key(
        "expand",
        (TASK,),
        _EXPAND,
        "Arguments that have a list: a task run for each item.",
        "",
        "expand: {country: [de, fr]}",
    ),
    Key(
        "when",
        (TASK,),
        either(TEXT, FLAG),
        "Condition as a template; where it is false the task is skipped.",
        "",
        'when: "{{ params.full }}"',
    ),
    Key(
        "cache",
        (TASK,),
        either(FLAG, TEXT),
        "Whether its result is taken over from an earlier run as long as its file and its inputs "
        "are unchanged; or of what that depends, such as inputs+params.",
        "false",
        "cache: true",
    ),
    Key(
        "schedule",
        (TASK,),
        either(TEXT, DURATION),
        "In which runs it runs: those in whose interval this schedule has a date.",
        "in all",
        "schedule: '@weekly'",
    ),
)
