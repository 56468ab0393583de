"""A Messages request -> the canonical one. In: the caller's bytes. Out: `Request`. Raises `InvalidParams` naming the field and the mend.

https://platform.claude.com/docs/en/api/messages/create. What is Anthropic's alone goes into `extras`; other gateways' keys are taken out.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.parts import CacheMark, Part, Role, Turn
from trunkline.ir.request import Format, Reasoning, Request, ToolChoice
from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.blocks_in import BlockReader
from trunkline.protocols.anthropic_messages.tools_in import read_tools
from trunkline.protocols.anthropic_messages.usual_in import usual_turns
from trunkline.protocols.anthropic_messages.wire import fields_of, items_of, take, take_cache, text_of
from trunkline.protocols.beside import Beside
from trunkline.protocols.carry import carry
from trunkline.protocols.codec import RequestContext
from trunkline.protocols.rawjson import UNREADABLE, Fields, join, split
from trunkline.protocols.wishes import GATEWAY_KEYS

Read = TypeVar("Read")
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
# https://platform.claude.com/docs/en/api/service-tiers
_TIERS = {"auto": "auto", "standard_only": "default"}


class Thinking(msgspec.Struct):
    type: str = ""
    budget_tokens: int | None = None
    display: str | None = None


class _OutputFormat(msgspec.Struct):
    schema: msgspec.Raw
    type: str = "json_schema"


class Choice(msgspec.Struct):
    type: str = "auto"
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


_thinking = msgspec.json.Decoder(Thinking).decode
_format = msgspec.json.Decoder(_OutputFormat).decode
_choice = msgspec.json.Decoder(Choice).decode
_count = msgspec.json.Decoder(int).decode
_number = msgspec.json.Decoder(float).decode
_bool = msgspec.json.Decoder(bool).decode
_texts = msgspec.json.Decoder(list[str]).decode
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools#controlling-claudes-output
_CHOICES = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}


def read_request(body: bytes, context: RequestContext) -> Request:
    """The request. `max_tokens` may be absent, since counting tokens needs none, and an offer has its own."""
    peeked = context.peeked
    fields = fields_of_body(body) if peeked is None else peeked.fields
    request = _beside.of(fields)
    turns = _usual(fields) if peeked is None else peeked.turns
    if turns is None:
        turns = _turns({name: fields[name] for name in ("system", "messages") if name in fields}, context)
    return msgspec.structs.replace(request, turns=turns)


def _usual(fields: Fields) -> tuple[Turn, ...] | None:
    return usual_turns(fields["messages"], fields.get("system")) if "messages" in fields else None


def _turns(fields: Fields, context: RequestContext) -> tuple[Turn, ...]:
    blocks = BlockReader(NAME, context.secret, context.states)
    return (*_system(fields, blocks), *_messages(fields, blocks))


def _read_beside(fields: Fields) -> Request:
    """All but the conversation."""
    refuse_threads(fields)
    for name in GATEWAY_KEYS:
        fields.pop(name, None)
    said: dict[str, Any] = {}
    model = _read(fields, "model", text_of, "a text")
    if not model:
        raise InvalidParams("`model` is missing: name one, for example `anthropic/claude-sonnet-4.5`.", param="model")
    _read_numbers(fields, said)
    _read_words(fields, said)
    _read_tools(fields, said)
    _read_reasoning_and_format(fields, said)
    return Request(origin=NAME, model=model, turns=(), extras=fields, **said)


_beside = Beside(frozenset({"system", "messages"}), _read_beside)


def fields_of_body(body: bytes) -> Fields:
    """The top level of a body."""
    try:
        return split(body)
    except msgspec.ValidationError as error:
        raise InvalidParams("The body must be a JSON object.") from error
    except UNREADABLE as error:
        raise InvalidParams(f"The body is not valid JSON: {error}.") from error


def refuse_threads(fields: Fields) -> None:
    """A second turn of a thread has no history, so it must never go on as it is. Clients then send the whole conversation by themselves."""
    if take(dict(fields), "thread") is not None:
        raise InvalidParams("`thread` is not kept here: send the whole conversation in `messages`.", param="thread")


def asked_thinking(raw: msgspec.Raw) -> Thinking:
    return _thinking(raw)


def asked_choice(raw: msgspec.Raw) -> Choice:
    return _choice(raw)


def _read(fields: Fields, name: str, decode: Callable[[msgspec.Raw], Read], mend: str) -> Read | None:
    """A field, which is taken out; None where the caller said nothing."""
    value = take(fields, name)
    if value is None:
        return None
    try:
        return decode(value)
    except UNREADABLE as error:
        raise InvalidParams(f"`{name}` must be {mend}: {error}.", param=name) from error


def _system(fields: Fields, blocks: BlockReader) -> tuple[Turn, ...]:
    parts = _read(fields, "system", blocks.inner, "a text or a list of text blocks")
    return (Turn("system", parts),) if parts else ()


def _messages(fields: Fields, blocks: BlockReader) -> tuple[Turn, ...]:
    messages = _read(fields, "messages", items_of, "a list of messages")
    if not messages:
        raise InvalidParams("`messages` must be a list with at least one message.", param="messages")
    return tuple(_turn(at, message, blocks) for at, message in enumerate(messages))


def _turn(at: int, message: msgspec.Raw, blocks: BlockReader) -> Turn:
    where = f"messages.{at}"
    try:
        fields = fields_of(message)
    except UNREADABLE as error:
        raise InvalidParams(f"`{where}` must be an object with `role` and `content`: {error}.", param=where) from error
    role = _ROLES.get(_read_in(fields, where, "role", text_of) or "")
    if role is None:
        raise InvalidParams(f"`{where}.role` must be `user`, `assistant` or `system`.", param=f"{where}.role")
    content = take(fields, "content")
    if content is None:
        raise InvalidParams(f"`{where}.content` is missing: give a text or a list of blocks.", param=f"{where}.content")
    return Turn(role, _parts(f"{where}.content", content, blocks), "", carry(NAME, fields))


def _read_in(fields: Fields, where: str, name: str, decode: Callable[[msgspec.Raw], Read]) -> Read | None:
    try:
        value = take(fields, name)
        return None if value is None else decode(value)
    except UNREADABLE as error:
        raise InvalidParams(f"`{where}.{name}` is not right: {error}.", param=f"{where}.{name}") from error


def _parts(where: str, content: msgspec.Raw, blocks: BlockReader) -> tuple[Part, ...]:
    if bytes(memoryview(content)[:1]) != b"[":
        try:
            return blocks.inner(content)
        except UNREADABLE as error:
            raise InvalidParams(f"`{where}` must be a text or a list of blocks: {error}.", param=where) from error
    parts: list[Part] = []
    for at, block in enumerate(items_of(content)):
        try:
            blocks.add(parts, block)
        except UNREADABLE as error:
            raise InvalidParams(f"`{where}.{at}` is not a right block: {error}.", param=f"{where}.{at}") from error
    blocks.end_turn(parts)
    return tuple(parts)


def _read_numbers(fields: Fields, said: dict[str, Any]) -> None:
    said["max_output_tokens"] = _read(fields, "max_tokens", _count, "a whole number")
    said["temperature"] = _read(fields, "temperature", _number, "a number from 0 to 1")
    said["top_p"] = _read(fields, "top_p", _number, "a number from 0 to 1")
    said["top_k"] = _read(fields, "top_k", _count, "a whole number")
    said["stop"] = tuple(word for word in _read(fields, "stop_sequences", _texts, "a list of texts") or () if word)
    said["stream"] = bool(_read(fields, "stream", _bool, "true or false"))
    if (said["max_output_tokens"] or 0) < 0:
        raise InvalidParams("`max_tokens` must not be negative.", param="max_tokens")


def _read_words(fields: Fields, said: dict[str, Any]) -> None:
    metadata = _read(fields, "metadata", fields_of, "an object")
    if metadata is not None:
        said["user"] = _read_in(metadata, "metadata", "user_id", text_of) or ""
        if metadata:
            fields["metadata"] = msgspec.Raw(join(metadata))
    tier = _read(fields, "service_tier", text_of, "`auto` or `standard_only`") or ""
    said["service_tier"] = _TIERS.get(tier, tier)
    said["cache"] = _cache(fields)


def _cache(fields: Fields) -> CacheMark | None:
    try:
        return take_cache(fields)
    except UNREADABLE as error:
        raise InvalidParams(f"`cache_control` must be an object: {error}.", param="cache_control") from error


def _read_tools(fields: Fields, said: dict[str, Any]) -> None:
    listed = _read(fields, "tools", items_of, "a list of tools")
    if listed:
        said["tools"], said["web_search"] = read_tools(listed)
    choice = _read(fields, "tool_choice", _choice, "an object with a `type`")
    if choice is None:
        return
    mode = _CHOICES.get(choice.type)
    if mode is None or (choice.type == "tool" and not choice.name):
        raise InvalidParams(
            "`tool_choice.type` must be `auto`, `any`, `none`, or `tool` with a `name`.", param="tool_choice"
        )
    said["tool_choice"] = ToolChoice(mode, (choice.name,) if choice.type == "tool" and choice.name else ())  # type: ignore[arg-type]
    if choice.disable_parallel_tool_use is not None:
        said["parallel_tool_calls"] = not choice.disable_parallel_tool_use


def _read_reasoning_and_format(fields: Fields, said: dict[str, Any]) -> None:
    """`thinking` and `output_config` (https://platform.claude.com/docs/en/build-with-claude/effort, .../structured-outputs)."""
    raw = fields.get("thinking")
    thinking = _read(fields, "thinking", _thinking, "an object with a `type`")
    config = _read(fields, "output_config", fields_of, "an object") or {}
    effort = _read_in(config, "output_config", "effort", text_of) or ""
    if thinking is not None and thinking.type not in ("enabled", "adaptive", "disabled") and raw is not None:
        fields["thinking"] = raw  # a newer word: Anthropic gets it as it is
    if thinking is not None or effort:
        said["reasoning"] = reasoning_of(thinking, effort)
    asked = _read_in(config, "output_config", "format", _format) or _read(
        fields, "output_format", _format, "an object with a `schema`"
    )
    if asked is not None:
        said["format"] = Format(kind="json_schema", schema=asked.schema)
    if config:
        fields["output_config"] = msgspec.Raw(join(config))


def reasoning_of(thinking: Thinking | None, effort: str) -> Reasoning:
    if thinking is None:
        return Reasoning(effort=effort)
    shown = None if thinking.display is None else thinking.display != "omitted"
    return Reasoning(
        enabled=thinking.type != "disabled", effort=effort, budget_tokens=thinking.budget_tokens, shown=shown
    )
