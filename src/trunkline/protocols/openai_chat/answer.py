"""An answer of Chat Completions that is not streamed. In: the provider's bytes. Out: what the record needs (`Answer`); the bytes with cost put in."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from trunkline.protocols.openai_chat.usage import put_cost as put_cost_in_place
from trunkline.protocols.openai_chat.usage import usage_of, with_cost
from trunkline.protocols.rawjson import UNREADABLE, join, split
from trunkline.protocols.tool_arguments import NONE, ToolCalls


class Answer(msgspec.Struct, frozen=True):
    """What was seen in a whole answer. `characters` counts visible text, reasoning and tool arguments."""

    answer_id: str
    finish_reason: str
    usage: bytes | None
    characters: int
    has_choices: bool
    service_tier: str | None
    error: bytes | None
    tool_calls: tuple[int, int] = NONE

    first_at: ClassVar[None] = None
    """As for a stream, but a whole answer has no first token."""
    last_at: ClassVar[None] = None

    @property
    def useful(self) -> bool:
        """Something is there that a caller would miss."""
        return self.has_choices


NOTHING = Answer("", "", None, 0, False, None, None)
"""Before anything came."""


class _Function(msgspec.Struct):
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | list[msgspec.Raw] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class _BriefMessage(msgspec.Struct, gc=False):
    tool_calls: None = None


class _BriefChoice(msgspec.Struct, gc=False):
    finish_reason: str
    message: _BriefMessage


class _Brief(msgspec.Struct, gc=False):
    id: str
    choices: tuple[_BriefChoice]
    usage: msgspec.Raw
    service_tier: str | None = None
    error: None = None


class Brief(msgspec.Struct, frozen=True, gc=False):
    """What was seen of an ordinary answer. `usage` is an object with something in it."""

    answer_id: str
    finish_reason: str
    usage: bytes
    service_tier: str | None


MAX_WORD = 128
"""Characters that are kept of a provider's ids and words."""
_decoder = msgspec.json.Decoder(_Completion)
_brief = msgspec.json.Decoder(_Brief)


def read(body: bytes) -> Answer:
    """Look at an answer. Raises one of `rawjson.UNREADABLE` where it is not one."""
    found = _decoder.decode(body)
    choices = found.choices or ()
    characters, finish_reason = 0, ""
    for choice in choices:
        finish_reason = finish_reason or choice.finish_reason or ""
        if choice.message is not None:
            characters += _characters(choice.message)
    return Answer(
        (found.id or "")[:MAX_WORD],
        finish_reason[:MAX_WORD],
        usage_of(found.usage),
        characters,
        bool(choices),
        found.service_tier,
        _present(found.error),
        _tool_calls(choices),
    )


def read_briefly(body: bytes) -> Brief | None:
    """Look at an ordinary answer: one choice, no calls of tools, and it says what it used, so that its characters need no counting. None for any other."""
    try:
        found = _brief.decode(body)
    except UNREADABLE:
        return None
    finish_reason, usage = found.choices[0].finish_reason, usage_of(found.usage)
    if not finish_reason or usage is None:
        return None
    return Brief(found.id[:MAX_WORD], finish_reason[:MAX_WORD], usage, found.service_tier)


def put_cost(body: bytes, usage: bytes, cost: bytes, details: bytes) -> bytes:
    """The answer with `usage.cost` and `usage.cost_details`: the one edit to an answer that is passed through."""
    edited = put_cost_in_place(body, usage, cost, details)
    if edited is not None:
        return edited
    fields = split(body)
    fields["usage"] = msgspec.Raw(with_cost(usage, cost, details))
    return join(fields)


def _present(value: msgspec.Raw) -> bytes | None:
    text = bytes(value)
    return None if text == b"null" else text


def _tool_calls(choices: Sequence[_Choice]) -> tuple[int, int]:
    calls = [call for choice in choices if choice.message is not None for call in choice.message.tool_calls or ()]
    if not calls:
        return NONE
    seen = ToolCalls()
    for number, call in enumerate(calls):
        seen.add(number, (call.function.arguments if call.function else None) or "")
    return seen.counts()


def _characters(message: _Message) -> int:
    content = message.content
    total = len(content) if isinstance(content, str) else sum([len(part) for part in content or ()])
    for text in (message.reasoning_content or message.reasoning, message.refusal):
        total += len(text) if text else 0
    for call in message.tool_calls or ():
        total += len(call.function.arguments or "") if call.function else 0
    return total
