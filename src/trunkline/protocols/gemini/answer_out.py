"""Answers, written. In: a canonical answer and what it is made with. Out: the body of a `generateContent` answer.

https://ai.google.dev/api/generate-content#generatecontentresponse. `usageMetadata` has the cost as well.
"""

import msgspec

from trunkline.ir.parts import Citation, Logprob, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.response import Candidate, Response
from trunkline.protocols.carry import carried
from trunkline.protocols.codec import AnswerContext, Bill, own_id
from trunkline.protocols.gemini import grounding
from trunkline.protocols.gemini.names import BLOCKED, NAME, native_of
from trunkline.protocols.gemini.parts_out import PartWriter, Wire
from trunkline.protocols.gemini.slots import Slots, is_own
from trunkline.protocols.gemini.usage import with_cost, write_usage
from trunkline.protocols.gemini.wire import merged
from trunkline.protocols.media import Blobs
from trunkline.protocols.rawjson import Fields, split

_CANDIDATES = msgspec.json.Decoder(list[Fields])


def write_response(response: Response, context: AnswerContext, bill: Bill) -> bytes:
    """The answer to the caller."""
    blobs = Blobs()
    writer = PartWriter(blobs, own=True)
    body: Wire = {}
    remarks = dict(carried(response.carry, NAME, ""))
    of_candidates = _CANDIDATES.decode(remarks.pop("candidates", b"[]"))
    blocked = blocked_prompt(response)
    if blocked is None:
        body["candidates"] = [
            merged(_candidate(candidate, at, writer, context), of_candidates[at] if at < len(of_candidates) else {})
            for at, candidate in enumerate(response.candidates)
        ]
    else:
        body["promptFeedback"] = {"blockReason": blocked}
    if response.usage is not None:
        body["usageMetadata"] = msgspec.Raw(usage_with_cost(write_usage(response.usage), bill))
    body |= {"modelVersion": context.model, "responseId": own_id("", context.request_id)}
    return blobs.fill(msgspec.json.encode(merged(body, remarks)))


def usage_with_cost(usage: bytes, bill: Bill) -> bytes:
    """The usage object with the cost, where one is shown."""
    return with_cost(usage, bill.cost, bill.details) if bill.cost else usage


def blocked_prompt(response: Response) -> str | None:
    """Google's word for why a prompt was blocked; None where there is an answer, or another vendor's refusal."""
    only = response.candidates[0] if len(response.candidates) == 1 else None
    if only is None or only.parts or not only.native_finish.startswith(BLOCKED):
        return None
    return only.native_finish.removeprefix(BLOCKED)


def shows_thoughts(context: AnswerContext) -> bool:
    """Whether the caller asked for them: https://ai.google.dev/gemini-api/docs/thinking#summaries."""
    asked = context.request.reasoning
    return asked is not None and asked.shown is True


def write_logprobs(logprobs: tuple[Logprob, ...]) -> Wire:
    """https://ai.google.dev/api/generate-content#LogprobsResult"""
    return {
        "chosenCandidates": [_token(each) for each in logprobs],
        "topCandidates": [{"candidates": [_token(top) for top in each.top]} for each in logprobs],
    }


def _token(logprob: Logprob) -> Wire:
    return {"token": logprob.token, "logProbability": logprob.logprob}


def _candidate(candidate: Candidate, index: int, writer: PartWriter, context: AnswerContext) -> Wire:
    parts = _Parts(writer, Slots(context.secret), shows_thoughts(context))
    for part in candidate.parts:
        parts.add(part)
    rest = parts.slots.rest()
    wire = parts.wire if rest is None else [*parts.wire, rest]
    written: Wire = {"content": {"parts": wire, "role": "model"} if wire else {"role": "model"}}
    if candidate.finish is not None:
        written["finishReason"] = native_of(candidate.finish, candidate.native_finish)
    if found := grounding.written(parts.texts, parts.sources):
        written["groundingMetadata"] = found
    logprobs = tuple(each for _, text in parts.texts for each in text.logprobs)
    if logprobs:
        written["logprobsResult"] = write_logprobs(logprobs)
    return written | {"index": index}


class _Parts:
    """The parts of one candidate while they are written."""

    def __init__(self, writer: PartWriter, slots: Slots, shows: bool) -> None:
        self.wire: list[Wire] = []
        self.texts: list[tuple[int, Text]] = []
        self.sources: list[Citation] = []
        self.slots = slots
        self._writer = writer
        self._shows = shows

    def add(self, part: Part) -> None:
        if isinstance(part, Thinking):
            self._think(part)
        elif isinstance(part, Opaque):
            self._opaque(part)
        elif isinstance(part, ToolResult) or (isinstance(part, ToolCall) and part.kind == "server"):
            # Google tells of its searches in the metadata alone, so calls of another vendor's have no place.
            self.sources += part.sources if isinstance(part, ToolResult) else ()
        else:
            self._plain(part)

    def _plain(self, part: Text | Media | ToolCall | Refusal) -> None:
        if isinstance(part, Text):
            self.texts.append((len(self.wire), part))
        keys = self.slots.keys(part.carry, part.id if isinstance(part, ToolCall) else "")
        self.wire.append(merged(self._writer.part(part), keys))

    def _think(self, part: Thinking) -> None:
        plainly = is_own(part.carry) and self._shows
        if part.carry is not None and not plainly:
            self.slots.hide(part)
        if self._shows and not part.redacted and (part.text or plainly):
            self.wire.append(merged(self._writer.part(part), self.slots.keys(part.carry) if plainly else {}))

    def _opaque(self, part: Opaque) -> None:
        if is_own(part.carry):
            self.wire.append(dict(split(bytes(part.carry.data))))
        else:
            self.slots.hide(part)
