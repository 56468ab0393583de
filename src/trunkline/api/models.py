"""`GET /models`, `/models/{id}`, `/models/{id}/endpoints`, in ZenMux's shape and without a key. In: the snapshot in force. Out: JSON.

https://docs.zenmux.ai/api/platform/openai-list-models.html; the endpoints as in https://openrouter.ai/docs/api-reference/list-endpoints-for-a-model.
"""

from typing import Any
from urllib.parse import parse_qs

import msgspec

from trunkline.api import model_shapes
from trunkline.api.call import Call
from trunkline.catalog.query import endpoint_card, find, model_card, nearest
from trunkline.catalog.types import Model, Offer
from trunkline.errors import InvalidModel
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.respond import JSON_HEADERS, Reply

_ENDPOINTS = "/endpoints"


class ModelList:
    """Answers about models. Keeps the encoded list for as long as the snapshot it was made of is in force, and the day's prices."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._made_of: tuple[Snapshot, str] | None = None
        self._lists: dict[bool, bytes] = {}

    def __call__(self, call: Call, reply: Reply) -> None:
        """One GET or HEAD of a path below `/models`."""
        name = call.path.partition("/models")[2].strip("/")
        shape = _shape(call)
        if shape is not None:
            models = [self._named(name)] if name else self._callable()
            reply.whole(200, JSON_HEADERS, shape.one(models[0]) if name else shape.several(models))
            return
        body = self._one(name) if name else self._list(all_models=_asks_for_all(call.query))
        reply.whole(200, JSON_HEADERS, body)

    def _list(self, *, all_models: bool) -> bytes:
        snapshot, today = self._gateway.snapshot, self._gateway.clock.today()
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

    def _callable(self) -> list[Model]:
        snapshot, today = self._gateway.snapshot, self._gateway.clock.today()
        return [model for model in snapshot.catalog.models.values() if snapshot.callable_offers(model, today)]

    def _named(self, name: str) -> Model:
        catalog = self._gateway.snapshot.catalog
        found = find(catalog, name)
        if found is None:
            near = ", ".join(nearest(catalog, name))
            raise InvalidModel(
                f"There is no model `{name[:200]}`." + (f" Did you mean {near}?" if near else ""), param="model"
            )
        return found.model

    def _one(self, name: str) -> bytes:
        snapshot, today = self._gateway.snapshot, self._gateway.clock.today()
        catalog = snapshot.catalog
        found = find(catalog, name)
        if found is not None:
            return msgspec.json.encode(_card(snapshot, found.model, today))
        found = find(catalog, name.removesuffix(_ENDPOINTS)) if name.endswith(_ENDPOINTS) else None
        if found is None:
            near = ", ".join(nearest(catalog, name.removesuffix(_ENDPOINTS)))
            raise InvalidModel(
                f"There is no model `{name[:200]}`." + (f" Did you mean {near}?" if near else ""), param="model"
            )
        offers = [offer for offer in found.model.offers if found.provider in (None, offer.provider)]
        card = _card(snapshot, found.model, today)
        return msgspec.json.encode({"data": {**card, "endpoints": [self._endpoint(offer, today) for offer in offers]}})

    def _endpoint(self, offer: Offer, today: str) -> dict[str, Any]:
        snapshot = self._gateway.snapshot
        figures = self._gateway.health.figures(offer.id, self._gateway.clock.now_s())
        live = {
            "first_token_latency_ms": figures.first_token_ms,
            "throughput_tokens_per_second": figures.tokens_per_second,
            "uptime_percent": None if figures.uptime is None else round(figures.uptime * 100, 2),
            "attempts": figures.attempts,
        }
        card = endpoint_card(offer, snapshot.catalog, live, today)
        card["callable"] = offer in snapshot.callable_offers(snapshot.catalog.models[offer.model], today)
        return card


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
