"""Answers of providers in the four protocols, piece by piece: `WIRES[kind]`, played by `plays_whole`, `plays_stream` over `tests.fakes.upstream`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.upstream import DONE, STREAM_HEAD, Call, Script, chunk, completion, usage_chunk


@dataclass(frozen=True)
class Wire:
    """How one protocol says it. Each answer has 10 tokens in and 5 out."""

    whole: Callable[[str], bytes]
    opening: bytes
    delta: Callable[[str], bytes]
    closing: Callable[[str], bytes]
    """The end of a stream that said this text."""
    empty: bytes
    """A whole answer without a word."""
    error: Callable[[str], bytes]
    """Inside a stream."""
    refusal: Callable[[int, str], bytes]
    """The body of a status."""
    malformed: bytes
    """One event of a stream that is no JSON."""


def named(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n".encode()


def data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


# --- Chat


def openai_refusal(status: int, message: str) -> bytes:
    del status
    return json.dumps({"error": {"message": message, "type": "some_error", "param": None, "code": None}}).encode()


CHAT = Wire(
    whole=completion,
    opening=chunk({"role": "assistant", "content": ""}),
    delta=lambda text: chunk({"content": text}),
    closing=lambda text: chunk({}, finish="stop") + usage_chunk() + DONE,
    empty=b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[]}',
    error=lambda message: data({"error": {"message": message, "type": "server_error", "code": None, "param": None}}),
    refusal=openai_refusal,
    malformed=b'data: {"choices": [{"del\n\n',
)

# --- Responses

RESPONSE_USAGE = {
    "input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
    "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
}  # fmt: skip
TEXT_AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def message_item(status: str, *parts: Any) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": list(parts)}


def response(status: str, output: list[Any], **more: Any) -> dict[str, Any]:
    told = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status, "output": output}
    return told | {"usage": RESPONSE_USAGE if status == "completed" else None, "error": None, "store": False} | more


def responses_closing(text: str) -> bytes:
    item = message_item("completed", text_part(text))
    return b"".join(
        [
            named("response.output_text.done", text=text, sequence_number=4, **TEXT_AT),
            named("response.content_part.done", part=text_part(text), sequence_number=5, **TEXT_AT),
            named("response.output_item.done", output_index=0, item=item, sequence_number=6),
            named("response.completed", response=response("completed", [item]), sequence_number=7),
        ]
    )


def responses_error(message: str) -> bytes:
    told = {"code": "server_error", "message": message}
    return named("error", sequence_number=9, param=None, **told) + named(
        "response.failed", sequence_number=10, response=response("failed", [], error=told)
    )


RESPONSES = Wire(
    whole=lambda text: json.dumps(response("completed", [message_item("completed", text_part(text))])).encode(),
    opening=named("response.created", response=response("in_progress", []), sequence_number=0)
    + named("response.output_item.added", output_index=0, item=message_item("in_progress"), sequence_number=1)
    + named("response.content_part.added", part=text_part(""), sequence_number=2, **TEXT_AT),
    delta=lambda text: named("response.output_text.delta", delta=text, sequence_number=3, **TEXT_AT),
    closing=responses_closing,
    empty=json.dumps(response("completed", [])).encode(),
    error=responses_error,
    refusal=openai_refusal,
    malformed=b'event: response.output_text.delta\ndata: {"type": "response.output_te\n\n',
)

# --- Messages


def message(content: list[Any], stop: str | None, output_tokens: int) -> dict[str, Any]:
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
    return told | {
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": output_tokens},
    }


def anthropic_error(kind: str, text: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": text}}


MESSAGES = Wire(
    whole=lambda text: json.dumps(message([{"type": "text", "text": text}], "end_turn", 5)).encode(),
    opening=named("message_start", message=message([], None, 1))
    + named("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + named("ping"),
    delta=lambda text: named("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
    closing=lambda text: (
        named("content_block_stop", index=0)
        + named("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 5})
        + named("message_stop")
    ),
    empty=json.dumps(message([], "end_turn", 0)).encode(),
    error=lambda text: named("error", error={"type": "overloaded_error", "message": text}),
    refusal=lambda status, text: json.dumps(
        anthropic_error("rate_limit_error" if status == 429 else "api_error", text)
    ).encode(),
    malformed=b'event: content_block_delta\ndata: {"type": "content_blo\n\n',
)

# --- Gemini

GEMINI_USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}


def generated(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0}
    if text is not None:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r1"} | more


def google_error(status: int, text: str) -> dict[str, Any]:
    word = {400: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}.get(status, "INTERNAL")
    return {"error": {"code": status, "message": text, "status": word}}


GEMINI = Wire(
    whole=lambda text: json.dumps(generated(text, "STOP", usageMetadata=GEMINI_USAGE)).encode(),
    opening=b"",
    delta=lambda text: data(generated(text)),
    closing=lambda text: data(generated("", "STOP", usageMetadata=GEMINI_USAGE)),
    empty=json.dumps({"candidates": [], "usageMetadata": {"promptTokenCount": 10}}).encode(),
    error=lambda text: data(google_error(503, text)),
    refusal=lambda status, text: json.dumps(google_error(status, text)).encode(),
    malformed=b'data: {"candidates": [{"con\n\n',
)

WIRES = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "gemini": GEMINI}


# --- scripts


def speaks(kind: str, text: str = "hello") -> Script:
    """The answer to anything, streamed or not."""
    wire = WIRES[kind]

    def script(call: Call) -> None:
        if call.streamed:
            call.send(STREAM_HEAD + wire.opening + wire.delta(text) + wire.closing(text))
            call.close()
        else:
            call.answer(200, wire.whole(text))

    return script


def refuses(kind: str, status: int, text: str = "no words", headers: dict[str, str] | None = None) -> Script:
    body = WIRES[kind].refusal(status, text)
    return lambda call: call.answer(status, body, headers)


def streams(kind: str, *steps: str | bytes | Script) -> Script:
    """Head and opening, then deltas (strings), bytes and acts in order. Ends the connection, and nothing else."""
    wire = WIRES[kind]

    def script(call: Call) -> None:
        call.send(STREAM_HEAD + wire.opening)
        for step in steps:
            if callable(step):
                step(call)
            else:
                call.send(wire.delta(step) if isinstance(step, str) else step)
        if not call.broken:
            call.close()

    return script
