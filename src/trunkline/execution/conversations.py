"""Stored responses, and conversations that go on from them. In: what was asked, and the answer as its caller got it. Out: the items for the next request.

Each stored response holds its whole conversation, so that nothing is walked and the deletion of one does no harm to the others. Kept for the API key
that made it. https://developers.openai.com/api/docs/guides/conversation-state
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from trunkline.errors import InvalidParams, NotFound, RequestError
from trunkline.execution.shelf import DAY_MS, Shelf
from trunkline.protocols import sse
from trunkline.protocols.codec import own_id
from trunkline.protocols.openai_responses import stored
from trunkline.protocols.rawjson import UNREADABLE, Fields, is_null, join, raw, split
from trunkline.records.types import Kept

_NOTHING: Mapping[str, bytes] = {}
_ABSENT = msgspec.Raw(b"null")
_ID = re.compile(r"[!-.0-~]{1,200}")
"""Of a response: printable, without a slash, since it becomes part of a path."""
_STORABLE = ("completed", "incomplete")
_ENDS = ("response.completed", "response.incomplete")
_END_WORDS = tuple(f'"{end}"'.encode() for end in _ENDS)
"""Within a text the quotes would be escaped."""
_NOT_STORED = "the response is not stored"
_OWN_ITEM = re.compile(r"[a-z]+_(?:in_)?(?P<seed>[0-9a-zA-Z]+)_\d+")
"""Ids that `own_id` makes: they tell in which answer an item is."""


class Stored(msgspec.Struct, frozen=True):
    """One response. Items are in the order of the conversation."""

    response: msgspec.Raw
    """The object as its caller got it, but that `store` says what is."""
    before: list[msgspec.Raw]
    """Of the responses that it goes on from."""
    asked: list[msgspec.Raw]
    output: list[msgspec.Raw]


class _Object(msgspec.Struct):
    id: str
    status: str = ""
    object: str = ""
    output: list[msgspec.Raw] = []


class _Event(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = msgspec.Raw(b"null")


_stored = msgspec.json.Decoder(Stored)
_object = msgspec.json.Decoder(_Object)
_event = msgspec.json.Decoder(_Event)
_items = msgspec.json.Decoder(list[msgspec.Raw])


class Conversations:
    """Lives as long as the process."""

    def __init__(self, shelf: Shelf, days: float) -> None:
        self._shelf = shelf
        self._days = days

    def retain(self, days: float) -> None:
        """From now on store responses for so many days; 0: not at all. What is stored stays for as long as was promised."""
        self._days = days

    def stores(self, fields: Fields) -> bool:
        """Whether the answer to a request will be stored. Unsaid is yes: https://developers.openai.com/api/reference/resources/responses/methods/create."""
        return self._days > 0 and bytes(fields.get("store", b"")) != b"false"

    async def previous(self, response_id: str, key_id: str) -> bytes:
        """The items of the conversation up to a response and with it, a JSON list. Raises InvalidParams for one that this key has not."""
        found = await self._find(response_id, key_id)
        if found is None:
            # OpenAI's words, by which programs know that they have to send the conversation again.
            raise InvalidParams(
                f"Previous response with id '{response_id[:200]}' not found.", param="previous_response_id"
            )
        return msgspec.json.encode(found.before + found.asked + found.output)

    async def referenced(self, ids: tuple[str, ...], key_id: str, previous: bytes = b"") -> dict[str, bytes]:
        """The items that a request only names (`item_reference`): of the conversation that it goes on from, or of answers of ours. Who is not found, lacks."""
        wanted = set(ids)
        found = _by_id(_items.decode(previous), wanted) if previous else {}
        for response_id in {_answer_of(item_id) for item_id in wanted - found.keys()} - {""}:
            answer = await self._find(response_id, key_id)
            if answer is not None:
                found |= _by_id(answer.asked + answer.output, wanted)
        return found

    def remember(
        self,
        key_id: str,
        fields: Fields,
        previous: bytes,
        written: bytes,
        streamed: bool,
        now_ms: float,
        recalled: Mapping[str, bytes] = _NOTHING,
    ) -> str:
        """Store an answer that its caller got, unless it asked for `store: false`. A note for the record where it cannot be stored, else "".

        `fields` is the request's top level, `previous` what the method of that name gave for it, `recalled` what `referenced` did. `written` is the
        body, or of a stream the last write, in which it ends.
        """
        if not self.stores(fields):
            return ""
        try:
            response_id, made = _stored_of(fields, previous, written, streamed, recalled)
        except (*UNREADABLE, RequestError, LookupError, ValueError) as error:
            return f"{_NOT_STORED}: {error}"
        now = int(now_ms)
        expires_ms = now + int(self._days * DAY_MS)
        key = _key(response_id, key_id)
        self._shelf.keep(Kept(key, "response", key_id, now, expires_ms, msgspec.json.encode(made)))
        return ""

    async def response(self, response_id: str, key_id: str) -> Stored:
        """Raises NotFound for one that this key has not."""
        found = await self._find(response_id, key_id)
        if found is None:
            raise NotFound(f"Response with id '{response_id[:200]}' not found.")
        return found

    async def delete(self, response_id: str, key_id: str) -> None:
        """Raises NotFound for one that this key has not. Responses that go on from it stay whole."""
        await self.response(response_id, key_id)
        self._shelf.forget(_key(response_id, key_id))

    async def _find(self, response_id: str, key_id: str) -> Stored | None:
        if _ID.fullmatch(response_id) is None:
            return None
        key = _key(response_id, key_id)
        found = await self._shelf.find((key,))
        return _stored.decode(found[key].data) if key in found else None


