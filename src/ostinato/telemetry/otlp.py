"""This module speaks OpenTelemetry: spans with names and times of our own, and lines of logs."""

import logging
import socket

from opentelemetry._logs import LogRecord as OtlpRecord
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from ostinato.model.log import LogRecord
from ostinato.telemetry.receiver import Receiver
from ostinato.telemetry.spans import Span

#: Spans, and lines, that wait to be sent; what comes beyond them is dropped.
QUEUE_SIZE = 50_000

#: Spans, or lines, of a request.
BATCH_SIZE = 1_000

#: Seconds after which what waits is sent, however little it is.
DELAY_S = 1.0

#: Seconds that a request may take, with its repetitions.
TIMEOUT_S = 5.0

#: Logs that are not sent: they tell of the sending.
_OWN = ("opentelemetry", "urllib3", "requests")

_NS = 1000
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SEVERITIES = {
    "DEBUG": SeverityNumber.DEBUG,
    "INFO": SeverityNumber.INFO,
    "WARNING": SeverityNumber.WARN,
    "ERROR": SeverityNumber.ERROR,
    "CRITICAL": SeverityNumber.FATAL,
}


class Otlp:
    """Send spans and lines of logs to a receiver; a thread of its own sends them in batches.

    Args:
        receiver: Where to send to.
        project: Name of the project.
    """

    def __init__(self, receiver: Receiver, project: str) -> None:
        endpoint, headers = receiver.endpoint.rstrip("/"), dict(receiver.headers)
        resource = Resource.create(
            {
                "service.name": receiver.service,
                "service.namespace": project,
                "host.name": socket.gethostname(),
            }
        )
        self._ids = _GivenIds()
        self._tracers = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        spans = OTLPSpanExporter(
            endpoint=f"{endpoint}/v1/traces", headers=headers, timeout=TIMEOUT_S
        )
        self._tracers.add_span_processor(
            BatchSpanProcessor(
                spans,
                max_queue_size=QUEUE_SIZE,
                max_export_batch_size=BATCH_SIZE,
                schedule_delay_millis=DELAY_S * 1000,
            )
        )
        self._tracer = self._tracers.get_tracer("ostinato")
        self._loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        lines = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs", headers=headers, timeout=TIMEOUT_S)
        self._loggers.add_log_record_processor(
            BatchLogRecordProcessor(
                lines,
                max_queue_size=QUEUE_SIZE,
                max_export_batch_size=BATCH_SIZE,
                schedule_delay_millis=DELAY_S * 1000,
            )
        )
        self._logger = self._loggers.get_logger("ostinato")
        self._handler = _Handler(self)
        if receiver.has_logs:
            logging.getLogger().addHandler(self._handler)

    def close(self) -> None:
        """Send what waits, as far as it is taken in time."""
        logging.getLogger().removeHandler(self._handler)
        self._tracers.shutdown()
        self._loggers.shutdown()

    def send_span(self, span: Span) -> None:
        """Have a span sent."""
        self._ids.trace_id, self._ids.span_id = span.trace_id, span.span_id
        parent = _context(span.trace_id, span.parent_id) if span.parent_id else Context()
        sent = self._tracer.start_span(
            span.name, context=parent, attributes=span.attributes, start_time=span.started_us * _NS
        )
        if span.error:
            sent.set_status(Status(StatusCode.ERROR, span.error))
        sent.end(span.ended_us * _NS)

    def send_line(self, span: Span, record: LogRecord) -> None:
        """Have a line of the log of an attempt sent."""
        self._logger.emit(
            OtlpRecord(
                timestamp=record.at_us * _NS,
                context=_context(span.trace_id, span.span_id),
                severity_text=record.level,
                severity_number=_SEVERITIES.get(record.level, SeverityNumber.INFO),
                body=record.message,
                attributes={**span.attributes, "ostinato.source": record.source},
            )
        )

    def send_record(self, record: logging.LogRecord) -> None:
        """Have sent what this process logs itself."""
        fields = {key: str(value) for key, value in vars(record).items() if key not in _PLAIN}
        self._logger.emit(
            OtlpRecord(
                timestamp=int(record.created * 1e9),
                context=Context(),
                severity_text=record.levelname,
                severity_number=_SEVERITIES.get(record.levelname, SeverityNumber.INFO),
                body=record.getMessage(),
                attributes={**fields, "ostinato.source": record.name},
            )
        )


class _GivenIds(IdGenerator):
    """Names spans as they are told to be named."""

    trace_id = 1
    span_id = 1

    def generate_span_id(self) -> int:
        return self.span_id

    def generate_trace_id(self) -> int:
        return self.trace_id


class _Handler(logging.Handler):
    """Hands on what this process logs."""

    def __init__(self, otlp: Otlp) -> None:
        super().__init__()
        self._otlp = otlp

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(_OWN):
            self._otlp.send_record(record)


def _context(trace_id: int, span_id: int) -> Context:
    context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)
    return set_span_in_context(NonRecordingSpan(context))
