"""A whole answer for a caller of Chat Completions. In: `Response`, who asked what, and the cost. Out: the body.

Reasoning goes under both words that clients read, `reasoning` and `reasoning_content`; state that must come back into `reasoning_details` and ids.
"""

from typing import Any

import msgspec

from trunkline.ir.parts import Logprob, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.response import Candidate, Response
from trunkline.protocols.codec import AnswerContext, Bill, own_id
from trunkline.protocols.openai_chat import pieces_out
from trunkline.protocols.openai_chat.details import Detail, Slots
from trunkline.protocols.openai_chat.finish import word_of
from trunkline.protocols.openai_chat.parts_out import Wire
from trunkline.protocols.openai_chat.tools_in import is_legacy
from trunkline.protocols.openai_chat.usage_both import with_bill

ID_KIND = "chatcmpl-"
BETWEEN_THOUGHTS = "\n\n"


def write_response(response: Response, context: AnswerContext, bill: Bill) -> bytes:
    choices = [_choice(number, candidate, context) for number, candidate in enumerate(response.candidates)]
    body: Wire = {
        "id": own_id(ID_KIND, context.request_id),
        "object": "chat.completion",
        "created": context.created_s,
        "model": context.model,
        "choices": choices,
        **pieces_out.tier(response.service_tier),
    }
    if response.usage is not None:
        body["usage"] = with_bill(response.usage, bill)
    for name, value in pieces_out.own(response.carry).items():
        body.setdefault(name, value)
    return msgspec.json.encode(body)


def shows_thinking(context: AnswerContext) -> bool:
    asked = context.request.reasoning
    return asked is None or asked.shown is not False


def _choice(number: int, candidate: Candidate, context: AnswerContext) -> Wire:
    legacy = is_legacy(context.request.tools)
    writer = _Message(context, legacy)
    for part in candidate.parts:
        writer.put(part)
    choice: Wire = {
        "index": number,
        "message": writer.message(),
        "finish_reason": word_of(candidate.finish, candidate.native_finish, legacy),
    }
    if writer.probable or writer.probable_refusal:
        found = {"content": writer.probable, "refusal": writer.probable_refusal}
        choice["logprobs"] = {name: pieces_out.logprobs(some) if some else None for name, some in found.items()}
    return choice


class _Message:
    """Gathers the parts of one candidate, which Chat has by kind and not in their order."""

    __slots__ = (
        "_annotations", "_audio", "_calls", "_chunks", "_content", "_context", "_details", "_images", "_legacy", "_length", "_refusals",
        "_slots", "_thoughts", "probable", "probable_refusal",
    )  # fmt: skip

    def __init__(self, context: AnswerContext, legacy: bool) -> None:
        self._context = context
        self._legacy = legacy
        self._slots = Slots(context)
        self._content: list[str] = []
        self._chunks: list[Wire] = []
        self._length = 0
        self._refusals: list[str] = []
        self._thoughts: list[str] = []
        self._details: list[Detail] = []
        self._calls: list[Wire] = []
        self._annotations: list[Wire] = []
        self._images: list[Wire] = []
        self._audio: Wire | None = None
        self.probable: list[Logprob] = []
        self.probable_refusal: list[Logprob] = []

    def put(self, part: Part) -> None:
        put = _PUT.get(type(part))
        if put is not None:
            put(self, part)

    def message(self) -> Wire:
        message: Wire = {"role": "assistant", "content": self._said(), "refusal": "".join(self._refusals) or None}
        thoughts = BETWEEN_THOUGHTS.join(self._thoughts)
        if thoughts:
            message |= {"reasoning": thoughts, "reasoning_content": thoughts}
        if self._details:
            message["reasoning_details"] = self._details
        if self._calls and self._legacy:
            message["function_call"] = self._calls[0]["function"]
        elif self._calls:
            message["tool_calls"] = self._calls
        if self._annotations:
            message["annotations"] = self._annotations
        if self._images:
            message["images"] = self._images
        if self._audio is not None:
            message["audio"] = self._audio
        return message

    def _said(self) -> str | list[Wire] | None:
        text = "".join(self._content)
        if not self._chunks:
            return text if text or not (self._calls or self._refusals) else None
        return [*([{"type": "text", "text": text}] if text else []), *self._chunks]

    def text(self, part: Text) -> None:
        self._content.append(part.text)
        found = [pieces_out.annotation(one, self._length, len(part.text)) for one in part.citations]
        self._annotations += found
        self._length += len(part.text)
        self.probable += part.logprobs
        if part.carry is not None and pieces_out.is_foreign(part.carry):
            self._details += self._slots.beside(part.carry)

    def refusal(self, part: Refusal) -> None:
        self._refusals.append(part.text)
        self.probable_refusal += part.logprobs

    def thinking(self, part: Thinking) -> None:
        if part.text and shows_thinking(self._context):
            self._thoughts.append(part.text)
        self._details += self._slots.plain(part) or self._slots.hidden(part)

    def call(self, part: ToolCall) -> None:
        if part.kind == "server":
            self._details += self._slots.searched(part)
            return
        call_id = self._slots.call_id(part)
        if part.carry is not None and pieces_out.is_foreign(part.carry):
            self._details += self._slots.beside(part.carry, call_id)
        arguments = part.arguments if part.kind == "custom" else part.arguments or "{}"
        self._calls.append(pieces_out.call(part, call_id, arguments))

    def result(self, part: ToolResult) -> None:
        """Of a search that the provider ran."""
        self._details += self._slots.searched(part)

    def media(self, part: Media) -> None:
        if part.kind == "audio":
            self._audio = pieces_out.sound(part, self._context.request_id, self._context.created_s)
        elif part.kind == "image":
            self._images.append({"index": len(self._images), **pieces_out.image(part)})

    def opaque(self, part: Opaque) -> None:
        own: dict[str, Any] = dict(pieces_out.own(part.carry))
        if own:
            self._chunks.append(own)
        else:
            self._details += self._slots.hidden(part)


_PUT: dict[type, Any] = {
    Text: _Message.text,
    Refusal: _Message.refusal,
    Thinking: _Message.thinking,
    ToolCall: _Message.call,
    ToolResult: _Message.result,
    Media: _Message.media,
    Opaque: _Message.opaque,
}
