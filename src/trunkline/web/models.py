"""`/models`: all models, searched, filtered and sorted. In: the query of the address. Out: the page, or for htmx the list alone.

The address says everything, so it can be sent to somebody else. Figures are of the last seven days, from our own traffic.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.catalog.query import has_ended, shown_parameters
from trunkline.catalog.types import PARAMETERS, Model, Offer
from trunkline.records.figures import OfferFigures
from trunkline.web import facts
from trunkline.web.facts import Live
from trunkline.web.render import pages_of
from trunkline.web.session import OpenReader

DAYS = 7
SHOWN = 100
"""Rows at first; a page of more would be heavy."""
MOST_COMPARED = 4
MAX_QUERY = 100
SORTS = {
    "use": "Most used",
    "newest": "Newest",
    "name": "Name",
    "price": "Lowest price",
    "context": "Longest context",
    "latency": "Quickest first token",
    "throughput": "Highest throughput",
}
INPUTS = ("image", "file", "audio", "video")
CONTEXTS = (32_000, 128_000, 200_000, 400_000, 1_000_000)
PRICES = ("0", "0.25", "1", "3", "10")
POLICIES = {"no_training": "No training on prompts", "zero_retention": "Zero retention"}
PARAMETERS_SHOWN = tuple(sorted(PARAMETERS))

router = APIRouter(include_in_schema=False)


class Asked(msgspec.Struct, frozen=True):
    """What the address asks for; the names are those in it."""

    q: str = ""
    input: tuple[str, ...] = ()
    """Kinds of input, each of which must be taken."""
    provider: str = ""
    context: int = 0
    """Tokens at least."""
    price: str = ""
    """USD for a million tokens of input at most."""
    parameter: tuple[str, ...] = ()
    protocol: str = ""
    """Spoken by the provider itself."""
    policy: str = ""
    sort: str = "use"
    all: str = ""
    """Anything: models too that cannot be called now."""
    m: tuple[str, ...] = ()
    """Chosen to be compared."""
    more: str = ""
    """Anything: every row at once."""

    def address(self, path: str = "/models", **changes: Any) -> str:
        """The shortest address that asks for this."""
        fields = msgspec.structs.asdict(msgspec.structs.replace(self, **changes))
        said = {name: value for name, value in fields.items() if value != getattr(_NOTHING, name)}
        query = urlencode(said, doseq=True, safe="/")
        return f"{path}?{query}" if query else path

    @property
    def filters(self) -> int:
        """How many filters are set, the search not counted."""
        return sum(
            bool(getattr(self, name))
            for name in ("input", "provider", "context", "price", "parameter", "protocol", "policy")
        )


_NOTHING = Asked()


class Row(msgspec.Struct, frozen=True):
    """A model as the list shows it: by those of its offers that match."""

    model: Model
    offers: tuple[Offer, ...]
    providers: tuple[str, ...]
    is_callable: bool
    context: int
    prompt: Decimal | None
    completion: Decimal | None
    """Of the offer with the cheapest input."""
    best: Live
    """The quickest median, the highest throughput, the best uptime, and the tokens of all."""

    @property
    def is_simulated(self) -> bool:
        return any(offer.simulated for offer in self.offers)


@router.api_route("/models", methods=["GET", "HEAD"], response_class=Response)
async def models(request: Request, console: ConsoleOf, _: OpenReader) -> Response:
    """The page; htmx gets the part that changes."""
    asked = asked_of(console, request.query_params)
    rows = listed(console, asked, await facts.figures_of_days(console, DAYS))
    is_part = "hx-request" in request.headers and "hx-history-restore-request" not in request.headers
    answer = pages_of(request).page(
        request, "models_list.html" if is_part else "models.html", shown(console, asked, rows)
    )
    if is_part:
        # What the form sent has all of its empty fields: https://htmx.org/headers/hx-push-url/
        answer.headers["hx-push-url"] = asked.address()
    answer.headers["vary"] = "hx-request"
    return answer


def shown(console: Console, asked: Asked, rows: Sequence[Row]) -> dict[str, Any]:
    """What the templates show."""
    providers = [console.catalog.providers[slug] for slug in _offering(console)]
    chosen = [console.catalog.models[slug] for slug in asked.m]
    return {
        "asked": asked,
        "rows": rows if asked.more else rows[:SHOWN],
        "count": len(rows),
        "known": len(console.catalog.models),
        "callable": any(_callable(console, model) for model in console.catalog.models.values()),
        "chosen": chosen,
        "full": len(chosen) >= MOST_COMPARED,
        "without": {
            model.slug: asked.address(m=tuple(slug for slug in asked.m if slug != model.slug)) for model in chosen
        },
        "compare": Asked(m=asked.m).address("/models/compare"),
        "sorts": SORTS,
        "inputs": _with(INPUTS, *asked.input),
        "providers": sorted(providers, key=lambda provider: provider.name.lower()),
        "contexts": sorted(_with(CONTEXTS, *((asked.context,) if asked.context else ()))),
        "prices": sorted(_with(PRICES, *((asked.price,) if asked.price else ())), key=Decimal),
        "parameters": PARAMETERS_SHOWN,
        "protocols": facts.PROTOCOL_WORDS,
        "policies": POLICIES,
        "dollars": facts.dollars,
        "days": DAYS,
    }


def asked_of(console: Console, query: QueryParams) -> Asked:
    """What an address asks for. 400 where a value means nothing."""
    names = _names(console, query.getlist("m"))
    return Asked(
        q=" ".join(query.get("q", "").split())[:MAX_QUERY],
        input=tuple(_known(kind, ("text", *INPUTS), "input") for kind in _given(query, "input")),
        provider=_known(query.get("provider", ""), ("", *console.catalog.providers), "provider"),
        context=_tokens(query.get("context", "")),
        price=_price(query.get("price", "")),
        parameter=tuple(_known(name, PARAMETERS, "parameter") for name in _given(query, "parameter")),
        protocol=_known(query.get("protocol", ""), ("", *facts.PROTOCOL_WORDS), "protocol"),
        policy=_known(query.get("policy", ""), ("", *POLICIES), "policy"),
        sort=_known(query.get("sort") or "use", SORTS, "sort"),
        all="1" if query.get("all") else "",
        m=names,
        more="1" if query.get("more") else "",
    )


def listed(console: Console, asked: Asked, figures: Mapping[str, OfferFigures]) -> list[Row]:
    """The models that match, in the order asked for."""
    today, words = console.today(), asked.q.casefold().split()
    wanted = _offer_test(console, asked, today)
    rows = []
    for model in console.catalog.models.values():
        if not _is_named(model, words):
            continue
        reachable = console.state.callable_offers(model, today)
        offers = [one for one in model.offers if not has_ended(one, today)] if asked.all else reachable
        matching = tuple(offer for offer in offers if wanted(model, offer))
        if matching or (asked.all and not asked.filters):
            rows.append(_row(console, model, matching, bool(reachable), figures, today))
    return sorted(rows, key=_ORDERS[asked.sort])


def _row(
    console: Console,
    model: Model,
    offers: tuple[Offer, ...],
    is_callable: bool,
    figures: Mapping[str, OfferFigures],
    today: str,
) -> Row:
    prices = [(facts.price(offer, "prompt", today), facts.price(offer, "completion", today)) for offer in offers]
    prompt, completion = min(
        (pair for pair in prices if pair[0] is not None), key=lambda pair: pair[0] or 0, default=(None, None)
    )
    known = [facts.live(figures[offer.id]) for offer in offers if offer.id in figures]
    return Row(
        model=model,
        offers=offers,
        providers=tuple(dict.fromkeys(console.catalog.providers[offer.provider].name for offer in offers)),
        is_callable=is_callable,
        context=max((facts.context_of(console, offer) for offer in offers), default=model.context_tokens),
        prompt=prompt,
        completion=completion,
        best=Live(
            attempts=sum(one.attempts for one in known),
            tokens=sum(one.tokens for one in known),
            latency_ms=min((one.latency_ms for one in known if one.latency_ms is not None), default=None),
            speed=max((one.speed for one in known if one.speed is not None), default=None),
            uptime=max((one.uptime for one in known if one.uptime is not None), default=None),
        ),
    )


def _offer_test(console: Console, asked: Asked, today: str) -> Callable[[Model, Offer], bool]:
    """Whether one offer has everything that is asked for: a price of one and a policy of another are of no use."""
    kinds, price = frozenset(asked.input), Decimal(asked.price) if asked.price else None

    def test(model: Model, offer: Offer) -> bool:
        if asked.provider and offer.provider != asked.provider:
            return False
        if not kinds <= set(offer.input or model.input):
            return False
        if asked.context and facts.context_of(console, offer) < asked.context:
            return False
        if asked.protocol and asked.protocol not in offer.protocols:
            return False
        if asked.parameter and not set(asked.parameter) <= set(shown_parameters(offer)):
            return False
        return _keeps_policy(console, asked.policy, offer) and _is_within(price, offer, today)

    return test


def _keeps_policy(console: Console, policy: str, offer: Offer) -> bool:
    """What nobody has stated is not promised."""
    if not policy:
        return True
    stated = facts.policy_of(console, offer)
    return stated.training is False if policy == "no_training" else facts.keeps_nothing(stated)


def _is_within(most: Decimal | None, offer: Offer, today: str) -> bool:
    if most is None:
        return True
    value = facts.price(offer, "prompt", today)
    return value is not None and value <= most


def _is_named(model: Model, words: Iterable[str]) -> bool:
    names = " ".join((model.slug, model.name, *model.aliases)).casefold()
    return all(word in names for word in words)


def _newest_first(row: Row) -> tuple[int, ...]:
    digits = (row.model.released_on or "0000-00-00").replace("-", "")
    return (-int(digits) if digits.isdecimal() else 0,)


def _least(value: float | Decimal | None) -> tuple[bool, float | Decimal]:
    """Sorts what is not known to the end."""
    return (value is None, value or 0)


_ORDERS: Mapping[str, Callable[[Row], Any]] = {
    "use": lambda row: (-row.best.tokens, -row.best.attempts, _newest_first(row), row.model.slug),
    "newest": lambda row: (_newest_first(row), row.model.slug),
    "name": lambda row: (row.model.name.casefold(), row.model.slug),
    "price": lambda row: (_least(row.prompt), _least(row.completion), row.model.slug),
    "context": lambda row: (-row.context, row.model.slug),
    "latency": lambda row: (_least(row.best.latency_ms), row.model.slug),
    "throughput": lambda row: (_least(None if row.best.speed is None else -row.best.speed), row.model.slug),
}


def _offering(console: Console) -> list[str]:
    """The providers that have offers."""
    return sorted({offer.provider for model in console.catalog.models.values() for offer in model.offers})


def _callable(console: Console, model: Model) -> bool:
    return bool(console.state.callable_offers(model, console.today()))


def _with(options: Sequence[Any], *asked: Any) -> list[Any]:
    """The options, and what the address has besides."""
    return list(dict.fromkeys((*options, *asked)))


def _given(query: QueryParams, name: str) -> list[str]:
    return list(dict.fromkeys(value for value in query.getlist(name) if value))


def _known(value: str, options: Iterable[str], name: str) -> str:
    if value in options:
        return value
    listed = ", ".join(sorted(option for option in options if option))
    raise HTTPException(400, f"{name}={value[:60]} means nothing here. There are: {listed}.")


def _tokens(text: str) -> int:
    if not text:
        return 0
    if text.isascii() and text.isdecimal() and len(text) <= 12:
        return int(text)
    raise HTTPException(400, f"context={text[:60]} is no number of tokens, such as 128000.")


def _price(text: str) -> str:
    if not text:
        return ""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if value.is_finite() and 0 <= value < 10**9 and len(text) <= 20:
        return f"{value:f}"
    raise HTTPException(400, f"price={text[:60]} is no price in USD, such as 0.5.")


def _names(console: Console, asked: Iterable[str]) -> tuple[str, ...]:
    """Models that there are, once each."""
    names = tuple(dict.fromkeys(name for name in asked if name))
    for name in names:
        if name not in console.catalog.models:
            raise HTTPException(404, f"There is no model {name[:100]}.")
    if len(names) > MOST_COMPARED:
        raise HTTPException(400, f"At most {MOST_COMPARED} models are compared at a time; {len(names)} were chosen.")
    return names
