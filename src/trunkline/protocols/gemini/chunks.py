"""What an answer and each event of a stream look like: `GenerateContentResponse` (https://ai.google.dev/api/generate-content#generatecontentresponse).

In: bytes. Out: structs with the values that every answer has; and what a candidate's own keys mean, read the same way for both.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from trunkline.ir.parts import Logprob, Part
from trunkline.protocols.carry import origin
from trunkline.protocols.codec import Target, own_id
from trunkline.protocols.gemini.names import NAME
from trunkline.protocols.gemini.parts_in import read_call, read_plain_part
from trunkline.protocols.gemini.wire import NULL, spelled
from trunkline.protocols.rawjson import UNREADABLE, Fields


class Content(msgspec.Struct):
    parts: list[Fields] | None = None


class Token(msgspec.Struct, rename="camel"):
    token: str | None = ""
    log_probability: float | None = 0.0


class TopTokens(msgspec.Struct):
    candidates: list[Token] | None = None


class LogprobsResult(msgspec.Struct, rename="camel"):
    chosen_candidates: list[Token] | None = None
    top_candidates: list[TopTokens] | None = None


class WireCandidate(msgspec.Struct, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    index: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = 0
    logprobs_result: LogprobsResult | None = None
    grounding_metadata: msgspec.Raw = NULL


class Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class Chunk(msgspec.Struct, rename="camel"):
    candidates: list[WireCandidate] | None = None
    usage_metadata: msgspec.Raw = NULL
    model_version: str | None = ""
    response_id: str | None = ""
    create_time: str | None = None
    prompt_feedback: Feedback | None = None
    error: msgspec.Raw = NULL


CHUNK = msgspec.json.Decoder(Chunk)
_TIME = msgspec.json.Decoder(datetime)
_NO_REASON = "FINISH_REASON_UNSPECIFIED"


class AnswerParts:
    """Reads parts of answers. Lives as long as one answer: it counts the calls, so that those without an id get one."""

    __slots__ = ("_calls", "_seed", "source")

    def __init__(self, target: Target) -> None:
        self.source = origin(NAME, target.dialect)
        self._seed = target.request_id
        self._calls = 0

    def read(self, fields: Fields) -> Part | None:
        """One part; None where it is empty. Raises `InvalidParams` where it is not of the protocol."""
        if "functionCall" not in fields:
            return read_plain_part(spelled(fields), "", self.source)
        self._calls += 1
        return read_call(spelled(fields), own_id("call_", self._seed, self._calls), "", self.source)


def logprobs_of(result: LogprobsResult | None) -> tuple[Logprob, ...]:
    """https://ai.google.dev/api/generate-content#LogprobsResult"""
    if result is None:
        return ()
    tops = result.top_candidates or []
    return tuple(
        Logprob(
            chosen.token or "",
            chosen.log_probability or 0.0,
            top=tuple(Logprob(each.token or "", each.log_probability or 0.0) for each in _of(tops, at)),
        )
        for at, chosen in enumerate(result.chosen_candidates or ())
    )


def finish_of(candidate: WireCandidate) -> str:
    """Google's word for why a candidate ended; "" while it goes on."""
    reason = candidate.finish_reason
    return "" if reason is None or reason == _NO_REASON else reason


def seconds(time: str | None) -> int:
    """Of a timestamp of Vertex AI, 0 where there is none."""
    if not time:
        return 0
    try:
        return int(_TIME.decode(msgspec.json.encode(time)).timestamp())
    except UNREADABLE:
        return 0


def _of(tops: list[TopTokens], at: int) -> list[Token]:
    return (tops[at].candidates or []) if at < len(tops) else []
