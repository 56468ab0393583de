"""`cost` and `cost_details` into the usage of an answer that passes through, in any protocol. In: the provider's bytes. Out: the same with two members more.

Chat's own way is in `openai_chat`; here is where the others have their usage, and which event of a stream has it for the last time.
"""

import re

import msgspec

from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.protocols.rawjson import Fields, join, put_into, split
from trunkline.protocols.sse import data_of

_IN_BODY = {CHAT: ("usage",), RESPONSES: ("usage",), MESSAGES: ("usage",), GEMINI: ("usageMetadata",)}
_IN_EVENT = {**_IN_BODY, RESPONSES: ("response", "usage")}
# https://platform.openai.com/docs/api-reference/responses-streaming, https://platform.claude.com/docs/en/build-with-claude/streaming,
# https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse (in each chunk, the counts so far)
_DETAILS = {CHAT: b"cost_details", RESPONSES: b"cost_details", MESSAGES: b"cost_details", GEMINI: b"costDetails"}
_LAST_WORDS = {
    CHAT: re.compile(rb'"usage"'),
    RESPONSES: re.compile(rb"response\.(?:completed|incomplete|failed)"),
    MESSAGES: re.compile(rb"message_delta"),
    GEMINI: re.compile(rb'"finishReason"'),
}


def is_last_usage(protocol: str, event: bytes) -> bool:
    """Whether this event may be the one that has the final usage."""
    return _LAST_WORDS[protocol].search(event) is not None


def has_usage(protocol: str, event: bytes) -> bool:
    """Whether this event has usage at all."""
    return event.find(_IN_BODY[protocol][-1].encode()) >= 0


def put_into_body(protocol: str, body: bytes, cost: bytes, details: bytes) -> bytes:
    """A whole answer with its cost. One of `rawjson.UNREADABLE` where it is no JSON object; unchanged where it has no usage."""
    return _put(body, _IN_BODY[protocol], _members(protocol, cost, details))


def put_into_event(protocol: str, event: bytes, cost: bytes, details: bytes) -> bytes:
    """The same for one event of a stream."""
    data = data_of(event)
    if data is None:
        return event
    edited = _put(data, _IN_EVENT[protocol], _members(protocol, cost, details))
    return event if edited is data else event.replace(data, edited, 1)


def _members(protocol: str, cost: bytes, details: bytes) -> bytes:
    return b'"cost":%b,"%b":%b' % (cost, _DETAILS[protocol], details)


def _put(text: bytes, path: tuple[str, ...], members: bytes) -> bytes:
    fields = split(text)
    value = bytes(fields.get(path[0], b"null"))
    if not value.startswith(b"{"):
        return text
    if len(path) > 1:
        edited = _put(value, path[1:], members)
        return text if edited is value else _replaced(text, fields, path[0], value, edited)
    own = split(value)
    if "cost" not in own and own:
        inserted = put_into(text, value, members)
        if inserted is not None:
            return inserted
    own.pop("cost", None)
    own.pop("cost_details", None)
    own.pop("costDetails", None)
    plain = join(own)
    edited = b"{%b%b%b}" % (plain[1:-1], b"," if own else b"", members)
    return _replaced(text, fields, path[0], value, edited)


def _replaced(text: bytes, fields: Fields, name: str, value: bytes, edited: bytes) -> bytes:
    if text.count(value) == 1:
        return text.replace(value, edited, 1)
    fields[name] = msgspec.Raw(edited)
    return join(fields)
