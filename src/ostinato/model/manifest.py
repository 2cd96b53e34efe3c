"""This module is the serialised form of a project's definitions at one version."""

import hashlib
import re

import msgspec

from ostinato.model.event_sensor import SensorDefinition
from ostinato.model.flow import FlowDefinition

#: Of problems in folders of files, which people look up.
_CODE_OF_FILES = re.compile(r"F\d{3}")


class DefinitionProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a file or a flow cannot be used; the rest of the project stays usable.

    Attributes:
        code: Stable identifier, such as ``cycle``.
        message: What is wrong, without the place.
        file: Path as the user would write it.
        line: 1-based, 0 when unknown.
        hint: What to do.
        column: 1-based, 0 when unknown.
        severity: ``error`` or ``warning``; a warning keeps nothing from running.
    """

    code: str
    message: str
    file: str = ""
    line: int = 0
    hint: str = ""
    column: int = 0
    severity: str = "error"

    @property
    def is_error(self) -> bool:
        """Whether it keeps a flow from running."""
        return self.severity == "error"

    def __str__(self) -> str:
        if _CODE_OF_FILES.fullmatch(self.code):
            numbers = [str(number) for number in (self.line, self.column) if number]
            advice = f"; {self.hint}" if self.hint else ""
            return f"{':'.join([self.file, *numbers])} {self.code} {self.message}{advice}"
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class NamedConnection(msgspec.Struct, frozen=True):
    """A connection that a file of a folder names.

    Attributes:
        name: Its id.
        file: Path as the user would write it.
        line: Of the key, 1-based.
        column: The same.
    """

    name: str
    file: str
    line: int
    column: int


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The definitions of a project at one version.

    Attributes:
        project: Name of the project.
        flows: What can be run.
        problems: What could not be loaded.
        sources: Content hash of each source file by its path relative to the project.
        connections: Those that folders name.
        sensors: Functions with a cursor that ask for runs.
        unloaded: Files and folders, relative to the project, in which something is wrong: flows
            that they declare are missing here.
    """

    project: str
    flows: tuple[FlowDefinition, ...] = ()
    problems: tuple[DefinitionProblem, ...] = ()
    sources: dict[str, str] = {}
    connections: tuple[NamedConnection, ...] = ()
    sensors: tuple[SensorDefinition, ...] = ()
    unloaded: tuple[str, ...] = ()

    def flow(self, name: str) -> FlowDefinition | None:
        """Return the flow of that name, or None."""
        return next((flow for flow in self.flows if flow.name == name), None)

    def sensor(self, name: str) -> SensorDefinition | None:
        """Return the sensor of that name, or None."""
        return next((sensor for sensor in self.sensors if sensor.name == name), None)


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Manifest)
_flow_decoder = msgspec.msgpack.Decoder(FlowDefinition)


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest so that equal manifests give equal bytes."""
    return _encoder.encode(manifest)


def decode_manifest(data: bytes) -> Manifest:
    """Read what ``encode_manifest`` wrote."""
    return _decoder.decode(data)


def encode_flow(flow: FlowDefinition) -> bytes:
    """Write one flow so that equal flows give equal bytes."""
    return _encoder.encode(flow)


def decode_flow(data: bytes) -> FlowDefinition:
    """Read what ``encode_flow`` wrote."""
    return _flow_decoder.decode(data)


def version_of(data: bytes) -> str:
    """Return the version of encoded definitions: 16 hex digits of their SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
