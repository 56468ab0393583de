"""The bytes of an answer as OpenAI and Azure OpenAI send it: one body, or the events of a stream.

In: an `Answer`, the id, time and model of the response. Out: bytes. The fields are those of
https://platform.openai.com/docs/api-reference/chat/object and .../chat/streaming; Azure's extra ones those of
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter-annotations and its key order is
alphabetical.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from trunkline.simulate.answer import Answer, Piece
from trunkline.simulate.vendor_errors import ERROR_EVENT

FINGERPRINT = "simulated"
DONE = b"data: [DONE]\n\n"
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
PROMPT_SAFE = [{"prompt_index": 0, "content_filter_results": SAFE}]

encode = msgspec.json.encode


class Head(msgspec.Struct, frozen=True):
    """What all chunks of a response share. `created` is in seconds since 1970."""

    dialect: str
    id: str
    created: int
    model: str
    secret: bytes = b""
    """With it the provider seals its reasoning."""


class Events(msgspec.Struct, frozen=True):
    """A stream: what comes before the first piece, some events (or none) for each piece, and what ends it."""

    opening: bytes
    pieces: tuple[bytes, ...]
    closing: bytes
    error: Callable[[int], bytes]
    """What is said when the server fails after so many pieces; nothing follows it."""
    content_type: bytes = b"text/event-stream; charset=utf-8"


class Frame(msgspec.Struct, frozen=True):
    """What stands around a delta: chunks differ only there, so that an event costs one join."""

    before: bytes
    after: bytes


def events(answer: Answer, head: Head, *, with_usage: bool) -> Events:
    """A whole stream. With `with_usage` every chunk has `usage`, null but in the last one, whose `choices` is empty
    (API reference, `stream_options.include_usage`)."""
    plain = frame(head, with_usage, judged=False)
    judged = frame(head, with_usage, judged=True)
    role = {"role": "assistant", "content": None if answer.calls or answer.refusal is not None else "", "refusal": None}
    last = plain.after.replace(b'"finish_reason":null', b'"finish_reason":"%s"' % answer.finish.encode())
    closing = [plain.before, b"{}", last]
    if with_usage:
        closing.append(usage_event(answer, head))
    return Events(
        opening=prompt_event(head) + plain.before + encode(role) + plain.after,
        pieces=tuple(judged.before + delta(piece, answer) + judged.after for piece in answer.pieces),
        closing=b"".join([*closing, DONE]),
        error=lambda _sent: ERROR_EVENT,
    )


def frame(head: Head, with_usage: bool, *, judged: bool) -> Frame:
    usage = b',"usage":null' if with_usage else b""
    fixed = (encode(head.id), head.created, encode(head.model), encode(FINGERPRINT))
    if head.dialect == "azure":
        before = b'data: {"choices":[{"content_filter_results":%s,"delta":' % encode(SAFE if judged else {})
        after = b',"finish_reason":null,"index":0,"logprobs":null}],"created":%d,"id":%s,"model":%s' % (
            fixed[1], fixed[0], fixed[2],
        )  # fmt: skip
        tail = b',"object":"chat.completion.chunk","system_fingerprint":%s%s}\n\n' % (fixed[3], usage)
        return Frame(before, after + tail)
    before = (
        b'data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,"service_tier":"default",'
        b'"system_fingerprint":%s,"choices":[{"index":0,"delta":' % fixed
    )
    return Frame(before, b',"finish_reason":null}]%s}\n\n' % usage)


def delta(piece: Piece, answer: Answer) -> bytes:
    """The `delta` of a piece. `reasoning_content` is no field of OpenAI's, but that of many servers that speak this
    protocol."""
    if piece.kind == "text":
        return b'{"content":%s}' % encode(piece.text)
    if piece.kind == "refusal":
        return b'{"refusal":%s}' % encode(piece.text)
    if piece.kind == "think":
        return b'{"reasoning_content":%s}' % encode(piece.text)
    if piece.kind == "args":
        return b'{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}' % (piece.index, encode(piece.text))
    call = answer.calls[piece.index]
    opened = {"index": piece.index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    return encode({"tool_calls": [opened]})


def prompt_event(head: Head) -> bytes:
    """Azure's first chunk: what the filter said of the prompt, without id, model or choices."""
    if head.dialect != "azure":
        return b""
    empty: dict[str, Any] = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    return b"data: " + encode(empty | {"prompt_filter_results": PROMPT_SAFE}) + b"\n\n"


def usage_event(answer: Answer, head: Head) -> bytes:
    fields = {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
        "choices": [],
        "usage": usage(answer),
    }
    return b"data: " + encode(as_sent(fields, head)) + b"\n\n"


def as_sent(fields: dict[str, Any], head: Head) -> dict[str, Any]:
    """Azure sends no service tier, and its keys in order."""
    if head.dialect != "azure":
        return fields
    return dict(sorted((name, value) for name, value in fields.items() if name != "service_tier"))


def usage(answer: Answer) -> dict[str, Any]:
    counts = answer.usage
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def body(answer: Answer, head: Head, *, with_usage: bool = True) -> bytes:
    """The answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.thoughts:
        message["reasoning_content"] = "".join(answer.thoughts)
    if answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.calls
        ]
    choice: dict[str, Any] = {"index": 0, "message": message | {"refusal": answer.refusal, "annotations": []}}
    choice["finish_reason"] = answer.finish
    fields: dict[str, Any] = {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [choice],
        "usage": usage(answer),
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }
    if not with_usage:
        del fields["usage"]
    if head.dialect == "azure":
        choice |= {"content_filter_results": SAFE, "logprobs": None}
        fields["prompt_filter_results"] = PROMPT_SAFE
    return encode(as_sent(fields, head))


def models(names: tuple[str, ...], created: int) -> bytes:
    """The list of models (https://platform.openai.com/docs/api-reference/models/list)."""
    return encode({"object": "list", "data": [model(name, created) for name in names]})


def model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": FINGERPRINT}
