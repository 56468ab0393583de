"""Parts of a `Content`, read: of a caller's history (`HistoryReader`) or of an answer (`read_answer_part`). In: JSON objects. Out: canonical parts.

What has no canonical place stays in the part's carry, so that it comes back to Google as it was (https://ai.google.dev/api/caching#Part).
"""

from typing import Any

import msgspec

from trunkline.ir.parts import Carry, Media, Opaque, Part, Text, Thinking, ToolCall, ToolResult
from trunkline.protocols.carry import Kept, carry, put_before, unseal
from trunkline.protocols.gemini.names import NAME, kind_of, place_id
from trunkline.protocols.gemini.wire import (
    BOOLEAN,
    NULL,
    TEXT,
    invalid,
    nested,
    spelled,
    take,
    take_object,
    take_objects,
)
from trunkline.protocols.media import base64_of
from trunkline.protocols.rawjson import UNREADABLE, Fields, join

_replace = msgspec.structs.replace
_SIGNATURE = "thoughtSignature"
_NO_ARGUMENTS = "{}"
_RESOLUTION = "MEDIA_RESOLUTION_"
_GOOGLE_FILES = ("gs://", "https://generativelanguage.googleapis.com/")
_MEDIA_KEYS = ("inlineData", "fileData")


class HistoryReader:
    """Reads the contents of one request. Lives as long as that: it gives ids to calls that have none, and finds the calls of results."""

    __slots__ = ("_for_next", "_number", "_open", "_secret")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._number = 0
        self._open: list[ToolCall] = []
        self._for_next: Carry | None = None

    def parts(self, wire: list[Fields], where: str) -> tuple[Part, ...]:
        """The parts of one content."""
        parts: list[Part] = []
        for at, fields in enumerate(wire):
            self._part(parts, spelled(fields), f"{where}[{at}].")
        return tuple(parts)

    def more_parts(self, before: tuple[Part, ...], wire: list[Fields], where: str) -> tuple[Part, ...]:
        """The parts of a content that goes on with the one before it, whose text then goes on, too.

        The chats of Google's SDKs keep each event of a stream as a content of its own.
        """
        parts = list(before)
        for at, fields in enumerate(wire):
            begun = len(parts)
            self._part(parts, spelled(fields), f"{where}[{at}].")
            if at == 0 and begun and len(parts) == begun + 1 and (whole := _joined(parts[-2], parts[-1])) is not None:
                parts[-2:] = [whole]
        return tuple(parts)

    def _part(self, parts: list[Part], fields: Fields, where: str) -> None:
        if len(fields) == 1 and "text" in fields and self._for_next is None:
            # Nearly all parts are just this.
            if text := take(fields, "text", TEXT, where):
                parts.append(Text(text))
            return
        kept = self._kept(fields, where)
        if kept is None:
            found = self._found(fields, "", where)
        else:
            del fields[_SIGNATURE]
            _drop_shadows(parts, kept)
            put_before(parts, kept)
            if kept.place == "next":
                self._for_next = kept.carry
                return
            found = self._found(fields, kept.id, where)
            if kept.carry is not None:
                found = _bearing(parts, found, kept.carry)
        if found is None:
            return
        if self._for_next is not None:
            found, self._for_next = _replace(found, carry=self._for_next), None
        if not (isinstance(found, Text | Thinking) and not found.text and found.carry is None):
            parts.append(found)

    def _kept(self, fields: Fields, where: str) -> Kept | None:
        raw = fields.get(_SIGNATURE)
        if raw is None or raw == NULL:
            return None
        signature = take({_SIGNATURE: raw}, _SIGNATURE, TEXT, where)
        return unseal(signature or "", self._secret)

    def _found(self, fields: Fields, known_id: str, where: str) -> Part | None:
        if "functionCall" in fields:
            return self._call(fields, known_id, where)
        if "functionResponse" in fields:
            return self._result(fields, where)
        return read_plain_part(fields, where)

    def _call(self, fields: Fields, known_id: str, where: str) -> ToolCall:
        self._number += 1
        call = read_call(fields, known_id or place_id(self._number), where)
        self._open.append(call)
        return call

    def _result(self, fields: Fields, where: str) -> ToolResult:
        inner = take_object(fields, "functionResponse", where) or {}
        where += "functionResponse."
        call_id, name = take(inner, "id", TEXT, where) or "", take(inner, "name", TEXT, where) or ""
        call = self._answered(call_id, name)
        text, is_error = outcome(take_object(inner, "response", where) or {})
        parts: list[Text | Media | Opaque] = [Text(text)] if text else []
        for at, piece in enumerate(take_objects(inner, "parts", where)):
            found = read_plain_part(piece, f"{where}parts[{at}].")
            if isinstance(found, Text | Media | Opaque):
                parts.append(found)
        fields |= nested("functionResponse", inner)
        return ToolResult(
            call_id or (call.id if call else place_id(self._number)),
            name or (call.name if call else ""),
            tuple(parts),
            is_error,
            carry=carry(NAME, fields),
        )

    def _answered(self, call_id: str, name: str) -> ToolCall | None:
        """The call of a result: that of its id, else the first of its name that has no result yet, else simply the first."""
        fitting = [
            (0 if call.id == call_id else 1 if call.name == name else 2, at)
            for at, call in enumerate(self._open)
            if call.id == call_id or not call_id
        ]
        return self._open.pop(min(fitting)[1]) if fitting else None


