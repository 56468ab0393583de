"""Incidents out of hours that went badly, and minutes around their edges."""

import msgspec

from trunkline.records.figures import HOUR_S
from trunkline.records.incidents import BACK_AFTER, LEAST, Incident, edges, incidents

NOON_S = 1_767_268_800
NOW_S = NOON_S + 30 * 60


class At(msgspec.Struct):
    start_s: int
    of: str = "acme/alpha:acme"
    ok: int = 0
    failed: int = 0
    causes: dict[str, int] = {}


def hour(back: int, ok: int = 0, failed: int = 10, of: str = "acme/alpha:acme", **causes: int) -> At:
    return At(NOON_S - back * HOUR_S, of, ok, failed, causes or {"reset": failed})


def minute(back: int, ok: int = 0, failed: int = 0, of: str = "acme/alpha:acme") -> At:
    return At(NOW_S - back * 60, of, ok, failed)


def only(hours: list[At], minutes: list[At] | None = None) -> Incident:
    (found,) = incidents(hours, minutes or [], NOW_S)
    return found


def test_nothing_that_went_badly_is_no_incident():
    assert incidents([], [], NOW_S) == []


def test_hours_that_follow_each_other_are_one_incident():
    found = only([hour(30, ok=2), hour(29), hour(28, failed=20)])
    assert (found.start_s, found.end_s) == (NOON_S - 30 * HOUR_S, NOON_S - 27 * HOUR_S)
    assert (found.attempts, found.failed, found.ongoing) == (42, 40, False)
    assert (found.provider, found.offers) == ("acme", ("acme/alpha:acme",))


def test_an_hour_between_that_went_well_parts_them_and_the_newest_comes_first():
    first, second = incidents([hour(30), hour(28)], [], NOW_S)
    assert first.start_s == NOON_S - 28 * HOUR_S
    assert second.start_s == NOON_S - 30 * HOUR_S


def test_few_attempts_are_no_incident_but_as_many_over_several_hours_are():
    assert incidents([hour(30, failed=LEAST - 1)], [], NOW_S) == []
    assert only([hour(30, failed=LEAST - 1), hour(29, failed=1)]).attempts == LEAST


def test_what_failed_most_is_the_cause():
    found = only([hour(30, reset=3, timeout_idle=1), hour(29, timeout_idle=5, **{"status 503": 4})])
    assert found.cause == "timeout_idle"
    assert found.causes == {"reset": 3, "timeout_idle": 6, "status 503": 4}


def test_what_the_caller_did_is_no_cause():
    assert only([hour(30, client_left=9, **{"status 400": 9, "status 429": 9, "status 500": 1})]).cause == "status 500"
    assert only([hour(30, client_left=9)]).cause == ""


def test_one_that_failed_of_five_is_no_incident():
    assert incidents([hour(30, ok=4, failed=1)], [], NOW_S) == []


def test_offers_of_one_provider_that_failed_at_the_same_time_are_one():
    found = only([hour(30), hour(30, of="acme/beta:acme"), hour(29, of="acme/beta:acme")])
    assert found.offers == ("acme/alpha:acme", "acme/beta:acme")
    assert found.end_s == NOON_S - 28 * HOUR_S
    assert found.failed == 30


def test_those_of_two_providers_are_two():
    assert len(incidents([hour(30), hour(30, of="acme/alpha:azure")], [], NOW_S)) == 2


def test_minutes_say_when_it_began_and_ended():
    minutes = [minute(89, ok=9), minute(80, failed=4), minute(50, failed=6), minute(40, ok=9)]
    found = only([hour(1)], minutes)
    assert (found.start_s, found.end_s) == (NOW_S - 80 * 60, NOW_S - 49 * 60)
    assert not found.ongoing


def test_it_goes_on_while_nothing_has_gone_well_since():
    found = only([hour(1), hour(0)], [minute(80, failed=4), minute(5, failed=6), minute(2, ok=BACK_AFTER - 1)])
    assert found.ongoing
    assert (found.start_s, found.end_s) == (NOW_S - 80 * 60, NOW_S)


def test_it_is_over_when_enough_has_gone_well_since():
    found = only([hour(0)], [minute(20, failed=4), minute(5, failed=6), minute(2, ok=BACK_AFTER)])
    assert not found.ongoing
    assert found.end_s == NOW_S - 4 * 60


def test_without_traffic_it_is_over_after_an_hour():
    assert only([hour(1)], [minute(61, failed=9)]).ongoing is False
    assert only([hour(1)], [minute(59, failed=9)]).ongoing is True


def test_an_hour_that_is_not_over_ends_now():
    assert only([hour(0)]).end_s == NOW_S


def test_minutes_are_wanted_of_the_first_and_the_last_hour_as_far_back_as_they_are_kept():
    hours = [hour(50), hour(49), hour(48), hour(5, failed=1), hour(2), hour(1, of="b:acme"), hour(0, of="b:acme")]
    starts, names = edges(hours, NOON_S - 48 * HOUR_S)
    assert starts == [NOON_S - back * HOUR_S for back in (48, 2, 1, 0)]
    assert names == ["acme/alpha:acme", "b:acme"]
