"""This module says where spans and logs are sent."""

from collections.abc import Mapping

from msgspec import Struct


class Receiver(Struct, frozen=True):
    """Where to send to.

    Attributes:
        endpoint: URL before ``/v1/traces`` and ``/v1/logs``.
        headers: Of each request.
        service: What this service calls itself.
        has_logs: Whether logs are sent too.
    """

    endpoint: str
    headers: Mapping[str, str] = {}
    service: str = "ostinato"
    has_logs: bool = True
