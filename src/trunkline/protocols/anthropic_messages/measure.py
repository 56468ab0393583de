"""How much text goes in, and what besides text, of a request's messages. In: `messages` and `system` as they came. Out: bytes, and modalities.

Texts alone are decoded; the megabytes of an image are not touched.
"""

import re

import msgspec

from trunkline.errors import InvalidParams
from trunkline.protocols.facts import bytes_of
from trunkline.protocols.rawjson import UNREADABLE, Fields

_MEDIA = re.compile(rb'"type"\s*:\s*"(?:image|document)"')
_PAYLOAD = re.compile(rb'"data"\s*:\s*"[^"]*"')
_NOTHING = msgspec.Raw(b"")
_TEXT_ONLY = frozenset({"text"})


class _Source(msgspec.Struct, gc=False):
    type: str = ""
    data: msgspec.Raw = _NOTHING
    content: msgspec.Raw = _NOTHING


class _Inner(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    source: _Source | str | None = None


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    name: str = ""
    input: msgspec.Raw = _NOTHING
    source: _Source | str | None = None
    content: list[_Inner] | str | Fields | None = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Block] | str | None = None


class _Kind(msgspec.Struct):
    type: str = ""
    source: _Source | str | None = None


class _Outer(msgspec.Struct):
    type: str = ""
    source: _Source | str | None = None
    content: list[_Kind] | str | Fields | None = None


class _Kinds(msgspec.Struct):
    content: list[_Outer] | str | None = None


_messages = msgspec.json.Decoder(list[_Message])
_kinds = msgspec.json.Decoder(list[_Kinds])
_system = msgspec.json.Decoder(list[_Inner] | str | None)


def measured(messages: msgspec.Raw) -> tuple[int, frozenset[str]]:
    """Bytes and modalities. Raises `InvalidParams` where there seem to be media in what cannot be read."""
    try:
        decoded = _messages.decode(messages)
    except UNREADABLE:
        return _roughly(messages)
    size = 0
    kinds: set[str] = set()
    for message in decoded:
        content = message.content
        if isinstance(content, list):
            size += sum(_block(block, kinds) for block in content)
        elif content:
            size += bytes_of(content)
    return size, _TEXT_ONLY | kinds if kinds else _TEXT_ONLY


def size_of_system(system: msgspec.Raw | None) -> int:
    """Bytes of its text."""
    if system is None:
        return 0
    try:
        found = _system.decode(system)
    except UNREADABLE:
        return len(memoryview(system))
    return sum(bytes_of(block.text) for block in found) if isinstance(found, list) else bytes_of(found or "")


def _block(block: _Block, kinds: set[str]) -> int:
    size = bytes_of(block.text) + bytes_of(block.thinking) + bytes_of(block.name) + len(memoryview(block.input))
    size += _given(block, kinds)
    content = block.content
    if isinstance(content, list):
        return size + sum(bytes_of(inner.text) + _given(inner, kinds) for inner in content)
    if isinstance(content, dict):
        return size + sum(len(name) + len(memoryview(value)) for name, value in content.items())
    return size + bytes_of(content or "")


def _given(block: _Block | _Inner, kinds: set[str]) -> int:
    """The kind of a medium; the size of a document that is given as text."""
    if block.source is None:
        return 0
    kind = _modality(block.type, block.source)
    if kind != "text":
        kinds.add(kind)
        return 0
    source = block.source
    return len(memoryview(source.data)) + len(memoryview(source.content)) if isinstance(source, _Source) else 0


def _modality(kind: str, source: _Source | str | None) -> str:
    """A document that is given as text is text."""
    if kind == "image":
        return "image"
    of = source.type if isinstance(source, _Source) else ""
    return "file" if kind == "document" and of not in ("text", "content") else "text"


def _roughly(messages: msgspec.Raw) -> tuple[int, frozenset[str]]:
    """Of what is not as it should be, which a provider may take nevertheless: all of it but payloads."""
    view = memoryview(messages)
    size = len(view) - sum(found.end() - found.start() for found in _PAYLOAD.finditer(view))
    if _MEDIA.search(view) is None:
        return size, _TEXT_ONLY
    try:
        decoded = _kinds.decode(messages)
    except UNREADABLE as error:
        raise InvalidParams(f"`messages` is not right: {error}.", param="messages") from error
    blocks = [block for message in decoded if isinstance(message.content, list) for block in message.content]
    inner = [one for block in blocks if isinstance(block.content, list) for one in block.content]
    found: tuple[_Outer | _Kind, ...] = (*blocks, *inner)
    return size, _TEXT_ONLY | {_modality(one.type, one.source) for one in found}
