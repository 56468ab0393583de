"""A stream that broke after its beginning was sent, to be gone on with by another offer that continues a given beginning of an answer (`prefill`).

In: what the caller has of the answer. Out: a `Continuation`, which a way of the next offer takes up; None where nothing can go on.

For who runs the attempts: `continuation_of(way)` after an attempt that failed when the caller had something; `takes` for which steps come into question;
`Try(step, continuation=...)` -> `way(..., continuation=...)`, whose stream goes on where the caller is. `merged` is the usage of the answer as one.
See docs/decisions/0005-rescue.md.
"""

import asyncio
import zlib
from collections.abc import Mapping
from typing import Protocol

import msgspec

from trunkline.catalog.types import Model, Offer
from trunkline.errors import InvalidParams
from trunkline.execution.asked import Asked
from trunkline.execution.respond import Headers, Reply
from trunkline.ir.events import Cited, Delta, Event, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Carry, Text, Thinking, Turn
from trunkline.ir.request import Request
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import CHAT, Place, Said, StreamWriter

_replace = msgspec.structs.replace

MAX_KEPT_BYTES = 1024 * 1024
"""Of one stream, packed: some hundred thousand tokens."""
MAX_KEPT_RAW_BYTES = 8 * 1024 * 1024
"""Of it as it was: what packs well is unpacked whole when it is needed."""
_PACK_BYTES = 64 * 1024
MAX_KEPT_CHARACTERS = 1_000_000
"""Of a stream that is translated: its text is all that is kept."""

_MARKS: Mapping[str, bytes] = {
    # https://docs.mistral.ai/api/#operation/createChatCompletion (AssistantMessage); DeepSeek's is the same word, under an address of its own
    # (https://api-docs.deepseek.com/guides/chat_prefix_completion).
    "prefix": b'{"prefix":true}',
    # https://platform.kimi.ai/docs/api/chat
    "partial": b'{"partial":true}',
}
"""Way of `prefill` -> what stands on the last message."""
_SWITCHES: Mapping[str, Mapping[str, bool]] = {
    # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#extra-parameters_1: not both at once, and the second is on unless said.
    "continue_final_message": {"continue_final_message": True, "add_generation_prompt": False},
}
"""Way of `prefill` -> what stands in the body."""
_REPEATS = frozenset({"prefix"})
"""Ways whose answers may begin with the given text: Mistral's model is to "start its answer by the content of the message"."""


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer broke off."""

    model: str
    """Only offers of the same model (its slug) may go on."""
    request: Request
    """What was asked, with the beginning of the answer as its last turn."""
    text: str
    """What the caller has: the note in the record counts its characters."""
    beginning: str
    """The text of that turn; empty where nothing but blanks was said, and the answer simply begins again."""
    held: str
    """Blanks behind it, which the caller has and the request leaves out: they are not written twice."""
    writer: StreamWriter
    """At the place at which the caller is; it writes the rest, or the error that ends the stream."""
    open_index: int | None
    """Of the text part that has begun and not ended."""
    next_index: int
    """Of the next part."""
    usage: Usage | None
    """Of all attempts so far, as one answer."""
    answer_id: str
    """Which the caller has seen."""

    @property
    def said(self) -> list[Event]:
        """The text as events, for what comes behind it to be added."""
        if not self.next_index:
            return []
        index = self.next_index - 1 if self.open_index is None else self.open_index
        ended: list[Event] = [PartEnd(index)] if self.open_index is None else []
        return [PartStart(index, Text(self.text)), *ended]


class Continuable(Protocol):
    """A way, after its attempt."""

    def continuation(self) -> Continuation | None: ...


def continuation_of(way: Continuable) -> Continuation | None:
    """What the caller has of the answer, for another offer to go on from; None where none can. After a failed continuation that added nothing: the same."""
    return way.continuation()


def takes(offer: Offer, continuation: Continuation) -> bool:
    """Whether this offer can go on with it."""
    return bool(offer.prefill) and offer.model == continuation.model


def is_worth_keeping(model: Model, offer: Offer) -> bool:
    """Whether another offer could go on with a stream of this one, so that what the caller has of it must be known."""
    for other in model.offers:  # noqa: SIM110 (of every stream: twice as quick)
        if other.prefill and other.provider != offer.provider:
            return True
    return False


def continued(
    asked: Asked, model: str, place: Place, usage: Usage | None, answer_id: str, earlier: Continuation | None = None
) -> Continuation | None:
    """Where an answer can be gone on with; None where the request is of a kind whose answers cannot."""
    try:
        request = asked.canonical()
    except InvalidParams:
        return None
    said = place.said
    if not _may_be_continued(request):
        return None
    if earlier is not None and usage is not None:
        usage = merged(earlier.usage, usage)
    before = _own_beginning(request)
    if before and said.text.startswith(before):
        # Some vendors repeat what they were given, and some do not: here it cannot be told what the answer's beginning is.
        return None
    whole = before + said.text
    beginning = whole.rstrip() if said.text.strip() else before
    return Continuation(
        model=model,
        request=_with_beginning(request, beginning, said, usage),
        text=said.text,
        beginning=beginning if said.text.strip() else "",
        held=whole[len(beginning) :],
        writer=place.writer,
        open_index=said.open_index,
        next_index=said.next_index,
        usage=usage,
        answer_id=earlier.answer_id if earlier is not None else answer_id,
    )


def _may_be_continued(request: Request) -> bool:
    """Text alone. A format is kept to from its first sign on, so its second half would be held to a whole one; reasoning comes before the text, and
    Anthropic, for one, takes no beginning together with it (https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility)."""
    reasoning, choice = request.reasoning, request.tool_choice
    return not (
        (request.candidates or 1) > 1
        or request.logprobs
        or request.top_logprobs
        or request.format is not None
        or request.web_search is not None
        or (choice is not None and choice.mode == "required")
        or (set(request.modalities) - {"text"})
        or (
            reasoning is not None
            and reasoning.enabled is not False
            and (reasoning.enabled or reasoning.effort or reasoning.budget_tokens)
        )
    )


def _own_beginning(request: Request) -> str:
    """The caller's own prefill."""
    last = request.turns[-1] if request.turns else None
    part = last.parts[-1] if last is not None and last.role == "assistant" and last.parts else None
    return part.text if isinstance(part, Text) else ""


