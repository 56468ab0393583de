"""The scripted model over Anthropic Messages. In: the body of a request. Out: `Conversation`; the answer whole and as events."""

import uuid
from collections.abc import Iterator
from typing import Any

from tests.clients.scripted.plan import Conversation, Message, Plan, Tool, compact, pieces, text_of
from tests.clients.scripted.words import interruptions

SIGNATURE = "c2NyaXB0ZWQtc2lnbmF0dXJl"


def read(body: dict[str, Any]) -> Conversation:
    talk = Conversation("messages", body.get("model", ""), bool(body.get("stream")), body)
    talk.system = text_of(body.get("system"))
    for message in body.get("messages") or []:
        _add(talk, message)
    talk.tools = [Tool(one["name"], one["input_schema"]) for one in body.get("tools") or [] if "input_schema" in one]
    choice = body.get("tool_choice") or {}
    talk.forced = {"any": "any", "none": "none", "tool": choice.get("name")}.get(choice.get("type"))
    form = (body.get("output_config") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        talk.schema = form.get("schema") or {}
    return talk


def _add(talk: Conversation, message: dict[str, Any]) -> None:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    kinds = [block["type"] for block in blocks]
    text = "\n".join(block["text"] for block in blocks if block["type"] == "text")
    if message["role"] == "system":
        talk.system += text
        return
    results = [text_of(block.get("content")) for block in blocks if block["type"] == "tool_result"]
    made = Message(message["role"], text, kinds.count("tool_use"), results, kinds.count("image"))
    talk.messages.append(made)


def objection(body: dict[str, Any]) -> str | None:
    """What Anthropic refuses: a thinking block whose signature is not the one that it gave.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    """
    blocks = [block for message in body["messages"] for block in message["content"] if isinstance(block, dict)]
    if any(block.get("type") == "thinking" and block.get("signature") != SIGNATURE for block in blocks):
        return "Invalid `signature` in `thinking` block"
    return None


def whole(talk: Conversation, plan: Plan) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": talk.model,
        "content": _blocks(plan),
        "stop_reason": _stop(plan),
        "stop_sequence": None,
        "usage": _usage(plan),
    }


def events(talk: Conversation, plan: Plan) -> Iterator[str]:
    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\ndata: {compact({'type': kind} | fields)}\n\n"

    begun = {"content": [], "stop_reason": None, "usage": _usage(plan) | {"output_tokens": 1}}
    yield event("message_start", message=whole(talk, plan) | begun)
    yield event("ping")
    for index, block in enumerate(_blocks(plan)):
        yield event("content_block_start", index=index, content_block=_empty(block))
        for delta in _deltas(block, plan):
            if delta is None:
                yield event("error", error={"type": "overloaded_error", "message": "scripted error in the stream"})
                return
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    delta = {"stop_reason": _stop(plan), "stop_sequence": None}
    yield event("message_delta", delta=delta, usage=_usage(plan))
    yield event("message_stop")


def _deltas(block: dict[str, Any], plan: Plan) -> Iterator[dict[str, Any] | None]:
    if block["type"] == "text":
        for piece in interruptions(plan):
            yield None if piece is None else {"type": "text_delta", "text": piece}
    elif block["type"] == "thinking":
        for piece in pieces(block["thinking"]):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        for piece in ["", *pieces(compact(block["input"]), 16)]:
            yield {"type": "input_json_delta", "partial_json": piece}


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, dict[str, Any]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    return block | empty[block["type"]]


def _blocks(plan: Plan) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if plan.think:
        made.append({"type": "thinking", "thinking": plan.think, "signature": SIGNATURE})
    if plan.text or not plan.calls:
        made.append({"type": "text", "text": plan.text})
    for call in plan.calls:
        call_id = call.id.replace("call_", "toolu_")
        made.append({"type": "tool_use", "id": call_id, "name": call.tool.name, "input": call.arguments})
    return made


def _stop(plan: Plan) -> str:
    return "tool_use" if plan.calls else "end_turn"


def _usage(plan: Plan) -> dict[str, Any]:
    return {
        "input_tokens": plan.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": plan.output_tokens,
    }
