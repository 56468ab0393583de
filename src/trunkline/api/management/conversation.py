"""What was said in a captured body, in any of the four protocols, for people to read. In: a protocol, bytes. Out: turns of parts, as text.

What cannot be read (cut, no JSON, of a shape that we do not know) is told by `Unreadable`; it is still shown as it came.
"""

import re
from collections.abc import Iterable

import msgspec

from trunkline.errors import InvalidParams
from trunkline.execution.codecs import codec_of
from trunkline.ir.fold import Fold
from trunkline.ir.parts import Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.protocols import sse
from trunkline.protocols.codec import RequestContext, Target
from trunkline.protocols.rawjson import UNREADABLE

MAX_CHARS = 20_000
"""Of one part; the body itself has the rest."""
MAX_PICTURE_CHARS = 200_000
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_MODEL_IN_PATH = re.compile(r"/models/([^:]+):(\w+)")
_NO_SECRET = bytes(32)


class Unreadable(Exception):
    """Not a conversation of this protocol."""


class Piece(msgspec.Struct, frozen=True):
    """A part in words. `kind`: `text`, `thinking`, `call`, `result`, `media`, `refusal`, `other`."""

    kind: str
    text: str = ""
    title: str = ""
    """Of a call its name, of a file its name or kind."""
    picture: str = ""
    """A `data:` address of a picture of a kind that browsers show as nothing but a picture."""
    left_out: int = 0
    """Characters that are not in `text`."""
    is_error: bool = False


class Said(msgspec.Struct, frozen=True):
    """A turn."""

    role: str
    pieces: tuple[Piece, ...]


def asked(protocol: str, body: bytes, path: str = "") -> list[Said]:
    """The turns of a request."""
    found = _MODEL_IN_PATH.search(path)
    context = RequestContext(
        request_id="",
        secret=_NO_SECRET,
        path_model=found[1] if found else "",
        path_stream=found is not None and found[2].startswith("stream"),
    )
    try:
        request = codec_of(protocol).read_request(body, context)
    except (InvalidParams, KeyError, *UNREADABLE) as error:
        raise Unreadable from error
    return [Said(turn.role, _pieces(turn.parts)) for turn in request.turns]


def answered(protocol: str, body: bytes) -> list[Said]:
    """The answer, whole or streamed: a turn for each candidate."""
    codec, target = codec_of(protocol), Target(protocol=protocol, upstream_model="")
    try:
        if body.lstrip()[:1] in (b"{", b"["):
            response = codec.read_response(body, target)
        else:
            fold, reader = Fold(), codec.stream_reader(target)
            framer = sse.Framer()
            block = framer.feed(body) + framer.rest()
            for event in [*(event for one in sse.events(block) for event in reader.feed(one)), *reader.end()]:
                fold.see(event)
            response = fold.response()
    except (InvalidParams, KeyError, *UNREADABLE) as error:
        raise Unreadable from error
    turns = [Said("assistant", _pieces(candidate.parts)) for candidate in response.candidates]
    if response.fault is not None:
        turns.append(Said("error", (Piece("text", response.fault.message, is_error=True),)))
    return turns


def _pieces(parts: Iterable[Part]) -> tuple[Piece, ...]:
    return tuple(_piece(part) for part in parts)


def _piece(part: Part) -> Piece:
    if isinstance(part, Text):
        return _cut("text", part.text)
    if isinstance(part, Thinking):
        return Piece("thinking", "(hidden by the provider)") if part.redacted else _cut("thinking", part.text)
    if isinstance(part, ToolCall):
        return _cut("call", _indented(part.arguments), part.name)
    if isinstance(part, ToolResult):
        inner = [_piece(one) for one in part.parts]
        return _cut(
            "result", "\n".join(one.text or one.title for one in inner), part.name or part.call_id, part.is_error
        )
    if isinstance(part, Refusal):
        return _cut("refusal", part.text)
    if isinstance(part, Media):
        return _media(part)
    assert isinstance(part, Opaque)
    return Piece("other", "", part.kind)


def _cut(kind: str, text: str, title: str = "", is_error: bool = False) -> Piece:
    return Piece(kind, text[:MAX_CHARS], title, left_out=max(0, len(text) - MAX_CHARS), is_error=is_error)


def _indented(arguments: str) -> str:
    try:
        return msgspec.json.format(arguments, indent=2)
    except (msgspec.DecodeError, RecursionError):
        return arguments


def _media(part: Media) -> Piece:
    name = part.name or part.mime or part.kind
    if part.text:
        return _cut("media", part.text, name)
    if part.data is not None and part.mime in _PICTURES and len(part.data) <= MAX_PICTURE_CHARS:
        data = bytes(part.data).decode("ascii", "replace")
        if re.fullmatch(r"[A-Za-z0-9+/=\s]*", data):
            return Piece("media", "", name, picture=f"data:{part.mime};base64,{data}")
    # An address is told, never fetched: pages ask nobody but this gateway.
    return Piece("media", part.url[:500] or part.file_id, name)
