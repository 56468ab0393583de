"""How much text goes in, and what besides text. In: `input`, `instructions` and the items of an earlier response. Out: bytes, and modalities.

Texts alone are decoded; the megabytes of an image are not touched.
"""

import re

import msgspec

from trunkline.protocols.facts import bytes_of
from trunkline.protocols.openai_responses.wire import is_null
from trunkline.protocols.rawjson import UNREADABLE, Fields

_MEDIA = {"input_image": "image", "input_file": "file", "input_audio": "audio"}
_ANY_MEDIA = re.compile(rb'"(input_(?:image|file|audio))"')
_PAYLOAD = re.compile(rb'"data:[^"]*"|"(?:file_data|data)"\s*:\s*"[^"]*"')
_NOTHING = msgspec.Raw(b"")
_BETWEEN = len("\n\n")
"""Bytes that are put between pieces of a summary."""
_TEXT_ONLY = frozenset({"text"})


class _Piece(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(msgspec.Struct, gc=False):
    name: str | None = None
    content: list[_Piece] | str | None = None
    summary: list[_Piece] | None = None
    arguments: str | None = None
    input: str | None = None
    output: list[_Piece] | str | Fields | None = None
    action: Fields | None = None
    tools: msgspec.Raw = _NOTHING


_items = msgspec.json.Decoder(list[_Item] | str | None)
_text = msgspec.json.Decoder(str | None)


def measured(read: msgspec.Raw | None, instructions: msgspec.Raw | None, previous: bytes) -> tuple[int, frozenset[str]]:
    """Bytes and modalities."""
    size = 0
    kinds: set[str] = set()
    for value in (read, msgspec.Raw(previous) if previous else None):
        size += 0 if is_null(value) else _items_of(value, kinds)
    if instructions is not None:
        try:
            size += bytes_of(_text.decode(instructions) or "")
        except UNREADABLE:
            size += len(memoryview(instructions))
    return size, _TEXT_ONLY | kinds if kinds else _TEXT_ONLY


def _items_of(value: msgspec.Raw | None, kinds: set[str]) -> int:
    assert value is not None
    try:
        items = _items.decode(value)
    except UNREADABLE:
        return _roughly(value, kinds)
    return sum(_item(item, kinds) for item in items) if isinstance(items, list) else bytes_of(items or "")


def _item(item: _Item, kinds: set[str]) -> int:
    """Of reasoning that says the same in summary and content, the summary."""
    size = bytes_of(item.name or "") + bytes_of(item.arguments or "") + bytes_of(item.input or "")
    size += _pieces(item.summary or item.content, kinds) + _pieces(item.output, kinds)
    size += _BETWEEN * len(item.summary or ())
    return size + _pieces(item.action, kinds) + len(memoryview(item.tools))


def _pieces(value: list[_Piece] | str | Fields | None, kinds: set[str]) -> int:
    if not value:
        return 0
    if isinstance(value, str):
        return bytes_of(value)
    if isinstance(value, dict):
        return sum(len(name) + len(memoryview(inner)) for name, inner in value.items())
    size = 0
    for piece in value:
        if piece.type in _MEDIA:
            kinds.add(_MEDIA[piece.type])
        size += bytes_of(piece.text or piece.refusal or "")
    return size


def _roughly(value: msgspec.Raw, kinds: set[str]) -> int:
    """Of what is not as it should be, which a provider may take nevertheless: all of it but payloads."""
    view = memoryview(value)
    kinds |= {_MEDIA[found[1].decode()] for found in _ANY_MEDIA.finditer(view)}
    return len(view) - sum(found.end() - found.start() for found in _PAYLOAD.finditer(view))
