"""Clients of the four protocols, reduced to what each of them keeps of a conversation and sends back with its next turn.

`Talk(gateway, protocol, model)` -> `say`, `results` and `Said`. Chat keeps the calls and the text, Responses its items, Messages its blocks and
Gemini its parts, each as it came: what a signature needs must survive in these alone.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.gateway import Answer, GatewayProcess

CHAT, RESPONSES, MESSAGES, GEMINI = "openai.chat", "openai.responses", "anthropic.messages", "gemini"
PROTOCOLS = (CHAT, RESPONSES, MESSAGES, GEMINI)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = ("weather", "The weather of a city", SCHEMA)


@dataclass
class Called:
    id: str
    name: str
    arguments: Any


@dataclass
class Said:
    """One answer as its client understands it."""

    answer: Answer
    text: str = ""
    reasoning: str = ""
    calls: list[Called] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    finish: str = ""
    kept: list[Any] = field(default_factory=list)
    """What goes into the history."""


class Talk:
    """One conversation. Lives as long as its test."""

    def __init__(self, gateway: GatewayProcess, protocol: str, model: str, *, stream: bool = False) -> None:
        self.gateway = gateway
        self.protocol = protocol
        self.model = model
        self.stream = stream
        self.history: list[Any] = []
        self.fields: dict[str, Any] = {}
        """More of the request."""
        self.headers: dict[str, str] = {}

    def say(self, text: str, **fields: Any) -> Said:
        """The user's next words, and the answer to them."""
        self.history += USERS[self.protocol](text)
        return self.ask(**fields)

    def results(self, last: Said, text: str = "sunny") -> Said:
        """The outcome of every call of the last answer, in their order, and what comes of it."""
        self.history += RESULTS[self.protocol]([(call, f"{text} in {call.arguments['city']}") for call in last.calls])
        return self.ask()

    def ask(self, **fields: Any) -> Said:
        answer = self.send(**fields)
        assert answer.status == 200, answer.body
        said = understood(self.protocol, answer, stream=self.stream)
        self.history += said.kept
        return said

    def send(self, **fields: Any) -> Answer:
        path, body = self.request(**fields)
        return self.gateway.request("POST", path, body, self.headers)

    def request(self, **fields: Any) -> tuple[str, dict[str, Any]]:
        return request(self.protocol, self.model, self.history, stream=self.stream, **{**self.fields, **fields})

    @property
    def agent(self) -> "Talk":
        """The same, with a tool and with reasoning asked for and shown."""
        self.fields = {**WITH_TOOL[self.protocol], **WITH_REASONING[self.protocol]}
        return self


def request(
    protocol: str, model: str, history: list[Any], *, stream: bool = False, **fields: Any
) -> tuple[str, dict[str, Any]]:
    """Path and body."""
    if protocol == GEMINI:
        operation = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{operation}", {"contents": history, **fields}
    path = {CHAT: "/api/v1/chat/completions", RESPONSES: "/api/v1/responses", MESSAGES: "/anthropic/v1/messages"}
    name = "input" if protocol == RESPONSES else "messages"
    own = {CHAT: _chat_own(stream), RESPONSES: {"store": False}, MESSAGES: {"max_tokens": 8000}}
    return path[protocol], {"model": model, name: history, "stream": stream} | own[protocol] | fields


def _chat_own(stream: bool) -> dict[str, Any]:
    return {"stream_options": {"include_usage": True}} if stream else {}


_NAMED = {"name": TOOL[0], "description": TOOL[1]}
WITH_TOOL: dict[str, dict[str, Any]] = {
    CHAT: {"tools": [{"type": "function", "function": {**_NAMED, "parameters": SCHEMA}}]},
    RESPONSES: {"tools": [{"type": "function", **_NAMED, "parameters": SCHEMA}]},
    MESSAGES: {"tools": [{**_NAMED, "input_schema": SCHEMA}]},
    GEMINI: {"tools": [{"functionDeclarations": [{**_NAMED, "parameters": SCHEMA}]}]},
}
WITH_REASONING: dict[str, dict[str, Any]] = {
    CHAT: {"reasoning_effort": "low"},
    RESPONSES: {
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    },
    MESSAGES: {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    GEMINI: {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2000}}},
}
USERS: dict[str, Any] = {
    CHAT: lambda text: [{"role": "user", "content": text}],
    RESPONSES: lambda text: [{"role": "user", "content": text}],
    MESSAGES: lambda text: [{"role": "user", "content": text}],
    GEMINI: lambda text: [{"role": "user", "parts": [{"text": text}]}],
}


def _result_blocks(done: list[tuple[Called, str]]) -> list[Any]:
    blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in done]
    return [{"role": "user", "content": blocks}]


def _result_parts(done: list[tuple[Called, str]]) -> list[Any]:
    parts = []
    for call, text in done:
        response = {"name": call.name, "response": {"output": text}}
        parts.append({"functionResponse": ({"id": call.id} if call.id else {}) | response})
    return [{"role": "user", "parts": parts}]


RESULTS: dict[str, Any] = {
    CHAT: lambda done: [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in done],
    RESPONSES: lambda done: [
        {"type": "function_call_output", "call_id": call.id, "output": text} for call, text in done
    ],
    MESSAGES: _result_blocks,
    GEMINI: _result_parts,
}


# --- reading


def events_of(answer: Answer) -> list[Any]:
    """Without what only keeps the connection open; clients skip it, wherever it comes."""
    return [event for event in answer.events if isinstance(event, dict) and event.get("type") != "ping"]


