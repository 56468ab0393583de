"""Turns as Chat messages. In: the turns of a settled request. Out: messages: of a user turn its results first, then the rest; of an assistant's all in one."""

from collections.abc import Sequence

from trunkline.ir.parts import Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.protocols.openai_chat.details import Detail, in_carry
from trunkline.protocols.openai_chat.parts_out import PartWriter, Wire, merged
from trunkline.protocols.tools import qualified

_BLOCKS = "\n\n"


def write_turn(turn: Turn, writer: PartWriter) -> list[Wire]:
    """One message, or several where a turn has results of tools."""
    plain = _text_alone(turn)
    if plain is not None:
        return [{"role": turn.role, "content": plain}]
    if turn.role == "assistant":
        return [_assistant(turn, writer)]
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    rest = [part for part in turn.parts if _stands_in_content(part, writer)]
    messages = [_result(result, writer) for result in results]
    if rest or not results:
        messages.append(_plain(turn, rest, writer))
    return messages


def _text_alone(turn: Turn) -> str | None:
    """The text of a turn that is nothing else, as most are."""
    if len(turn.parts) != 1 or turn.carry is not None or turn.name:
        return None
    part = turn.parts[0]
    return part.text if type(part) is Text and part.carry is None and part.cache is None else None


def _plain(turn: Turn, parts: Sequence[Part], writer: PartWriter) -> Wire:
    message = {"role": turn.role, "content": writer.content(parts, _BLOCKS)}
    if turn.name:
        message["name"] = turn.name
    return merged(message, writer.carried(turn.carry))


def _result(result: ToolResult, writer: PartWriter) -> Wire:
    # No `name` here: OpenAI's reference has none, and it is known from the call.
    content = writer.content(list(result.parts), _BLOCKS)
    message = {"role": "tool", "tool_call_id": result.call_id, "content": content}
    return merged(message, writer.carried(result.carry), result.cache)


def _assistant(turn: Turn, writer: PartWriter) -> Wire:
    content = [part for part in turn.parts if _stands_in_content(part, writer)]
    calls = [_call(part, writer) for part in turn.parts if isinstance(part, ToolCall)]
    refusals = [part.text for part in turn.parts if isinstance(part, Refusal) and part not in content]
    said = writer.content(content, "") if content or not (calls or refusals) else None
    message: Wire = {"role": "assistant", "content": said}
    if turn.name:
        message["name"] = turn.name
    if refusals:
        message["refusal"] = "".join(refusals)
    if calls:
        message["tool_calls"] = calls
    _put_thinking(message, turn, writer)
    for part in turn.parts:
        if isinstance(part, Media) and _is_own_answer(part):
            message["audio"] = {"id": part.file_id}
    return merged(message, writer.carried(turn.carry))


def _stands_in_content(part: Part, writer: PartWriter) -> bool:
    """Everything but what has a key of its own beside `content`."""
    if isinstance(part, Thinking):
        return writer.is_chunk(part)
    if isinstance(part, Refusal):
        return part.cache is not None or bool(writer.carried(part.carry))
    if isinstance(part, Media):
        return not _is_own_answer(part)
    return isinstance(part, Text | Opaque)


def _is_own_answer(part: Media) -> bool:
    """Sound that OpenAI made is known by its id: https://platform.openai.com/docs/guides/audio?api-mode=chat#multi-turn-conversations"""
    return part.kind == "audio" and bool(part.file_id)


def _put_thinking(message: Wire, turn: Turn, writer: PartWriter) -> None:
    """Reasoning in the provider's own slots: details whole, as OpenRouter wants them, and texts under the word of the offer."""
    found = [part for part in turn.parts if isinstance(part, Thinking) and not writer.is_chunk(part)]
    details: list[Detail] = []
    for part in found:
        details += in_carry(part.carry)
    text = _BLOCKS.join(part.text for part in found if part.text)
    if text:
        message[writer.target.quirks.thinking_word] = text
    if details:
        message["reasoning_details"] = details


def _call(call: ToolCall, writer: PartWriter) -> Wire:
    name = qualified(call.namespace, call.name)
    written: Wire = {"id": call.id, "type": call.kind}
    if call.kind == "custom":
        written["custom"] = {"name": name, "input": call.arguments}
    else:
        # Many vendors parse it, and take no empty string.
        written["function"] = {"name": name, "arguments": call.arguments or "{}"}
    return merged(written, writer.carried(call.carry), call.cache)
