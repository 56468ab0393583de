"""`POST /api/v1/management/route/explain`: what would become of a request, without calling anyone. Answered by the data plane, where health is known.

In: `{"protocol", "body", "path_model"}`, the body being a request of that protocol, or a Chat request as it is. Out: `{"success": true, "data"}` with the
candidates in the order of the plan, why each stands there or cannot be tried, and what it would cost. Needs the master key.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import msgspec

from trunkline.accounts.keys import MASTER_ID, ApiKey
from trunkline.errors import AccessDenied, InvalidParams, RequestError
from trunkline.execution.asked import Asked, Door, asked_of, read
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Gateway
from trunkline.execution.planning import Explained, Foreseen, explain, measure
from trunkline.execution.respond import JSON_HEADERS, Reply
from trunkline.ir.wish import NO_WISH, RoutingWish
from trunkline.pricing.money import usd
from trunkline.protocols.codec import CHAT
from trunkline.protocols.rawjson import UNREADABLE, split
from trunkline.routing.health import Figures

PATH = "/api/v1/management/route/explain"

Protocol = Literal["openai.chat", "openai.responses", "anthropic.messages", "gemini"]


class Wrapped(msgspec.Struct):
    """A request of any protocol."""

    protocol: Protocol
    body: msgspec.Raw
    path_model: str = ""
    """Gemini has the model in the path."""
    stream: bool = False
    """Gemini has this in the path, too."""


class Row(msgspec.Struct, omit_defaults=True):
    """A candidate. One without a rank will not be tried, and has only its reason."""

    offer: str
    reason: str
    rank: int | None = None
    provider: str = ""
    model: str = ""
    native: bool | None = None
    """False: by translation."""
    dropped: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    share: float | None = None
    """Of requests like this one that go to it first."""
    weight: float | None = None
    """What its share is by, among offers that stand alike."""
    rated_ms: float | None = None
    """First-token latency as far as it is believed."""
    input_tokens: int | None = None
    """Estimated, as are those of the answer and the price, which is exact USD as text."""
    output_tokens: int | None = None
    estimated_usd: str | None = None
    unpriced: tuple[str, ...] = ()
    first_token_ms: float | None = None
    tokens_per_second: float | None = None
    uptime: float | None = None
    breaker: str = "closed"


class Explaining:
    """One request to explain: a `Handler`."""

    def __init__(
        self, gateway: Gateway, key: ApiKey, reply: Reply, answer_error: Callable[[Reply, RequestError], None]
    ) -> None:
        """Raises AccessDenied for any key but the master key."""
        if key.id != MASTER_ID:
            raise AccessDenied("This needs the master key; any key may ask with `X-Trunkline-Explain: 1` on a request.")
        self._gateway = gateway
        self._key = key
        self._reply = reply
        self._answer_error = answer_error
        self.max_body_bytes = gateway.snapshot.policy.max_body_bytes

    async def run(self, body: bytes) -> None:
        try:
            data = await explained(self._gateway, self._key, self._reply.request_id, body)
        except RequestError as error:
            self.refuse(error)
            return
        self._reply.whole(200, JSON_HEADERS, msgspec.json.encode({"success": True, "data": data}))

    def refuse(self, error: RequestError) -> None:
        self._answer_error(self._reply, error)

    def left(self) -> None:
        """Nothing is under way before the body is whole."""


async def explained(gateway: Gateway, key: ApiKey, request_id: str, body: bytes) -> dict[str, Any]:
    """`data` of the answer. Raises a `RequestError` for a request that cannot be read, or whose model does not exist."""
    clock = gateway.clock
    door, inner = _unwrapped(body)
    exchange = Exchange(request_id, door.protocol, clock.now_s(), clock.unix_ms())
    exchange.key_id, exchange.zero_retention = key.id, key.zero_retention
    asked = asked_of(gateway, exchange, door, inner) or await read(gateway, exchange, door, inner)
    told = {"asked_model": asked.facts.model, "protocol": door.protocol, "request": _told_facts(asked), "error": None}
    snapshot = gateway.snapshot_of(key)
    try:
        if gateway.tokenizer is not None:
            await measure(gateway, snapshot, asked)
        return told | _told(gateway, explain(gateway, snapshot, asked.facts, asked, exchange))
    except RequestError as error:
        if not error.candidates:
            raise
        refusal = {"status": error.status, "type": error.type, "message": error.message}
        rows = [Row(one.offer, reason=one.reason) for one in error.candidates]
        return told | {"model": asked.facts.model, "candidates": rows, "chain": [], "error": refusal}


def _unwrapped(body: bytes) -> tuple[Door, bytes]:
    """The request and the door that it would come through."""
    try:
        fields = split(body)
        if "body" not in fields or "messages" in fields:
            return Door(CHAT), body
        wrapped = msgspec.json.decode(body, type=Wrapped)
    except msgspec.ValidationError as error:
        raise InvalidParams(
            f"{error}; `protocol` is one of {', '.join(get_args(Protocol))}, `body` a request of it."
        ) from error
    except UNREADABLE as error:
        raise InvalidParams(f"The body is no JSON object: {error}") from error
    if wrapped.protocol == "gemini" and not wrapped.path_model:
        raise InvalidParams(
            "A request of Gemini has its model in the path: give it as `path_model`.", param="path_model"
        )
    return Door(wrapped.protocol, path_model=wrapped.path_model, path_stream=wrapped.stream), bytes(wrapped.body)


def _told(gateway: Gateway, found: Explained) -> dict[str, Any]:
    now_s = gateway.clock.now_s()
    rows = [_row(one, gateway.health.figures(one.step.offer.id, now_s)) for one in found.offers]
    return {
        "model": found.models[0],
        "models": found.models,
        "candidates": rows + [Row(one.offer, reason=one.reason) for one in found.excluded],
        "chain": [row.offer for row in rows],
        "auto": found.auto and {"model": found.auto.models[0], "reason": found.auto.reason},
        "hedge": found.wish.hedge,
        "held": found.held,
        "wish": _only_said(found.wish),
    }


def _row(one: Foreseen, figures: Figures) -> Row:
    step, cost = one.step, one.cost
    return Row(
        step.offer.id,
        one.reason,
        rank=one.rank,
        provider=step.offer.provider,
        model=step.offer.model,
        native=step.native,
        dropped=step.dropped,
        emulated=step.emulated,
        share=round(one.share, 4),
        weight=round(one.weight, 4),
        rated_ms=_rounded(one.rated_ms),
        input_tokens=one.usage.input_tokens,
        output_tokens=one.usage.output_tokens,
        estimated_usd=usd(cost.total_pico_usd) if cost.lines else None,
        unpriced=cost.unpriced,
        first_token_ms=_rounded(figures.first_token_ms),
        tokens_per_second=_rounded(figures.tokens_per_second),
        uptime=figures.uptime,
        breaker=figures.breaker,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _told_facts(asked: Asked) -> dict[str, Any]:
    facts = asked.facts
    return {
        "prompt_bytes": facts.prompt_bytes,
        "max_output_tokens": facts.max_output_tokens,
        "stream": facts.stream,
        "parameters": facts.parameters,
        "needs": facts.needs,
        "modalities": sorted(facts.modalities),
    }


def _only_said(wish: RoutingWish) -> Any:
    """Only what was wished."""
    plain = msgspec.to_builtins(NO_WISH)
    return {name: value for name, value in msgspec.to_builtins(wish).items() if value != plain[name]}