def _with_beginning(request: Request, beginning: str, said: Said, usage: Usage | None) -> Request:
    """What was asked, and the beginning of the answer; the answer's limit is less what came of it."""
    turns = request.turns
    if said.text.strip():
        text = Text(beginning)
        if _own_beginning(request):
            last = turns[-1]
            turns = (*turns[:-1], _replace(last, parts=(*last.parts[:-1], text)))
        else:
            turns = (*turns, Turn("assistant", (text,)))
    limit = request.max_output_tokens
    if limit is not None and usage is not None:
        limit = max(1, limit - usage.total_output_tokens)
    return _replace(request, turns=turns, max_output_tokens=limit)


def marked(request: Request, prefill: bool | str) -> Request:
    """The last turn with the vendor's mark that it is to be gone on with."""
    mark = _MARKS.get(str(prefill))
    if mark is None or request.turns[-1].role != "assistant":
        return request
    last = _replace(request.turns[-1], carry=Carry(CHAT, msgspec.Raw(mark)))
    return _replace(request, turns=(*request.turns[:-1], last))


def switches(prefill: bool | str) -> Mapping[str, bool]:
    """What the vendor wants to be told beside it, at the top of the body."""
    return _SWITCHES.get(str(prefill), {})


def merged(first: Usage | None, second: Usage) -> Usage:
    """The usage of an answer that two attempts made: what went in is the first one's, what came out is both's."""
    if first is None:
        return second
    return _replace(
        first,
        output_tokens=first.output_tokens + second.output_tokens,
        reasoning_tokens=first.reasoning_tokens + second.reasoning_tokens,
        output_audio_tokens=first.output_audio_tokens + second.output_audio_tokens,
        output_image_tokens=first.output_image_tokens + second.output_image_tokens,
        web_searches=first.web_searches + second.web_searches,
        estimated=first.estimated or second.estimated,
    )


class Keeping(Reply):
    """The way to the caller, of which the bytes are kept. Lives as long as its attempt; stands before the reply that there is."""

    __slots__ = ("_blocks", "_bytes", "_is_too_much", "_packed", "_packed_bytes", "_raw_bytes", "_reply")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._blocks: list[bytes] = []
        self._bytes = 0
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        self._raw_bytes = 0
        self._is_too_much = False

    @property
    def kept(self) -> bytes | None:
        """All that was written; None where it was too much."""
        if self._is_too_much:
            return None
        return b"".join((*map(zlib.decompress, self._packed), *self._blocks))

    @property
    def left(self) -> bool:  # type: ignore[override]
        """The caller is gone."""
        return self._reply.left

    @property
    def is_full(self) -> bool:
        """The caller reads too slowly."""
        return self._reply.is_full

    def room(self) -> "asyncio.Future[None]":
        """Of the reply."""
        return self._reply.room()

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        """Send the head with the first bytes of a stream."""
        self._blocks.append(first)
        self._reply.start(status, headers, first)

    def write(self, data: bytes) -> bool:
        """Send bytes of a stream."""
        self._keep(data)
        return self._reply.write(data)

    def pass_on(self, chunk: bytes, size: int, at_s: float) -> bool:
        """Send a chunk as it is."""
        if not self._reply.pass_on(chunk, size, at_s):
            return False
        self._keep(chunk[-2 - size : -2])
        return True

    def end(self) -> None:
        """End a stream."""
        self._reply.end()

    def _keep(self, data: bytes) -> None:
        self._blocks.append(data)
        self._bytes += len(data)
        if self._bytes > _PACK_BYTES:
            self._pack()

    def _pack(self) -> None:
        """The events of one stream are alike but for some letters: a hundred take little more room than one."""
        blocks, self._blocks, self._bytes = self._blocks, [], 0
        if self._is_too_much:
            return
        raw = b"".join(blocks)
        packed = zlib.compress(raw, 1)
        self._packed_bytes += len(packed)
        self._raw_bytes += len(raw)
        self._packed.append(packed)
        if self._packed_bytes > MAX_KEPT_BYTES or self._raw_bytes > MAX_KEPT_RAW_BYTES:
            self._is_too_much, self._packed = True, []


