"""What the catalog says of an offer, for the model's page. In: the console, a model. Out: cards with prices, parameters, protocols, policies.

Only words and numbers: the template decides nothing but where they stand.
"""

from collections.abc import Sequence

import msgspec

from trunkline.api.management.console import Console
from trunkline.catalog.query import has_ended, shown_parameters
from trunkline.catalog.types import PARAMETERS, Catalog, DataPolicy, Model, Offer, PriceLine, When
from trunkline.web.facts import dollars
from trunkline.web.format import NONE, count

ITEMS: tuple[tuple[str, str, bool], ...] = (
    # item, words, shown where there is no price
    ("prompt", "Input", True),
    ("completion", "Output", True),
    ("input_cache_read", "Cache read", True),
    ("input_cache_write_5_min", "Cache write 5m", True),
    ("input_cache_write_1_h", "Cache write 1h", True),
    ("input_cache_write", "Cache write", True),
    ("web_search", "Web search", True),
    ("internal_reasoning", "Reasoning", False),
    ("image", "Image", False),
    ("audio", "Audio", False),
    ("video", "Video", False),
    ("request", "Request", False),
)
UNITS = {"perMTokens": "/ M tokens", "perSecond": "/ second"}
PER_COUNT = {"web_search": "/ search", "image": "/ image", "request": "/ request"}
COMMON = (
    "max_completion_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias", "logprobs",
    "top_logprobs", "response_format", "stop", "tools", "tool_choice", "parallel_tool_calls",
)  # fmt: skip
"""Shown first, in this order, whether supported or not."""
PROTOCOLS = (
    ("openai", "openai.chat", "Chat Completions"),
    ("openai responses", "openai.responses", "Responses"),
    ("anthropic", "anthropic.messages", "Messages"),
    ("gemini", "gemini", "Gemini"),
)
MODERATION = {"developer": "Responsibility of developer", "provider": "By the provider"}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Price(msgspec.Struct, frozen=True):
    """`when` is empty for the price of an ordinary request."""

    value: str
    unit: str
    when: str = ""


class PriceRow(msgspec.Struct, frozen=True):
    """An item: what an ordinary request pays (None: no price), and what it is under conditions."""

    words: str
    first: Price | None
    others: tuple[Price, ...] = ()


class Parameter(msgspec.Struct, frozen=True):
    """One of the vocabulary. Emulated: Trunkline does it on the answer."""

    name: str
    supported: bool
    emulated: bool = False


class Spoken(msgspec.Struct, frozen=True):
    """A protocol that clients speak, and whether the provider speaks it too."""

    words: str
    full: str
    native: bool


class Policy(msgspec.Struct, frozen=True):
    """`NONE` where the provider does not say."""

    training: str
    logging: str
    moderation: str
    region: str


class OfferCard(msgspec.Struct, frozen=True):
    """A model at a provider."""

    id: str
    provider: str
    provider_name: str
    upstream_model: str
    state: str
    """`ready`, `absent`, `ended`."""
    reason: str
    simulated: bool
    prices: tuple[PriceRow, ...]
    context_tokens: int | None
    max_input_tokens: int | None
    max_output_tokens: int | None
    parameters: tuple[Parameter, ...]
    more_parameters: tuple[Parameter, ...]
    """Not supported, and of less use."""
    protocols: tuple[Spoken, ...]
    policy: Policy
    status_url: str
    deprecated_on: str
    shutdown_on: str


def offer_cards(console: Console, model: Model) -> list[OfferCard]:
    """Those that can be called first, in the order of the catalog."""
    today = console.today()
    callable_ = console.state.callable_offers(model, today)
    cards = [_card(console, model, offer, today, is_callable=offer in callable_) for offer in model.offers]
    return sorted(cards, key=lambda card: card.state != "ready")