def understood(protocol: str, answer: Answer, *, stream: bool) -> Said:
    """The answer, put together as the protocol's own client does it."""
    said = Said(answer)
    if protocol == GEMINI:
        _gemini(said, events_of(answer) if stream else [answer.json])
    elif protocol == CHAT:
        _chat(said, _chat_folded(events_of(answer)) if stream else answer.json)
    elif protocol == RESPONSES:
        _responses(said, _responses_folded(events_of(answer)) if stream else answer.json)
    else:
        _messages(said, _messages_folded(events_of(answer)) if stream else answer.json)
    return said


def _chat(said: Said, told: Any) -> None:
    (choice,) = told["choices"]
    message = choice["message"]
    said.text, said.reasoning = message.get("content") or "", message.get("reasoning_content") or ""
    said.finish, said.usage = choice["finish_reason"], told["usage"]
    calls = message.get("tool_calls") or []
    for call in calls:
        function = call["function"]
        said.calls.append(Called(call["id"], function["name"], json.loads(function["arguments"])))
    kept: dict[str, Any] = {"role": "assistant", "content": message.get("content")}
    said.kept = [kept | ({"tool_calls": calls} if calls else {})]


def _chat_folded(events: list[Any]) -> Any:
    message: dict[str, Any] = {"content": None}
    calls: dict[int, Any] = {}
    finish, usage = "", None
    for event in events:
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            delta = choice["delta"]
            for name in ("content", "reasoning_content"):
                if delta.get(name):
                    message[name] = (message.get(name) or "") + delta[name]
            for piece in delta.get("tool_calls") or []:
                _chat_call(calls, piece)
            finish = choice.get("finish_reason") or finish
    message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def _chat_call(calls: dict[int, Any], piece: Any) -> None:
    index, function = piece["index"], piece.get("function") or {}
    if index not in calls:
        calls[index] = {"id": piece["id"], "type": "function", "function": {"name": function["name"], "arguments": ""}}
    calls[index]["function"]["arguments"] += function.get("arguments") or ""


def _responses(said: Said, told: Any) -> None:
    said.finish, said.usage, said.kept = told["status"], told["usage"], told["output"]
    for item in told["output"]:
        if item["type"] == "message":
            said.text += "".join(part.get("text", "") for part in item["content"])
        elif item["type"] == "reasoning":
            said.reasoning += "".join(part["text"] for part in item["summary"])
        elif item["type"] == "function_call":
            said.calls.append(Called(item["call_id"], item["name"], json.loads(item["arguments"])))


def _responses_folded(events: list[Any]) -> Any:
    """As Codex does it: whole items, each from its own event, and the rest from the last one."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    last = events[-1]["response"]
    assert items == last["output"]
    return last | {"output": items}


def _messages(said: Said, told: Any) -> None:
    said.finish, said.usage = told["stop_reason"], told["usage"]
    for block in told["content"]:
        if block["type"] == "text":
            said.text += block["text"]
        elif block["type"] == "thinking":
            said.reasoning += block["thinking"]
        elif block["type"] == "tool_use":
            said.calls.append(Called(block["id"], block["name"], block["input"]))
    said.kept = [{"role": "assistant", "content": told["content"]}]


def _messages_folded(events: list[Any]) -> Any:
    told = events[0]["message"]
    blocks: dict[int, Any] = {}
    json_parts: dict[int, str] = {}
    for event in events[1:]:
        kind = event["type"]
        if kind == "content_block_start":
            assert event["index"] == len(blocks)
            blocks[event["index"]] = dict(event["content_block"])
        elif kind == "content_block_delta":
            _messages_delta(blocks[event["index"]], event["delta"], json_parts, event["index"])
        elif kind == "message_delta":
            told |= event["delta"]
            told["usage"] = told["usage"] | event["usage"]
    assert events[-1]["type"] == "message_stop"
    for index, text in json_parts.items():
        blocks[index]["input"] = json.loads(text or "{}")
    return told | {"content": [blocks[index] for index in sorted(blocks)]}


def _messages_delta(block: dict[str, Any], delta: Any, json_parts: dict[int, str], index: int) -> None:
    if delta["type"] == "input_json_delta":
        json_parts[index] = json_parts.get(index, "") + delta["partial_json"]
        return
    name = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}[delta["type"]]
    block[name] = block.get(name, "") + delta[name]


def _gemini(said: Said, chunks: list[Any]) -> None:
    """Chats of the SDK keep the content of every chunk."""
    for chunk in chunks:
        for candidate in chunk.get("candidates", ()):
            said.finish = candidate.get("finishReason") or said.finish
            parts = candidate.get("content", {}).get("parts", [])
            if parts:
                said.kept.append({"role": "model", "parts": parts})
            for part in parts:
                _gemini_part(said, part)
        said.usage = chunk.get("usageMetadata") or said.usage


def _gemini_part(said: Said, part: Any) -> None:
    if "functionCall" in part:
        call = part["functionCall"]
        said.calls.append(Called(call.get("id", ""), call["name"], call.get("args", {})))
    elif part.get("thought"):
        said.reasoning += part.get("text", "")
    else:
        said.text += part.get("text", "")


def tokens(protocol: str, usage: dict[str, Any]) -> tuple[int, int, int]:
    """All of the prompt, what of it was read from a cache, and all output."""
    if protocol == GEMINI:
        made = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
        return usage["promptTokenCount"], usage.get("cachedContentTokenCount", 0), made
    if protocol == MESSAGES:
        cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
        return usage["input_tokens"] + cached + written, cached, usage["output_tokens"]
    if protocol == RESPONSES:
        cached = usage["input_tokens_details"]["cached_tokens"]
        return usage["input_tokens"], cached, usage["output_tokens"]
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return usage["prompt_tokens"], cached, usage["completion_tokens"]
