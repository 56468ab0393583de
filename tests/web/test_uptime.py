"""Bars and the state of now, out of counts."""

import pytest

from trunkline.records.figures import DAY_S, MINUTE_S
from trunkline.storage.outcomes import Outcomes
from trunkline.web import uptime

NOW_S = 1_767_268_800


def minute(back: int, ok: int = 0, failed: int = 0, limited: int = 0) -> Outcomes:
    return Outcomes(NOW_S - back * 60, "acme", ok + failed + limited, ok, failed, limited)


@pytest.mark.parametrize(
    ("minutes", "state"),
    [
        ([], "quiet"),
        ([minute(40, ok=9)], "up"),
        ([minute(40, ok=9, failed=1)], "disturbed"),
        ([minute(40, failed=20), minute(2, ok=3)], "up"),
        ([minute(40, ok=200), minute(2, failed=3)], "down"),
        ([minute(40, ok=200), minute(2, failed=2)], "up"),
        ([minute(2, limited=4, ok=1)], "limited"),
        ([minute(2, failed=4, limited=1)], "down"),
    ],
)
async def test_the_last_minutes_count_where_enough_happened_in_them(minutes, state):
    async def ask(span, width_s):
        within = [one for one in minutes if span.start_s <= one.start_s < span.end_s]
        return within if width_s == MINUTE_S else minutes

    assert uptime.now_of(await uptime.recent(ask, NOW_S), "acme").state == state


async def test_what_is_past_is_read_once_an_hour_and_the_last_two_days_each_time():
    past, asked = uptime.Past(), []

    async def ask(span):
        asked.append((span.end_s - span.start_s) // DAY_S)
        return [Outcomes(span.start_s, "acme")]

    span = uptime.days(NOW_S, 90)
    for later_ms in (0, 1_000, uptime.PAST_HOLDS_MS + 1):
        found = await past.outcomes("x", span, later_ms, ask)
        assert [one.start_s for one in found] == [span.start_s, span.end_s - 2 * DAY_S]
    assert asked == [88, 2, 2, 88, 2]
    await past.outcomes("x", uptime.days(NOW_S + DAY_S, 90), uptime.PAST_HOLDS_MS + 1, ask)
    assert asked[5:] == [88, 2], "another day"


def test_a_bar_for_each_day_and_none_is_made_up():
    span = uptime.days(NOW_S, 3)
    assert (span.end_s - span.start_s, span.end_s % DAY_S) == (3 * DAY_S, 0)
    bars = uptime.bars([Outcomes(span.start_s + DAY_S, "acme", 4, 3, 1)], span, DAY_S)
    assert [bar.share for bar in bars] == [None, 0.75, None]
    assert [bar.grade for bar in bars] == ["none", "bad", "none"]


@pytest.mark.parametrize(
    ("share", "grade"), [(1.0, "good"), (0.999, "good"), (0.9989, "fair"), (0.95, "fair"), (0.94, "bad")]
)
def test_grades(share, grade):
    assert uptime.grade(share) == grade
