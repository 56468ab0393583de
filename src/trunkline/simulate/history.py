"""Ninety days that never were: what a gateway over simulated offers would have recorded. In: offers with their figures, a time, keys, randomness. Out: records.

Oldest first, all marked as simulated. In any 24 hours, counted back from `now_ms`, each offer's first-token latencies and throughputs lie within its
`Spread`, reach both bounds and have exactly its mean, where there are enough of them. The last day is without faults of the providers.
"""

from collections.abc import Iterator, Sequence
from math import pi, sin
from random import Random

import msgspec

from trunkline.catalog.types import Offer
from trunkline.ir.usage import Usage
from trunkline.pricing.rate import RateCard
from trunkline.records.types import Attempt, Candidate, Record
from trunkline.simulate.spread import Spread, draw

DAYS = 90
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BUSIEST_AN_HOUR = 34.0
"""Requests in the busiest hour of the last week."""
GROWTH = 0.55
"""So many of today's requests came already ninety days ago."""
WEEKEND = 0.5
SHARES = (0.6, 0.4, 0.25)
"""How requests fall to the first offer, the second, and each one after that."""
PROTOCOLS = (("openai.chat", 70), ("anthropic.messages", 16), ("openai.responses", 10), ("gemini", 4))
AGENTS = ("OpenAI/Python 3.54.0", "Anthropic/JS 1.13.0", "python-requests/2.34.2", "curl/8.5.0", "codex_cli_rs/0.169.0")
APPS = (("", ""), ("https://shop.example.com", "Acme shop"), ("https://help.example.com", "Acme help desk"))
FINISHES = (("stop", 97), ("length", 3))
TOOL_CALLS, REUSED, LIMITED, REFUSED, LEFT = 0.09, 0.9, 0.004, 0.004, 0.006
SERVER_ERRORS = 0.002
"""Shares of requests; the last one before the last day only."""


class Outage(msgspec.Struct, frozen=True):
    """An offer (by its place) that fails for a share of its requests, from `days_ago` for `hours`."""

    place: int
    days_ago: float
    hours: float
    share: float
    outcome: str
    status: int = 0
    message: str = ""

    def holds(self, place: int, age_ms: float) -> bool:
        age_h = age_ms / HOUR_MS
        return place == self.place and self.days_ago * 24 - self.hours <= age_h < self.days_ago * 24


OUTAGES = (
    Outage(1, 73.4, 1.2, 0.9, "status", 503, "The service is temporarily unavailable."),
    Outage(0, 51.8, 3.5, 0.3, "status", 500, "The server had an error while processing your request."),
    Outage(1, 30.6, 6.0, 0.5, "timeout_first_event", 0, "no event within 300 s"),
    Outage(0, 12.3, 0.8, 0.95, "connect", 0, "connection refused"),
    Outage(1, 2.4, 2.2, 0.7, "status", 503, "The service is temporarily unavailable."),
    Outage(0, 1.6, 1.5, 0.3, "status", 500, "The server had an error while processing your request."),
)
_FAULT = Outage(0, 0, 0, 1, "status", 500, "The server had an error while processing your request.")
_LIMIT = Outage(0, 0, 0, 1, "status", 429, "Rate limit reached for requests.")
_REFUSAL = Outage(0, 0, 0, 1, "status", 400, "Invalid value for 'messages[0].content'.")


class Simulated(msgspec.Struct, frozen=True):
    """An offer, and how it is meant to do."""

    offer: Offer
    first_token_ms: Spread
    tokens_per_s: Spread


class _Draft(msgspec.Struct):
    """A request before its figures: when it ends, which offers fail it how, and which one answers."""

    ended_ms: float
    failures: list[tuple[int, Outage]]
    answered: int | None


class _Figures:
    """What the attempts of a day take, by offer: popped as they are made."""

    def __init__(self, offers: Sequence[Simulated], drafts: Sequence[_Draft], random: Random) -> None:
        counts = [sum(draft.answered == place for draft in drafts) for place in range(len(offers))]
        self.first_token_ms = [
            drawn(one.first_token_ms, count, random) for one, count in zip(offers, counts, strict=True)
        ]
        self.tokens_per_s = [drawn(one.tokens_per_s, count, random) for one, count in zip(offers, counts, strict=True)]


def history(
    offers: Sequence[Simulated],
    now_ms: float,
    key_ids: Sequence[str],
    random: Random,
    price_version: str = "",
    days: int = DAYS,
) -> Iterator[Record]:
    """`offers` are of one model; most requests come with the first of the keys."""
    cards = [RateCard(one.offer.price) for one in offers]
    for age in range(days, 0, -1):
        drafts = _day(len(offers), now_ms, age, days, random)
        figures = _Figures(offers, drafts, random)
        for draft in drafts:
            yield _record(draft, offers, cards, figures, key_ids, random, price_version)


