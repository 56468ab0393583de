"""`/status`: how every provider and offer goes now and went over 90 days, and incidents found from our own traffic. In: a range, a provider. Out: the page.

With many offers those of a provider come when they are asked for (`?provider=`; by htmx only that part).
"""

import asyncio
from collections.abc import Iterable, Sequence

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.records.figures import DAY_S, HOUR_S
from trunkline.records.incidents import BELOW, LEAST, LEAST_FAILED, Incident, edges, incidents
from trunkline.storage.backfill import made_up_until_ms
from trunkline.storage.ladder import Span
from trunkline.storage.outcomes import Outcomes, OutcomesOverTime
from trunkline.storage.rollups import KEEP_MINUTES_S
from trunkline.web import facts, uptime
from trunkline.web.providers import now_s
from trunkline.web.render import pages_of
from trunkline.web.session import OpenReader
from trunkline.web.uptime import QUIET, Bar, Now, Past

DAYS = 90
RANGES = ((7, "7 days"), (30, "30 days"), (90, "90 days"))
FIRST_RANGE = 30
OFFERS_AT_ONCE = 12
MOST_INCIDENTS = 100
CAUSES = {
    "connect": "no connection",
    "tls": "no TLS connection",
    "timeout_connect": "connecting took too long",
    "timeout_first_event": "the first token took too long",
    "timeout_idle": "the answer stood still",
    "timeout_total": "the answer took too long",
    "reset": "the connection broke",
    "truncated": "the answer was cut",
    "malformed": "the answer was unreadable",
    "empty": "the answer was empty",
    "in_stream_error": "an error inside the answer",
}

_ORDER = ("down", "limited", "disturbed", "up", "quiet")

router = APIRouter(include_in_schema=False)


class Line(msgspec.Struct, frozen=True):
    """A provider or an offer. `name` is shown, `path` leads to it."""

    id: str
    name: str
    path: str
    now: Now
    uptime: float | None
    attempts: int
    bars: list[Bar]


class ProviderLine(msgspec.Struct, frozen=True):
    """A provider, and those of its offers that are shown now."""

    line: Line
    offers: list[Line]
    offer_count: int
    """Offers that can be called."""


class Told(msgspec.Struct, frozen=True):
    """An incident in words."""

    incident: Incident
    provider: str
    offers: list[str]
    cause: str


@router.api_route("/status", methods=["GET", "HEAD"], response_class=Response)
async def status(request: Request, console: ConsoleOf, _: OpenReader, days: str = "", provider: str = "") -> Response:
    """The page; htmx gets the offers of one provider."""
    if provider and provider not in console.catalog.providers:
        raise HTTPException(404, f"There is no provider {provider[:100]}. /providers lists those that there are.")
    names = _offers(console)
    if provider and "hx-request" in request.headers:
        offers = await offer_lines(console, names.get(provider, []))
        return pages_of(request).page(request, "status_offers.html", {"offers": offers})
    chosen = _range(days)
    past = past_of(request)
    lines, incidents_told, made_up_ms = await asyncio.gather(
        provider_lines(console, past, names, provider), told(console, past, chosen), made_up_until_ms(console.store)
    )
    ongoing = [one for one in incidents_told if one.incident.ongoing]
    shown = {
        "lines": lines,
        "sentence": sentence([one.line for one in lines], len(ongoing)),
        "grade": worst([one.line.now for one in lines], len(ongoing)),
        "ongoing": ongoing,
        "incidents": incidents_told[:MOST_INCIDENTS],
        "incident_count": len(incidents_told),
        "simulated": facts.simulated(console),
        "days": DAYS,
        "chosen": chosen,
        "ranges": RANGES,
        "base": f"/status?provider={provider}" if provider else "/status",
        "opened": provider,
        "below": BELOW,
        "least": LEAST,
        "least_failed": LEAST_FAILED,
        "made_up_until_ms": facts.made_up_since(made_up_ms, uptime.days(now_s(console), DAYS).start_s * 1000),
    }
    return pages_of(request).page(request, "status.html", shown)


async def provider_lines(console: Console, past: Past, names: dict[str, list[str]], opened: str) -> list[ProviderLine]:
    """Those that can be called or had traffic, the worst first, then by name; with offers where these are few, or where the reader asked for them."""
    now, span = now_s(console), uptime.days(now_s(console), DAYS)
    over_time = OutcomesOverTime(console.store, console.now_ms)
    by_day, recent = await asyncio.gather(
        past.outcomes("providers", span, console.now_ms(), lambda part: over_time.providers(part, DAY_S)),
        uptime.recent(over_time.providers, now),
    )
    days = uptime.by_name(by_day)
    few = sum(map(len, names.values())) <= OFFERS_AT_ONCE
    wanted = [name for slug, offers in names.items() if few or slug == opened for name in offers]
    offers = await offer_lines(console, wanted) if wanted else []
    found = []
    for slug in sorted({*names, *days} - {""}, key=lambda slug: _provider_name(console, slug).lower()):
        line = _line(
            slug,
            _provider_name(console, slug),
            f"/providers/{slug}" if slug in console.catalog.providers else "",
            uptime.now_of(recent, slug),
            days.get(slug, []),
            span,
        )
        own = [one for one in offers if one.id.rpartition(":")[2] == slug]
        found.append(ProviderLine(line, own, len(names.get(slug, ()))))
    return sorted(found, key=lambda one: _ORDER.index(one.line.now.state))


