"""Traces over OTLP: what a collector receives of a record."""

import contextlib
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.fakes.collector import Collector, attributes
from tests.fakes.records import START_MS, a_record
from trunkline.telemetry.otlp import Spans, address


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


def exported(collector: Collector, *records: object) -> list[Span]:
    with contextlib.closing(Spans(collector.endpoint)) as spans:
        spans.see(records)  # type: ignore[arg-type]
    return collector.spans


def test_a_request_is_a_span_with_its_attempts_below_it(collector) -> None:
    spans = {span.name: span for span in exported(collector, a_record(1))}
    assert set(spans) == {"chat openai/o4-mini", "chat o4", "chat o4-mini"}
    root = spans["chat openai/o4-mini"]
    assert root.parent_span_id == b""
    assert [spans[name].parent_span_id for name in ("chat o4", "chat o4-mini")] == [root.span_id] * 2
    assert {span.trace_id for span in spans.values()} == {root.trace_id}
    assert (root.kind, spans["chat o4"].kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert collector.resource["service.name"] == "trunkline"
    assert collector.paths == ["/v1/traces"]


def test_times_are_those_of_the_record(collector) -> None:
    (root,) = [span for span in exported(collector, a_record(1)) if not span.parent_span_id]
    assert root.start_time_unix_nano == int((START_MS + 1) * 1e6)
    assert (root.end_time_unix_nano - root.start_time_unix_nano) / 1e6 == pytest.approx(906.5, abs=0.01)


def test_a_failed_attempt_says_why(collector) -> None:
    (failed,) = [span for span in exported(collector, a_record(1)) if span.name == "chat o4"]
    assert failed.status.code == 2
    told = attributes(failed)
    assert (told["error.type"], told["gen_ai.provider.name"]) == ("500", "azure.ai.openai")
    assert "boom" not in str(failed)


def test_attributes_have_the_names_of_the_conventions(collector) -> None:
    (root,) = [span for span in exported(collector, a_record(1)) if not span.parent_span_id]
    told = attributes(root)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.request.model"] == "o4-mini"
    assert told["gen_ai.response.model"] == "openai/o4-mini"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (107, 70)
    assert told["trunkline.request_id"] == "req_000001"


def test_no_key_user_session_or_message_is_told(collector) -> None:
    record = a_record(1, key_id="key_secret", session_id="alice@example.com", error_message="of the caller")
    told = str(exported(collector, record))
    assert [word for word in ("key_secret", "alice", "OpenAI/Python", "of the caller") if word in told] == []


def test_each_request_is_a_trace_of_its_own(collector) -> None:
    roots = [span for span in exported(collector, a_record(1), a_record(2)) if not span.parent_span_id]
    assert len({span.trace_id for span in roots}) == 2


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://collector.example.com/otlp/v1/traces", "https://collector.example.com/otlp/v1/traces"),
    ],
)
def test_a_bare_address_gets_the_path_of_traces(given: str, meant: str) -> None:
    assert address(given) == meant
