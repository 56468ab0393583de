"""The most that a request can cost, before it is sent: what a claim holds. In: what was asked, an offer. Out: bounds on tokens, and whole pico-USD.

A token is at least a byte, so text has no more tokens than bytes. What a provider adds unseen (the frames of turns and tools) is less than the bytes of
the JSON around them, or `_UNSEEN_TOKENS`. What has no bound has a ceiling in the settings, `[limits]`, or is refused.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from trunkline.catalog.types import Model, Offer
from trunkline.errors import InvalidParams, QuoteExceeded
from trunkline.execution.asked import Asked
from trunkline.ir.parts import Media, Part, ToolResult
from trunkline.ir.request import Request
from trunkline.pricing.ceiling import Ceiling, ceiling
from trunkline.pricing.rate import PICO_PER_USD
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.protocols.rawjson import UNREADABLE, is_null

_UNSEEN_TOKENS = 1_000
"""https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing: at most 804 for tools."""
_UNKNOWN_CONTEXT = 1_000_000
_UNKNOWN_OUTPUT = 32_768
_RUN_BY_CLIENT = {
    CHAT: ("function", "custom"),
    # https://developers.openai.com/api/docs/guides/tools
    RESPONSES: ("function", "custom", "local_shell", "shell", "apply_patch", "computer", "namespace"),
    # https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#how-tool-use-works
    MESSAGES: ("custom", "bash_", "text_editor_", "computer_", "memory_"),
}
"""Tools whose kind begins so cost nothing of themselves."""
_OF_CLIENT_GEMINI = frozenset({"functionDeclarations", "function_declarations", "computerUse", "computer_use"})
_MORE_TOOLS = ("web_search_options", "plugins", "mcp_servers")


class Ceilings(msgspec.Struct, frozen=True):
    """The operator's, see `[limits]`."""

    least_output_tokens: int = 256
    image_tokens: int = 50_000
    tool_pico_usd: int | None = None
    document_pico_usd: int | None = None


def pico_usd(usd: float | None) -> int | None:
    """Of a setting."""
    return None if usd is None else int(Decimal(str(usd)) * PICO_PER_USD)


class Bounds(msgspec.Struct, frozen=True):
    """What is known of a request, whoever answers it."""

    text_tokens: int
    images: int
    files: int
    """That are sent along: documents, sound, films. As long as the model's context, for all that is known."""
    answers: int
    fixed_pico_usd: int
    """Of what has a ceiling of its own."""
    asked_output: int | None


class Worst(msgspec.Struct, frozen=True):
    """At one offer."""

    prices: Ceiling
    input_tokens: int
    output_tokens: int
    """Of one answer: as asked for, or the most that the offer gives."""
    answers: int
    fixed_pico_usd: int
    is_told: bool
    """Whether the offer keeps to that limit without being told a lower one."""

    def cost(self, output_tokens: int) -> int:
        """With at most so many tokens of output in each answer."""
        return self.prices.cost(self.input_tokens, output_tokens * self.answers) + self.fixed_pico_usd

    def output_for(self, pico_usd: int) -> int:
        """How many tokens of output in each answer so much money is sure to pay."""
        found = self.prices.output_for(pico_usd - self.fixed_pico_usd, self.input_tokens)
        return self.output_tokens if found is None else found // self.answers


def bounds_of(asked: Asked, request_bytes: int, ceilings: Ceilings) -> Bounds:
    """Raises QuoteExceeded for what has no bound."""
    facts = asked.facts
    tools = _provider_tools(asked)
    if tools and ceilings.tool_pico_usd is None:
        raise QuoteExceeded(
            "This key has a budget, and what a tool that the provider runs will cost has no bound. Leave such tools out (web search, code, files), "
            "or have the operator set `[limits] tool_usd`.",
            param="tools",
        )
    images = files = media_bytes = documents = 0
    if len(facts.modalities) > 1:
        images, files, documents, media_bytes = _media(asked)
    if documents and ceilings.document_pico_usd is None:
        raise QuoteExceeded(
            "This key has a budget, and what a document, sound or film that is given by its address will cost has no bound. Send it along instead, or "
            "have the operator set `[limits] document_usd`."
        )
    fixed = tools * (ceilings.tool_pico_usd or 0) + documents * (ceilings.document_pico_usd or 0)
    text = max(facts.prompt_bytes, request_bytes - media_bytes)
    return Bounds(text + _UNSEEN_TOKENS, images, files, _answers(asked), fixed, facts.max_output_tokens)


