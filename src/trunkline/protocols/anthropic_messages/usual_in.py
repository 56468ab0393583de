"""A conversation of Messages of nothing but texts and pictures, as all are whose model calls no tools and shows no thinking.

In: the values of `messages` and `system`. Out: their turns, read in one go, and their size; None where any block is another, and then each is read key
by key.
"""

from typing import Literal

import msgspec

from trunkline.ir.parts import CacheMark, Media, Text, Turn
from trunkline.protocols.anthropic_messages.blocks_in import BILLING
from trunkline.protocols.anthropic_messages.wire import CacheControl, mark_of
from trunkline.protocols.facts import bytes_of
from trunkline.protocols.media import base64_of
from trunkline.protocols.rawjson import UNREADABLE

_TEXT_ONLY, _AND_IMAGES = frozenset({"text"}), frozenset({"text", "image"})
_QUOTE = ord('"')
_MEND = "to be read key by key"


class _Source(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["base64"]
    media_type: str
    data: msgspec.Raw


class _Block(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text", "image"]
    text: str | None = None
    source: _Source | None = None
    cache_control: CacheControl | None = None


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


_messages = msgspec.json.Decoder(list[_Message])
_system = msgspec.json.Decoder(str | list[_Block] | None)


def usual_turns(messages: msgspec.Raw, system: msgspec.Raw | None) -> tuple[Turn, ...] | None:
    """The turns, the system prompt first; or None."""
    try:
        turns = [Turn(message.role, _parts(message.content)) for message in _messages.decode(messages)]
        first = _parts(_system.decode(system) or "") if system is not None else ()
    except UNREADABLE:
        return None
    if not turns:
        return None
    return (Turn("system", first), *turns) if first else tuple(turns)


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


def _parts(content: str | list[_Block]) -> tuple[Text | Media, ...]:
    if isinstance(content, str):
        return (Text(content),) if content else ()
    parts = [_part(block) for block in content]
    return tuple([part for part in parts if part is not None])


def _part(block: _Block) -> Text | Media | None:
    """None for a text without words."""
    text, source = block.text, block.source
    cache: CacheMark | None = None if block.cache_control is None else mark_of(block.cache_control)
    if block.type == "text":
        if text is None or source is not None or text.startswith(BILLING):
            raise msgspec.ValidationError(_MEND)
        return Text(text, cache=cache) if text else None
    if source is None or text is not None or memoryview(source.data)[0] != _QUOTE:
        raise msgspec.ValidationError(_MEND)
    return Media(kind="image", mime=source.media_type, data=base64_of(source.data), cache=cache)