class Splice:
    """Makes the events of an offer that goes on with an answer events of that answer. Lives as long as its stream.

    Its start and usage are left out, its first text goes into the open one, its parts are numbered on.
    """

    __slots__ = ("_at", "_begun", "_echo", "_fresh", "_held", "_indexes", "_next", "_open", "_owed", "strays")

    def __init__(self, continuation: Continuation, prefill: bool | str) -> None:
        self._next = continuation.next_index
        self._open = continuation.open_index
        self._indexes: dict[int, int] = {}
        self._begun = False
        self._fresh: int | None = None
        """The index (the provider's) of the text that goes on."""
        self._owed: PartStart | None = None
        """Its beginning, where there was no text open, until there is something in it."""
        self._echo = continuation.beginning if str(prefill) in _REPEATS else ""
        self._at = 0
        """How much of it was repeated."""
        self._held = continuation.held
        self.strays = False
        """It does not go on with the text, but thinks it over."""

    def feed(self, event: Event) -> list[Event]:
        """What the caller gets for it."""
        if isinstance(event, Delta):
            return self._delta(event)
        if isinstance(event, PartStart):
            return self._part_start(event)
        if isinstance(event, PartEnd):
            return self._part_end(event)
        if isinstance(event, Cited):
            return self._with_start([_replace(event, index=self._indexes[event.index])])
        if isinstance(event, Finish):
            return [*self._close(), event]
        return [] if isinstance(event, Start | UsageSeen) else [event]

    def _part_start(self, event: PartStart) -> list[Event]:
        part = event.part
        if self._begun:
            return [_replace(event, index=self._number(event.index))]
        if isinstance(part, Thinking):
            self.strays = True
            return []
        self._begun = True
        if not isinstance(part, Text):
            return [*self._close(), _replace(event, index=self._number(event.index))]
        self._fresh = event.index
        if self._open is None:
            self._owed = PartStart(self._number(event.index), _replace(part, text=""), event.choice)
        else:
            self._indexes[event.index] = self._open
        return self._said(self._news(part.text), Delta(event.index, "")) if part.text else []

    def _delta(self, event: Delta) -> list[Event]:
        if event.index == self._fresh:
            return self._said(self._news(event.text), event)
        return [_replace(event, index=self._indexes[event.index])] if event.index in self._indexes else []

    def _part_end(self, event: PartEnd) -> list[Event]:
        index = self._indexes.get(event.index)
        if index is None:
            return []
        if event.index != self._fresh:
            return [_replace(event, index=index)]
        rest = self._said(self._undecided(), Delta(event.index, ""))
        self._fresh = self._open = None
        if self._owed is not None and event.carry is None:
            return []
        return self._with_start([*rest, PartEnd(index, event.carry)])

    def _said(self, text: str, event: Delta) -> list[Event]:
        if not text and not event.logprobs:
            return []
        return self._with_start([Delta(self._indexes[event.index], text, event.logprobs)])

    def _with_start(self, events: list[Event]) -> list[Event]:
        owed, self._owed = self._owed, None
        return events if owed is None else [owed, *events]

    def _number(self, index: int) -> int:
        number = self._indexes[index] = self._next
        self._next += 1
        return number

    def _close(self) -> list[Event]:
        """Something else begins, or nothing any more: the caller's open text is over."""
        index, self._open = self._open, None
        return [] if index is None else [PartEnd(index)]

    def _news(self, text: str) -> str:
        """What of it the caller has not."""
        if self._echo:
            text = self._unrepeated(text)
        if self._held and text:
            known = _alike(self._held, text)
            # The first other letter ends it: what the caller has of blanks stays as it is.
            self._held = self._held[known:] if known == len(text) else ""
            text = text[known:]
        return text

    def _unrepeated(self, text: str) -> str:
        echo, at = self._echo, self._at
        if len(text) <= len(echo) - at and echo.startswith(text, at):
            self._at = at + len(text)
            if self._at == len(echo):
                self._echo = ""
            return ""
        self._echo = ""
        rest = len(echo) - at
        return text[rest:] if text.startswith(echo[at:]) else echo[:at] + text

    def _undecided(self) -> str:
        """What looked like the beginning again, and was all."""
        echo, self._echo = self._echo[: self._at], ""
        return self._news(echo) if echo else ""


def _alike(first: str, second: str) -> int:
    """How many letters they have in common, from the first on."""
    shorter = min(len(first), len(second))
    return next((at for at in range(shorter) if first[at] != second[at]), shorter)
