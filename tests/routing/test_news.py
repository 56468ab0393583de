"""What gateways tell each other of offers: each knows what all measured, counts nothing twice, and believes what it sees itself before what it hears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.routing.breaker import OPEN_S
from trunkline.routing.health import MAX_TOLD, Health
from trunkline.routing.minutes import ENOUGH, MAX_KEPT, MINUTE_S, FarMinute, Sample, count
from trunkline.routing.news import read

OFFER = "acme/alpha:acme"


def well(at_s: float, latency_ms: float | None = 100.0) -> Sample:
    return Sample(at_s, True, latency_ms, began_s=at_s - 1)


def failed(at_s: float) -> Sample:
    return Sample(at_s, False, began_s=at_s - 1)


def watched(*samples: Sample) -> Health:
    health = Health()
    for sample in samples:
        health.observe(OFFER, sample)
    return health


def told(one: Health, other: Health, now_s: float, ago_s: float = 0.0) -> Health:
    """The other, which heard what the first had to say so long ago."""
    for words in one.news(now_s - ago_s):
        other.hear_of(words, now_s, ago_s)
    return other


def test_what_both_measured_counts_at_both() -> None:
    one, two = watched(well(1, 100), well(2, 100), failed(2)), watched(well(1, 500), well(2, 500), well(3, 500))
    told(one, two, 4)
    figures = two.figures(OFFER, 4)
    assert (figures.attempts, figures.samples, figures.first_token_ms) == (6, 5, 500)
    assert figures.uptime == pytest.approx(5 / 6)


def test_nothing_new_is_not_told() -> None:
    health = watched(well(1))
    assert list(health.news(2))
    assert list(health.news(3)) == []


@given(st.lists(st.tuples(st.floats(0, 300), st.sampled_from([True, False, None])), max_size=60), st.floats(0.5, 20))
def test_whenever_it_is_told_each_attempt_is_told_once(
    samples: list[tuple[float, bool | None]], every_s: float
) -> None:
    one, two = Health(), Health()
    at_s = 0.0
    for sample_at, up in [*sorted(samples, key=lambda pair: pair[0]), (300.0, True)]:
        while at_s + every_s < sample_at:
            at_s += every_s
            told(one, two, at_s)
        one.observe(OFFER, Sample(sample_at, up, 100.0))
    told(one, two, 300)
    mine, theirs = one.figures(OFFER, 300), two.figures(OFFER, 300)
    assert theirs.attempts == mine.attempts == len(samples) + 1
    # The last minutes count in full at both; of before, a sum may lie one minute later.
    assert theirs.uptime == pytest.approx(mine.uptime, abs=0.2)


def test_a_few_latencies_stand_for_all() -> None:
    one, two = watched(*[well(1, 100)] * 1_000), watched(*[well(1, 500)] * 10)
    told(one, two, 2)
    figures = two.figures(OFFER, 2)
    assert (figures.samples, figures.first_token_ms, figures.attempts) == (1_010, 100, 1_010)


def test_what_others_say_is_bounded_in_memory() -> None:
    minute = FarMinute(1)
    for value in range(1_000):
        minute.take([float(value)], 3)
    assert len(minute.first) <= MAX_KEPT
    assert sum(minute.weights) == minute.seen == 3_000
    assert count([minute], 1).p50_ms == pytest.approx(500, abs=100)


def test_old_minutes_of_others_go_as_ours_do() -> None:
    one, two = Health(), Health()
    for minute in range(180):
        for _ in range(ENOUGH):
            one.observe(OFFER, well(minute * MINUTE_S))
        told(one, two, minute * MINUTE_S)
    assert two.figures(OFFER, 180 * MINUTE_S).attempts <= 60 * ENOUGH
    assert two.figures(OFFER, 300 * MINUTE_S).attempts == 0


def test_an_outage_that_one_sees_opens_the_breaker_of_the_others_for_as_long() -> None:
    one = watched(failed(100), failed(101), failed(102))
    two = told(one, Health(), 103.5, ago_s=0.5)
    assert two.figures(OFFER, 103.5).breaker == "open"
    assert two.figures(OFFER, 102 + OPEN_S - 0.1).breaker == "open"
    assert two.figures(OFFER, 102 + OPEN_S + 0.1).breaker == "half_open"


def test_a_gateway_with_a_fault_of_its_own_closes_the_offer_for_nobody_else() -> None:
    one = watched(failed(100), failed(101), failed(102))
    two = watched(Sample(104, True, 100.0, began_s=102.5))
    told(one, two, 104)
    assert two.figures(OFFER, 104).breaker == "closed"


def test_an_answer_from_before_the_outage_says_nothing_against_it() -> None:
    one = watched(failed(100), failed(101), failed(102))
    two = watched(Sample(102.5, True, 100.0, began_s=90))
    told(one, two, 104)
    assert two.figures(OFFER, 104).breaker == "open"


def test_who_closes_it_again_closes_it_for_all_and_what_was_before_is_forgiven() -> None:
    one = watched(failed(100), failed(101), failed(102))
    two = told(one, Health(), 103)
    for at_s in (114, 115):
        one.begin(OFFER, at_s)
        one.observe(OFFER, Sample(at_s + 0.5, True, 100.0, began_s=at_s))
    told(one, two, 116)
    figures = two.figures(OFFER, 116)
    assert (figures.breaker, figures.reliability, figures.failed_lately) == ("closed", 1.0, False)


def test_news_that_came_late_do_not_open_what_was_closed_since() -> None:
    one = watched(failed(100), failed(101), failed(102))
    late = next(one.news(103))
    two = watched(failed(100), failed(101), failed(102))
    for at_s in (114, 115):
        two.begin(OFFER, at_s)
        two.observe(OFFER, Sample(at_s + 0.5, True, 100.0, began_s=at_s))
    two.hear_of(late, 116, 13)
    assert two.figures(OFFER, 116).breaker == "closed"


def test_what_was_heard_is_not_told_on() -> None:
    one = watched(failed(100), failed(101), failed(102))
    one.rest(OFFER, 102, 20, 429)
    one.demote(OFFER, 102)
    two = told(one, Health(), 103)
    assert list(two.news(104)) == []


def test_a_wish_to_be_left_alone_holds_at_all() -> None:
    one = Health()
    one.rest(OFFER, 100, 20, 503)
    two = told(one, Health(), 104, ago_s=2)
    figures = two.figures(OFFER, 104)
    assert (figures.rest_s, figures.rest_status) == (pytest.approx(16), 503)


def test_an_offer_that_can_serve_nobody_comes_later_at_all() -> None:
    one = Health()
    one.demote(OFFER, 100)
    assert told(one, Health(), 101).figures(OFFER, 101).failed_lately


def test_an_offer_that_refuses_everything_comes_later_at_all() -> None:
    one = watched(*[Sample(100 + at, None, limited=True) for at in range(3)])
    assert told(one, Health(), 103).figures(OFFER, 103).failed_lately


def test_an_order_made_before_may_be_wrong_after_bad_news() -> None:
    two = Health()
    told(watched(failed(1)), two, 2)
    assert two.changes == 1


def test_words_of_another_version_are_as_none() -> None:
    assert read(b"\x93\x01\x02\x03") == []
    assert read(b"") == []


def test_many_offers_are_told_in_pieces_that_another_may_come_between() -> None:
    one, two = Health(), Health()
    for number in range(3 * MAX_TOLD - 1):
        one.observe(f"{OFFER}-{number}", well(1))
    pieces = list(one.news(2))
    assert [len(read(piece)) for piece in pieces] == [MAX_TOLD, MAX_TOLD, MAX_TOLD - 1]
    for piece in pieces:
        two.hear_of(piece, 2, 0)
    assert all(two.figures(f"{OFFER}-{number}", 2).attempts == 1 for number in range(3 * MAX_TOLD - 1))