def _card(console: Console, model: Model, offer: Offer, today: str, *, is_callable: bool) -> OfferCard:
    provider = console.catalog.providers[offer.provider]
    ended = has_ended(offer, today)
    account = console.accounts.get(offer.provider)
    common, more = parameters(offer)
    return OfferCard(
        id=offer.id,
        provider=provider.slug,
        provider_name=provider.name,
        upstream_model=offer.upstream_model,
        state="ready" if is_callable else "ended" if ended else "absent",
        reason="" if is_callable or ended else getattr(account, "reason", "") or "it cannot be called now",
        simulated=offer.simulated,
        prices=price_rows(offer.price, today),
        context_tokens=offer.context_tokens or model.context_tokens or None,
        max_input_tokens=offer.max_input_tokens,
        max_output_tokens=offer.max_output_tokens or model.max_output_tokens or None,
        parameters=common,
        more_parameters=more,
        protocols=tuple(Spoken(words, full, name in offer.protocols) for words, name, full in PROTOCOLS),
        policy=policy_words(offer.data_policy or provider.data_policy),
        status_url=provider.status_url,
        deprecated_on=offer.deprecated_on or "",
        shutdown_on=offer.shutdown_on or "",
    )


def price_rows(lines: Sequence[PriceLine], today: str) -> tuple[PriceRow, ...]:
    """The prices that hold today, item by item; nothing of an offer whose prices are not known."""
    running = _running(lines, today)
    rows = []
    for item, words, always in ITEMS:
        prices = [_price(line) for line in sorted((one for one in running if one.item == item), key=_plainness)]
        if prices and not _is_for_some(prices[0]):
            rows.append(PriceRow(words, prices[0], tuple(prices[1:])))
        elif prices or always:
            rows.append(PriceRow(words, None, tuple(prices)))
    return tuple(rows) if running else ()


def parameters(offer: Offer) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """The common ones and all others that it takes; and those that it does not."""
    supported = set(shown_parameters(offer))
    rest = sorted(PARAMETERS - set(COMMON))
    shown = [*COMMON, *(name for name in rest if name in supported)]
    emulated = set(offer.emulated_parameters)
    return (
        tuple(Parameter(name, name in supported, name in emulated) for name in shown),
        tuple(Parameter(name, False) for name in rest if name not in supported),
    )


def policy_words(policy: DataPolicy) -> Policy:
    """In the words of the page."""
    days = 0 if policy.zdr else policy.retention_days
    return Policy(
        training=NONE if policy.training is None else str(policy.training).lower(),
        logging=NONE if days is None else "Zero retention" if days == 0 else f"{days} day retention",
        moderation=MODERATION.get(policy.moderation, policy.moderation) or NONE,
        region=policy.region,
    )


def conditions(when: When) -> str:
    """When a price holds, in words; empty: always."""
    parts = []
    low, high = when.prompt_tokens_gt, when.prompt_tokens_lte
    if low and high:
        parts.append(f"prompts of {count(low)} to {count(high)} tokens")
    elif low:
        parts.append(f"prompts over {count(low)} tokens")
    elif high:
        parts.append(f"prompts up to {count(high)} tokens")
    if when.service_tier is not None:
        parts.append(f"service tier {when.service_tier}")
    if when.utc_from or when.utc_to:
        parts.append(f"{when.utc_from or '00:00'} to {when.utc_to or '24:00'} UTC")
    if when.utc_days:
        parts.append(", ".join(_WEEKDAYS[int(day) - 1] for day in when.utc_days))
    return ", ".join(parts)


def _price(line: PriceLine) -> Price:
    when = conditions(line.when)
    until = f"until {line.valid_to}" if line.valid_to else ""
    unit = PER_COUNT.get(line.item, "each") if line.unit == "perCount" else UNITS[line.unit]
    return Price(dollars(line.value), unit, ", ".join(part for part in (when, until) if part))


def _running(lines: Sequence[PriceLine], today: str) -> list[PriceLine]:
    """Those in force; of several for the same the one that came last."""
    begun = (
        line for line in lines if (line.valid_from or "") <= today and (line.valid_to is None or line.valid_to > today)
    )
    latest = {(line.item, line.when): line for line in sorted(begun, key=lambda line: line.valid_from or "")}
    return list(latest.values())


def _is_for_some(price: Price) -> bool:
    """An ordinary request would not pay it."""
    return "tier" in price.when or "UTC" in price.when


def _plainness(line: PriceLine) -> tuple[bool, bool, int]:
    """Lines without conditions first, then by length of the prompt."""
    when = line.when
    return when.service_tier is not None, (when.utc_from or when.utc_days) is not None, when.prompt_tokens_gt or 0


def names_of(catalog: Catalog, model: Model) -> dict[str, str]:
    """Offer -> the name that charts and tables show."""
    return {offer.id: catalog.providers[offer.provider].name for offer in model.offers}
