"""This module declares what ``ostinato.yaml`` may say."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ostinato.project.alert_settings import NO_ALERT_SETTINGS, AlertSettings

#: The only version of the format that there is.
FORMAT_VERSION = 1

#: Keys that a later version will understand; refused, because they would do nothing.
RESERVED = frozenset({"resources"})

#: A size as people write it.
SIZE = r"^\d+(\.\d+)? *[KMGTkmgt]?i?[Bb]?$"

#: How long something is kept, as people write it; empty for ever.
AGE = r"^(\d+(\.\d+)?(s|m|h|d|w))*$"

Age = Annotated[str, Meta(pattern=AGE)]

Slots = Annotated[int, Meta(ge=1)]


#: Where attempts run.
ExecutorName = Literal["process", "thread", "inline"]

#: When a commit is acknowledged: ``fsync`` after it is on the disk, which survives a power
#: failure; ``relaxed`` after the operating system has it, which survives a killed process.
Durability = Literal["fsync", "relaxed"]


class StoreSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the durable state is kept; a text alone is the URL or the path.

    Attributes:
        url: PostgreSQL database that is used instead of a file. ``${NAME}`` in it stands for an
            environment variable.
        path: SQLite file; relative to the project. Empty for ``.ostinato/store.db``.
        durability: When a commit is acknowledged.
        lease_s: Seconds without a word to PostgreSQL after which a worker's tasks are ended, so
            that others can go on with them; the same for all processes.
    """

    url: str = ""
    path: str = ""
    durability: Durability = "fsync"
    lease_s: Annotated[float, Meta(gt=0)] = 8.0


class StorageSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where large values and logs are kept.

    Attributes:
        values: Folder; relative to the project. Empty for ``.ostinato/values``.
        logs: Folder; relative to the project. Empty for ``.ostinato/logs``.
        shared: Whether all machines that use the store have these folders.
    """

    values: str = ""
    logs: str = ""
    shared: bool = False


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where HTTP is served, and to whom.

    Attributes:
        host: Name or address to listen on.
        port: The same; 0 for any that is free.
        token: What callers must send as ``Authorization: Bearer``; empty for none, which is
            possible only where nobody else reaches the server.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 4200
    token: str = ""


class TelemetrySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where traces and logs are sent to, by OTLP over HTTP.

    Attributes:
        endpoint: URL before ``/v1/traces`` and ``/v1/logs``; empty for nowhere.
        headers: Of each request, such as one with a key.
        service: What the service calls itself.
        logs: Whether logs of tasks and of the service are sent beside traces.
    """

    endpoint: str = ""
    headers: dict[str, str] = {}
    service: str = "ostinato"
    logs: bool = True


class SecretsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where secrets are looked for, and what counts as one.

    Attributes:
        backends: Where connections and variables are looked for before the store: ``file`` names
            one, ``class`` a class as ``module:Class`` whose other keys are its arguments.
        names: Words beyond the usual ones that make the name of a variable or field a secret's.
    """

    backends: tuple[dict[str, Any], ...] = ()
    names: tuple[str, ...] = ()


class ComputeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the machine has for tasks that ask for some of it by ``compute``.

    Attributes:
        cpu: Cores; 0 for all of the machine, of which a task that asks for more gets all.
        gpu: Devices; 0 for no limit.
        memory: Bytes, or text such as ``16GB``; 0 for no limit.
    """

    cpu: Annotated[float, Meta(ge=0)] = 0.0
    gpu: Annotated[float, Meta(ge=0)] = 0.0
    memory: Annotated[int, Meta(ge=0)] | Annotated[str, Meta(pattern=SIZE)] = 0


class RetentionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How long what has ended is kept; empty and 0 for ever.

    Attributes:
        runs: Runs with all that belongs to them, such as ``90d``.
        runs_per_flow: So many runs of each flow.
        events: What happened.
        logs: Logs of runs that are kept.
        values: Large results of runs that are kept.
    """

    runs: Age = ""
    runs_per_flow: Annotated[int, Meta(ge=0)] = 0
    events: Age = ""
    logs: Age = ""
    values: Age = ""


class Overrides(Struct, frozen=True, forbid_unknown_fields=True):
    """What an environment may set in its own way.

    Attributes:
        timezone: IANA zone of flows that name none.
        executor: Where attempts run unless a flow or task says otherwise.
        max_children: Processes at a time that execute attempts; 0 for one per core.
        pools: Slots by the name of the pool.
        compute: What the machine has for tasks that ask for some of it.
        defaults: Policies, owner and tags of all tasks where flow, group and task say nothing.
        store: Where the durable state is kept.
        storage: Where large values and logs are kept.
        connections: How to reach systems outside, by id: a URI or fields.
        variables: Values by name.
        secrets: Where else both are looked for, and what is masked.
        alerts: Who is told of what.
        server: Where HTTP is served, and to whom.
        telemetry: Where traces and logs are sent to.
        retention: How long what has ended is kept.
    """

    timezone: str = "UTC"
    executor: ExecutorName = "process"
    max_children: Annotated[int, Meta(ge=0)] = 0
    pools: dict[str, Slots] = {}
    compute: ComputeSettings = ComputeSettings()
    defaults: dict[str, Any] = {}
    store: StoreSettings = StoreSettings()
    storage: StorageSettings = StorageSettings()
    connections: dict[str, str | dict[str, Any]] = {}
    variables: dict[str, Any] = {}
    secrets: SecretsSettings = SecretsSettings()
    alerts: AlertSettings = NO_ALERT_SETTINGS
    server: ServerSettings = ServerSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    retention: RetentionSettings = RetentionSettings()


class Settings(Overrides, frozen=True, forbid_unknown_fields=True):
    """What a project says of itself; the rest is as in ``Overrides``.

    Attributes:
        version: Of the format.
        name: Of the project; empty for the name of its folder.
        flows: Folders and files, relative to the project, whose modules declare flows.
        environments: Overrides by the name of the environment.
    """

    version: Annotated[int, Meta(ge=FORMAT_VERSION, le=FORMAT_VERSION)] = FORMAT_VERSION
    name: str = ""
    flows: tuple[str, ...] = ("flows",)
    environments: dict[str, dict[str, Any]] = {}
