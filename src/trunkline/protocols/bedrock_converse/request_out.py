"""The canonical request -> the body of Converse and ConverseStream, which is the same. In: `Request`, `Target`. Out: `UpstreamBody`.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. Model and streaming are in the path.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.loss import Loss
from trunkline.ir.parts import Part, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import ANY_OBJECT, Reasoning, Request, Tool
from trunkline.protocols.bedrock_converse.blocks_out import Block, BlockWriter, cache_point
from trunkline.protocols.codec import Target, UpstreamBody
from trunkline.protocols.fields import word
from trunkline.protocols.rawjson import join, raw, split
from trunkline.protocols.settle import settle

_SYSTEM = ("system", "developer")
_ROLES = {"developer": "system"}
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html; `auto` is what nothing means.
_TIERS = frozenset({"default", "flex", "priority"})
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#bedrock-runtime_Converse-request-requestMetadata
_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_MAX_LABELS = 16
_USUAL_EFFORT = "medium"
_NOT_BESIDE_HIGH = ("temperature", "top_p", "top_k", "max_output_tokens")


def write_request(request: Request, target: Target) -> UpstreamBody:
    """The body. Raises `InvalidParams` for what the offer cannot be told."""
    settled = settle(request, target)
    losses = list(settled.losses)
    sent = _without_limits(settled.request, target, losses)
    writer = BlockWriter(target.dialect)
    behind = next((at for at, turn in enumerate(sent.turns) if turn.role not in _SYSTEM), len(sent.turns))
    body: dict[str, Any] = {}
    if system := _system(sent.turns[:behind], writer):
        body["system"] = system
    body["messages"] = _messages(sent, sent.turns[behind:], writer)
    _write_parameters(sent, body)
    _write_tools(sent, body)
    _write_reasoning(sent, target, body)
    _write_format(sent, body)
    _write_labels(sent, body, losses)
    return UpstreamBody(writer.blobs.fill(msgspec.json.encode(body)), tuple(losses), stop_here=settled.stop_here)


def _system(turns: Sequence[Turn], writer: BlockWriter) -> list[Block]:
    """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_SystemContentBlock.html: texts of which none is empty."""
    parts = [part for turn in turns for part in turn.parts if not _is_blank(part)]
    if not all(isinstance(part, Text) for part in parts):
        raise InvalidParams(
            "A system prompt is text alone at this offer; put the rest into a user message.", param="messages"
        )
    return writer.blocks(parts)


def _messages(sent: Request, turns: Iterable[Turn], writer: BlockWriter) -> list[Block]:
    messages = [message for turn in turns if (message := _message(turn, writer))["content"]]
    if sent.cache is not None and messages:
        messages[-1]["content"].append(cache_point(sent.cache))
    return messages


def _message(turn: Turn, writer: BlockWriter) -> Block:
    parts: Iterable[Part] = [part for part in turn.parts if not _is_blank(part)]
    if turn.role == "user" and any(isinstance(part, ToolResult) for part in parts):
        # Models want the results of all calls first: https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html
        parts = sorted(parts, key=lambda part: not isinstance(part, ToolResult))
    content = writer.blocks(parts)
    documents = [block["document"]["name"] for block in content if "document" in block]
    if documents and not any("text" in block for block in content):
        # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html: never a document without a text.
        content.append({"text": ", ".join(documents)})
    return {"role": _ROLES.get(turn.role, turn.role), "content": content}


def _is_blank(part: Part) -> bool:
    """Blank texts are refused."""
    return isinstance(part, Text) and not part.text.strip()


def _write_parameters(sent: Request, body: dict[str, Any]) -> None:
    config = {
        "maxTokens": sent.max_output_tokens,
        "temperature": sent.temperature,
        "topP": sent.top_p,
        "stopSequences": sent.stop or None,
    }
    if found := {name: value for name, value in config.items() if value is not None}:
        body["inferenceConfig"] = found
    if sent.stop:
        # Which one was hit; a model that does not tell is not asked in vain.
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    if sent.service_tier in _TIERS:
        body["serviceTier"] = {"type": sent.service_tier}


def _write_tools(sent: Request, body: dict[str, Any]) -> None:
    tools: list[Block] = []
    # Calls in the conversation are refused where no tools are: https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html
    for tool in sent.tools or _called(sent.turns):
        tools.append({"toolSpec": _tool(tool)})
        if tool.cache is not None:
            tools.append(cache_point(tool.cache))
    if not tools:
        return
    body["toolConfig"] = {"tools": tools}
    choice = sent.tool_choice
    if choice is not None and choice.mode == "required":
        body["toolConfig"]["toolChoice"] = {"tool": {"name": choice.names[0]}} if choice.names else {"any": {}}


def _called(turns: Iterable[Turn]) -> list[Tool]:
    names = dict.fromkeys(part.name for turn in turns for part in turn.parts if isinstance(part, ToolCall))
    return [Tool(name=name, parameters=ANY_OBJECT) for name in names]


def _tool(tool: Tool) -> Block:
    written: Block = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["inputSchema"] = {"json": _with_type(tool.parameters)}
    if tool.strict is not None:
        written["strict"] = tool.strict
    return written


def _with_type(schema: msgspec.Raw) -> msgspec.Raw:
    """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolInputSchema.html: the type must be said, and be `object`."""
    fields = split(bytes(schema))
    return schema if "type" in fields else msgspec.Raw(join({"type": raw("object"), **fields}))


def _write_reasoning(sent: Request, target: Target, body: dict[str, Any]) -> None:
    """What is the model's own: reasoning in the words of its maker, and the choice of the best tokens."""
    quirks = target.quirks
    more: dict[str, Any] = {}
    if sent.reasoning is not None and quirks.reasoning != "none":
        more |= (
            _REASONING[quirks.reasoning_word](sent.reasoning, sent.turns) if quirks.reasoning_word in _REASONING else {}
        )
        if quirks.reasoning_word == "thinking" and sent.reasoning.effort and sent.reasoning.enabled is not False:
            body["outputConfig"] = {"effort": sent.reasoning.effort}
    if sent.top_k is not None:
        outer, _, inner = quirks.top_k_word.partition(".")
        more[outer] = {inner: sent.top_k} if inner else sent.top_k
    if more:
        body["additionalModelRequestFields"] = more


