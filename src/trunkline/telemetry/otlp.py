"""Traces over OTLP: a span for each request, with one for each attempt below it. In: records that were stored. Out: OTLP over HTTP, from a thread of its own.

Made after the fact, in the record writer's thread, and only where `[telemetry] otlp_endpoint` is set; needs the extra `otlp`. Of a request they hold what
the record holds, but no key, session, user agent, message of an error or word of a prompt. Names as `telemetry.words` cites.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from trunkline import __version__
from trunkline.errors import ConfigError
from trunkline.records.types import Attempt, Record
from trunkline.telemetry.words import error_type, operation_name, provider_name

_TRACES = "/v1/traces"
_PICO_PER_USD = 1e12
_CLOSE_MS = 3000
Value = str | int | float | bool | Sequence[str]


class Spans:
    """Lives as long as the process. `see` queues; a queue that is full drops what comes, and no request notices."""

    def __init__(self, endpoint: str) -> None:
        """Raises ConfigError where the extra is not installed."""
        try:
            sdk = importlib.import_module("opentelemetry.sdk.trace")
            exporting = importlib.import_module("opentelemetry.sdk.trace.export")
            otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            resources = importlib.import_module("opentelemetry.sdk.resources")
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{error.name} is not installed; install trunkline[otlp], or take the key out",
                where="telemetry.otlp_endpoint",
            ) from None
        self._trace: Any = importlib.import_module("opentelemetry.trace")
        resource = resources.Resource.create({"service.name": "trunkline", "service.version": __version__})
        self._provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
        self._processor = exporting.BatchSpanProcessor(otlp.OTLPSpanExporter(endpoint=address(endpoint)))
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("trunkline", __version__)

    def see(self, records: Sequence[Record]) -> None:
        """Make spans of records."""
        for record in records:
            self._record(record)

    def close(self) -> None:
        """Send what is there, for a moment; then end."""
        self._processor.force_flush(_CLOSE_MS)
        self._provider.shutdown()

    def _record(self, record: Record) -> None:
        trace = self._trace
        root = self._tracer.start_span(
            f"{operation_name(record.protocol)} {record.model}",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            kind=trace.SpanKind.SERVER,
            attributes=request_attributes(record),
            start_time=_ns(record.received_ms),
        )
        if record.outcome != "ok":
            root.set_status(trace.StatusCode.ERROR, record.outcome)
        inside = trace.set_span_in_context(root)
        for attempt in record.attempts:
            self._attempt(attempt, inside)
        root.end(_ns(record.ended_ms))

    def _attempt(self, attempt: Attempt, inside: Any) -> None:
        trace = self._trace
        span = self._tracer.start_span(
            f"{operation_name(attempt.protocol)} {attempt.upstream_model}",
            context=inside,
            kind=trace.SpanKind.CLIENT,
            attributes=attempt_attributes(attempt),
            start_time=_ns(attempt.started_ms),
        )
        if attempt.outcome != "ok":
            span.set_status(trace.StatusCode.ERROR, attempt.outcome)
        span.end(_ns(attempt.ended_ms))


def address(endpoint: str) -> str:
    """Where traces go: a bare address gets the path that OTLP over HTTP has (https://opentelemetry.io/docs/specs/otlp/#otlphttp-request)."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _TRACES


def request_attributes(record: Record) -> Mapping[str, Value]:
    """Of the span of a request."""
    told: dict[str, Value | None] = {
        "gen_ai.operation.name": operation_name(record.protocol),
        "gen_ai.provider.name": provider_name(record.provider),
        "gen_ai.request.model": record.asked_model,
        "gen_ai.response.model": record.model if record.offer else "",
        "gen_ai.response.id": record.answer_id,
        "gen_ai.response.finish_reasons": [record.finish_reason] if record.finish_reason else None,
        "gen_ai.usage.input_tokens": record.usage.total_input_tokens,
        "gen_ai.usage.output_tokens": record.usage.total_output_tokens,
        "error.type": record.error_type or ("" if record.outcome == "ok" else record.outcome),
        "http.response.status_code": record.status,
        "trunkline.request_id": record.id,
        "trunkline.protocol": record.protocol,
        "trunkline.offer": record.offer,
        "trunkline.outcome": record.outcome,
        "trunkline.streamed": record.streamed,
        "trunkline.attempts": len(record.attempts),
        "trunkline.cost_usd": record.cost_pico_usd / _PICO_PER_USD,
        "trunkline.time_to_first_token_s": _s(record.first_token_ms),
    }
    return _said(told)


def attempt_attributes(attempt: Attempt) -> Mapping[str, Value]:
    """Of the span of one call of a provider."""
    told: dict[str, Value | None] = {
        "gen_ai.operation.name": operation_name(attempt.protocol),
        "gen_ai.provider.name": provider_name(attempt.provider),
        "gen_ai.request.model": attempt.upstream_model,
        "gen_ai.usage.input_tokens": attempt.usage.total_input_tokens,
        "gen_ai.usage.output_tokens": attempt.usage.total_output_tokens,
        "error.type": error_type(attempt),
        "http.response.status_code": attempt.status or None,
        "trunkline.offer": attempt.offer,
        "trunkline.kind": attempt.kind,
        "trunkline.decision": attempt.decision,
        "trunkline.cost_usd": attempt.cost.total_pico_usd / _PICO_PER_USD,
        "trunkline.time_to_first_token_s": _s(attempt.first_token_ms),
        "trunkline.upstream_request_id": attempt.upstream_request_id,
    }
    return _said(told)


def _said(told: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in told.items() if value not in (None, "")}


def _s(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1000


def _ns(unix_ms: float) -> int:
    return int(unix_ms * 1_000_000)
