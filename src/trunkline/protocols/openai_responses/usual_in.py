"""An input of Responses of nothing but messages of texts and pictures, and a text of instructions. In: the values of `input` and `instructions`.

Out: their turns, read in one go, and their size; None where any item is another, or bears an id, and then each is read key by key.
"""

from typing import Literal

import msgspec

from trunkline.ir.parts import Media, Text, Turn
from trunkline.protocols.facts import bytes_of
from trunkline.protocols.media import data_url
from trunkline.protocols.rawjson import UNREADABLE

_TEXT_ONLY, _AND_IMAGES = frozenset({"text"}), frozenset({"text", "image"})
_UNSAID = msgspec.Raw(b"-")
_QUOTE = ord('"')
_MEND = "to be read key by key"


class _Piece(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["input_text", "output_text", "text", "input_image"]
    text: str | None = None
    image_url: msgspec.Raw = _UNSAID
    detail: str | None = None


class _Item(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Piece]
    type: Literal["message"] = "message"


_items = msgspec.json.Decoder(str | list[_Item])
_text = msgspec.json.Decoder(str | None)


def usual_turns(asked: msgspec.Raw, instructions: msgspec.Raw | None) -> tuple[Turn, ...] | None:
    """The turns, the instructions first; or None."""
    turns: list[Turn] = []
    try:
        first = _text.decode(instructions) if instructions is not None else None
        if first:
            turns.append(Turn("system", (Text(first),)))
        items = _items.decode(asked)
        if isinstance(items, str):
            turns.append(Turn("user", (Text(items),) if items else ()))
            return tuple(turns)
        for item in items:
            parts = _parts(item)
            # Of an assistant's message without words nothing is left.
            if parts or item.role != "assistant":
                turns.append(Turn(item.role, parts))
    except UNREADABLE:
        return None
    return tuple(turns)


def size_of(turns: tuple[Turn, ...]) -> tuple[int, frozenset[str]]:
    """Bytes and modalities of such turns."""
    size, has_images = 0, False
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, Text):
                size += bytes_of(part.text)
            else:
                has_images = True
    return size, _AND_IMAGES if has_images else _TEXT_ONLY


def _parts(item: _Item) -> tuple[Text | Media, ...]:
    content = item.content
    if isinstance(content, str):
        return (Text(content),) if content else ()
    parts = [_part(piece) for piece in content]
    found = tuple([part for part in parts if part is not None])
    if item.role == "assistant" and not all(type(part) is Text for part in found):
        raise msgspec.ValidationError(_MEND)
    return found


def _part(piece: _Piece) -> Text | Media | None:
    """None for a text without words."""
    text, url = piece.text, piece.image_url
    if piece.type != "input_image":
        if text is None or url is not _UNSAID or piece.detail is not None:
            raise msgspec.ValidationError(_MEND)
        return Text(text) if text else None
    if text is not None or url is _UNSAID or memoryview(url)[0] != _QUOTE:
        raise msgspec.ValidationError(_MEND)
    found, detail = data_url(url), piece.detail or ""
    if found is None:
        return Media(kind="image", url=msgspec.json.decode(url, type=str), detail=detail)
    return Media(kind="image", mime=found[0], data=found[1], detail=detail)
