"""What counts where."""

import math

import msgspec
import pytest

from tests.fakes.records import START_MS, a_record
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost
from trunkline.records.figures import HOUR_S, MAX_TOKENS, TOKENS, Gathered, OfferFigures, Use
from trunkline.records.types import Attempt, Candidate, Record

OFFER = "acme/alpha:acme"


def an_attempt(**changes: object) -> Attempt:
    attempt = Attempt("acme", OFFER, "alpha", START_MS, START_MS + 900)
    return msgspec.structs.replace(attempt, **changes)


def figures_of(*attempts: Attempt) -> OfferFigures:
    figures = OfferFigures()
    for attempt in attempts:
        figures.see(attempt)
    return figures


def gathered(*records: Record) -> Gathered:
    found = Gathered()
    found.see(records)
    return found


@pytest.mark.parametrize(
    ("outcome", "status", "place"),
    [
        ("ok", 200, "ok"),
        ("status", 500, "failed"),
        ("status", 529, "failed"),
        ("status", 429, "limited"),
        ("status", 400, "apart"),
        ("status", 401, "apart"),
        ("connect", 0, "failed"),
        ("timeout_first_event", 0, "failed"),
        ("timeout_idle", 200, "failed"),
        ("truncated", 200, "failed"),
        ("in_stream_error", 200, "failed"),
        ("client_slow", 200, "apart"),
        ("client_left", 200, "apart"),
        ("interrupted", 0, "apart"),
        ("configuration", 0, "apart"),
        ("refused", 0, "apart"),
        ("internal", 0, "apart"),
        ("a word of tomorrow", 0, "apart"),
    ],
)
def test_an_attempt_counts_in_one_place(outcome: str, status: int, place: str) -> None:
    figures = figures_of(an_attempt(outcome=outcome, status=status))
    counted = {name: getattr(figures, name) for name in ("ok", "failed", "limited", "apart")}
    assert counted == {"ok": 0, "failed": 0, "limited": 0, "apart": 0} | {place: 1}


@pytest.mark.parametrize(
    ("told", "place", "cause"),
    [
        (500, "failed", "in_stream_error"),
        (429, "limited", "status 429"),
        (400, "apart", "status 400"),
        (0, "failed", "in_stream_error"),
    ],
)
def test_an_error_inside_an_answer_counts_as_the_status_that_it_means(told: int, place: str, cause: str) -> None:
    figures = figures_of(an_attempt(outcome="in_stream_error", status=200, told_status=told))
    counted = {name: getattr(figures, name) for name in ("ok", "failed", "limited", "apart")}
    assert counted == {"ok": 0, "failed": 0, "limited": 0, "apart": 0} | {place: 1}
    assert figures.causes == {cause: 1}


def test_uptime_is_of_those_that_went_well_or_that_the_provider_spoiled() -> None:
    outcomes = [("ok", 200)] * 3 + [("reset", 200)] + [("status", 429), ("status", 400), ("client_left", 200)]
    figures = figures_of(*(an_attempt(outcome=outcome, status=status) for outcome, status in outcomes))
    assert figures.uptime == 0.75
    assert figures.limited_share == pytest.approx(1 / 7)
    assert figures.causes == {"reset": 1, "status 429": 1, "status 400": 1, "client_left": 1}


def test_nothing_is_measured_of_an_offer_without_attempts() -> None:
    figures = OfferFigures()
    assert (figures.uptime, figures.cache_hit_share, figures.tool_error_share, figures.limited_share) == (None,) * 4


def test_throughput_is_the_output_between_the_first_delta_and_the_last() -> None:
    figures = figures_of(
        an_attempt(
            first_token_ms=500.0,
            last_token_ms=2500.0,
            usage=Usage(input_tokens=10, output_tokens=80, reasoning_tokens=20),
        )
    )
    assert (figures.latency.low, figures.speed.low) == (500.0, 50.0)


def test_an_answer_in_one_piece_has_no_throughput() -> None:
    figures = figures_of(an_attempt(first_token_ms=500.0, last_token_ms=500.0, usage=Usage(output_tokens=80)))
    assert (figures.latency.count, figures.speed.count) == (1, 0)


def test_the_share_of_cached_tokens_is_of_all_that_went_in() -> None:
    figures = figures_of(an_attempt(usage=Usage(input_tokens=10, cache_read_tokens=80, cache_write_5m_tokens=10)))
    assert figures.cache_hit_share == 0.8


def test_tool_calls_with_bad_arguments_are_a_share_of_all() -> None:
    figures = figures_of(an_attempt(tool_calls=3, tool_errors=1), an_attempt(tool_calls=1), an_attempt())
    assert figures.tool_error_share == 0.25


