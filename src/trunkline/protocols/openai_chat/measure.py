"""How much text goes in, and what besides text, of a request's messages. In: `messages` as they came. Out: bytes, and modalities.

Texts alone are decoded, which is quicker than to search a long prompt for marks, and does not touch the megabytes of an image.
"""

import re

import msgspec

from trunkline.errors import InvalidParams
from trunkline.protocols.facts import bytes_of
from trunkline.protocols.rawjson import UNREADABLE, Fields

_MEDIA = {"image_url": "image", "input_audio": "audio", "file": "file", "video_url": "video"}
_ANY_MEDIA = re.compile(rb'image_url|input_audio|"file"|video_url')
_PAYLOAD = re.compile(rb'"data:[^"]*"|"data"\s*:\s*"[^"]*"|"file_data"\s*:\s*"[^"]*"')
_TEXT_ONLY = frozenset({"text"})


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Said(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | Fields | None = None
    input: str | None = None


class _Call(msgspec.Struct, gc=False):
    function: _Said | None = None
    custom: _Said | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Said | None = None


class _Kind(msgspec.Struct):
    type: str = ""


class _Kinds(msgspec.Struct):
    content: str | list[_Kind] | None = None


_messages = msgspec.json.Decoder(list[_Message])
_kinds = msgspec.json.Decoder(list[_Kinds])


def measured(messages: msgspec.Raw) -> tuple[int, frozenset[str]]:
    """Bytes and modalities. Raises `InvalidParams` where there seem to be media in what cannot be read."""
    try:
        decoded = _messages.decode(messages)
    except UNREADABLE:
        return _roughly(messages)
    kinds: set[str] = set()
    size = _sum(decoded, kinds)
    return size, _TEXT_ONLY | kinds if kinds else _TEXT_ONLY


def text_bytes(messages: bytes | msgspec.Raw) -> int | None:
    """Bytes of messages that are nothing but text; None for all others, and for what is not whole or not as it should be."""
    try:
        decoded = _messages.decode(messages)
    except UNREADABLE:
        return None
    kinds: set[str] = set()
    size = _sum(decoded, kinds)
    return None if kinds or not decoded else size


def _sum(decoded: list[_Message], kinds: set[str]) -> int:
    size = 0
    for message in decoded:
        content = message.content
        if isinstance(content, str):
            size += bytes_of(content)
        elif content:
            size += sum(_part(part, kinds) for part in content)
        if message.tool_calls or message.function_call:
            size += _calls(message)
        if message.reasoning_content or message.reasoning or message.refusal:
            size += _beside(message)
    return size


def _part(part: _Part, kinds: set[str]) -> int:
    kind = _MEDIA.get(part.type)
    if kind is not None:
        kinds.add(kind)
    return bytes_of(part.text or part.refusal or "")


def _calls(message: _Message) -> int:
    calls = [call.function or call.custom for call in message.tool_calls or ()]
    return sum(_call(call) for call in (*calls, message.function_call) if call is not None)


def _beside(message: _Message) -> int:
    """Reasoning often comes under two names."""
    return bytes_of(message.reasoning_content or message.reasoning or "") + bytes_of(message.refusal or "")


def _call(said: _Said) -> int:
    arguments = said.arguments or said.input or ""
    if isinstance(arguments, dict):
        return bytes_of(said.name or "") + sum(len(name) + len(value) for name, value in arguments.items())
    return bytes_of(said.name or "") + bytes_of(arguments)


def _roughly(messages: msgspec.Raw) -> tuple[int, frozenset[str]]:
    """Of what is not as it should be, which a provider may take nevertheless: all of it but payloads."""
    view = memoryview(messages)
    size = len(view) - sum(found.end() - found.start() for found in _PAYLOAD.finditer(view))
    if _ANY_MEDIA.search(view) is None:
        return size, _TEXT_ONLY
    try:
        decoded = _kinds.decode(messages)
    except UNREADABLE as error:
        raise InvalidParams(f"`messages` is not right: {error}.", param="messages") from error
    parts = [part for message in decoded if isinstance(message.content, list) for part in message.content]
    return size, _TEXT_ONLY | {_MEDIA[part.type] for part in parts if part.type in _MEDIA}
