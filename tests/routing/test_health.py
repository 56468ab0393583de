"""What traffic measured of an offer: medians of the last minutes, uptime without what says nothing of it, rests, and what is under way."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.routing.health import (
    FAILED_REST_S,
    GATE_LAST,
    GATE_LATER,
    MAX_RETRY_AFTER_S,
    MAX_SILENT,
    MAX_WAITING,
    STEADY_S,
    UNMEASURED,
    Health,
)
from trunkline.routing.minutes import ENOUGH, MAX_KEPT, MINUTE_S, Sample

OFFER = "acme/alpha:acme"


def watched(*samples: Sample) -> Health:
    health = Health()
    for sample in samples:
        health.observe(OFFER, sample)
    return health


def test_an_offer_nobody_called_is_unmeasured() -> None:
    assert Health().figures(OFFER, 0.0) is UNMEASURED


def test_latency_is_the_median_and_throughput_the_average_of_what_was_measured() -> None:
    health = watched(
        Sample(1, True, 100, 10), Sample(2, True, 300, None), Sample(3, True, None, 30), Sample(3, True, 9000)
    )
    figures = health.figures(OFFER, 4)
    assert (figures.first_token_ms, figures.p50_ms, figures.tokens_per_second) == (300, 300, 20)
    assert (figures.attempts, figures.samples, figures.p95_ms) == (4, 3, 9000)


def test_the_median_of_two_lies_between_them() -> None:
    assert watched(Sample(1, True, 100), Sample(2, True, 300)).figures(OFFER, 3).first_token_ms == 200


def test_the_95th_percentile_is_what_95_of_100_keep() -> None:
    values = [float(value) for value in range(1, 21)]
    random.Random(1).shuffle(values)
    assert watched(*(Sample(1, True, value) for value in values)).figures(OFFER, 2).p95_ms == 19.5


def test_with_enough_recent_ones_older_latencies_do_not_count() -> None:
    old = [Sample(0, True, 5000) for _ in range(ENOUGH)]
    new = [Sample(10 * MINUTE_S, True, 100) for _ in range(ENOUGH)]
    figures = watched(*old, *new).figures(OFFER, 10 * MINUTE_S)
    assert (figures.first_token_ms, figures.p95_ms, figures.samples) == (100, 100, ENOUGH)


def test_where_recent_ones_are_few_older_latencies_count_less_and_less() -> None:
    old = [Sample(0, True, 5000) for _ in range(8)]
    health = watched(*old)
    assert [health.figures(OFFER, minutes * MINUTE_S).samples for minutes in (0, 5, 10, 15, 60)] == [8, 8, 4, 2, 0]
    health.observe(OFFER, Sample(15 * MINUTE_S, True, 100))
    assert health.figures(OFFER, 15 * MINUTE_S).first_token_ms == 5000
    for _ in range(2):
        health.observe(OFFER, Sample(15 * MINUTE_S, True, 100))
    assert health.figures(OFFER, 15 * MINUTE_S).first_token_ms == 100


def test_after_an_hour_nothing_is_known_any_more() -> None:
    figures = watched(Sample(0, True, 100, 10), Sample(0, False)).figures(OFFER, 61 * MINUTE_S)
    assert (figures.first_token_ms, figures.tokens_per_second, figures.uptime, figures.attempts) == (None,) * 3 + (0,)


def test_a_busy_minute_is_kept_in_part_and_still_tells_its_median() -> None:
    chance = random.Random(1)
    values = [chance.lognormvariate(6, 0.5) for _ in range(50 * MAX_KEPT)]
    figures = watched(*(Sample(1, True, value) for value in values)).figures(OFFER, 2)
    median = sorted(values)[len(values) // 2]
    assert figures.first_token_ms == pytest.approx(median, rel=0.25)
    assert figures.samples == len(values)


def test_an_hour_of_traffic_is_bounded_in_memory() -> None:
    health = Health()
    for minute in range(180):
        for _ in range(100):
            health.observe(OFFER, Sample(minute * MINUTE_S, True, 100.0))
    minutes = health._offers[OFFER]._minutes
    assert len(minutes) <= 60
    assert sum(len(one.first) for one in minutes) <= 6 * MAX_KEPT + 54 * MAX_KEPT / 4


def test_uptime_leaves_out_what_says_nothing_of_it() -> None:
    figures = watched(Sample(1, True), Sample(2, None), Sample(3, False)).figures(OFFER, 4)
    assert figures.uptime == 0.5
    assert watched(Sample(1, None)).figures(OFFER, 4).uptime is None


def test_refusals_for_too_many_requests_are_told_apart() -> None:
    figures = watched(Sample(1, True), Sample(2, None, limited=True), Sample(3, None)).figures(OFFER, 4)
    assert (figures.uptime, figures.limited) == (1.0, 0.5)


def test_one_failure_in_a_hundred_is_no_reason_to_leave_an_offer_and_one_in_one_is() -> None:
    rare = watched(*(Sample(1, True) for _ in range(100)), Sample(2, False)).figures(OFFER, 3)
    assert rare.reliability > GATE_LATER
    assert not rare.failed_lately
    first = watched(Sample(1, False)).figures(OFFER, 2)
    assert GATE_LAST < first.reliability < GATE_LATER
    assert first.failed_lately


def test_an_offer_that_fails_every_time_is_below_the_last_gate_soon() -> None:
    samples = [Sample(1, None if place % 2 else False) for place in range(12)]
    assert watched(*samples).figures(OFFER, 2).reliability < GATE_LAST


def test_what_the_caller_caused_is_no_evidence() -> None:
    figures = watched(*(Sample(1, None) for _ in range(50))).figures(OFFER, 2)
    assert (figures.reliability, figures.breaker, figures.failed_lately) == (1.0, "closed", False)


def test_a_failure_is_remembered_until_a_success_or_for_a_while() -> None:
    health = watched(Sample(10, False))
    assert health.figures(OFFER, 11).failed_lately
    assert not health.figures(OFFER, 10 + FAILED_REST_S).failed_lately
    health.observe(OFFER, Sample(12, True))
    assert not health.figures(OFFER, 13).failed_lately


def test_who_cannot_serve_anyone_waits_for_a_while_whatever_its_uptime() -> None:
    health = watched(*(Sample(1, True) for _ in range(100)))
    health.demote(OFFER, 10)
    assert health.figures(OFFER, 11).failed_lately
    assert not health.figures(OFFER, 10 + FAILED_REST_S).failed_lately
    assert health.figures(OFFER, 11).uptime == 1.0


def test_who_only_refuses_with_429_waits_behind_the_others_for_longer_each_time() -> None:
    health, now_s, waits = Health(), 0.0, []
    for _ in range(8):
        for _ in range(3):
            health.observe(OFFER, Sample(now_s, None, limited=True))
        began_s = now_s
        while health.figures(OFFER, now_s).failed_lately:
            now_s += 1
        waits.append(now_s - began_s)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    health.observe(OFFER, Sample(now_s, True))
    health.observe(OFFER, Sample(now_s, None, limited=True))
    assert not health.figures(OFFER, now_s).failed_lately


def test_who_refuses_with_429_now_and_then_has_less_room_until_it_has_more() -> None:
    health = watched(Sample(1, True), Sample(1, None, limited=True), Sample(1.1, None, limited=True))
    assert health.figures(OFFER, 1.1).room == pytest.approx(0.8, abs=0.01)
    assert not health.figures(OFFER, 1.1).failed_lately
    assert health.figures(OFFER, 6.1).room == pytest.approx(0.9, abs=0.01)
    assert health.figures(OFFER, 60).room == 1.0
    for second in range(100):
        health.observe(OFFER, Sample(60.0 + second, None, limited=True))
    assert 0 < health.figures(OFFER, 160).room < 0.15


def measured() -> Health:
    """Half a second to the first event."""
    return watched(*(Sample(0, True, 500.0) for _ in range(ENOUGH)))


def test_streams_that_all_stay_silent_open_the_breaker_long_before_they_time_out() -> None:
    health = measured()
    for _ in range(3):
        health.begin(OFFER, 10, is_stream=True)
    assert health.figures(OFFER, 11.9).breaker == "closed"
    before = health.changes
    assert health.figures(OFFER, 12.1).breaker == "open"
    assert health.changes > before


def test_silence_of_a_few_among_many_or_of_whole_answers_does_not() -> None:
    health = measured()
    for _ in range(12):
        health.begin(OFFER, 10, is_stream=True)
        for _ in range(2):
            health.hear(OFFER, health.begin(OFFER, 10, is_stream=True))
    for _ in range(9):
        health.begin(OFFER, 10)
    assert health.figures(OFFER, 60).breaker == "closed"


def test_streams_that_were_heard_or_have_ended_are_not_silent() -> None:
    health = measured()
    tokens = [health.begin(OFFER, 10, is_stream=True) for _ in range(6)]
    for token in tokens[:3]:
        health.hear(OFFER, token)
    for token in tokens[3:]:
        health.observe(OFFER, Sample(11, None), token)
    assert health.figures(OFFER, 60).breaker == "closed"
    assert health.figures(OFFER, 60).in_flight == 3


def test_attempts_that_nobody_ends_take_a_bounded_amount_of_memory() -> None:
    health = Health()
    for _ in range(2 * MAX_WAITING):
        health.begin(OFFER, 10, is_stream=True)
    assert len(health._offers[OFFER].waiting) == MAX_WAITING


def test_one_that_was_forgotten_long_ago_does_not_hide_that_others_are_silent() -> None:
    health = measured()
    health.begin(OFFER, 1, is_stream=True)
    for _ in range(1000):
        health.hear(OFFER, health.begin(OFFER, 5, is_stream=True))
    for _ in range(MAX_SILENT):
        health.begin(OFFER, 10, is_stream=True)
    assert health.figures(OFFER, 13).breaker == "open"


def test_who_became_slow_a_minute_ago_is_slow_and_five_minutes_still_tell_their_median() -> None:
    health = Health()
    for second in range(300):
        health.observe(OFFER, Sample(60.0 + second, True, 2000.0 if second >= 180 else 200.0))
    figures = health.figures(OFFER, 359)
    assert (figures.first_token_ms, figures.lately_ms) == (200, 2000)
    assert watched(Sample(1, True, 100)).figures(OFFER, 1).lately_ms is None


def test_a_rest_lasts_as_long_as_was_asked_and_never_too_long() -> None:
    health = Health()
    health.rest(OFFER, 100, 5, 503)
    assert (health.figures(OFFER, 102).rest_s, health.figures(OFFER, 102).rest_status) == (3, 503)
    assert health.figures(OFFER, 105).rest_s == 0
    health.rest(OFFER, 100, 1e9, 429)
    assert health.figures(OFFER, 100).rest_s == MAX_RETRY_AFTER_S


def test_asking_for_a_steady_offer_makes_nothing_new() -> None:
    health = watched(Sample(1, True, 100))
    assert health.figures(OFFER, 2) is health.figures(OFFER, 50)


def test_a_busy_offer_is_counted_now_and_then_but_a_failure_shows_at_once() -> None:
    health = watched(*(Sample(1, True, 100) for _ in range(ENOUGH)))
    assert health.figures(OFFER, 1).attempts == ENOUGH
    health.observe(OFFER, Sample(1, True, 100))
    assert health.figures(OFFER, 1).attempts == ENOUGH
    assert health.figures(OFFER, 1 + STEADY_S).attempts == ENOUGH + 1
    health.observe(OFFER, Sample(1 + STEADY_S, False))
    assert health.figures(OFFER, 1 + STEADY_S).attempts == ENOUGH + 2


def test_what_is_under_way_is_counted_and_never_below_nothing() -> None:
    health = Health()
    health.begin(OFFER, 1)
    health.begin(OFFER, 1)
    assert health.figures(OFFER, 1).in_flight == 2
    for _ in range(3):
        health.observe(OFFER, Sample(2, None))
    assert health.figures(OFFER, 2).in_flight == 0


def test_changes_tell_of_failures_recoveries_first_measurements_rests_and_trials() -> None:
    health = Health()
    seen = [health.changes]

    def changed() -> bool:
        seen.append(health.changes)
        return seen[-1] > seen[-2]

    health.observe(OFFER, Sample(1, True))
    assert not changed()
    health.observe(OFFER, Sample(1, True, 100))
    assert changed()
    health.observe(OFFER, Sample(1, True, 100))
    assert not changed()
    health.observe(OFFER, Sample(1, False))
    assert changed()
    health.observe(OFFER, Sample(1, True))
    assert changed()
    health.rest(OFFER, 1, 1, 429)
    assert changed()
    health.demote(OFFER, 1)
    assert changed()
    for _ in range(5):
        health.observe(OFFER, Sample(2, False))
    opened_s = health.figures(OFFER, 2).open_s
    changed()
    health.begin(OFFER, 2 + opened_s)
    assert changed()


def test_when_its_breaker_closes_what_was_before_is_forgiven_but_still_told() -> None:
    health = watched(*(Sample(1, False) for _ in range(10)))
    later = 1 + health.figures(OFFER, 1).open_s
    assert health.figures(OFFER, later).breaker == "half_open"
    for _ in range(2):
        health.begin(OFFER, later)
        health.observe(OFFER, Sample(later, True))
    figures = health.figures(OFFER, later)
    assert (figures.breaker, figures.reliability) == ("closed", 1.0)
    assert figures.uptime == pytest.approx(2 / 12)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "up", "down", "nothing", "rest", "demote"]), st.integers(0, 200), st.integers(1, 9999)
    ),
    max_size=40,
)


@given(EVENTS)
def test_figures_are_sane_whatever_happens(events: list[tuple[str, int, int]]) -> None:
    health, now_s, begun = Health(random.Random(1).random), 0.0, 0
    for what, wait_s, value in events:
        now_s += wait_s
        if what == "begin":
            health.begin(OFFER, now_s)
            begun += 1
        elif what == "rest":
            health.rest(OFFER, now_s, value, 429)
        elif what == "demote":
            health.demote(OFFER, now_s)
        else:
            up = {"up": True, "down": False, "nothing": None}[what]
            health.observe(OFFER, Sample(now_s, up, value if up else None, value if up else None))
            begun = max(0, begun - 1)
        figures = health.figures(OFFER, now_s)
        assert figures.in_flight == begun
        assert 0 <= figures.reliability <= 1
        assert figures.uptime is None or 0 <= figures.uptime <= 1
        assert (figures.first_token_ms is None) == (figures.samples == 0)
        assert figures.first_token_ms is None or figures.first_token_ms <= (figures.p95_ms or 0)
        assert 0 <= figures.rest_s <= MAX_RETRY_AFTER_S
        assert (figures.open_s > 0) <= (figures.breaker == "open")
