"""The scripted model over OpenAI Chat Completions. In: the body of a request. Out: `Conversation`; the answer whole and as events."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

from tests.clients.scripted.plan import Conversation, Message, Plan, Tool, compact, pieces, text_of
from tests.clients.scripted.words import interruptions


def read(body: dict[str, Any]) -> Conversation:
    talk = Conversation("chat", body.get("model", ""), bool(body.get("stream")), body)
    for message in body.get("messages") or []:
        _add(talk, message)
    for tool in body.get("tools") or []:
        named = tool.get("function") or tool.get("custom") or {}
        talk.tools.append(Tool(named["name"], named.get("parameters") or {}, custom=tool.get("type") == "custom"))
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        talk.forced = (choice.get("function") or {}).get("name") or choice.get("name")
    else:
        talk.forced = {"required": "any", "none": "none"}.get(str(choice))
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        talk.schema = form["json_schema"].get("schema") or {}
    elif form.get("type") == "json_object":
        talk.schema = {}
    return talk


def _add(talk: Conversation, message: dict[str, Any]) -> None:
    role, content = message.get("role"), message.get("content")
    parts = content if isinstance(content, list) else []
    if role in ("system", "developer"):
        talk.system += text_of(content) + "\n"
    elif role == "tool":
        talk.messages.append(Message("tool", results=[text_of(content)]))
    elif role == "assistant":
        talk.messages.append(Message("assistant", text_of(content), calls=len(message.get("tool_calls") or [])))
    else:
        text = text_of([part for part in parts if part.get("type") == "text"] or (None if parts else content))
        images = sum(part.get("type") == "image_url" for part in parts)
        talk.messages.append(Message("user", text, images=images))


def whole(talk: Conversation, plan: Plan) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": plan.text or None, "refusal": None}
    if plan.think:
        message["reasoning_content"] = plan.think
    if plan.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.tool.name, "arguments": call.text}}
            for call in plan.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(plan)}
    return _head(talk, "chat.completion") | {"choices": [choice], "usage": _usage(plan)}


def events(talk: Conversation, plan: Plan) -> Iterator[str]:
    head = _head(talk, "chat.completion.chunk")
    asked = (talk.raw.get("stream_options") or {}).get("include_usage")

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data(head | {"choices": [choice]} | ({"usage": None} if asked else {}))

    yield event({"role": "assistant", "content": None if plan.calls else "", "refusal": None})
    for piece in pieces(plan.think):
        yield event({"reasoning_content": piece})
    error = {"message": "scripted error in the stream", "type": "server_error", "code": "502"}
    for piece in interruptions(plan):
        if piece is None:
            yield _data({"error": error})
            return
        yield event({"content": piece})
    for index, call in enumerate(plan.calls):
        named = {"name": call.tool.name, "arguments": ""}
        yield event({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": named}]})
        for piece in pieces(call.text, 16):
            yield event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield event({}, _finish(plan))
    if asked:
        yield _data(head | {"choices": [], "usage": _usage(plan)})
    yield "data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> str:
    return f"data: {compact(value)}\n\n"


def _finish(plan: Plan) -> str:
    return "tool_calls" if plan.calls else "stop"


def _head(talk: Conversation, kind: str) -> dict[str, Any]:
    made = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time())}
    return made | {"model": talk.model, "system_fingerprint": "fp_scripted"}


def _usage(plan: Plan) -> dict[str, Any]:
    return {
        "prompt_tokens": plan.input_tokens,
        "completion_tokens": plan.output_tokens,
        "total_tokens": plan.input_tokens + plan.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": plan.reasoning_tokens, "audio_tokens": 0},
    }
