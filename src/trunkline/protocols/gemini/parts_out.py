"""Canonical parts as the parts of a `Content`, for requests and answers alike. In: parts. Out: JSON objects, as dicts with raw values.

Signatures are not this module's matter: a request has them in the carries (`request_out`), an answer in its slots (`slots`).
"""

from typing import Any, Literal

import msgspec

from trunkline.ir.parts import Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.protocols.gemini.names import NAME, guessed_mime, is_place_id
from trunkline.protocols.media import Blobs
from trunkline.protocols.rawjson import UNREADABLE, split
from trunkline.protocols.tools import as_object, wrapped_call

Wire = dict[str, Any]

_RESOLUTION = "MEDIA_RESOLUTION_"
_LEVELS = ("low", "medium", "high", "ultra_high")


class PartWriter:
    """Writes parts. Lives as long as one body is written: large media wait in its `blobs`.

    `own` is true where the parts came in this protocol, so that words of its own may be said again that not every model takes.
    """

    __slots__ = ("blobs", "own")

    def __init__(self, blobs: Blobs, own: bool) -> None:
        self.blobs = blobs
        self.own = own

    def part(self, part: Part) -> Wire:
        """A part without its carry."""
        if isinstance(part, Text):
            return {"text": part.text}
        if isinstance(part, ToolCall):
            return {"functionCall": call(part)}
        if isinstance(part, ToolResult):
            return {"functionResponse": self._result(part)}
        if isinstance(part, Thinking):
            return {"text": part.text, "thought": True}
        if isinstance(part, Media):
            return self._media(part)
        if isinstance(part, Refusal):
            return {"text": part.text}
        return {}

    def _media(self, part: Media) -> Wire:
        if part.text:
            return {"text": part.text}
        mime = part.mime or guessed_mime(part.kind, part.data, part.url or part.file_id)
        inner: Wire = {"mimeType": mime}
        key: Literal["inlineData", "fileData"] = "fileData"
        if part.data is not None:
            key = "inlineData"
            inner["data"] = self.blobs.put(part.data)
        else:
            inner["fileUri"] = part.url or part.file_id
        if part.name and self.own:
            inner["displayName"] = part.name
        written: Wire = {key: inner}
        if part.detail in _LEVELS and self.own:
            written["mediaResolution"] = {"level": _RESOLUTION + part.detail.upper()}
        return written

    def _result(self, part: ToolResult) -> Wire:
        """A result as an object: `output` or `error` with its text, or the text itself where it is an object.

        https://ai.google.dev/api/caching#FunctionResponse
        """
        texts = [piece.text for piece in part.parts if isinstance(piece, Text)]
        written: Wire = {} if not part.call_id or is_place_id(part.call_id) else {"id": part.call_id}
        written["name"] = part.name or "tool"
        written["response"] = _response("\n".join(texts), part.is_error) if texts or part.is_error else {}
        media = [self._piece(piece) for piece in part.parts if not isinstance(piece, Text)]
        if media:
            written["parts"] = media
        return written

    def _piece(self, piece: Media | Opaque) -> Any:
        if isinstance(piece, Opaque):
            return piece.carry.data
        written = self._media(piece)
        return written | (split(bytes(piece.carry.data)) if piece.carry and piece.carry.origin.startswith(NAME) else {})


def call(part: ToolCall) -> Wire:
    """A function call. An id that only says its place is left out again. Free text of a custom tool is wrapped as in a request."""
    if part.kind == "custom":
        part = wrapped_call(part)
    written: Wire = {} if not part.id or is_place_id(part.id) else {"id": part.id}
    return written | {"name": part.name, "args": as_object(part.arguments)}


def _response(text: str, is_error: bool) -> Wire | msgspec.Raw:
    if is_error:
        return {"error": text}
    if text.startswith("{"):
        try:
            found = split(text.encode())
        except UNREADABLE:
            return {"output": text}
        # Whoever reads it would take this for our own wrapping.
        if found and not (len(found) == 1 and next(iter(found)) in ("output", "error")):
            return msgspec.Raw(text)
    return {"output": text}