async def offer_lines(console: Console, names: Sequence[str]) -> list[Line]:
    """The busiest first."""
    now, span = now_s(console), uptime.days(now_s(console), DAYS)
    over_time = OutcomesOverTime(console.store, console.now_ms)
    by_day, recent = await asyncio.gather(
        over_time.offers(span, DAY_S, names),
        uptime.recent(lambda part, width_s: over_time.offers(part, width_s, names), now),
    )
    days = uptime.by_name(by_day)
    lines = []
    for name in names:
        model = name.rpartition(":")[0]
        state = uptime.now_of(recent, name)
        lines.append(_line(name, console.catalog.models[model].name, f"/{model}", state, days.get(name, []), span))
    return sorted(lines, key=lambda line: (-line.attempts, line.name.casefold()))


async def told(console: Console, past: Past, days: int) -> list[Told]:
    """The incidents of the last days, the newest first; as they were found some seconds ago, since it takes the most time of the page."""
    return await past.of_late(("told", days), console.now_ms(), lambda: _find(console, past, days))


async def _find(console: Console, past: Past, days: int) -> list[Told]:
    now, over_time = now_s(console), OutcomesOverTime(console.store, console.now_ms)
    every = await past.outcomes(
        "spoiled", uptime.days(now, DAYS), console.now_ms(), lambda part: over_time.spoiled_hours(part, BELOW)
    )
    hours = [hour for hour in every if hour.start_s >= now - days * DAY_S]
    starts, names = edges(hours, now - KEEP_MINUTES_S)
    # The minutes after a run tell whether it is over.
    spans = joined([Span(start_s, start_s + 2 * HOUR_S) for start_s in starts])
    minutes = await over_time.minutes(spans, names) if names else []
    return [_told(console, one) for one in incidents(hours, minutes, now)]


def past_of(request: Request) -> Past:
    """The process's."""
    past = request.app.state.past
    assert isinstance(past, Past)
    return past


def sentence(lines: Sequence[Line], ongoing: int) -> str:
    """How it goes, over all; `ongoing` is how many incidents go on."""
    more = "" if not ongoing else f" {ongoing} incident{' is' if ongoing == 1 else 's are'} ongoing."
    return _how_providers_go(lines) + more


def _how_providers_go(lines: Sequence[Line]) -> str:
    if not lines:
        return "No provider is set up yet."
    seen = [line for line in lines if line.now is not QUIET and line.now.state != "quiet"]
    if not seen:
        return "There was no traffic in the last hour."
    troubled = [
        f"{_listed([line.name for line in seen if line.now.state == state])} {'is' if count == 1 else 'are'} {word}"
        for state, word in (("down", "down"), ("disturbed", "disturbed"), ("limited", "limited"))
        if (count := sum(line.now.state == state for line in seen))
    ]
    well = sum(line.now.state == "up" for line in seen)
    if troubled:
        rest = f"; {'the other one is' if well == 1 else f'the other {well} are'} up" if well else ""
        return f"{', '.join(troubled)}{rest}."
    return f"{seen[0].name} is up." if well == 1 else f"All {well} providers with traffic are up."


def worst(states: Iterable[Now], ongoing: int) -> str:
    """The grade of the whole: bad only where nothing is up."""
    found = {state.state for state in states}
    if not found - {"quiet"}:
        return "fair" if ongoing else "none"
    if found <= {"up", "quiet"}:
        return "fair" if ongoing else "good"
    return "fair" if "up" in found else "bad"


def _line(id_: str, name: str, path: str, now: Now, days: Sequence[Outcomes], span: Span) -> Line:
    whole = uptime.total(days)
    return Line(id_, name, path, now, whole.uptime, whole.attempts, uptime.bars(days, span, DAY_S))


def _told(console: Console, incident: Incident) -> Told:
    models = console.catalog.models
    offers = [offer.rpartition(":")[0] for offer in incident.offers]
    names = [models[slug].name if slug in models else slug for slug in offers]
    cause = incident.cause
    words = CAUSES.get(cause, cause or "of unknown cause")
    return Told(incident, _provider_name(console, incident.provider), names, words)


def _offers(console: Console) -> dict[str, list[str]]:
    """Provider -> its offers that can be called."""
    today = console.today()
    found: dict[str, list[str]] = {}
    for model in console.catalog.models.values():
        for offer in console.state.callable_offers(model, today):
            found.setdefault(offer.provider, []).append(offer.id)
    return found


def _provider_name(console: Console, slug: str) -> str:
    known = console.catalog.providers.get(slug)
    return known.name if known else slug


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def joined(spans: Sequence[Span]) -> list[Span]:
    """Sorted spans that overlap or touch as one."""
    found: list[Span] = []
    for span in spans:
        if found and span.start_s <= found[-1].end_s:
            found[-1] = Span(found[-1].start_s, max(found[-1].end_s, span.end_s))
        else:
            found.append(span)
    return found


def _range(text: str) -> int:
    if not text:
        return FIRST_RANGE
    known = {str(days): days for days, _ in RANGES}
    if text in known:
        return known[text]
    raise HTTPException(400, f"days={text[:60]} means nothing here. There are: 7, 30, 90.")
