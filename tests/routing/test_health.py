"""What traffic measured of an offer: averages over a window, uptime without what says nothing of it, and rests."""

import random

from trunkline.routing.health import FAILED_REST_S, MAX_AGE_S, MAX_RETRY_AFTER_S, UNMEASURED, WINDOW, Health, Sample

OFFER = "acme/alpha:acme"


def watched(*samples: Sample) -> Health:
    health = Health()
    for sample in samples:
        health.observe(OFFER, sample)
    return health


def test_an_offer_nobody_called_is_unmeasured() -> None:
    assert Health().figures(OFFER, 0.0) is UNMEASURED


def test_latency_and_throughput_are_averages_of_what_was_measured() -> None:
    health = watched(Sample(1, True, 100, 10), Sample(2, True, 300, None), Sample(3, True, None, 30))
    figures = health.figures(OFFER, 4)
    assert (figures.first_token_ms, figures.tokens_per_second, figures.attempts) == (200, 20, 3)


def test_uptime_leaves_out_what_says_nothing_of_it() -> None:
    assert watched(Sample(1, True), Sample(2, None), Sample(3, False)).figures(OFFER, 4).uptime == 0.5
    assert watched(Sample(1, None)).figures(OFFER, 4).uptime is None


def test_samples_leave_by_age_and_by_number() -> None:
    health = watched(Sample(0, True, 1000), Sample(10, True, 100))
    assert health.figures(OFFER, MAX_AGE_S + 5).first_token_ms == 100
    chance = random.Random(1)
    values = [chance.uniform(1, 1000) for _ in range(WINDOW * 3)]
    many = watched(*(Sample(1, True, value) for value in values))
    newest = values[-WINDOW:]
    assert abs((many.figures(OFFER, 1).first_token_ms or 0) - sum(newest) / WINDOW) < 1e-6


def test_a_failure_is_remembered_until_a_success_or_for_a_while() -> None:
    health = watched(Sample(10, False))
    assert health.figures(OFFER, 11).failed_lately
    assert not health.figures(OFFER, 10 + FAILED_REST_S).failed_lately
    health.observe(OFFER, Sample(12, True))
    assert not health.figures(OFFER, 13).failed_lately


def test_a_rest_lasts_as_long_as_was_asked_and_never_too_long() -> None:
    health = Health()
    health.rest(OFFER, 100, 5, 503)
    assert (health.figures(OFFER, 102).rest_s, health.figures(OFFER, 102).rest_status) == (3, 503)
    assert health.figures(OFFER, 105).rest_s == 0
    health.rest(OFFER, 100, 1e9, 429)
    assert health.figures(OFFER, 100).rest_s == MAX_RETRY_AFTER_S
