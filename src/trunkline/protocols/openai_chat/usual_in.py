"""A conversation of Chat Completions in which messages have a role, and texts or pictures, and nothing else: as most are, and all that one was shown.

In: the value of `messages`. Out: its turns, read in one go; None where any message has anything else, and then it is read key by key.
"""

from typing import Literal

import msgspec

from trunkline.ir.parts import Media, Text, Turn
from trunkline.protocols.media import data_url
from trunkline.protocols.rawjson import UNREADABLE

_QUOTE = ord('"')


class _Url(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    url: msgspec.Raw
    detail: str | None = None


class _Piece(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: _Url | None = None


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Piece]


_messages = msgspec.json.Decoder(list[_Message])


def usual_turns(messages: msgspec.Raw) -> tuple[Turn, ...] | None:
    """The turns, or None."""
    try:
        return tuple([Turn(message.role, _parts(message.content)) for message in _messages.decode(messages)])
    except UNREADABLE:
        return None


def _parts(content: str | list[_Piece]) -> tuple[Text | Media, ...]:
    if isinstance(content, str):
        return (Text(content),) if content else ()
    parts = [_part(piece) for piece in content]
    return tuple([part for part in parts if part is not None])


def _part(piece: _Piece) -> Text | Media | None:
    """None for a text without words."""
    text, image = piece.text, piece.image_url
    if piece.type == "text":
        if text is None or image is not None:
            raise msgspec.ValidationError("to be read key by key")
        return Text(text) if text else None
    if image is None or text is not None or memoryview(image.url)[0] != _QUOTE:
        raise msgspec.ValidationError("to be read key by key")
    found, detail = data_url(image.url), image.detail or ""
    if found is None:
        return Media(kind="image", url=msgspec.json.decode(image.url, type=str), detail=detail)
    return Media(kind="image", mime=found[0], data=found[1], detail=detail)
