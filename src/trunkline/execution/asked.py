"""A caller's request in its own protocol, read as far as somebody needed it.

In: the door that it came through, and the body. Out: facts and top-level fields; the canonical request, where a translation needs it.
"""

import re
from collections.abc import Mapping
from typing import Protocol

import msgspec

from trunkline.catalog.types import PARAMETERS
from trunkline.errors import InvalidParams, RequestError
from trunkline.execution.codecs import codec_of
from trunkline.execution.conversations import Conversations, Remembering, refuse_background
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Gateway, Vault
from trunkline.ir.facts import RequestFacts
from trunkline.ir.request import Request
from trunkline.protocols.carry import stored_ids
from trunkline.protocols.codec import CHAT, RESPONSES, AnswerContext, Peeked, RequestContext
from trunkline.protocols.openai_chat.request import read as read_chat
from trunkline.protocols.rawjson import Fields

_NOTHING: Mapping[str, bytes] = {}
_SEALED = re.compile(rb'"tl1')
"""Begins each text that holds state of ours, see `protocols.carry`. Through the megabytes of an image this is five times as quick as `bytes.find`."""


class Door(msgspec.Struct, frozen=True):
    """Where a request came in: what path and headers say of it."""

    protocol: str
    path_model: str = ""
    """Gemini: the model in the path."""
    path_stream: bool = False
    array_framing: bool = False
    """Gemini without `alt=sse`: a stream is a JSON array."""
    headers: Mapping[str, str] = {}
    """In lower case, without credentials."""


class Ending(Protocol):
    """Ends a stream that has begun with an error: a codec's `StreamWriter`, or who passed the provider's own events on."""

    def fail(self, error: RequestError) -> bytes: ...


class Asked:
    """Lives as long as its request."""

    __slots__ = (
        "_canonical", "_created_s", "_request_id", "_states", "_turns", "_vault", "body", "door", "ending", "facts", "fields", "has_state", "is_stored",
        "previous", "recalled", "remembering", "writer",
    )  # fmt: skip

    def __init__(
        self,
        door: Door,
        body: bytes,
        request_id: str,
        created_s: int,
        vault: Vault,
        has_state: bool,
        states: Mapping[str, bytes] = _NOTHING,
        previous: bytes = b"",
        recalled: Mapping[str, bytes] = _NOTHING,
    ) -> None:
        """Raises InvalidParams for a body that cannot be told what it asks for."""
        self.door = door
        self.body = body
        self._request_id = request_id
        self._created_s = created_s
        self._vault = vault
        self._states = {**states, **recalled} if recalled else states
        self.previous = previous
        """Responses: the items of the conversation that it goes on from."""
        self.recalled = recalled
        """Responses: items that it only names."""
        self.remembering: Remembering | None = None
        """Who stores the answer."""
        self.is_stored = False
        """Responses: the answer will be stored."""
        self.has_state = has_state
        """It brings back state of ours, which no provider may see: so it cannot pass through as it is."""
        self._canonical: Request | None = None
        self.ending: Ending | None = None
        """Who has begun the caller's stream, and so must end it."""
        self.fields: Fields
        self.facts: RequestFacts
        if door.protocol == CHAT:
            chat = read_chat(body, PARAMETERS)
            self.fields, self.facts, self._turns = chat.fields, chat.facts, None
        else:
            peeked = codec_of(door.protocol).peek(body, self._context(), PARAMETERS)
            self.fields, self.facts, self._turns = peeked.fields, peeked.facts, peeked.turns

    @property
    def protocol(self) -> str:
        return self.door.protocol

    def canonical(self) -> Request:
        """The request in canonical form, read once. Raises InvalidParams."""
        if self._canonical is None:
            context = self._context(Peeked(self.fields, self.facts, self._turns))
            self._canonical = codec_of(self.protocol).read_request(self.body, context)
        return self._canonical

    def answer_context(self, model: str = "") -> AnswerContext:
        """What a writer of the caller's protocol is told. `model` is the one that answers, where it is another than the caller named."""
        try:
            request = self.canonical()
        except InvalidParams:
            # A body that the provider takes and our reader does not passes through all the same; signs of life and errors need little of it.
            request = Request(origin=self.protocol, model=self.facts.model, turns=(), stream=self.facts.stream)
        return AnswerContext(
            request=request,
            request_id=self._request_id,
            model=model or self.facts.model,
            created_s=self._created_s,
            secret=self._vault.secret,
            keep=self._vault.keep,
            array_framing=self.door.array_framing,
            previous_id=self._previous_id(),
            is_stored=self.is_stored,
        )

    def _previous_id(self) -> str:
        return msgspec.json.decode(self.fields["previous_response_id"], type=str) if self.previous else ""

    def error_in_stream(self, error: RequestError) -> bytes:
        """The event that ends a stream that has begun."""
        ending = self.ending or codec_of(self.protocol).stream_writer(self.answer_context())
        return ending.fail(error)

    def keepalive(self) -> bytes:
        """What keeps a silent stream open."""
        return codec_of(self.protocol).keepalive(self.answer_context())

    def _context(self, peeked: Peeked | None = None) -> RequestContext:
        door = self.door
        return RequestContext(
            request_id=self._request_id,
            secret=self._vault.secret,
            states=self._states,
            headers=door.headers,
            path_model=door.path_model,
            path_stream=door.path_stream,
            peeked=peeked,
            previous=self.previous,
        )


def asked_of(gateway: Gateway, exchange: Exchange, door: Door, body: bytes) -> Asked | None:
    """A request that stands for itself; None for one that may go on from something in the store: see `read`. Raises InvalidParams."""
    if door.protocol == RESPONSES or _SEALED.search(body) is not None:
        return None
    vault = gateway.fleeting if exchange.zero_retention else gateway.vault
    return Asked(door, body, exchange.id, int(exchange.received_ms // 1000), vault, has_state=False)


async def read(gateway: Gateway, exchange: Exchange, door: Door, body: bytes) -> Asked:
    """One with what the store has of its conversation. Raises a `RequestError` that says what is wrong with it."""
    states: Mapping[str, bytes] = _NOTHING
    recalled: Mapping[str, bytes] = _NOTHING
    previous = b""
    has_state = _SEALED.search(body) is not None
    if has_state and (ids := stored_ids(body)):
        states = await gateway.states.find(ids)
    if door.protocol == RESPONSES:
        previous, recalled = await _conversation(gateway.conversations, body, exchange.key_id)
    vault = gateway.fleeting if exchange.zero_retention else gateway.vault
    asked = Asked(
        door, body, exchange.id, int(exchange.received_ms // 1000), vault, has_state, states, previous, recalled
    )
    if door.protocol == RESPONSES:
        refuse_background(asked.fields)
        asked.is_stored = not exchange.zero_retention and gateway.conversations.stores(asked.fields)
    return asked


async def _conversation(conversations: Conversations, body: bytes, key_id: str) -> tuple[bytes, Mapping[str, bytes]]:
    """What goes before the request's own items, and the items that it only names."""
    from trunkline.protocols.openai_responses.stored import previous_id, referenced_ids

    earlier = previous_id(body) if b'"previous_response_id"' in body else ""
    previous = await conversations.previous(earlier, key_id) if earlier else b""
    named = referenced_ids(body)
    return previous, await conversations.referenced(named, key_id, previous) if named else _NOTHING
