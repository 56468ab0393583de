"""The canonical request -> the body for an offer that speaks Messages. In: `Request`, `Target`. Out: `UpstreamBody`.

https://platform.claude.com/docs/en/api/messages/create
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from trunkline.ir.loss import Loss
from trunkline.ir.parts import Part, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Reasoning, Request, Tool, WebSearch
from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.blocks_out import Block, BlockWriter, plain_or_blocks
from trunkline.protocols.anthropic_messages.schema_out import narrowed, with_type
from trunkline.protocols.anthropic_messages.wire import cache_control, encode, fields_of
from trunkline.protocols.carry import carried
from trunkline.protocols.codec import Target, UpstreamBody
from trunkline.protocols.fields import word
from trunkline.protocols.rawjson import Fields
from trunkline.protocols.settle import settle

_SYSTEM = ("system", "developer")
# The oldest kind is known wherever there is any: https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
_WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search"}
# Of OpenAI's words; `flex` and `default` both mean: no priority capacity. https://platform.claude.com/docs/en/api/service-tiers
_TIERS = {"auto": "auto", "priority": "auto"}
_NO_BOUNDS = Loss("schema", "emulated", "bounds of numbers, lengths and counts are not checked by the provider")


def write_request(request: Request, target: Target) -> UpstreamBody:
    """The body. Raises `InvalidParams` for what the offer cannot be told."""
    settled = settle(request, target)
    sent, losses = settled.request, list(settled.losses)
    writer = BlockWriter(target.dialect)
    behind = _first_of_messages(sent.turns)
    body: dict[str, Any] = {"model": target.upstream_model}
    if sent.max_output_tokens is not None:
        body["max_tokens"] = sent.max_output_tokens
    if behind:
        body["system"] = plain_or_blocks(writer, (part for turn in sent.turns[:behind] for part in turn.parts))
    turns = sent.turns[behind:] if sent.origin == NAME else _without_blanks(sent.turns[behind:])
    body["messages"] = [_message(turn, writer, target) for turn in turns if turn.parts]
    _write_tools(sent, target, body, losses)
    _write_reasoning(request, sent, body, losses)
    _write_parameters(sent, body, losses)
    _write_extras(sent, body)
    if target.stream:
        body["stream"] = True
    return UpstreamBody(writer.blobs.fill(encode(body)), tuple(dict.fromkeys(losses)), stop_here=settled.stop_here)


def _first_of_messages(turns: Sequence[Turn]) -> int:
    return next((at for at, turn in enumerate(turns) if turn.role not in _SYSTEM), len(turns))


def _without_blanks(turns: Sequence[Turn]) -> list[Turn]:
    """Anthropic refuses texts of blanks, and a last turn of the assistant with blanks at its end: https://platform.claude.com/docs/en/api/errors"""
    found = [
        msgspec.structs.replace(turn, parts=tuple(part for part in turn.parts if not _is_blank(part))) for turn in turns
    ]
    last = found[-1] if found else None
    if last is not None and last.role == "assistant" and last.parts and isinstance(last.parts[-1], Text):
        text = msgspec.structs.replace(last.parts[-1], text=last.parts[-1].text.rstrip())
        found[-1] = msgspec.structs.replace(last, parts=(*last.parts[:-1], text))
    return found


def _is_blank(part: Part) -> bool:
    return isinstance(part, Text) and not part.text.strip()


def _message(turn: Turn, writer: BlockWriter, target: Target) -> Block:
    parts = turn.parts
    if turn.role == "user" and any(isinstance(part, ToolResult) for part in parts):
        # https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls: results stand before all else.
        parts = tuple(sorted(parts, key=lambda part: not isinstance(part, ToolResult)))
    role = "system" if turn.role in _SYSTEM else turn.role
    message: Block = {"role": role, "content": plain_or_blocks(writer, parts)}
    message.update(carried(turn.carry, NAME, target.dialect))
    return message


def _write_tools(sent: Request, target: Target, body: dict[str, Any], losses: list[Loss]) -> None:
    foreign = sent.origin != NAME
    tools = [_tool(_held(tool, losses) if foreign else tool, target.dialect) for tool in sent.tools]
    if sent.web_search is not None:
        tools.append(_web_search(sent.web_search, target.dialect))
        if sent.web_search.context_size:
            losses.append(Loss(word("web_search", sent.origin), "emulated", "the size of the context cannot be chosen"))
    if tools:
        body["tools"] = tools
    choice = _choice(sent)
    if choice:
        body["tool_choice"] = choice


def _choice(sent: Request) -> dict[str, Any]:
    choice, parallel = sent.tool_choice, sent.parallel_tool_calls
    if choice is None and parallel is None:
        return {}
    if choice is not None and choice.mode == "none":
        return {"type": "none"}
    written: dict[str, Any] = {"type": "auto"}
    if choice is not None and choice.mode == "required":
        written = {"type": "tool", "name": choice.names[0]} if choice.names else {"type": "any"}
    if parallel is not None:
        written["disable_parallel_tool_use"] = not parallel
    return written


def _tool(tool: Tool, dialect: str) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if tool.kind == "function":
        written["name"] = tool.name
        if tool.description:
            written["description"] = tool.description
        written["input_schema"] = with_type(tool.parameters)
        if tool.strict is not None:
            written["strict"] = tool.strict
    written.update(carried(tool.carry, NAME, dialect))
    if tool.cache is not None:
        written["cache_control"] = cache_control(tool.cache)
    return written


