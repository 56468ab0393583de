"""Contents of nothing but texts and inline pictures, in camelCase, and a system instruction of texts. In: the top level of a body, as it came.

Out: their turns, read in one go, and their size; None where anything is written in another way, and then each is read key by key.
"""

import msgspec

from trunkline.ir.parts import Media, Role, Text, Turn
from trunkline.protocols.facts import bytes_of
from trunkline.protocols.gemini.names import kind_of
from trunkline.protocols.media import base64_of
from trunkline.protocols.rawjson import UNREADABLE, Fields

_ROLES: dict[str, Role] = {"": "user", "user": "user", "model": "assistant"}
_TEXT_ONLY = frozenset({"text"})
_QUOTE = ord('"')
_MEND = "to be read key by key"


class _Blob(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    mime_type: str
    data: msgspec.Raw


class _Part(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    text: str | None = None
    inline_data: _Blob | None = None


class _Content(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    parts: list[_Part]
    role: str = ""


class _System(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    parts: list[_Part]


_contents = msgspec.json.Decoder(list[_Content])
_system = msgspec.json.Decoder(_System)


def usual_turns(fields: Fields) -> tuple[Turn, ...] | None:
    """The turns, the system instruction first; or None."""
    if "contents" not in fields or "system_instruction" in fields:
        return None
    turns: list[Turn] = []
    try:
        if "systemInstruction" in fields and (first := _parts(_system.decode(fields["systemInstruction"]).parts)):
            turns.append(Turn("system", first))
        before = ""
        for content in _contents.decode(fields["contents"]):
            role = _ROLES.get(content.role)
            if role is None or (role == before == "assistant"):
                # The second may go on with the first.
                return None
            turns.append(Turn(role, _parts(content.parts)))
            before = role
    except UNREADABLE:
        return None
    return tuple(turns) if before else None


def size_of(turns: tuple[Turn, ...]) -> tuple[int, frozenset[str]]:
    """Bytes and modalities of such turns."""
    size = 0
    kinds: set[str] = set()
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, Text):
                size += bytes_of(part.text)
            elif isinstance(part, Media):
                kinds.add(part.kind)
    return size, _TEXT_ONLY | kinds if kinds else _TEXT_ONLY


def _parts(wire: list[_Part]) -> tuple[Text | Media, ...]:
    parts = [_part(one) for one in wire]
    return tuple([part for part in parts if part is not None])


def _part(one: _Part) -> Text | Media | None:
    """None for a text without words."""
    text, blob = one.text, one.inline_data
    if blob is None and text is not None:
        return Text(text) if text else None
    if blob is None or text is not None or memoryview(blob.data)[0] != _QUOTE:
        raise msgspec.ValidationError(_MEND)
    return Media(kind=kind_of(blob.mime_type), mime=blob.mime_type, data=base64_of(blob.data))
