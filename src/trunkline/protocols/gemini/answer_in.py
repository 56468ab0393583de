"""Answers, read. In: the body of a whole answer. Out: the canonical one.

Google's remarks that have no place (safety ratings, the whole of `groundingMetadata`) are in the answer's carry, by candidate.
Raises one of `rawjson.UNREADABLE` where it is no answer.
"""

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.parts import Citation, Part, Text, ToolCall
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.carry import carry
from trunkline.protocols.codec import Target
from trunkline.protocols.gemini import grounding
from trunkline.protocols.gemini.chunks import CHUNK, AnswerParts, Chunk, WireCandidate, finish_of, logprobs_of, seconds
from trunkline.protocols.gemini.errors import read_stream_fault
from trunkline.protocols.gemini.names import BLOCKED, reason_of
from trunkline.protocols.gemini.usage import read_usage, tier_of
from trunkline.protocols.gemini.wire import NULL
from trunkline.protocols.rawjson import Fields, join, split

_KNOWN = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime", "error"})
_KNOWN_OF_CANDIDATE = frozenset({"content", "finishReason", "index", "logprobsResult"})
_CANDIDATES = msgspec.json.Decoder(list[Fields])
_replace = msgspec.structs.replace


def read_response(body: bytes, target: Target) -> Response:
    """The answer."""
    try:
        return _read(body, target)
    except InvalidParams as error:
        raise msgspec.ValidationError(error.message) from None


def _read(body: bytes, target: Target) -> Response:
    chunk = CHUNK.decode(body)
    parts = AnswerParts(target)
    candidates = tuple(_candidate(found, parts) for found in sorted(chunk.candidates or (), key=_index))
    usage = _usage(chunk)
    return Response(
        id=chunk.response_id or "",
        model=chunk.model_version or "",
        created_s=seconds(chunk.create_time),
        candidates=candidates or _blocked(chunk),
        usage=usage,
        raw_usage=chunk.usage_metadata if usage else NULL,
        service_tier=tier_of(chunk.usage_metadata) if usage else "",
        fault=read_stream_fault(chunk.error)[0] if chunk.error != NULL else None,
        carry=carry(parts.source, _remarks(split(body), chunk)),
    )


def _index(candidate: WireCandidate) -> int:
    return candidate.index or 0


def _candidate(found: WireCandidate, reader: AnswerParts) -> Candidate:
    wire = (found.content.parts if found.content else None) or ()
    parts: list[Part] = []
    places: dict[int, int] = {}
    for at, fields in enumerate(wire):
        part = reader.read(fields)
        if part is not None and not (isinstance(part, Text) and not part.text and part.carry is None):
            places[at] = len(parts)
            parts.append(part)
    _cite(parts, found, places)
    native = finish_of(found)
    if not native:
        return Candidate(tuple(parts))
    called = any(isinstance(part, ToolCall) for part in parts)
    return Candidate(tuple(parts), reason_of(native, called), native)


def _cite(parts: list[Part], found: WireCandidate, places: dict[int, int]) -> None:
    """Give texts their citations, and the first one the log probabilities, which Google tells for the candidate as a whole."""
    texts = [(wire_at, at, part) for wire_at, at in places.items() if isinstance(part := parts[at], Text)]
    logprobs = logprobs_of(found.logprobs_result)
    for wire_at, at, text in texts:
        cited: tuple[Citation, ...] = ()
        if found.grounding_metadata != NULL:
            index = wire_at if len(texts) > 1 else None
            cited = tuple(grounding.citations(found.grounding_metadata, text.text, index))
        if cited or logprobs:
            parts[at] = _replace(text, citations=cited, logprobs=logprobs)
        logprobs = ()


def _blocked(chunk: Chunk) -> tuple[Candidate, ...]:
    """A prompt that was blocked has no candidate: https://ai.google.dev/api/generate-content#PromptFeedback."""
    reason = chunk.prompt_feedback.block_reason if chunk.prompt_feedback else None
    return (Candidate((), FinishReason.CONTENT_FILTER, BLOCKED + reason),) if reason else ()


def _usage(chunk: Chunk) -> Usage | None:
    if chunk.usage_metadata == NULL or bytes(chunk.usage_metadata) == b"{}":
        return None
    usage = read_usage(chunk.usage_metadata)
    made = sum(grounding.searches(found.grounding_metadata) for found in chunk.candidates or ())
    return _replace(usage, web_searches=made) if made else usage


def _remarks(fields: Fields, chunk: Chunk) -> Fields:
    """What else Google said, by its own keys; of candidates a list in their order."""
    left = {key: value for key, value in fields.items() if key not in _KNOWN}
    if not chunk.candidates:
        return left
    found = _CANDIDATES.decode(fields["candidates"])
    order = sorted(range(len(found)), key=lambda at: _index(chunk.candidates[at]) if chunk.candidates else 0)
    own = [{key: value for key, value in found[at].items() if key not in _KNOWN_OF_CANDIDATE} for at in order]
    if any(own):
        left["candidates"] = msgspec.Raw(b"[%b]" % b",".join(map(join, own)))
    return left
