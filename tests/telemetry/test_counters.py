"""What `/metrics` counts of records, read back by Prometheus' own parser."""

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.records import a_record
from trunkline.records.types import Record
from trunkline.telemetry import counters as module
from trunkline.telemetry.counters import Counters
from trunkline.telemetry.text import Family, line, render

OFFER = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "openai/o4-mini",
    "kind": "plain",
}


def read(counters: Counters) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = b"".join(render(family) for family in counters.families()).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(counters: Counters, name: str, **labels: str) -> float:
    """Of the one sample that has these labels, and maybe others."""
    found = [
        number for (one, has), number in read(counters).items() if one == name and labels.items() <= dict(has).items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


@pytest.fixture
def counters() -> Counters:
    return Counters()


def test_a_request_and_each_of_its_attempts_are_counted(counters) -> None:
    counters.see([a_record(1), a_record(2)])
    assert (
        value(counters, "trunkline_requests_total", gen_ai_request_model="openai/o4-mini", outcome="ok", status="2xx")
        == 2
    )
    assert value(counters, "trunkline_attempts_total", **OFFER) == 2
    assert value(counters, "trunkline_attempts_total", gen_ai_provider_name="azure.ai.openai", error_type="500") == 2


def test_durations_are_seconds_in_the_buckets_of_the_conventions(counters) -> None:
    counters.see([a_record(1)])
    duration = "gen_ai_client_operation_duration_seconds"
    assert value(counters, f"{duration}_sum", **OFFER) == pytest.approx(0.9005)
    assert value(counters, f"{duration}_bucket", le="0.64", **OFFER) == 0
    assert value(counters, f"{duration}_bucket", le="1.28", **OFFER) == 1
    assert value(counters, "gen_ai_client_operation_time_to_first_chunk_seconds_sum", **OFFER) == pytest.approx(0.30025)
    assert value(counters, "gen_ai_server_time_to_first_token_seconds_sum", outcome="ok") == pytest.approx(0.306)
    assert value(counters, "gen_ai_server_request_duration_seconds_count", outcome="ok") == 1


def test_tokens_and_costs_are_those_of_the_attempts(counters) -> None:
    counters.see([a_record(1)])
    tokens = "gen_ai_client_token_usage"
    assert value(counters, f"{tokens}_sum", gen_ai_token_type="input", **OFFER) == 107
    assert value(counters, f"{tokens}_sum", gen_ai_token_type="output", **OFFER) == 70
    assert value(counters, f"{tokens}_bucket", gen_ai_token_type="input", le="67108864", **OFFER) == 1
    assert value(counters, "trunkline_cached_tokens_total", **OFFER) == 7
    assert value(counters, "trunkline_cost_usd_total", **OFFER) == pytest.approx(0.00011)


def test_a_value_on_a_boundary_is_in_its_bucket(counters) -> None:
    counters.see([a_record(1, received_ms=0.0, ended_ms=640.0)])
    assert value(counters, "gen_ai_server_request_duration_seconds_bucket", le="0.64", outcome="ok") == 1


def test_what_callers_write_makes_no_series_of_its_own(counters) -> None:
    refused = [
        a_record(number, model=f"nonsense-{number}", provider="", attempts=(), outcome="error", status=404)
        for number in range(50)
    ]
    counters.see(refused)
    assert value(counters, "trunkline_requests_total") == 50
    assert value(counters, "trunkline_requests_total", gen_ai_request_model="other", status="4xx") == 50


def test_statuses_that_providers_make_up_make_few_series(counters) -> None:
    attempts = a_record(1).attempts
    odd = [msgspec.structs.replace(attempts[0], status=status) for status in (418, 451, 499)]
    counters.see([a_record(number, attempts=(one,)) for number, one in enumerate(odd)])
    labels = {dict(has)["error_type"] for (name, has) in read(counters) if name == "trunkline_attempts_total"}
    assert labels == {"4xx"}


def test_past_a_number_of_series_all_share_one(counters, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_SERIES", 2)
    counters.see([a_record(number, model=f"acme/model-{number}") for number in range(5)])
    assert value(counters, "trunkline_requests_total", gen_ai_request_model="other") == 3


def test_probes_count_as_attempts_and_not_as_requests(counters) -> None:
    attempt = msgspec.structs.replace(a_record(1).attempts[1], kind="probe")
    counters.see([a_record(1, attempts=(attempt,))])
    assert value(counters, "trunkline_attempts_total", kind="probe") == 1
    assert not [name for name, _ in read(counters) if name == "trunkline_requests_total"]


def test_no_key_user_session_or_message_is_told(counters) -> None:
    counters.see(
        [
            a_record(
                1,
                key_id="key_secret",
                session_id="alice@example.com",
                user_agent="Acme/1",
                error_message="of the caller",
            )
        ]
    )
    text = b"".join(render(family) for family in counters.families())
    assert [word for word in (b"key_secret", b"alice", b"Acme/1", b"of the caller", b"req_") if word in text] == []


def test_labels_are_escaped() -> None:
    labels = (("model", 'a"b\\c\nd'), ("empty", ""))
    family = Family("trunkline_x", "gauge", "Words.", [line("trunkline_x", labels, 1.5)])
    (sample,) = [one for found in text_string_to_metric_families(render(family).decode()) for one in found.samples]
    assert (sample.labels, sample.value) == ({"model": 'a"b\\c\nd'}, 1.5)


def test_a_family_without_samples_is_left_out() -> None:
    assert render(Family("trunkline_x", "gauge", "Words.", [])) == b""


def test_a_record_without_attempts_is_counted(counters) -> None:
    counters.see([Record("req_1", 1.0, 2.0, "client_left", 499, "gemini", "acme/alpha")])
    assert (
        value(counters, "trunkline_requests_total", outcome="client_left", gen_ai_operation_name="generate_content")
        == 1
    )


def test_a_histogram_of_many_series_is_one_family(counters) -> None:
    attempt = a_record(1).attempts[1]
    counters.see(
        [a_record(1, attempts=(msgspec.structs.replace(attempt, offer=f"acme/m{n}:openai"),)) for n in range(70)]
    )
    text = b"".join(render(family) for family in counters.families()).decode()
    assert text.count("# TYPE gen_ai_client_operation_duration_seconds histogram") == 1
    (family,) = [
        one for one in text_string_to_metric_families(text) if one.name == "gen_ai_client_operation_duration_seconds"
    ]
    assert len({sample.labels["gen_ai_request_model"] for sample in family.samples}) == 70
