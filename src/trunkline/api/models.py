"""`GET /models`, `/models/{id}`, `/models/{id}/endpoints`, in ZenMux's shape and without a key. In: the snapshot in force, live figures. Out: JSON.

https://docs.zenmux.ai/api/platform/openai-list-models.html; the endpoints as in https://openrouter.ai/docs/api-reference/list-endpoints-for-a-model.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.api import model_shapes
from trunkline.api.call import Call, Handler
from trunkline.api.live import Hours, LastDay, day_card
from trunkline.catalog.query import Found, endpoint_card, find, model_card, nearest
from trunkline.catalog.types import Model, Offer
from trunkline.errors import InvalidModel, RequestError, StoreError
from trunkline.execution.codecs import codec_of
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.permitted import allows_offer
from trunkline.execution.respond import JSON_HEADERS, Reply
from trunkline.protocols.codec import CHAT

_ENDPOINTS = "/endpoints"
LIVE_S = 5.0
"""The last day is read anew after so long: anyone may ask, without a key."""


class ModelList:
    """Answers about models. Keeps the encoded list for as long as the snapshot it was made of is in force, and the day's prices."""

    def __init__(self, gateway: Gateway, last_day: LastDay | None = None) -> None:
        """`last_day` reads the figures of offers; without it the endpoints show what this process has measured alone."""
        self._gateway = gateway
        self._last_day = last_day
        self._live: dict[tuple[str, ...], tuple[float, Mapping[str, Hours]]] = {}
        self._made_of: tuple[Snapshot, str] | None = None
        self._lists: dict[bool, bytes] = {}

    def __call__(self, call: Call, reply: Reply, rules: KeyRules = NO_RULES) -> Handler | None:
        """One GET or HEAD of a path below `/models`: answered, or whoever does it. `rules` are those of the key that asks."""
        name = call.path.partition("/models")[2].strip("/")
        shape = _shape(call)
        if shape is not None:
            models = [self._named(name)] if name else self._callable(rules)
            reply.whole(200, JSON_HEADERS, shape.one(models[0]) if name else shape.several(models))
            return None
        if name.endswith(_ENDPOINTS) and find(self._gateway.snapshot.catalog, name) is None:
            model, offers = self._offers(name.removesuffix(_ENDPOINTS))
            if self._last_day is not None:
                return _Endpoints(lambda: self._endpoints_of_day(model, offers), reply)
            reply.whole(200, JSON_HEADERS, self._endpoints(model, offers, {}))
            return None
        body = self._one(name) if name else self._list(rules, all_models=_asks_for_all(call.query))
        reply.whole(200, JSON_HEADERS, body)
        return None

    def _list(self, rules: KeyRules, *, all_models: bool) -> bytes:
        snapshot, today = self._gateway.snapshot, self._gateway.clock.today()
        if rules is not NO_RULES:
            cards = [_card(snapshot, model, today) for model in self._callable(rules)]
            return msgspec.json.encode({"data": cards, "object": "list"})
        if self._made_of != (snapshot, today):
            self._made_of, self._lists = (snapshot, today), {}
        known = self._lists.get(all_models)
        if known is None:
            models = snapshot.catalog.models.values()
            cards = [
                _card(snapshot, model, today)
                for model in models
                if all_models or snapshot.callable_offers(model, today)
            ]
            known = self._lists[all_models] = msgspec.json.encode({"data": cards, "object": "list"})
        return known

    def _callable(self, rules: KeyRules) -> list[Model]:
        snapshot, today = self._gateway.snapshot, self._gateway.clock.today()
        found: list[Model] = []
        for model in snapshot.catalog.models.values():
            offers = snapshot.callable_offers(model, today)
            if any(allows_offer(rules, offer, snapshot.catalog.providers) for offer in offers):
                found.append(model)
        return found

    def _named(self, name: str) -> Model:
        return self._found(name).model

    def _found(self, name: str) -> Found:
        catalog = self._gateway.snapshot.catalog
        found = find(catalog, name)
        if found is None:
            near = ", ".join(nearest(catalog, name))
            raise InvalidModel(
                f"There is no model `{name[:200]}`." + (f" Did you mean {near}?" if near else ""), param="model"
            )
        return found

    def _one(self, name: str) -> bytes:
        snapshot, today = self._gateway.snapshot, self._gateway.clock.today()
        return msgspec.json.encode(_card(snapshot, self._named(name), today))

    # --- endpoints

    def _offers(self, name: str) -> tuple[Model, list[Offer]]:
        """A model and the offers that a name means."""
        found = self._found(name)
        return found.model, [offer for offer in found.model.offers if found.provider in (None, offer.provider)]

    async def _endpoints_of_day(self, model: Model, offers: Sequence[Offer]) -> bytes:
        return self._endpoints(model, offers, await self._day(tuple(offer.id for offer in offers)))

    async def _day(self, names: tuple[str, ...]) -> Mapping[str, Hours]:
        """The last day of offers; nothing of it while the store cannot be read."""
        now_s = self._gateway.clock.now_s()
        read_at, known = self._live.get(names, (0.0, None))
        if known is not None and now_s - read_at < LIVE_S:
            return known
        assert self._last_day is not None
        try:
            known = await self._last_day(names)
        except StoreError:
            return {}
        if len(self._live) >= len(self._gateway.snapshot.catalog.models):
            self._live.clear()
        self._live[names] = (now_s, known)
        return known

    def _endpoints(self, model: Model, offers: Sequence[Offer], day: Mapping[str, Hours]) -> bytes:
        snapshot, today = self._gateway.snapshot, self._gateway.clock.today()
        cards = [self._endpoint(offer, today, day.get(offer.id)) for offer in offers]
        return msgspec.json.encode({"data": {**_card(snapshot, model, today), "endpoints": cards}})

    def _endpoint(self, offer: Offer, today: str, hours: Hours | None) -> dict[str, Any]:
        snapshot = self._gateway.snapshot
        figures = self._gateway.health.figures(offer.id, self._gateway.clock.now_s())
        live = {
            "first_token_latency_ms": figures.first_token_ms,
            "throughput_tokens_per_second": figures.tokens_per_second,
            "uptime_percent": None if figures.uptime is None else round(figures.uptime * 100, 2),
            "attempts": figures.attempts,
            "last_24_hours": day_card(hours) if hours else None,
        }
        card = endpoint_card(offer, snapshot.catalog, live, today)
        card["callable"] = offer in snapshot.callable_offers(snapshot.catalog.models[offer.model], today)
        return card


