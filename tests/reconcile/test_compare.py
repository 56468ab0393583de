"""Our attempts against a provider's lines."""

from datetime import UTC, datetime

import pytest

from tests.fakes.records import a_record
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost
from trunkline.reconcile.compare import Comparison
from trunkline.reconcile.models import words
from trunkline.reconcile.types import Export, Line, Sums
from trunkline.records.types import Attempt

ONE, TWO = "2026-11-01", "2026-11-02"
USAGE = ("requests", "input_tokens", "output_tokens")


def attempt(day=ONE, model="gpt-4o-mini", provider="openai", cost=0, **changes):
    return Attempt(
        provider=provider,
        offer=f"openai/{model}:{provider}",
        upstream_model=changes.pop("upstream_model", model),
        started_ms=datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000,
        usage=Usage(input_tokens=80, cache_read_tokens=20, output_tokens=50),
        cost=Cost(total_pico_usd=cost),
        **changes,
    )


def compared(lines, attempts, days=(ONE, TWO), measures=USAGE, keys=None, **changes):
    comparison = Comparison(Export(tuple(lines), days, measures), ["openai"], keys or {})
    comparison.add(a_record(1, attempts=tuple(attempts), **changes))
    return comparison.outcome()


def theirs(requests=1, day=ONE, model="gpt-4o-mini-2024-07-18", key=""):
    return Line(day, model, key, Sums(requests, 100 * requests, 50 * requests))


def test_what_is_the_same_differs_in_nothing():
    found = compared([theirs(2), theirs(1, TWO)], [attempt(), attempt(), attempt(TWO)])
    assert (found.compared, found.differences, found.worst_percent) == (2, (), 0.0)


def test_lines_of_a_day_and_model_are_added_up():
    assert compared([theirs(1), theirs(1)], [attempt(), attempt()]).differences == ()


def test_what_one_side_does_not_have_is_a_difference():
    found = compared([theirs(2), theirs(1, model="gpt-4.1-2025-04-14")], [attempt(), attempt(TWO)])
    assert [(one.day, one.model, one.ours.requests, one.theirs.requests) for one in found.differences] == [
        (ONE, "gpt-4.1-2025-04-14", 0, 1),
        (ONE, "gpt-4o-mini-2024-07-18", 1, 2),
        (TWO, "gpt-4o-mini-2024-07-18", 1, 0),
    ]


def test_too_much_does_not_make_up_for_what_is_missing():
    found = compared([theirs(2), theirs(2, TWO)], [attempt(), attempt(TWO), attempt(TWO), attempt(TWO)])
    assert found.ours == found.theirs
    assert found.percent("requests") == 50.0


def test_only_attempts_of_this_provider_and_of_these_days_count():
    others = [attempt(provider="azure"), attempt("2026-10-31"), attempt("2026-11-03")]
    assert compared([theirs()], [attempt(), *others]).differences == ()
    assert compared([theirs()], [attempt()], simulated=True).differences != ()


def test_a_retry_is_a_request_to_the_provider_and_a_failure_without_use_is_none():
    failed = attempt(outcome="status", status=500)
    unused = Attempt("openai", "openai/gpt-4o-mini:openai", "gpt-4o-mini", failed.started_ms, outcome="connect")
    assert compared([theirs(2)], [failed, unused, attempt()]).differences == ()


def test_a_deployment_is_told_by_the_model_that_it_serves():
    assert compared([theirs()], [attempt(upstream_model="production-west")]).differences == ()


def test_keys_are_told_apart_where_it_is_said_which_is_which():
    lines = [theirs(1, key="key_a"), theirs(2, key="key_b")]
    attempts = [attempt(), attempt(key="#2"), attempt(key="#2")]
    assert compared(lines, attempts).differences == ()
    assert compared(lines, attempts, keys={"key_a": "#1", "key_b": "#2"}).differences == ()
    assert len(compared(lines, attempts, keys={"key_a": "#2", "key_b": "#1"}).differences) == 2


def test_what_went_out_with_a_members_own_key_is_on_another_account():
    assert compared([theirs()], [attempt(), attempt(key="own")]).differences == ()
    assert compared([theirs(key="key_m")], [attempt(key="own")], keys={"key_m": "own"}).differences == ()


def test_costs_are_compared_to_the_pico_dollar():
    line = Line(ONE, "gpt-4o-mini", "", Sums(cost_pico_usd=100))
    found = compared([line], [attempt(cost=99)], measures=("cost_pico_usd",))
    assert found.percent("cost_pico_usd") == 1.0
    assert compared([line], [attempt(cost=100)], measures=("cost_pico_usd",)).differences == ()


@pytest.mark.parametrize(
    "names",
    [
        (
            "openai/gpt-4o-mini",
            "gpt-4o-mini-2024-07-18",
            "gpt 4o mini 0718 Inp glbl Tokens",
            "GPT4o-mini-0718-Outp-glbl",
        ),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5-20250929", "Claude Sonnet 4.5 (Amazon Bedrock Edition)"),
        ("anthropic/claude-sonnet-4", "USE1-Claude4Sonnet-input-tokens", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
        ("google/gemini-2.5-flash", "Gemini 2.5 Flash GA Text Input - Predictions"),
        ("amazon/nova-2-lite", "EUN1-Nova2.0Lite-text-input-token-count"),
        ("meta-llama/llama-3.3-70b", "USE1-Llama3-3-70B-output-tokens"),
    ],
)
def test_names_of_one_model_have_the_same_words(names):
    assert len({words(name) for name in names}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4.5", "gpt-5.4"),
        ("gpt-4o", "gpt-4o-mini"),
        ("claude-3-5-sonnet", "claude-sonnet-4-5"),
        ("gemini-2.5-flash", "Gemini 2.5 Flash Lite Text Input - Predictions"),
        ("o3", "o4-mini"),
    ],
)
def test_names_of_two_models_do_not(one, other):
    assert words(one) != words(other)
