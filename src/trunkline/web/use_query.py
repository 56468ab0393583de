"""What a page of use or cost was asked for: which days, by what, of what. In: a query string. Out: an `Asked`, or a 400 that says what is wrong.

Days are in UTC. `from` and `to` are dates, both inclusive, and go before `days`; the other names are those of the logs.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote_plus, urlencode

import msgspec
from starlette.exceptions import HTTPException

from trunkline.api.management.scope import EVERYTHING, Scope
from trunkline.records.figures import DAY_S, HOUR_S
from trunkline.storage.ladder import Span

PRESETS = ((1, "24 hours"), (7, "7 days"), (30, "30 days"), (90, "90 days"))
DEFAULT_DAYS = 7
MOST_DAYS = 366
MOST_DAYS_IN_HOURS = 8
"""Longer ones are shown by the day: an hour of each would be no wider than a hair."""
HOURS_KEPT_DAYS = 99
WIDTHS = {"hour": HOUR_S, "day": DAY_S}
FILTERS = {"model": "model", "provider": "provider", "key": "key_id", "protocol": "protocol"}
"""Name in the query -> dimension of the rollups."""
MOST_CHARS = 200
FIRST_DAY = date(1970, 1, 1)


class Choices(msgspec.Struct, frozen=True):
    """What one page offers, the default first: value -> words."""

    path: str
    by: Mapping[str, str]
    metrics: Mapping[str, str]


class Asked(msgspec.Struct, frozen=True):
    """`days` is the preset, None for the reader's own dates. `before` is as long a time just before `span`."""

    choices: Choices
    by: str
    metric: str
    days: int | None
    first: date
    last: date
    today: date
    span: Span
    before: Span
    width: str
    filters: dict[str, str]
    """Of `FILTERS`, those that are set."""
    may_be_hours: bool
    scope: Scope = EVERYTHING
    """Whose use the reader may see."""

    @property
    def width_s(self) -> int:
        return WIDTHS[self.width]

    @property
    def where(self) -> dict[str, Sequence[str]]:
        """The filters as the rollups take them."""
        chosen: dict[str, Sequence[str]] = {FILTERS[name]: [value] for name, value in self.filters.items()}
        if self.scope.keys is not None and "key_id" not in chosen:
            chosen["key_id"] = self.scope.keys
        return chosen

    def link(self, **changes: str | int | None) -> str:
        """This page with some of the query changed; None takes a part away."""
        return _link(self.choices.path, self._query() | changes)

    def links(self, name: str, **changes: str | int | None) -> Callable[[str], str]:
        """The same with one part that differs from link to link."""
        return _links(self.choices.path, self._query() | changes | {name: ""}, name)

    def logs(self, **filters: str) -> str:
        """The requests behind these figures."""
        return _link("/platform/logs", self._logs(filters))

    def logs_of(self, name: str) -> Callable[[str], str]:
        """The same with one part that differs from link to link."""
        return _links("/platform/logs", self._logs({name: "-"}), name)

    def _logs(self, filters: Mapping[str, str]) -> dict[str, str | int | None]:
        known = {name: value for name, value in (self.filters | dict(filters)).items() if value}
        # Until now is without an end, so that the log goes on.
        end = None if self.last == self.today else iso_minute(self.span.end_s)
        return {"from": iso_minute(self.span.start_s), "to": end, **known}

    def _query(self) -> dict[str, str | int | None]:
        dates: dict[str, str | int | None] = {"days": self.days}
        if self.days is None:
            dates = {"from": self.first.isoformat(), "to": self.last.isoformat()}
        return {**dates, "by": self.by, "metric": self.metric, "width": self.width, **self.filters}


def asked(query: Mapping[str, str], choices: Choices, now_s: int, scope: Scope = EVERYTHING) -> Asked:
    """Raises 400 with words for what is no choice, no date, or too long a time; 404 for a key that the reader may not see."""
    days, first, last, span, before = _times(query, now_s)
    by = _one_of(query, "by", list(choices.by))
    may_be_hours = _hours_fit(span, now_s)
    is_short = span.end_s - span.start_s <= 2 * DAY_S
    width = query.get("width") or ("hour" if is_short and may_be_hours else "day")
    if width not in WIDTHS:
        raise _wrong(f"width is hour or day, not {_quoted(width)}.")
    if width == "hour" and not may_be_hours:
        raise _wrong(
            f"Hours can be shown of at most {MOST_DAYS_IN_HOURS} days within the last {HOURS_KEPT_DAYS}: "
            "choose fewer days, or width=day."
        )
    filters = {name: value for name in FILTERS if (value := query.get(name, "").strip())}
    for name, value in filters.items():
        if len(value) > MOST_CHARS:
            raise _wrong(f"{name} is longer than {MOST_CHARS} characters.")
    if "key" in filters and not scope.has(filters["key"]):
        raise HTTPException(404, f"There is no key {filters['key'][:60]}.")
    metric = _one_of(query, "metric", list(choices.metrics))
    return Asked(choices, by, metric, days, first, last, _day(now_s), span, before, width, filters, may_be_hours, scope)


