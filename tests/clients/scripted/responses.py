"""The scripted model over OpenAI Responses. In: the body of a request. Out: `Conversation`; the answer whole and as events."""

import itertools
import time
import uuid
from collections.abc import Iterator
from typing import Any

from tests.clients.scripted.plan import Conversation, Message, Plan, Tool, compact, pieces, text_of
from tests.clients.scripted.words import interruptions

CALLS = ("function_call", "custom_tool_call", "local_shell_call")


def read(body: dict[str, Any]) -> Conversation:
    talk = Conversation("responses", body.get("model", ""), bool(body.get("stream")), body)
    talk.system = text_of(body.get("instructions")) + "\n"
    items = body.get("input") or []
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    for item in items:
        _add(talk, item)
    for tool in body.get("tools") or []:
        _offer(talk, tool)
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        talk.forced = choice.get("name")
    else:
        talk.forced = {"required": "any", "none": "none"}.get(str(choice))
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        talk.schema = form.get("schema") or {}
    elif form.get("type") == "json_object":
        talk.schema = {}
    return talk


def _add(talk: Conversation, item: dict[str, Any]) -> None:
    kind = item.get("type") or "message"
    if kind == "message":
        _add_message(talk, item.get("role"), item.get("content"))
    elif kind in CALLS:
        last = talk.messages[-1] if talk.messages else None
        if last is None or last.role != "assistant" or not last.calls:
            last = Message("assistant")
            talk.messages.append(last)
        last.calls += 1
    elif kind.endswith("_output"):
        talk.messages.append(Message("tool", results=[text_of(item.get("output"))]))
    elif kind == "additional_tools":
        # Codex declares its tools so for the models that it knows.
        for tool in item.get("tools") or []:
            _offer(talk, tool)


def _add_message(talk: Conversation, role: str | None, content: Any) -> None:
    if role in ("system", "developer"):
        talk.system += text_of(content) + "\n"
        return
    parts = content if isinstance(content, list) else []
    text = text_of([part for part in parts if part.get("text") is not None] if parts else content)
    images = sum(part.get("type") == "input_image" for part in parts)
    talk.messages.append(Message("assistant" if role == "assistant" else "user", text, images=images))


def _offer(talk: Conversation, tool: dict[str, Any], namespace: str | None = None) -> None:
    if tool.get("type") == "namespace":
        for one in tool.get("tools") or []:
            _offer(talk, one, tool.get("name"))
    elif tool.get("type") in ("function", "custom"):
        made = Tool(tool["name"], tool.get("parameters") or {}, custom=tool["type"] == "custom", namespace=namespace)
        talk.tools.append(made)


def whole(talk: Conversation, plan: Plan) -> dict[str, Any]:
    return _response(talk, plan, f"resp_{uuid.uuid4().hex}", "completed", _output(plan))


def events(talk: Conversation, plan: Plan) -> Iterator[str]:
    numbers = itertools.count()
    response_id = f"resp_{uuid.uuid4().hex}"

    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\ndata: {compact({'type': kind, 'sequence_number': next(numbers)} | fields)}\n\n"

    begun = _response(talk, plan, response_id, "in_progress", [])
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    output = _output(plan)
    for index, item in enumerate(output):
        yield event("response.output_item.added", output_index=index, item=_empty(item))
        for kind, fields in _item_events(item, plan):
            if kind == "error":
                error = {"code": "server_error", "message": "scripted error in the stream"}
                failed = _response(talk, plan, response_id, "failed", []) | {"error": error}
                yield event("response.failed", response=failed)
                return
            yield event(f"response.{kind}", item_id=item["id"], output_index=index, **fields)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=_response(talk, plan, response_id, "completed", output))


def _item_events(item: dict[str, Any], plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = item["type"]
    if kind == "message":
        yield from _message_events(item["content"][0], plan)
    elif kind == "reasoning":
        yield from _summary_events(item["summary"][0])
    else:
        field, name = _argument(item)
        for piece in pieces(item[field], 16):
            yield f"{name}.delta", {"delta": piece}
        yield f"{name}.done", {field: item[field]}


def _message_events(part: dict[str, Any], plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "content_part.added", {"content_index": 0, "part": part | {"text": ""}}
    for piece in interruptions(plan):
        if piece is None:
            yield "error", {}
            return
        yield "output_text.delta", {"content_index": 0, "delta": piece, "logprobs": []}
    yield "output_text.done", {"content_index": 0, "text": plan.text, "logprobs": []}
    yield "content_part.done", {"content_index": 0, "part": part}


def _summary_events(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "reasoning_summary_part.added", {"summary_index": 0, "part": part | {"text": ""}}
    for piece in pieces(part["text"]):
        yield "reasoning_summary_text.delta", {"summary_index": 0, "delta": piece}
    yield "reasoning_summary_text.done", {"summary_index": 0, "text": part["text"]}
    yield "reasoning_summary_part.done", {"summary_index": 0, "part": part}


def _argument(item: dict[str, Any]) -> tuple[str, str]:
    """The field with a call's argument, and the events that carry it."""
    if item["type"] == "custom_tool_call":
        return "input", "custom_tool_call_input"
    return "arguments", "function_call_arguments"


def _empty(item: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, dict[str, Any]] = {"message": {"content": []}, "reasoning": {"summary": []}}
    return item | {"status": "in_progress"} | (fields.get(item["type"]) or {_argument(item)[0]: ""})


def _output(plan: Plan) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if plan.think:
        summary = [{"type": "summary_text", "text": plan.think}]
        made.append({"id": f"rs_{uuid.uuid4().hex}", "type": "reasoning", "summary": summary, "status": "completed"})
    if plan.text or not plan.calls:
        content = [{"type": "output_text", "text": plan.text, "annotations": [], "logprobs": []}]
        message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "status": "completed", "role": "assistant"}
        made.append(message | {"content": content})
    for call in plan.calls:
        item: dict[str, Any] = {"call_id": call.id, "name": call.tool.name, "status": "completed"}
        if call.tool.custom:
            item |= {"id": f"ctc_{uuid.uuid4().hex}", "type": "custom_tool_call", "input": call.text}
        else:
            item |= {"id": f"fc_{uuid.uuid4().hex}", "type": "function_call", "arguments": call.text}
        made.append(item | ({"namespace": call.tool.namespace} if call.tool.namespace else {}))
    return made


def _response(
    talk: Conversation, plan: Plan, response_id: str, status: str, output: list[dict[str, Any]]
) -> dict[str, Any]:
    asked = talk.raw
    usage = {
        "input_tokens": plan.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": plan.output_tokens,
        "output_tokens_details": {"reasoning_tokens": plan.reasoning_tokens},
        "total_tokens": plan.input_tokens + plan.output_tokens,
    }
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "model": talk.model,
        "output": output,
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": asked.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": "default",
        "store": asked.get("store", True),
        "temperature": asked.get("temperature", 1.0),
        "text": asked.get("text") or {"format": {"type": "text"}},
        "tool_choice": asked.get("tool_choice") or "auto",
        "tools": asked.get("tools") or [],
        "top_p": asked.get("top_p", 1.0),
        "truncation": asked.get("truncation") or "disabled",
        "usage": usage if status == "completed" else None,
        "user": asked.get("user"),
        "metadata": asked.get("metadata") or {},
    }