def of_size(bounds: Bounds, prompt_bytes: int, request_bytes: int) -> Bounds:
    """Of a request of nothing but text that differs in its messages alone."""
    return msgspec.structs.replace(bounds, text_tokens=max(prompt_bytes, request_bytes) + _UNSEEN_TOKENS)


def worst_of(
    bounds: Bounds, model: Model, offer: Offer, ceilings: Ceilings, today: str, more_bytes: int = 0
) -> Worst | None:
    """None where the offer has no price: then it has no bound either. `more_bytes` is what a continuation adds to the prompt."""
    context = offer.context_tokens or model.context_tokens or 0
    tokens = bounds.text_tokens + more_bytes + bounds.images * ceilings.image_tokens
    if bounds.files:
        tokens += context or _UNKNOWN_CONTEXT
    if context:
        # More than that a provider refuses.
        tokens = min(tokens, max(context, offer.max_input_tokens or 0))
    prices = ceiling(offer.price, tokens, today, draws="image" in model.output)
    if prices is None:
        return None
    known = bounds.asked_output or offer.max_output_tokens or model.max_output_tokens or context
    output = known or _UNKNOWN_OUTPUT
    return Worst(prices, tokens, output, bounds.answers, bounds.fixed_pico_usd, bool(known))


def _answers(asked: Asked) -> int:
    if "n" not in asked.facts.parameters:
        return 1
    try:
        found = asked.canonical().candidates
    except InvalidParams:
        found = None
    if found is None and asked.protocol == CHAT:
        try:
            found = msgspec.json.decode(asked.fields["n"], type=int)
        except (*UNREADABLE, KeyError):
            raise InvalidParams("`n` must be a whole number.", param="n") from None
    return max(found or 1, 1)


def _provider_tools(asked: Asked) -> int:
    """How many tools of the request are run by the provider."""
    fields, protocol = asked.fields, asked.protocol
    count = sum(not is_null(fields.get(name)) for name in _MORE_TOOLS)
    tools = fields.get("tools")
    if tools is None or is_null(tools):
        return count
    try:
        found: Any = msgspec.json.decode(tools)
    except UNREADABLE:
        return count + 1
    listed = found if isinstance(found, list) else [found]
    if protocol == GEMINI:
        return count + sum(1 for tool in listed if not isinstance(tool, dict) or set(tool) - _OF_CLIENT_GEMINI)
    return count + sum(1 for tool in listed if not _is_of_client(tool, _RUN_BY_CLIENT[protocol]))


def _is_of_client(tool: Any, kinds: tuple[str, ...]) -> bool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    return not kind or (isinstance(kind, str) and kind.startswith(kinds))


def _media(asked: Asked) -> tuple[int, int, int, int]:
    """Pictures; files that are sent along; those that are given by an address; the bytes of all that are sent along."""
    try:
        request = asked.canonical()
    except InvalidParams:
        # The provider may take what our reader does not: then every address may be a document.
        return 0, 1, asked.body.count(b"://"), 0
    images = files = documents = sent = 0
    for part in _parts(request):
        if not isinstance(part, Media) or part.text:
            continue
        sent += len(part.data or b"")
        images += part.kind == "image"
        if part.kind != "image":
            files += not part.url
            documents += bool(part.url)
    return images, files, documents, sent


def _parts(request: Request) -> Iterator[Part]:
    for turn in request.turns:
        for part in turn.parts:
            yield part
            if isinstance(part, ToolResult):
                yield from part.parts