def buckets(span: Span, width_s: int) -> list[int]:
    """The starts of all hours or days of a span, in Unix seconds."""
    return list(range(span.start_s - span.start_s % width_s, span.end_s, width_s))


def iso_minute(unix_s: int) -> str:
    """`2025-10-10T15:00Z`."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _times(query: Mapping[str, str], now_s: int) -> tuple[int | None, date, date, Span, Span]:
    """The preset, the first day and the last, the span until now at most, and the one before it."""
    today = _day(now_s)
    if query.get("from") or query.get("to"):
        first, last = _dates(query, today)
        span = Span(_unix_s(first), min(_unix_s(last) + DAY_S, _next_hour(now_s)))
        return None, first, last, span, _before(span, (last - first).days + 1)
    days = _days(query)
    if days == 1:
        # The hours of a day until now, not since midnight: at one o'clock those would be one.
        span = Span(_next_hour(now_s) - DAY_S, _next_hour(now_s))
        return 1, _day(span.start_s), today, span, _before(span, 1)
    first = today - timedelta(days=days - 1)
    span = Span(_unix_s(first), _next_hour(now_s))
    return days, first, today, span, _before(span, days)


def _before(span: Span, days: int) -> Span:
    """Today counts as far as it has come, so the time before it is cut as short."""
    return Span(span.start_s - days * DAY_S, span.end_s - days * DAY_S)


def _days(query: Mapping[str, str]) -> int:
    text = query.get("days") or str(DEFAULT_DAYS)
    known = {str(days): days for days, _ in PRESETS}
    if text not in known:
        raise _wrong(f"days is one of {', '.join(known)}, not {_quoted(text)}; for other times say from and to.")
    return known[text]


def _dates(query: Mapping[str, str], today: date) -> tuple[date, date]:
    last = _date(query.get("to"), "to") or today
    first = _date(query.get("from"), "from") or last
    if last > today:
        raise _wrong(f"to is {last}, which is later than today in UTC, {today}.")
    if first < FIRST_DAY:
        raise _wrong(f"from is {first}, and days are counted from {FIRST_DAY}.")
    if first > last:
        raise _wrong(f"from is {first}, which is later than to, {last}.")
    if (last - first).days + 1 > MOST_DAYS:
        raise _wrong(
            f"At most {MOST_DAYS} days can be shown, and from {first} to {last} there are {(last - first).days + 1}."
        )
    return first, last


def _date(text: str | None, name: str) -> date | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise _wrong(f"{name} is a date such as 2026-01-31, not {_quoted(text)}.") from None


def _one_of(query: Mapping[str, str], name: str, known: list[str]) -> str:
    value = query.get(name) or known[0]
    if value not in known:
        raise _wrong(f"{name} is one of {', '.join(known)}, not {_quoted(value)}.")
    return value


def _hours_fit(span: Span, now_s: int) -> bool:
    long = span.end_s - span.start_s > MOST_DAYS_IN_HOURS * DAY_S
    return not long and span.start_s > now_s - HOURS_KEPT_DAYS * DAY_S


def _link(path: str, query: Mapping[str, str | int | None]) -> str:
    return f"{path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


def _links(path: str, query: Mapping[str, str | int | None], varied: str) -> Callable[[str], str]:
    names = list(query)
    at = names.index(varied)
    before = _link(path, {name: query[name] for name in names[:at]})
    after = urlencode({name: value for name in names[at + 1 :] if (value := query[name]) is not None})
    start = f"{before}{'' if before.endswith('?') else '&'}{varied}="
    end = f"&{after}" if after else ""
    return lambda value: f"{start}{quote_plus(value)}{end}"


def _quoted(text: str) -> str:
    return repr(text[:40])


def _day(unix_s: int) -> date:
    return datetime.fromtimestamp(unix_s, UTC).date()


def _unix_s(day: date) -> int:
    return (day - FIRST_DAY).days * DAY_S


def _next_hour(now_s: int) -> int:
    return now_s - now_s % HOUR_S + HOUR_S


def _wrong(text: str) -> HTTPException:
    return HTTPException(400, text)
