"""The facts of a request for routing, without its canonical form. In: a body. Out: `Peeked`, its facts equal to those of the whole request.

Sizes and kinds are taken off typed contents, which costs a third of reading them. What is not written in the usual way is read as a whole.
"""

import msgspec

from trunkline.ir.facts import RequestFacts
from trunkline.protocols.beside import Beside
from trunkline.protocols.carry import SEALED
from trunkline.protocols.codec import Peeked, RequestContext
from trunkline.protocols.facts import bytes_of, facts_of
from trunkline.protocols.gemini.names import kind_of
from trunkline.protocols.gemini.parts_in import outcome
from trunkline.protocols.gemini.request_in import CONVERSATION, keys, request_of, request_without_contents
from trunkline.protocols.gemini.usual_in import size_of, usual_turns
from trunkline.protocols.gemini.wire import NULL, camel, spelled
from trunkline.protocols.rawjson import UNREADABLE, Fields
from trunkline.protocols.wishes import NO_WISHES, Wishes, wishes_of

_replace = msgspec.structs.replace
_OURS = f'"{SEALED}'.encode()
_UNSAID = msgspec.Raw(b"")
# Google takes every key in two spellings.
_BLOBS = {"inline_data_": "inline_data", "file_data_": "file_data"}
_OTHER = {
    **_BLOBS,
    "function_call_": "function_call",
    "function_response_": "function_response",
    "thought_signature_": "thought_signature",
}


class _Blob(msgspec.Struct, rename={"mime_type": "mimeType", "mime_type_": "mime_type"}):
    mime_type: str = ""
    mime_type_: str = ""


class _Piece(msgspec.Struct, rename={**{name: camel(name) for name in _BLOBS.values()}, **_BLOBS}):
    text: str = ""
    inline_data: _Blob | None = None
    file_data: _Blob | None = None
    inline_data_: _Blob | None = None
    file_data_: _Blob | None = None


class _Call(msgspec.Struct):
    name: str
    args: msgspec.Raw = NULL


class _Result(msgspec.Struct):
    response: Fields | None = None
    parts: list[_Piece] = []


class _Part(msgspec.Struct, rename={**{name: camel(name) for name in _OTHER.values()}, **_OTHER}):
    """Keys in the other spelling, and state that is ours, are seldom, and count for what they stand for."""

    text: str = ""
    function_call: _Call | None = None
    function_response: _Result | None = None
    inline_data: _Blob | None = None
    file_data: _Blob | None = None
    thought_signature: msgspec.Raw = _UNSAID
    inline_data_: msgspec.Raw = _UNSAID
    file_data_: msgspec.Raw = _UNSAID
    function_call_: msgspec.Raw = _UNSAID
    function_response_: msgspec.Raw = _UNSAID
    thought_signature_: msgspec.Raw = _UNSAID

    @property
    def is_usual(self) -> bool:
        if any(getattr(self, name) is not _UNSAID for name in _OTHER):
            return False
        return memoryview(self.thought_signature)[: len(_OURS)] != _OURS


class _Content(msgspec.Struct):
    parts: list[_Part] = []


_CONTENTS = msgspec.json.Decoder(list[_Content])
_SYSTEM = msgspec.json.Decoder(_Content)


def peek(body: bytes, context: RequestContext, vocabulary: frozenset[str]) -> Peeked:
    """The facts. Raises `InvalidParams` where the request cannot be read."""
    fields = keys(body)
    wishes = wishes_of(fields)
    turns = usual_turns(fields)
    if turns is not None:
        facts = _with_size(_beside.of(fields, context.path_model, context.path_stream, vocabulary), *size_of(turns))
        return Peeked(fields, facts if wishes is NO_WISHES else _wishing(facts, wishes), turns)
    known = _usual(fields, context, vocabulary)
    facts = facts_of(request_of(dict(spelled(fields)), context), vocabulary) if known is None else known
    return Peeked(fields, facts if wishes is NO_WISHES else _wishing(facts, wishes))


def _wishing(facts: RequestFacts, wishes: Wishes) -> RequestFacts:
    return _replace(
        facts,
        include_cost=wishes.include_cost,
        require_parameters=wishes.require_parameters,
        wish=wishes.wish,
    )


def _facts_beside(
    fields: Fields,
    path_model: str,
    path_stream: bool,
    vocabulary: frozenset[str],
) -> RequestFacts:
    """Of all but the conversation."""
    return facts_of(request_without_contents(fields, path_model, path_stream), vocabulary)


_beside = Beside(CONVERSATION, _facts_beside)


def _with_size(facts: RequestFacts, size: int, kinds: frozenset[str]) -> RequestFacts:
    return _replace(facts, prompt_bytes=facts.prompt_bytes + size, modalities=facts.modalities | kinds)


def _usual(fields: Fields, context: RequestContext, vocabulary: frozenset[str]) -> RequestFacts | None:
    """The facts of a request that is written in the usual way; None of any other."""
    known = dict(spelled(fields))
    try:
        contents = _CONTENTS.decode(known.pop("contents"))
        if (system := known.pop("systemInstruction", NULL)) != NULL:
            contents.append(_SYSTEM.decode(system))
    except (*UNREADABLE, KeyError):
        return None
    if not contents or not all(part.is_usual for content in contents for part in content.parts):
        return None
    facts = _facts_beside(known, context.path_model, context.path_stream, vocabulary)
    kinds: set[str] = set()
    size = sum(_size(part, kinds) for content in contents for part in content.parts)
    return _with_size(facts, size, frozenset(kinds))


def _size(part: _Part, kinds: set[str]) -> int:
    """Bytes of text; the kinds of media are added to what is known."""
    if part.function_call is not None:
        args = part.function_call.args
        return bytes_of(part.function_call.name) + (2 if args == NULL else len(memoryview(args)))
    if part.function_response is not None:
        text, _ = outcome(part.function_response.response or {})
        return bytes_of(text) + sum(_size_of_piece(piece, kinds) for piece in part.function_response.parts)
    return bytes_of(part.text) or _size_of_piece(part, kinds)


def _size_of_piece(piece: _Piece | _Part, kinds: set[str]) -> int:
    blob = piece.inline_data or piece.file_data
    if blob is None and isinstance(piece, _Piece):
        blob = piece.inline_data_ or piece.file_data_
    if blob is not None and not piece.text:
        kinds.add(kind_of(blob.mime_type or blob.mime_type_))
    return bytes_of(piece.text)