def _thinking(asked: Reasoning, turns: Sequence[Turn]) -> dict[str, Any]:
    """Claude's (https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html)."""
    if asked.enabled is False or (asked.budget_tokens is not None and _loop_lacks_thinking(turns)):
        return {"thinking": {"type": "disabled"}}
    if asked.budget_tokens is not None:
        return {"thinking": {"type": "enabled", "budget_tokens": asked.budget_tokens}}
    return {"thinking": {"type": "adaptive"}} if asked.enabled or asked.effort else {}


def _loop_lacks_thinking(turns: Sequence[Turn]) -> bool:
    """True where a turn is continued after a tool whose call no thinking stands before: Claude refuses that together with a budget."""
    if len(turns) < 2 or not any(isinstance(part, ToolResult) for part in turns[-1].parts):
        return False
    last = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    return last is not None and not any(isinstance(part, Thinking) for part in last.parts)


def _without_limits(sent: Request, target: Target, losses: list[Loss]) -> Request:
    """Nova's highest effort takes neither sampling nor an output limit beside it: .../nova2-userguide/extended-thinking.html"""
    asked = sent.reasoning
    if target.quirks.reasoning_word != "reasoningConfig" or asked is None or asked.effort != "high":
        return sent
    said = [name for name in _NOT_BESIDE_HIGH if getattr(sent, name) is not None]
    losses += [
        Loss(word(name, sent.origin), "dropped", "the model does not take it with its highest effort") for name in said
    ]
    return msgspec.structs.replace(sent, **dict.fromkeys(said))


def _reasoning_config(asked: Reasoning, _turns: Sequence[Turn]) -> dict[str, Any]:
    """Nova's (https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html)."""
    if asked.enabled is False:
        return {"reasoningConfig": {"type": "disabled"}}
    if not (asked.enabled or asked.effort):
        return {}
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": asked.effort or _USUAL_EFFORT}}


def _reasoning_effort(asked: Reasoning, _turns: Sequence[Turn]) -> dict[str, Any]:
    """Of OpenAI's open models (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html)."""
    return {"reasoning_effort": asked.effort} if asked.effort else {}


_REASONING = {"thinking": _thinking, "reasoningConfig": _reasoning_config, "reasoning_effort": _reasoning_effort}


def _write_format(sent: Request, body: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_JsonSchemaDefinition.html: the schema is a string."""
    asked = sent.format
    if asked is None or asked.kind != "json_schema":
        return
    schema = {"schema": bytes(asked.schema).decode(), "name": asked.name}
    if asked.description:
        schema["description"] = asked.description
    text = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    body["outputConfig"] = {**body.get("outputConfig", {}), "textFormat": text}


def _write_labels(sent: Request, body: dict[str, Any], losses: list[Loss]) -> None:
    labels = sent.metadata or {}
    fit = {name: text for name, text in labels.items() if name and _LABEL.fullmatch(name) and _LABEL.fullmatch(text)}
    kept = dict(list(fit.items())[:_MAX_LABELS])
    if kept:
        body["requestMetadata"] = kept
    if len(kept) != len(labels):
        losses.append(
            Loss(word("metadata", sent.origin), "dropped", "labels with letters that Amazon does not take, or too many")
        )