def test_the_nonsense_of_a_provider_spoils_no_sum() -> None:
    usage = Usage(input_tokens=10**29, output_tokens=-5, web_searches=10**29)
    attempt = an_attempt(usage=usage, first_token_ms=math.nan, last_token_ms=math.inf, cost=Cost(total_pico_usd=-7))
    figures, use = figures_of(attempt), Use()
    use.see(attempt)
    assert (figures.input_tokens, figures.output_tokens, figures.latency.count) == (MAX_TOKENS, 0, 0)
    assert (use.input_tokens, use.output_tokens, use.web_searches, use.cost_pico_usd) == (MAX_TOKENS, 0, MAX_TOKENS, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": Usage(input_tokens=19, output_tokens=10)},
        {"usage": Usage(input_tokens=19, cache_read_tokens=5, output_tokens=10, reasoning_tokens=3)},
        {"usage": Usage(input_tokens=19, output_tokens=10), "first_token_ms": 20.0, "last_token_ms": 40.0},
        {"usage": Usage(input_tokens=MAX_TOKENS, cache_read_tokens=MAX_TOKENS)},
        {"usage": Usage(input_tokens=-1, output_tokens=10)},
        {"usage": Usage(estimated=True)},
        *({"usage": Usage(**{name: 7})} for name in TOKENS),
        {"cost": Cost(total_pico_usd=10**18)},
        {"cost": Cost(total_pico_usd=-7)},
        {"cost": Cost(estimated=True)},
        {"cost": Cost(unpriced=("audio",))},
        {"tool_calls": 2, "tool_errors": 1},
        {"outcome": "status", "status": 503},
        {"outcome": "client_left"},
    ],
    ids=str,
)
def test_what_is_gathered_is_what_each_of_both_sees(changes: dict[str, object]) -> None:
    attempt = an_attempt(**{"cost": Cost(total_pico_usd=5)} | changes)
    found = gathered(*[a_record(0, offer=OFFER, attempts=(attempt,)) for _ in range(2)])
    use = Use(requests=2)
    for _ in range(2):
        use.see(attempt)
    assert list(found.offers.values()) == [figures_of(attempt, attempt)]
    assert list(found.use.values()) == [use]


def test_a_record_counts_in_the_minute_and_the_hour_of_its_end() -> None:
    found = gathered(a_record(0, ended_ms=START_MS + 3_661_000))
    start_s = int(START_MS // 1000)
    assert {start for start, _ in found.offers} == {start_s + 3_660}
    assert {start for start, *_ in found.use} == {start_s + HOUR_S}


def test_the_request_counts_at_its_last_offer_and_cost_where_it_arose() -> None:
    record = a_record(0)
    failed, answered = record.attempts
    dear = msgspec.structs.replace(failed, cost=Cost(total_pico_usd=5))
    use = {place[1]: used for place, used in gathered(a_record(0, attempts=(dear, answered))).use.items()}
    azure, openai = use["openai/o4-mini:azure"], use["openai/o4-mini:openai"]
    assert (azure.requests, azure.attempts, azure.cost_pico_usd) == (0, 1, 5)
    assert (openai.requests, openai.attempts, openai.cost_pico_usd) == (1, 1, 110_000_000)
    assert (openai.total_tokens, openai.unpriced) == (177, 1)


@pytest.mark.parametrize(
    ("outcome", "counted"), [("ok", (0, 0)), ("client_left", (0, 1)), ("cut", (1, 0)), ("error", (1, 0))]
)
def test_requests_that_failed_and_that_were_left_are_told_apart(outcome: str, counted: tuple[int, int]) -> None:
    [*_, used] = gathered(a_record(0, outcome=outcome)).use.values()
    assert (used.requests, used.failed, used.abandoned) == (1, *counted)


def test_a_model_that_some_caller_made_up_gets_no_row_of_its_own() -> None:
    unknown = a_record(0, model="no/such", offer="", provider="", attempts=(), plan=(), outcome="error")
    without_offer = a_record(0, offer="", provider="", attempts=(), plan=(Candidate("x"),), outcome="error")
    assert [place[1] for place in gathered(unknown).use] == [":"]
    assert [place[1] for place in gathered(without_offer).use] == ["openai/o4-mini:"]


def test_merged_figures_are_those_of_all_attempts() -> None:
    attempts = [
        an_attempt(first_token_ms=100.0 * n, last_token_ms=200.0 * n, usage=Usage(10, output_tokens=n), outcome=outcome)
        for n, outcome in enumerate(["ok", "reset", "ok", "truncated"], 1)
    ]
    one = figures_of(*attempts[:2])
    one.merge(figures_of(*attempts[2:]))
    assert one == figures_of(*attempts)
