"""This module makes the part of a service that serves HTTP."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ostinato.cli.opening import Opened
from ostinato.clock import SystemClock
from ostinato.model.health import PartHealth
from ostinato.model.measure import Measured
from ostinato.project.discovery import Project
from ostinato.server.http_server import Address, HttpServer
from ostinato.server.service_measures import ServiceMeasures

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

Health = Callable[[], Mapping[str, PartHealth]]


def http_server(
    opened: Opened,
    *,
    host: str | None,
    port: int | None,
    health: Health,
    measured: Sequence[Measured] = (),
) -> HttpServer:
    """Return the server of a project: health, metrics, and the interface for programs.

    Args:
        opened: The project, with its store.
        host: Where to listen; None for the setting.
        port: The same.
        health: Returns how the parts of this process are, by name.
        measured: What ``/metrics`` shows.

    Raises:
        UsageError: It cannot listen there.
    """
    address = _address(opened.project, host, port)

    def routes() -> "Iterable[BaseRoute]":
        from ostinato.cli.version import version_number
        from ostinato.client.flows import FlowDirectory
        from ostinato.client.vault import Vault
        from ostinato.server.api.interface import Access, interface_routes

        access = Access(
            client=opened.client,
            flows=FlowDirectory(opened.store, opened.project, SystemClock()),
            project=opened.project.name,
            variable=Vault(opened.store.vault, opened.project).variable,
            token=address.token,
            version=version_number(),
        )
        return interface_routes(access)

    service = ServiceMeasures(opened.client, opened.project.name, SystemClock())
    return HttpServer(
        address,
        health=health,
        probes={"store": lambda: probe_store(opened)},
        measured=[*measured, service],
        routes=routes,
    )


def monitor(
    opened: Opened,
    *,
    host: str | None,
    port: int | None,
    health: Health,
    measured: Sequence[Measured] = (),
) -> HttpServer:
    """Return what shows health and metrics of a worker or a scheduler; see ``http_server``."""
    address = _address(opened.project, host, port)
    return HttpServer(
        address, health=health, probes={"store": lambda: probe_store(opened)}, measured=measured
    )


def probe_store(opened: Opened) -> PartHealth:
    """Return how the store is, by asking it."""
    from ostinato.errors import StoreError

    try:
        opened.client.event_cursor()
    except StoreError as error:
        return PartHealth(is_ready=False, detail=str(error))
    return PartHealth()


def _address(project: Project, host: str | None, port: int | None) -> Address:
    settings = project.settings.server
    return Address(
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        token=settings.token,
    )