def read_call(fields: Fields, usual_id: str, where: str, source: str = NAME) -> ToolCall:
    """A function call. Its arguments come whole; none at all are an empty object."""
    inner = take_object(fields, "functionCall", where) or {}
    where += "functionCall."
    name = take(inner, "name", TEXT, where)
    if not name:
        raise invalid(f"{where}name", "the name of a function")
    call_id = take(inner, "id", TEXT, where) or usual_id
    arguments = inner.pop("args", NULL)
    fields |= nested("functionCall", inner)
    return ToolCall(call_id, name, _arguments(arguments, where), carry=carry(source, fields))


def read_plain_part(fields: Fields, where: str, source: str = NAME) -> Part | None:
    """A part that has to do with no call; None where nothing is in it."""
    if "text" in fields:
        return _text(fields, where, source)
    for key in _MEDIA_KEYS:
        if key in fields:
            return _media(fields, key, where, source)
    kind = next((key for key in fields if key not in ("thought", _SIGNATURE)), "")
    if kind:
        return Opaque(kind, Carry(source, msgspec.Raw(join(fields))))
    return Text("", carry=carry(source, fields)) if _SIGNATURE in fields else None


def _text(fields: Fields, where: str, source: str) -> Text | Thinking:
    text = take(fields, "text", TEXT, where) or ""
    is_thought = "thought" in fields and take(fields, "thought", BOOLEAN, where)
    borne = carry(source, fields) if fields else None
    return Thinking(text, carry=borne) if is_thought else Text(text, carry=borne)


def _media(fields: Fields, key: str, where: str, source: str) -> Media:
    inner = take_object(fields, key, where) or {}
    where += f"{key}."
    mime = take(inner, "mimeType", TEXT, where) or ""
    known: dict[str, Any] = {
        "kind": kind_of(mime),
        "mime": mime,
        "name": take(inner, "displayName", TEXT, where) or "",
    }
    if key == "inlineData":
        known["data"] = _data(inner.pop("data", NULL), where)
    else:
        address = take(inner, "fileUri", TEXT, where)
        if not address:
            raise invalid(f"{where}fileUri", "the address of a file")
        known["file_id" if address.startswith(_GOOGLE_FILES) else "url"] = address
    known["detail"] = _detail(fields)
    return Media(**known, carry=carry(source, fields | nested(key, inner)))


def _data(raw: msgspec.Raw, where: str) -> memoryview | bytes:
    view = memoryview(raw)
    if len(view) < 2 or view[0] != ord('"'):
        raise invalid(f"{where}data", "base64 text")
    return base64_of(raw)


def _detail(fields: Fields) -> str:
    """How closely a picture is looked at. Only a plain level is ours (https://ai.google.dev/gemini-api/docs/media-resolution)."""
    wanted = fields.get("mediaResolution")
    if wanted is None:
        return ""
    try:
        found = msgspec.json.decode(wanted, type=dict[str, str])
    except UNREADABLE:
        return ""
    level = found.get("level", "")
    if len(found) != 1 or not level.startswith(_RESOLUTION):
        return ""
    del fields["mediaResolution"]
    return level.removeprefix(_RESOLUTION).lower()


def _arguments(raw: msgspec.Raw, where: str) -> str:
    if raw == NULL:
        return _NO_ARGUMENTS
    text = bytes(raw).decode()
    if not text.startswith("{"):
        raise invalid(f"{where}args", "an object")
    return text


def outcome(response: Fields) -> tuple[str, bool]:
    """Text of a result, and whether it is an error. `output` and `error` are Google's own keys; any other object is the result itself.

    https://ai.google.dev/api/caching#FunctionResponse
    """
    if not response:
        return "", False
    if len(response) == 1:
        key, raw = next(iter(response.items()))
        text = _only_text(raw)
        if key == "error":
            return bytes(raw).decode() if text is None else text, True
        if key == "output" and text is not None:
            return text, False
    return join(response).decode(), False


def _only_text(raw: msgspec.Raw) -> str | None:
    try:
        return TEXT.decoder.decode(raw)
    except UNREADABLE:
        return None


def _joined(part: Part, piece: Part) -> Part | None:
    """A text and what goes on with it. Google wants texts with a signature of its own left apart; elsewhere the first piece has it for all."""
    if not isinstance(part, Text | Thinking) or type(part) is not type(piece) or piece.carry is not None:
        return None
    if part.carry is not None and part.carry.origin.startswith(NAME):
        return None
    return _replace(part, text=part.text + piece.text)


def _drop_shadows(parts: list[Part], kept: Kept) -> None:
    """A stream's reasoning comes back in as many pieces as it was sent in. What was kept is whole, so the pieces go."""
    for hidden in kept.before:
        if not isinstance(hidden, Thinking) or not hidden.text:
            continue
        start = len(parts)
        while start and isinstance(piece := parts[start - 1], Thinking) and piece.carry is None:
            start -= 1
        pieces = [piece.text for piece in parts[start:] if isinstance(piece, Thinking)]
        if "".join(pieces) == hidden.text:
            del parts[start:]


def _bearing(parts: list[Part], found: Part | None, state: Carry) -> Part | None:
    """The part with the state of its slot. An empty text was made for the slot: its state is that of the text before it."""
    if isinstance(found, Text) and not found.text and parts:
        last = parts[-1]
        if isinstance(last, Text) and last.carry is None:
            parts[-1] = _replace(last, carry=state)
            return None
    return None if found is None else _replace(found, carry=state)