def _held(tool: Tool, losses: list[Loss]) -> Tool:
    """A tool of another protocol's caller. One that is strict is held to its schema, so that must be one that can be held to."""
    if not tool.strict or tool.kind != "function":
        return tool
    schema, lost = narrowed(tool.parameters)
    if lost:
        losses.append(_NO_BOUNDS)
    return msgspec.structs.replace(tool, parameters=schema)


def _web_search(search: WebSearch, dialect: str) -> dict[str, Any]:
    written: dict[str, Any] = dict(_WEB_SEARCH)
    if search.max_uses is not None:
        written["max_uses"] = search.max_uses
    if search.allowed_domains:
        written["allowed_domains"] = search.allowed_domains
    elif search.blocked_domains:
        written["blocked_domains"] = search.blocked_domains
    if bytes(search.location):
        written["user_location"] = {"type": "approximate", **fields_of(search.location)}
    written.update(carried(search.carry, NAME, dialect))
    if search.cache is not None:
        written["cache_control"] = cache_control(search.cache)
    return written


def _write_reasoning(request: Request, sent: Request, body: dict[str, Any], losses: list[Loss]) -> None:
    asked = sent.reasoning
    config: dict[str, Any] = {}
    if asked is not None:
        if asked.budget_tokens is not None and asked.enabled is not False and _loop_lacks_thinking(sent.turns):
            losses.append(
                Loss(word("reasoning", sent.origin), "dropped", "the reasoning before this tool's result is not there")
            )
            asked = Reasoning(enabled=False)
        thinking = _thinking(request, asked)
        if thinking:
            body["thinking"] = thinking
        if asked.effort and asked.enabled is not False:
            config["effort"] = asked.effort
    if sent.format is not None and sent.format.kind == "json_schema":
        schema, lost = (sent.format.schema, False) if sent.origin == NAME else narrowed(sent.format.schema)
        config["format"] = {"type": "json_schema", "schema": schema}
        if lost:
            losses.append(_NO_BOUNDS)
    if config:
        body["output_config"] = config


def _thinking(request: Request, fitted: Reasoning) -> dict[str, Any]:
    """`thinking` (https://platform.claude.com/docs/en/build-with-claude/thinking): a budget where the offer takes one, else adaptive."""
    asked = request.reasoning or fitted
    if fitted.enabled is False:
        return {"type": "disabled"}
    if request.origin == NAME and asked.enabled is None:
        return {}  # an effort alone, in Anthropic's own words
    if not (fitted.enabled or fitted.effort or fitted.budget_tokens or asked.enabled):
        return {}
    written: dict[str, Any] = {"type": "adaptive"}
    if fitted.budget_tokens is not None:
        written = {"type": "enabled", "budget_tokens": fitted.budget_tokens}
    if asked.shown is not None:
        written["display"] = "summarized" if asked.shown else "omitted"
    elif request.origin != NAME and fitted.budget_tokens is None:
        # Newer models show nothing unless told to, and the other protocols' callers expect to see it.
        written["display"] = "summarized"
    return written


def _loop_lacks_thinking(turns: Sequence[Turn]) -> bool:
    """True where the turn that is being continued after a tool has calls and no thinking before them, which Anthropic refuses with a budget.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
    """
    if len(turns) < 2 or not any(isinstance(part, ToolResult) for part in turns[-1].parts):
        return False
    last = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    if last is None or not any(isinstance(part, ToolCall) and part.kind == "function" for part in last.parts):
        return False
    return not any(isinstance(part, Thinking) for part in last.parts)


def _write_parameters(sent: Request, body: dict[str, Any], losses: list[Loss]) -> None:
    numbers = {"temperature": sent.temperature, "top_p": sent.top_p, "top_k": sent.top_k}
    if sent.origin != NAME and sent.temperature is not None and sent.top_p is not None:
        # Since Claude 4.1 a request with both is refused: https://platform.claude.com/docs/en/about-claude/models/migration-guide
        del numbers["top_p"]
        if sent.top_p != 1:
            losses.append(Loss(word("top_p", sent.origin), "dropped", "the model takes one of temperature and nucleus"))
    body.update({name: value for name, value in numbers.items() if value is not None})
    if sent.stop:
        body["stop_sequences"] = sent.stop
    if sent.cache is not None:
        body["cache_control"] = cache_control(sent.cache)
    user = sent.user or sent.safety_identifier
    if user:
        body["metadata"] = {"user_id": user}
    if sent.service_tier:
        body["service_tier"] = _TIERS.get(sent.service_tier, "standard_only")
        if sent.service_tier == "flex":
            losses.append(Loss(word("service_tier", sent.origin), "emulated", "sent as the standard tier"))


def _write_extras(sent: Request, body: dict[str, Any]) -> None:
    """What only Anthropic knows. An object that has canonical members as well is put together again."""
    for name, value in sent.extras.items():
        body[name] = {**_rest(value), **body[name]} if name in ("metadata", "output_config") and name in body else value


def _rest(value: msgspec.Raw) -> Fields:
    return fields_of(value)
