"""What stored responses need of this protocol; the store itself and its rules are others' matter. In: bodies of requests and answers. Out: items.

A stored conversation is a JSON list of input items: that which goes into `RequestContext.previous` when a later request names its response.
https://developers.openai.com/api/docs/guides/conversation-state, https://developers.openai.com/api/reference/resources/responses
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from trunkline.errors import InvalidParams
from trunkline.protocols.codec import own_id
from trunkline.protocols.openai_responses.request_in import fields_of
from trunkline.protocols.openai_responses.wire import WrongField, is_null, objects, raw, text_at
from trunkline.protocols.rawjson import UNREADABLE, Fields, join

Items = list[Fields]

_PREFIXES: Mapping[str, str] = {
    "message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_", "web_search_call": "ws_",
    "function_call_output": "fco_", "custom_tool_call_output": "ctco_",
}  # fmt: skip
_MOST_ON_A_PAGE = 100


class _Asked(msgspec.Struct):
    previous_response_id: str | None = None
    store: bool | None = None


class _Answer(msgspec.Struct):
    id: str = ""
    output: list[Fields] = []


def previous_id(body: bytes) -> str:
    """The response that a request goes on from; "" where it names none."""
    return _asked(body).previous_response_id or ""


def wants_store(body: bytes) -> bool:
    """Unsaid is yes: https://developers.openai.com/api/reference/resources/responses/methods/create"""
    return _asked(body).store is not False


def referenced_ids(body: bytes) -> tuple[str, ...]:
    """Ids of items that are only named (`item_reference`): their items belong into `RequestContext.states`, each under its id."""
    if b'"item_reference"' not in body:
        return ()
    value = fields_of(body).get("input")
    if value is None or memoryview(value)[0] != ord("["):
        return ()
    try:
        items = objects(value, "input")
        named = [_word(item, "id") for item in items if _word(item, "type") == "item_reference"]
    except WrongField as error:
        raise InvalidParams(f"`input` {error.mend}", param="input") from error
    return tuple(dict.fromkeys(item_id for item_id in named if item_id))


def input_items(body: bytes, request_id: str) -> Items:
    """A request's own input as items with ids, such as `GET /responses/{id}/input_items` lists them. Names of stored items stay names."""
    value = fields_of(body).get("input")
    if value is None or is_null(value):
        return []
    if memoryview(value)[0] == ord('"'):
        content = [{"type": "input_text", "text": value}]
        return [_with_id({"type": raw("message"), "role": raw("user"), "content": raw(content)}, request_id, 0)]
    try:
        return [_with_id(item, request_id, at) for at, item in enumerate(objects(value, "input"))]
    except WrongField as error:
        raise InvalidParams(f"`input` {error.mend}", param="input") from error


def output_items(answer: bytes) -> Items:
    """An answer's items; [] where it has none that can be read."""
    try:
        return msgspec.json.decode(answer, type=_Answer).output
    except UNREADABLE:
        return []


def conversation(previous: bytes, asked: Items, answered: Items, recalled: Mapping[str, bytes] | None = None) -> bytes:
    """What a later request goes on from: everything before, what was asked, what was answered. Instructions are not handed on.

    `recalled` are the items that the request only named, as they were found for it.
    """
    earlier = objects(previous, "previous") if previous else []
    return msgspec.json.encode([*earlier, *(_resolved(item, recalled or {}) for item in asked), *answered])


def by_id(items: Items) -> dict[str, bytes]:
    """Items under their ids, for requests that will only name them."""
    found = ((_word(item, "id"), item) for item in items)
    return {item_id: join(item) for item_id, item in found if item_id}


def input_page(items: Items, *, limit: int = 20, after: str = "", order: Literal["asc", "desc"] = "desc") -> bytes:
    """The answer to `GET /responses/{id}/input_items`. Raises `InvalidParams` for a limit outside 1 to 100 or an `after` that is none of them."""
    if not 1 <= limit <= _MOST_ON_A_PAGE:
        raise InvalidParams(f"`limit` must be between 1 and {_MOST_ON_A_PAGE}.", param="limit")
    ordered = items[::-1] if order == "desc" else items
    ids = [_word(item, "id") for item in ordered]
    if after and after not in ids:
        raise InvalidParams(f"`after` must be the id of one of the items; `{after}` is none.", param="after")
    begin = ids.index(after) + 1 if after else 0
    shown = ids[begin : begin + limit]
    page = {
        "object": "list",
        "data": ordered[begin : begin + limit],
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
        "has_more": begin + limit < len(ids),
    }
    return msgspec.json.encode(page)


def deleted(response_id: str) -> bytes:
    """The answer to `DELETE /responses/{id}`."""
    return msgspec.json.encode({"id": response_id, "object": "response", "deleted": True})


def _asked(body: bytes) -> _Asked:
    fields = fields_of(body)
    small = {name: fields[name] for name in _Asked.__struct_fields__ if name in fields}
    try:
        return msgspec.json.decode(join(small), type=_Asked)
    except UNREADABLE as error:
        raise InvalidParams(
            f"`previous_response_id` must be a string and `store` a boolean: {error}.", param="previous_response_id"
        ) from error


def _word(item: Fields, key: str) -> str:
    """A string of an item; "" where it has none: what is wrong with it, the reader of the request says."""
    try:
        return text_at(item, key, "")
    except WrongField:
        return ""


def _with_id(item: Fields, request_id: str, at: int) -> Fields:
    kind = _word(item, "type") or "message"
    named = {"type": raw(kind), **item}
    if is_null(item.get("id")):
        # Input and output of one answer are numbered apart: the request's own ids have an `in` in them.
        named["id"] = raw(own_id(f"{_PREFIXES.get(kind, 'item_')}in_", request_id, at))
    return named


def _resolved(item: Fields, recalled: Mapping[str, bytes]) -> Fields | msgspec.Raw:
    found = recalled.get(_word(item, "id"))
    return msgspec.Raw(found) if found is not None and _word(item, "type") == "item_reference" else item
