"""What several pages say of a model's offers: prices, policies, protocols, live figures. In: offers, figures. Out: values and words for templates.

Prices are those of now, without conditions and for the shortest prompts, in USD for a million tokens.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from trunkline.api.management.console import Console
from trunkline.catalog.types import DataPolicy, Offer, PriceLine
from trunkline.records.figures import DAY_S, OfferFigures
from trunkline.storage.ladder import Span
from trunkline.storage.statistics import Statistics

PROTOCOL_WORDS: Mapping[str, str] = {
    "openai.chat": "OpenAI Chat",
    "openai.responses": "OpenAI Responses",
    "anthropic.messages": "Anthropic Messages",
    "gemini": "Gemini",
    "bedrock.converse": "Bedrock Converse",
}
PRICE_WORDS: Mapping[str, str] = {
    "prompt": "Input",
    "completion": "Output",
    "input_cache_read": "Cache read",
    "input_cache_write_5_min": "Cache write 5m",
    "input_cache_write_1_h": "Cache write 1h",
    "input_cache_write": "Cache write",
    "web_search": "Web search",
    "internal_reasoning": "Reasoning",
    "image": "Image",
    "audio": "Audio",
    "video": "Video",
    "request": "Request",
}
UNIT_WORDS: Mapping[str, str] = {"perMTokens": "/ M tokens", "perCount": "each", "perSecond": "/ s"}


HOLD_S = 15
"""Figures of days may be so old."""


class Live(msgspec.Struct, frozen=True):
    """What traffic measured. None: nothing told."""

    attempts: int = 0
    tokens: int = 0
    """Input and output."""
    latency_ms: float | None = None
    """Median time to the first token."""
    speed: float | None = None
    """Median tokens a second."""
    uptime: float | None = None


NOTHING = Live()


def live(figures: OfferFigures | None) -> Live:
    """In short."""
    if figures is None:
        return NOTHING
    return Live(
        attempts=figures.attempts,
        tokens=figures.input_tokens + figures.output_tokens,
        latency_ms=figures.latency.quantile(0.5),
        speed=figures.speed.quantile(0.5),
        uptime=figures.uptime,
    )


async def figures_of_days(console: Console, days: int, names: list[str] | None = None) -> dict[str, OfferFigures]:
    """Of each offer that had attempts, today (in UTC) and so many days before, less one: from few rows of whole days."""
    now_s = int(console.now_ms() // 1000)
    start_s = now_s - now_s % DAY_S - (days - 1) * DAY_S
    _, found = await Statistics(console.store, console.now_ms).offers(Span(start_s, now_s + 1), names, may_be_s=HOLD_S)
    return found


def added(several: Iterable[OfferFigures]) -> OfferFigures:
    """All together."""
    total = OfferFigures()
    for one in several:
        total.merge(one)
    return total


def price_line(offer: Offer, item: str, today: str) -> PriceLine | None:
    """The price of an item; None where it has none, or only under conditions. `today` is an ISO date."""
    return next((line for line in offer.price if line.item == item and _is_plain(line) and _holds(line, today)), None)


def price(offer: Offer, item: str, today: str) -> Decimal | None:
    """USD for a million tokens (of `web_search` for one)."""
    line = price_line(offer, item, today)
    return None if line is None else line.value


def dollars(value: Decimal | None) -> str:
    """As the price line has it, with two places at least: `$1.10`, `$0.275`; `free`, or `-` where no price is known."""
    if value is None:
        return "-"
    if value == 0:
        return "free"
    _, _, places = f"{value.normalize():f}".partition(".")
    return f"${value:,.{max(len(places), 2)}f}"


def simulated(console: Console) -> set[str]:
    """The providers of which every offer that can be called is a simulated one."""
    today = console.today()
    kinds: dict[str, set[bool]] = {}
    for model in console.catalog.models.values():
        for offer in console.state.callable_offers(model, today):
            kinds.setdefault(offer.provider, set()).add(offer.simulated)
    return {provider for provider, found in kinds.items() if found == {True}}


def policy_of(console: Console, offer: Offer) -> DataPolicy:
    """The offer's own, else its provider's."""
    return offer.data_policy or console.catalog.providers[offer.provider].data_policy


def training_words(policy: DataPolicy) -> str:
    """Whether prompts are trained on, in a word."""
    return "not stated" if policy.training is None else "yes" if policy.training else "no"


def retention_words(policy: DataPolicy) -> str:
    """How long prompts are kept."""
    if keeps_nothing(policy):
        return "Zero retention"
    return "not stated" if policy.retention_days is None else f"{policy.retention_days} days"


def keeps_nothing(policy: DataPolicy) -> bool:
    return policy.zdr or policy.retention_days == 0


def context_of(console: Console, offer: Offer) -> int:
    """Tokens of input and output together; 0 where it is not known."""
    return offer.context_tokens or console.catalog.models[offer.model].context_tokens


def _is_plain(line: PriceLine) -> bool:
    when = line.when
    return when.service_tier is None and when.utc_from is None and when.utc_days is None and not when.prompt_tokens_gt


def _holds(line: PriceLine, today: str) -> bool:
    return (line.valid_from is None or line.valid_from <= today) and (line.valid_to is None or line.valid_to > today)


def made_up_since(until_ms: int | None, start_ms: float) -> int | None:
    """Until when what is shown from `start_ms` on is made up; None where none of it is."""
    return until_ms if until_ms is not None and start_ms < until_ms else None
