"""`countTokens`, for callers and toward Google, and the list of models. In: bodies, canonical requests, counts, cards. Out: the same in Google's shape.

https://ai.google.dev/api/tokens#method:-models.counttokens, https://ai.google.dev/api/models#method:-models.list
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from trunkline.ir.request import Request
from trunkline.protocols.codec import RequestContext, Target, UpstreamBody
from trunkline.protocols.gemini.request_in import request_of, top_level
from trunkline.protocols.gemini.request_out import body_fields
from trunkline.protocols.gemini.wire import INTEGER, take_object
from trunkline.protocols.media import Blobs
from trunkline.protocols.rawjson import split
from trunkline.protocols.settle import settle

_METHODS = ("generateContent", "streamGenerateContent", "countTokens")
_VERTEX = "vertex"


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What the list says of a model. `name` is the whole name, with its author."""

    name: str
    display_name: str = ""
    description: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    reasoning: bool = False


def read_count_request(body: bytes, context: RequestContext) -> Request:
    """What is to be counted: plain contents, or a whole request in `generateContentRequest`, which then is the one that counts."""
    fields = top_level(body)
    inner = take_object(fields, "generateContentRequest", "")
    return request_of(fields if inner is None else inner, context)


def write_count_request(request: Request, target: Target) -> UpstreamBody:
    """The question to Google. Vertex AI has the request's keys at the top, Google AI Studio in an object of their own."""
    settled = settle(request, target)
    blobs = Blobs()
    body, losses = body_fields(settled.request, target, blobs)
    if target.dialect != _VERTEX:
        name = target.upstream_model
        path = name if name.startswith("models/") else f"models/{name}"
        body = {"generateContentRequest": {"model": path, **body}}
    return UpstreamBody(blobs.fill(msgspec.json.encode(body)), settled.losses + losses)


def read_count(body: bytes) -> int:
    """Google's answer. Raises one of `rawjson.UNREADABLE` where it is none."""
    total = INTEGER.decoder.decode(split(body).get("totalTokens", msgspec.Raw(b"0")))
    if total is None or total < 0:
        raise msgspec.ValidationError("there is no count")
    return total


def write_count(total: int) -> bytes:
    """The answer to the caller."""
    return msgspec.json.encode({"totalTokens": total})


def model_card(card: ModelCard, publisher_path: bool = False) -> dict[str, Any]:
    """One model. The name is `models/{name}`, or in Vertex AI's way `publishers/{author}/models/{model}`."""
    author, _, short = card.name.partition("/")
    name = f"publishers/{author}/models/{short}" if publisher_path and short else f"models/{card.name}"
    written: dict[str, Any] = {"name": name, "version": "1", "displayName": card.display_name or card.name}
    if card.description:
        written["description"] = card.description
    limits = {"inputTokenLimit": card.context_tokens, "outputTokenLimit": card.max_output_tokens}
    written |= {key: value for key, value in limits.items() if value is not None}
    return written | {"supportedGenerationMethods": _METHODS, "thinking": card.reasoning}


def model_list(cards: Iterable[ModelCard], publisher_path: bool = False) -> bytes:
    """All models, on one page."""
    key = "publisherModels" if publisher_path else "models"
    return msgspec.json.encode({key: [model_card(card, publisher_path) for card in cards]})
