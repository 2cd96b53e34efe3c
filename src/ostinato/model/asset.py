"""This module declares what a task makes: a table, a frame or files, and what is known of it."""

from typing import Any

from msgspec import Struct


class Check(Struct, frozen=True, omit_defaults=True):
    """A condition that data is to meet.

    Attributes:
        name: Which condition, such as ``not_null`` or ``between``.
        arguments: What it is told, by name.
        severity: ``error``, or ``warn``.
    """

    name: str
    arguments: dict[str, Any] = {}
    severity: str = "error"


class Column(Struct, frozen=True, omit_defaults=True):
    """A declared column of a table.

    Attributes:
        name: As the database has it.
        type: As the user wrote it, empty if nothing is said.
        description: For people.
        checks: What its values are to meet.
    """

    name: str
    type: str = ""
    description: str = ""
    checks: tuple[Check, ...] = ()


class ColumnOrigin(Struct, frozen=True):
    """A column that another one is computed from.

    Attributes:
        asset: Key of the asset that it belongs to, or name of a table that no task makes.
        column: Its name.
    """

    asset: str
    column: str


class ColumnLineage(Struct, frozen=True):
    """What a column is computed from.

    Attributes:
        column: Its name.
        origins: Columns of other assets and tables, sorted.
    """

    column: str
    origins: tuple[ColumnOrigin, ...]


class Freshness(Struct, frozen=True, omit_defaults=True):
    """How old data may become.

    Attributes:
        warn_s: Seconds after which it is late; 0 for never.
        fail_s: Seconds after which it is too late; 0 for never.
        cron: Moments by which it is to have been made, instead of an age.
        timezone: IANA name, of ``cron``; empty for the flow's.
        lower_bound_s: Seconds before such a moment from which on it counts.
    """

    warn_s: float = 0.0
    fail_s: float = 0.0
    cron: str = ""
    timezone: str = ""
    lower_bound_s: float = 0.0


class AssetDefinition(Struct, frozen=True, omit_defaults=True):
    """What a task makes.

    Attributes:
        key: Path of names, joined by slashes.
        table: Its name in the database, empty for what is no table.
        connection: Id of the connection of the database.
        materialized: How the table comes about, such as ``view``.
        columns: As declared, in that order.
        checks: Of the whole.
        freshness: How old it may become.
        owners: Who is asked about it.
        partition: What divides it, such as the name of a column.
        produces: Files that the task makes.
        reads: Keys of assets, and names of tables that no task makes, sorted.
        external: Those of ``reads`` that no task makes.
        lineage: What its columns are computed from, as far as it is known.
    """

    key: str
    table: str = ""
    connection: str = ""
    materialized: str = ""
    columns: tuple[Column, ...] = ()
    checks: tuple[Check, ...] = ()
    freshness: Freshness | None = None
    owners: tuple[str, ...] = ()
    partition: str = ""
    produces: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    lineage: tuple[ColumnLineage, ...] = ()
