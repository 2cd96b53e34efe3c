"""This module opens the store that a project names: a file, or a database on a server."""

from pathlib import Path
from typing import Protocol

from ostinato.errors import MissingPackage, UsageError
from ostinato.store.protocol import Store

#: Begin the URLs of stores.
SCHEMES = ("postgresql://", "postgres://")


class StoreSettings(Protocol):
    """How a store is used, as the settings of a project have it."""

    @property
    def durability(self) -> str:
        """When a commit is acknowledged: ``fsync`` or ``relaxed``."""
        ...

    @property
    def lease_s(self) -> float:
        """Seconds that a coordinator on a server is valid after it was heard of."""
        ...


class StorageSettings(Protocol):
    """Where what is too large for a store is kept."""

    @property
    def shared(self) -> bool:
        """Whether all machines have it."""
        ...


class ProjectSettings(Protocol):
    """Settings of a project."""

    @property
    def store(self) -> StoreSettings:
        """How its store is used."""
        ...

    @property
    def storage(self) -> StorageSettings:
        """Where large values are kept."""
        ...


class StoredProject(Protocol):
    """A project that has a store."""

    @property
    def store_url(self) -> str:
        """URL of a database, or empty."""
        ...

    @property
    def store_path(self) -> Path:
        """The file, where there is no URL."""
        ...

    @property
    def settings(self) -> ProjectSettings:
        """What holds for it."""
        ...


def open_store_of(project: StoredProject) -> Store:
    """Open the store of a project, and make or migrate it where that is needed.

    Args:
        project: The project.

    Raises:
        StoreError: It cannot be opened; one of its kinds.
        UsageError: Its URL is none of a store.
        MissingPackage: It needs a driver that is not installed.
    """
    settings = project.settings
    url = project.store_url
    if not url:
        # Each of the two is imported only where it is used.
        from ostinato.store.sqlite import open_store

        return open_store(project.store_path, durability=settings.store.durability)
    if not url.startswith(SCHEMES):
        scheme = url.partition("://")[0]
        message = f"store.url is of no kind that is known: {scheme!r}"
        raise UsageError(message, hint="write postgresql://USER@HOST/DATABASE")
    try:
        from ostinato.store.postgres.store import open_postgres
    except ImportError as error:
        message = "a store on PostgreSQL needs the package 'psycopg', which is not installed"
        raise MissingPackage(message, hint="pip install 'ostinato[postgres]'") from error
    return open_postgres(
        url,
        durability=settings.store.durability,
        lease_s=settings.store.lease_s,
        is_storage_shared=settings.storage.shared,
    )


def open_memory() -> Store:
    """Open a store in memory, which ends with its process."""
    from ostinato.store.sqlite import open_store

    return open_store(":memory:")