def drawn(spread: Spread, count: int, random: Random) -> list[float]:
    """So many values of a spread, with both bounds among them and its exact mean where that is possible; in no order."""
    room, width = spread.avg - spread.min, spread.max - spread.min
    if width == 0 or count * min(room, spread.max - spread.avg) < 2 * width:
        return [draw(spread, random) for _ in range(count)]
    values = [draw(spread, random) for _ in range(count - 2)]
    missing = spread.avg * count - spread.min - spread.max - sum(values)
    bound = spread.max if missing > 0 else spread.min
    # Each gives the same share of its distance to the bound, so that none passes it.
    share = missing / sum(bound - value for value in values)
    values = [value + (bound - value) * share for value in values]
    values += [spread.min, spread.max]
    random.shuffle(values)
    return values


def requests_an_hour(at_ms: float, age_days: float, days: int) -> float:
    """How busy it is: people work by day, less so at weekends, and there are more of them every week. Hours are UTC."""
    hour = at_ms / HOUR_MS % 24
    by_hour = 0.3 + 0.7 * max(0.0, sin(pi * (hour - 5) / 17))
    # 1970-01-01 was a Thursday.
    by_day = WEEKEND if (at_ms // DAY_MS + 3) % 7 >= 5 else 1.0
    return BUSIEST_AN_HOUR * by_hour * by_day * (1 - (1 - GROWTH) * age_days / days)


def _day(offer_count: int, now_ms: float, age: int, days: int, random: Random) -> list[_Draft]:
    """The requests that end in the 24 hours from `age` days ago on."""
    drafts = []
    for hour in range(24):
        start_ms = now_ms - age * DAY_MS + hour * HOUR_MS
        wanted = requests_an_hour(start_ms, age, days)
        count = int(wanted) + (random.random() < wanted % 1)
        ends = sorted(start_ms + random.random() * HOUR_MS for _ in range(count))
        drafts += [_draft(offer_count, ended_ms, now_ms - ended_ms, random) for ended_ms in ends]
    return drafts


def _draft(offer_count: int, ended_ms: float, age_ms: float, random: Random) -> _Draft:
    weights = [SHARES[min(place, len(SHARES) - 1)] for place in range(offer_count)]
    first = random.choices(range(offer_count), weights)[0]
    draft = _Draft(ended_ms, [], None)
    if random.random() < REFUSED:
        draft.failures.append((first, _REFUSAL))
        return draft
    for place in (first, *(other for other in range(offer_count) if other != first)):
        fault = _fault(place, age_ms, random)
        if fault is None:
            draft.answered = place
            return draft
        draft.failures.append((place, fault))
    return draft


def _fault(place: int, age_ms: float, random: Random) -> Outage | None:
    chance = random.random()
    if chance < LIMITED:
        return _LIMIT
    if age_ms < DAY_MS:
        return None
    if chance < LIMITED + SERVER_ERRORS:
        return _FAULT
    return next((one for one in OUTAGES if one.holds(place, age_ms) and random.random() < one.share), None)


def _record(
    draft: _Draft, offers: Sequence[Simulated], cards: Sequence[RateCard], figures: _Figures,
    key_ids: Sequence[str], random: Random, price_version: str,
) -> Record:  # fmt: skip
    attempts = _attempts(draft, offers, cards, figures, random)
    last, received_ms = attempts[-1], attempts[0].started_ms - 1.5
    model = last.offer.rpartition(":")[0]
    outcome, status, error_type = _told(last)
    app_url, app_title = random.choice(APPS)
    return Record(
        id=f"req_{int(received_ms):011x}{random.getrandbits(64):016x}",
        received_ms=received_ms,
        ended_ms=draft.ended_ms,
        outcome=outcome,
        status=status,
        protocol=_weighted(PROTOCOLS, random),
        model=model,
        asked_model=model,
        offer=last.offer,
        provider=last.provider,
        answer_id="" if error_type else f"chatcmpl-{random.getrandbits(96):024x}",
        streamed=True,
        key_id=key_ids[min(int(random.expovariate(1.1)), len(key_ids) - 1)],
        app_url=app_url,
        app_title=app_title,
        user_agent=random.choice(AGENTS),
        first_token_ms=None if last.first_token_ms is None else last.started_ms - received_ms + last.first_token_ms,
        finish_reason="" if outcome != "ok" else "tool_calls" if last.tool_calls else _weighted(FINISHES, random),
        error_type=error_type,
        error_message=last.message,
        usage=last.usage,
        cost_pico_usd=last.cost.total_pico_usd,
        cost=last.cost,
        price_version=price_version,
        request_bytes=180 + 4 * last.usage.total_input_tokens,
        answer_bytes=310 + 240 * last.usage.output_tokens,
        attempts=tuple(attempts),
        plan=tuple(Candidate(offers[place].offer.id, rank) for rank, place in enumerate(_order(draft, len(offers)))),
        simulated=True,
    )


def _told(last: Attempt) -> tuple[str, int, str]:
    """Outcome, status and type of error of a request, by its last attempt."""
    if last.outcome in ("ok", "client_left"):
        return last.outcome, 200, ""
    if last.outcome == "status" and last.status < 500:
        return "error", last.status, "invalid_request_error" if last.status == 400 else "rate_limit_error"
    return "error", 502, "provider_error"


def _order(draft: _Draft, offer_count: int) -> list[int]:
    """The places of the plan: those tried, then the others."""
    tried = [place for place, _ in draft.failures] + ([] if draft.answered is None else [draft.answered])
    return tried + [place for place in range(offer_count) if place not in tried]


def _attempts(
    draft: _Draft, offers: Sequence[Simulated], cards: Sequence[RateCard], figures: _Figures, random: Random
) -> list[Attempt]:
    """One after the other, the last one over just before the request is."""
    before_ms, attempts = draft.ended_ms - 1, []
    if draft.answered is not None:
        attempts.append(_answered(draft.answered, offers, cards, figures, before_ms, random))
        before_ms = attempts[0].started_ms - 2
    for place, fault in reversed(draft.failures):
        attempts.append(_failed(offers[place].offer, fault, before_ms, random, at_last=not attempts))
        before_ms = attempts[-1].started_ms - 2
    return attempts[::-1]


def _answered(
    place: int,
    offers: Sequence[Simulated],
    cards: Sequence[RateCard],
    figures: _Figures,
    ended_ms: float,
    random: Random,
) -> Attempt:
    offer, usage, left = offers[place].offer, _usage(random), random.random() < LEFT
    first_ms = figures.first_token_ms[place].pop()
    last_ms = first_ms + usage.total_output_tokens / figures.tokens_per_s[place].pop() * 1000
    return Attempt(
        provider=offer.provider,
        offer=offer.id,
        upstream_model=offer.upstream_model,
        started_ms=ended_ms - last_ms - 4,
        ended_ms=ended_ms,
        outcome="client_left" if left else "ok",
        status=200,
        first_token_ms=first_ms,
        last_token_ms=last_ms,
        usage=usage,
        cost=cards[place].bill(usage, at_ms=ended_ms),
        raw_usage=_raw(usage),
        upstream_request_id=f"sim_{random.getrandbits(48):012x}",
        reused_connection=random.random() < REUSED,
        protocol=offer.protocols[0],
        decision="stop" if left else "",
        after_leaving="cancelled" if left else "",
        tool_calls=int(random.random() < TOOL_CALLS),
    )


def _failed(offer: Offer, fault: Outage, ended_ms: float, random: Random, *, at_last: bool) -> Attempt:
    length_ms = (
        offer.deadlines.first_event_s * 1000 if fault.outcome == "timeout_first_event" else random.uniform(60, 900)
    )
    return Attempt(
        provider=offer.provider,
        offer=offer.id,
        upstream_model=offer.upstream_model,
        started_ms=ended_ms - length_ms,
        ended_ms=ended_ms,
        outcome=fault.outcome,
        status=fault.status,
        message=fault.message,
        protocol=offer.protocols[0],
        decision="tell_client" if fault is _REFUSAL else "give_up" if at_last else "next_offer",
    )


def _usage(random: Random) -> Usage:
    went_in = min(int(random.lognormvariate(8.2, 1.0)) + 12, 180_000)
    # Caches work in steps of 128 tokens from 1024 on: https://platform.openai.com/docs/guides/prompt-caching
    cached = int(went_in * random.uniform(0.3, 0.95)) // 128 * 128 if went_in > 1_200 and random.random() < 0.5 else 0
    thought = int(random.lognormvariate(6.2, 0.9)) // 64 * 64
    return Usage(
        input_tokens=went_in - cached,
        cache_read_tokens=cached,
        output_tokens=int(random.lognormvariate(5.7, 0.8)) + 4,
        reasoning_tokens=thought,
    )


def _raw(usage: Usage) -> msgspec.Raw:
    went_in, came_out = usage.total_input_tokens, usage.total_output_tokens
    return msgspec.Raw(
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d},'
        b'"completion_tokens_details":{"reasoning_tokens":%d}}'
        % (went_in, came_out, went_in + came_out, usage.cache_read_tokens, usage.reasoning_tokens)
    )


def _weighted(choices: Sequence[tuple[str, int]], random: Random) -> str:
    return random.choices([word for word, _ in choices], [weight for _, weight in choices])[0]
