"""A breaker opens for what fails, lets one request at a time see whether it is back, and waits longer each time it is not."""

import pytest

from trunkline.routing.breaker import CALM_S, CLOSE_AFTER, MAX_OPEN_S, OPEN_S, TRIAL_S, WINDOW_S, Breaker


def broken(now_s: float = 0.0, *, chance: float = 0.5) -> Breaker:
    breaker = Breaker(lambda: chance)
    for _ in range(3):
        breaker.end(False, now_s)
    return breaker


def tried(breaker: Breaker, up: bool | None, now_s: float) -> None:
    assert breaker.begin(now_s)
    breaker.end(up, now_s)


def test_it_opens_where_half_of_at_least_three_failed() -> None:
    breaker = Breaker(lambda: 0.5)
    breaker.end(False, 0)
    breaker.end(False, 0)
    assert breaker.state(0) == "closed"
    breaker.end(True, 0)
    assert breaker.state(0) == "closed"
    breaker.end(False, 0)
    assert breaker.state(0) == "open"


def test_it_stays_closed_where_less_than_half_fail() -> None:
    breaker = Breaker(lambda: 0.5)
    for place in range(60):
        breaker.end(place % 3 != 2, place)
    assert breaker.state(60) == "closed"


def test_what_says_nothing_of_the_offer_does_not_count() -> None:
    breaker = Breaker(lambda: 0.5)
    for _ in range(50):
        breaker.end(None, 0)
    assert breaker.state(0) == "closed"


def test_failures_far_apart_do_not_open_it() -> None:
    breaker = Breaker(lambda: 0.5)
    for place in range(10):
        breaker.end(False, place * (WINDOW_S / 2 + 1))
    assert breaker.state(10 * WINDOW_S) == "closed"


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_it_is_open_for_a_time_with_jitter_then_half_open(chance: float, factor: float) -> None:
    breaker = broken(chance=chance)
    assert breaker.state(OPEN_S * factor - 0.01) == "open"
    assert breaker.state(OPEN_S * factor) == "half_open"


def test_half_open_lets_one_through_at_a_time() -> None:
    breaker = broken()
    assert breaker.begin(OPEN_S)
    assert breaker.state(OPEN_S) == "open"
    assert not breaker.begin(OPEN_S)
    breaker.end(True, OPEN_S + 1)
    assert breaker.state(OPEN_S + 1) == "half_open"


def test_successes_of_trials_close_it() -> None:
    breaker = broken()
    for _ in range(CLOSE_AFTER):
        assert breaker.state(OPEN_S) == "half_open"
        tried(breaker, True, OPEN_S)
    assert breaker.state(OPEN_S) == "closed"


def test_after_it_closed_old_failures_do_not_open_it_again() -> None:
    breaker = broken()
    for _ in range(CLOSE_AFTER):
        tried(breaker, True, OPEN_S)
    breaker.end(False, OPEN_S)
    assert breaker.state(OPEN_S) == "closed"


def test_a_failed_trial_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    breaker, now_s, waits = broken(), 0.0, []
    for _ in range(8):
        waits.append(breaker.until_s - now_s)
        now_s = breaker.until_s
        tried(breaker, False, now_s)
    assert waits == [OPEN_S, 2 * OPEN_S, 4 * OPEN_S, 8 * OPEN_S, 16 * OPEN_S, *[MAX_OPEN_S] * 3]


def test_a_trial_that_says_nothing_gives_its_place_free() -> None:
    breaker = broken()
    tried(breaker, None, OPEN_S)
    assert breaker.state(OPEN_S) == "half_open"


def test_a_trial_that_never_ends_gives_its_place_free_after_a_while() -> None:
    breaker = broken()
    breaker.begin(OPEN_S)
    assert breaker.state(OPEN_S + TRIAL_S - 1) == "open"
    assert breaker.state(OPEN_S + TRIAL_S) == "half_open"


def test_failures_of_attempts_from_before_it_opened_do_not_lengthen_the_wait() -> None:
    breaker = broken()
    for _ in range(20):
        breaker.end(False, 1)
    assert breaker.until_s == OPEN_S
    breaker.end(False, OPEN_S + 1)
    assert breaker.state(OPEN_S + 1) == "half_open"


def test_answers_while_it_is_open_close_it_too() -> None:
    """Where there is no other offer it is tried all the same."""
    breaker = broken()
    for _ in range(CLOSE_AFTER):
        breaker.end(True, 1, began_s=0.5)
    assert breaker.state(1) == "closed"


def test_answers_that_were_under_way_when_it_opened_do_not_close_it() -> None:
    breaker = broken()
    for _ in range(20):
        breaker.end(True, 1, began_s=-5)
    assert breaker.state(1) == "open"
    assert breaker.begin(OPEN_S)
    breaker.end(True, OPEN_S + 1, began_s=-5)
    assert breaker.state(OPEN_S + 1) == "open", "the trial goes on"


def reopened_after(calm_s: float) -> float:
    breaker = broken()
    tried(breaker, False, OPEN_S)
    now_s = breaker.until_s
    for _ in range(CLOSE_AFTER):
        tried(breaker, True, now_s)
    now_s += calm_s
    for _ in range(3):
        breaker.end(False, now_s)
    return breaker.until_s - now_s


def test_one_that_flaps_waits_longer_and_one_that_was_calm_begins_anew() -> None:
    assert reopened_after(1) == 4 * OPEN_S
    assert reopened_after(CALM_S + 1) == OPEN_S


def test_only_the_trials_own_failure_makes_the_wait_longer() -> None:
    breaker = broken()
    assert breaker.begin(OPEN_S)
    assert not breaker.end(False, OPEN_S + 1, began_s=OPEN_S - 1)
    assert breaker.state(OPEN_S + 1) == "open"
    assert breaker.end(False, OPEN_S + 2, began_s=OPEN_S)
    assert breaker.until_s > OPEN_S + 2