class _Endpoints:
    """One request for a model's endpoints: a `Handler`."""

    max_body_bytes = 64 * 1024
    """Clients send none."""

    def __init__(self, answer: Callable[[], Coroutine[Any, Any, bytes]], reply: Reply) -> None:
        self._answer = answer
        self._reply = reply

    async def run(self, body: bytes) -> None:
        del body
        self._reply.whole(200, JSON_HEADERS, await self._answer())

    def refuse(self, error: RequestError) -> None:
        self._reply.whole(error.status, JSON_HEADERS, codec_of(CHAT).error_body(error, self._reply.request_id))

    def left(self) -> None:
        """Nothing is under way before the request is whole."""


def _asks_for_all(query: bytes) -> bool:
    return parse_qs(query.decode("latin-1")).get("all", [""])[-1] == "true"


def _card(snapshot: Snapshot, model: Model, today: str) -> dict[str, Any]:
    """The card of a model, with the prices of the offer that would be called; where none can be, of its first."""
    offers = tuple(snapshot.callable_offers(model, today)) or model.offers
    return model_card(msgspec.structs.replace(model, offers=offers), snapshot.catalog, today)


def _shape(call: Call) -> model_shapes.Shape | None:
    """Whose list is asked for: Google's by its path, Anthropic's by its header; None: OpenAI's, which ZenMux and we extend."""
    names = {name for name, _ in call.headers}
    # Google's SDK in its stable version asks at `/v1/models`.
    if call.raw_path.startswith((b"/v1beta/", b"/api/vertex-ai/")) or b"x-goog-api-key" in names:
        return model_shapes.GOOGLE
    if call.raw_path.startswith((b"/api/anthropic/", b"/anthropic/")) or b"anthropic-version" in names:
        return model_shapes.ANTHROPIC
    return None