class Remembering:
    """Stores one answer in the moment in which it goes to its caller, who may go on from it, or leave, at once. Lives as long as its request."""

    __slots__ = ("_conversations", "_fields", "_key_id", "_previous", "_recalled", "_streamed", "_unix_ms", "note")

    def __init__(
        self,
        conversations: Conversations,
        key_id: str,
        fields: Fields,
        previous: bytes,
        recalled: Mapping[str, bytes],
        unix_ms: Callable[[], float],
        *,
        streamed: bool,
    ) -> None:
        self._conversations = conversations
        self._key_id = key_id
        self._fields = fields
        self._previous = previous
        self._recalled = recalled
        self._unix_ms = unix_ms
        self._streamed = streamed
        self.note = f"{_NOT_STORED}: its stream did not end with it" if streamed else ""
        """For the record of an answer that was given: why it is not stored; "" where it is."""

    def see(self, written: bytes) -> None:
        """Some bytes of the answer, before they are sent. Of a stream only the end is looked at: a search of a microsecond for all other events."""
        if self._streamed and not any(word in written for word in _END_WORDS):
            return
        self.note = self._conversations.remember(
            self._key_id, self._fields, self._previous, written, self._streamed, self._unix_ms(), self._recalled
        )


def refuse_background(fields: Fields) -> None:
    """Raises InvalidParams for a request that is not to be waited for: no answer is kept running here."""
    if bytes(fields.get("background", b"")) == b"true":
        raise InvalidParams(
            "`background` is not offered: answers are not kept running here. Leave it out, and stream the answer if it takes long.",
            param="background",
        )


def input_items(found: Stored) -> list[Fields]:
    """What a response was made from: https://developers.openai.com/api/reference/resources/responses/subresources/input_items/methods/list"""
    return [split(item) for item in found.before + found.asked]


def _key(response_id: str, key_id: str) -> str:
    # A provider may use an id twice; it never finds another key's response by that.
    return f"{key_id}/{response_id}"


def _stored_of(
    fields: Fields,
    previous: bytes,
    written: bytes,
    streamed: bool,
    recalled: Mapping[str, bytes],
) -> tuple[str, Stored]:
    told = _last_response(written) if streamed else written
    # Texts that are not looked at are not checked by the decoder.
    str(told, "utf-8")
    response = _object.decode(told)
    if _ID.fullmatch(response.id) is None:
        raise ValueError("its id cannot be one")
    if response.status not in _STORABLE:
        raise ValueError(f"its status is {response.status[:40] or 'not said'}")
    seed = response.id.removeprefix("resp_")
    return response.id, Stored(
        _said_as_it_is(told, fields),
        _items.decode(previous) if previous else [],
        _asked(fields.get("input", _ABSENT), seed, recalled),
        response.output,
    )


def _last_response(written: bytes) -> bytes:
    """Of the event that ends a stream."""
    for event in reversed(sse.events(written)):
        data = sse.data_of(event)
        end = _event.decode(data) if data and data.startswith(b"{") else None
        if end is not None and end.type in _ENDS:
            return bytes(end.response)
    raise ValueError("its stream did not end with it")


def _said_as_it_is(told: bytes, fields: Fields) -> msgspec.Raw:
    """A provider was asked not to store, and does not know what the conversation goes on from."""
    said = split(told) | {"store": raw(True)}
    if not is_null(fields.get("previous_response_id")):
        said["previous_response_id"] = fields["previous_response_id"]
    return msgspec.Raw(join(said))


def _asked(value: msgspec.Raw, seed: str, recalled: Mapping[str, bytes]) -> list[msgspec.Raw]:
    """The request's own items, with ids, and whole where they were only named. Megabytes of media are copied once."""
    if bytes(memoryview(value)[:1]) != b"[":
        return [msgspec.Raw(join(item)) for item in stored.input_items(_body(value), seed)]
    items = _items.decode(value)
    told = [split(item) for item in items]
    heads = [{name: item[name] for name in ("type", "id") if name in item} for item in told]
    named = stored.input_items(_body(raw(heads)), seed)
    return [_named(*one, recalled) for one in zip(items, told, named, strict=True)]


def _body(value: msgspec.Raw) -> bytes:
    return join({"input": value})


def _named(item: msgspec.Raw, told: Fields, named: Fields, recalled: Mapping[str, bytes]) -> msgspec.Raw:
    """An item with the type and id that `named` has for it."""
    found = recalled.get(_id_of(named)) if bytes(named["type"]) == b'"item_reference"' else None
    if found is not None:
        return msgspec.Raw(found)
    if not told or any(name in told and bytes(told[name]) != bytes(value) for name, value in named.items()):
        return msgspec.Raw(join(told | named))
    missing = {name: value for name, value in named.items() if name not in told}
    return msgspec.Raw(b"".join((join(missing)[:-1], b",", memoryview(item)[1:]))) if missing else item


def _answer_of(item_id: str) -> str:
    found = _OWN_ITEM.fullmatch(item_id)
    return own_id("resp_", found["seed"]) if found else ""


def _by_id(items: list[msgspec.Raw], wanted: set[str]) -> dict[str, bytes]:
    named = ((_id_of(split(item)), item) for item in items)
    return {item_id: bytes(item) for item_id, item in named if item_id in wanted}


def _id_of(item: Fields) -> str:
    value = msgspec.json.decode(item.get("id", b"null"))
    return value if isinstance(value, str) else ""
