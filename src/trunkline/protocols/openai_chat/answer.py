"""An answer of Chat Completions that is not streamed. In: the provider's bytes. Out: what the record needs (`Answer`); the bytes with cost put in."""

import msgspec

from trunkline.protocols.openai_chat.usage import put_cost as put_cost_in_place
from trunkline.protocols.openai_chat.usage import with_cost
from trunkline.protocols.rawjson import join, split


class Answer(msgspec.Struct, frozen=True):
    """What was seen in a whole answer. `characters` counts visible text, reasoning and tool arguments."""

    id: str
    finish_reason: str
    usage: bytes | None
    characters: int
    has_choices: bool
    service_tier: str | None
    error: bytes | None


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


_decoder = msgspec.json.Decoder(_Completion)


def read(body: bytes) -> Answer:
    """Look at an answer. Raises one of `rawjson.UNREADABLE` where it is not one."""
    found = _decoder.decode(body)
    choices = found.choices or []
    return Answer(
        id=found.id or "",
        finish_reason=next((choice.finish_reason for choice in choices if choice.finish_reason), ""),
        usage=_present(found.usage),
        characters=sum(_characters(choice.message) for choice in choices if choice.message),
        has_choices=bool(choices),
        service_tier=found.service_tier,
        error=_present(found.error),
    )


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


def _characters(message: _Message) -> int:
    content = message.content
    total = len(content) if isinstance(content, str) else sum(len(part) for part in content or ())
    total += len(message.reasoning_content or message.reasoning or "") + len(message.refusal or "")
    return total + sum(len(call.function.arguments or "") for call in message.tool_calls or () if call.function)
