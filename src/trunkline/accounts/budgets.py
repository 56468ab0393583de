"""Budgets: which of them a key's spending counts in, and from when to when. Pure. In: a key, budgets, a time. Out: `Window`s and `Hold`s.

Periods are those of the calendar, in UTC. A request counts in the period in which it was received, however long it takes.
"""

import datetime

import msgspec

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.shared import Hold
from trunkline.accounts.types import Budget, Period

_DAY_MS = 86_400_000
CREDITS = "credits"


class Window(msgspec.Struct, frozen=True):
    """A period in Unix milliseconds. `start_ms` is inclusive, `end_ms` exclusive; None: it has no end."""

    start_ms: int
    end_ms: int | None


ALWAYS = Window(0, None)


def window(period: Period, at_ms: float) -> Window:
    """The day, week (from Monday) or month in which a moment lies."""
    if period == "total":
        return ALWAYS
    day = int(at_ms // _DAY_MS)
    if period == "day":
        return Window(day * _DAY_MS, (day + 1) * _DAY_MS)
    if period == "week":
        # 1970-01-01 was a Thursday.
        monday = day - (day + 3) % 7
        return Window(monday * _DAY_MS, (monday + 7) * _DAY_MS)
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    following = (date.year + 1, 1) if date.month == 12 else (date.year, date.month + 1)
    return Window(_start_ms(date.year, date.month), _start_ms(*following))


def covers(budget: Budget, key: ApiKey) -> bool:
    """Whether what is spent with the key counts in the budget."""
    if budget.ended_ms is not None or budget.org_id != key.org_id:
        return False
    return (
        budget.scope_id
        == {
            "organisation": key.org_id,
            "project": key.project_id,
            "member": key.member_id,
            # Of a rotated key, the first of those whose place it takes: a new secret is no new budget.
            "key": key.rotated_from or key.id,
        }[budget.scope]
    )


def hold_name(budget_id: str, start_ms: int) -> str:
    """With the start of its period, so that the next one begins at nothing spent."""
    return f"{hold_prefix(budget_id)}{start_ms}"


def hold_prefix(budget_id: str) -> str:
    """What the names of all periods of a budget begin with."""
    return f"budget:{budget_id}:"


def hold_of(budget: Budget, at_ms: float) -> Hold:
    """What may be spent of a budget in the period of a moment."""
    found = window(budget.period, at_ms)
    return Hold(hold_name(budget.id, found.start_ms), budget.limit_pico_usd, found.end_ms)


def credits_hold(org_id: str, funded_pico_usd: int) -> Hold:
    """What a prepaid organisation may spend: all that was ever put in, since what was spent counts from the beginning too."""
    return Hold(f"{CREDITS}:{org_id}", funded_pico_usd)


def _start_ms(year: int, month: int) -> int:
    return (datetime.date(year, month, 1) - datetime.date(1970, 1, 1)).days * _DAY_MS
