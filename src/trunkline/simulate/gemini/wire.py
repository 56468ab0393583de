"""The bytes of an answer as the Gemini API sends it: one object, server-sent events, or an array of objects.

In: an `Answer`, the `Asked` and the `Head`. Out: bytes. Fields: https://ai.google.dev/api/generate-content
(GenerateContentResponse). A call comes whole; each chunk has the usage so far; signatures are on the first call of an
answer, or on an empty last part (https://ai.google.dev/gemini-api/docs/thought-signatures).
"""

from typing import Any

import msgspec

from trunkline.simulate.answer import Answer, Piece
from trunkline.simulate.asked import Asked
from trunkline.simulate.gemini.contents import SIGNED_AT_WILL, covered_by
from trunkline.simulate.gemini.errors import STREAM_ERROR, in_array
from trunkline.simulate.seals import NO_PREFIX, Seal, seal
from trunkline.simulate.wire import Events, Head

encode = msgspec.json.encode


def events(answer: Answer, asked: Asked, head: Head, *, with_usage: bool) -> Events:
    """A whole stream. A call is told with its last piece."""
    frame = event if asked.body["sse"] else element
    pieces, told = [], 0
    for n, piece in enumerate(answer.pieces):
        parts = parts_of(piece, n, answer, asked, head)
        spoken = response(answer, asked, head, parts, done=n + 1, over=False, with_usage=with_usage) if parts else None
        pieces.append(frame(spoken, first=not told) if spoken else b"")
        told += bool(parts)
    last = response(answer, asked, head, last_parts(answer, asked, head), done=-1, over=True, with_usage=with_usage)
    closing = frame(last, first=not told)
    if asked.body["sse"]:
        failed = event(msgspec.Raw(STREAM_ERROR), first=True)
        return Events(b"", tuple(pieces), closing, lambda _sent: failed, b"text/event-stream")
    begun = [any(pieces[: n + 1]) for n in range(len(pieces))]

    def error(sent: int) -> bytes:
        return (b"," if sent and begun[sent - 1] else b"") + b"\r\n" + STREAM_ERROR + b"\r\n]"

    return Events(b"[", tuple(pieces), closing + b"\r\n]", error, b"application/json; charset=UTF-8")


def event(fields: dict[str, Any] | msgspec.Raw, *, first: bool) -> bytes:
    """Google ends its lines with CR LF."""
    _ = first
    return b"data: " + encode(fields) + b"\r\n\r\n"


def element(fields: dict[str, Any], *, first: bool) -> bytes:
    return (b"" if first else b",\r\n") + encode(fields)


def parts_of(piece: Piece, n: int, answer: Answer, asked: Asked, head: Head) -> list[dict[str, Any]]:
    """What a piece says; nothing for a call that is not at its end, or whose arguments are no JSON."""
    if piece.kind == "think":
        return [{"text": piece.text, "thought": True}]
    if piece.kind == "text":
        return [{"text": piece.text}]
    if piece.kind == "refusal":  # A blocked answer has a reason and no words.
        return []
    after = answer.pieces[n + 1] if n + 1 < len(answer.pieces) else None
    if after is not None and after.kind == "args" and after.index == piece.index:
        return []
    part = call_part(piece.index, answer, asked, head)
    return [part] if part else []


def call_part(index: int, answer: Answer, asked: Asked, head: Head) -> dict[str, Any] | None:
    call = answer.calls[index]
    try:
        args = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        return None
    part: dict[str, Any] = {"functionCall": {"name": call.name, "args": args}}
    if asked.body["signs"]:  # Gemini 3 gives its calls ids, too.
        part["functionCall"]["id"] = f"sim{answer.tag.hex()}{index}"
    if index == 0 and asked.reasoning:
        part["thoughtSignature"] = signature(covered_by(part), answer, head)
    return part


def signature(covered: bytes, answer: Answer, head: Head) -> str:
    return seal(head.secret, "part", Seal(answer.tag, 0, 1, NO_PREFIX), covered)


def last_parts(answer: Answer, asked: Asked, head: Head) -> list[dict[str, Any]]:
    if not answer.pieces or answer.refusal is not None:
        return []
    if answer.calls or not asked.body["signs"]:
        return [{"text": ""}]
    return [{"text": "", "thoughtSignature": signature(SIGNED_AT_WILL, answer, head)}]


def response(
    answer: Answer,
    asked: Asked,
    head: Head,
    parts: list[dict[str, Any]],
    *,
    done: int,
    over: bool,
    with_usage: bool,
) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model"} if not parts else {"parts": parts, "role": "model"}
    candidate: dict[str, Any] = {"content": content, "index": 0}
    if over:
        candidate["finishReason"] = finish_reason(answer)
    fields: dict[str, Any] = {"candidates": [candidate]}
    if with_usage:
        fields["usageMetadata"] = usage(answer, answer.usage.completion if done < 0 else done)
    return fields | {"modelVersion": asked.model, "responseId": head.id}


def finish_reason(answer: Answer) -> str:
    if answer.finish == "length":
        return "MAX_TOKENS"
    if answer.refusal is not None:
        return "SAFETY"
    return "MALFORMED_FUNCTION_CALL" if any(not is_json(call.arguments) for call in answer.calls) else "STOP"


def is_json(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return False
    return True


def usage(answer: Answer, output: int) -> dict[str, Any]:
    """`candidatesTokenCount` does not hold the thoughts; the sum holds everything (UsageMetadata)."""
    counts = answer.usage
    thoughts = counts.reasoning if output >= counts.completion else min(counts.reasoning, output)
    fields: dict[str, Any] = {
        "promptTokenCount": counts.prompt,
        "candidatesTokenCount": max(output - thoughts, 0),
        "totalTokenCount": counts.prompt + max(output, thoughts),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.prompt}],
    }
    if counts.cached:
        fields["cachedContentTokenCount"] = counts.cached
        fields["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": counts.cached}]
    if thoughts:
        fields["thoughtsTokenCount"] = thoughts
    return fields


def body(answer: Answer, asked: Asked, head: Head, *, with_usage: bool = True) -> bytes:
    parts: list[dict[str, Any]] = [{"text": text, "thought": True} for text in answer.thoughts]
    if answer.text:
        part: dict[str, Any] = {"text": answer.text}
        if asked.body["signs"]:
            part["thoughtSignature"] = signature(SIGNED_AT_WILL, answer, head)
        parts.append(part)
    calls = [call_part(index, answer, asked, head) for index in range(len(answer.calls))]
    parts += [part for part in calls if part]
    return encode(response(answer, asked, head, parts, done=-1, over=True, with_usage=with_usage))


def count(_answer: Answer, asked: Asked, _head: Head, **_: bool) -> bytes:
    """https://ai.google.dev/api/tokens"""
    details = [{"modality": "TEXT", "tokenCount": asked.prompt_tokens}]
    return encode({"totalTokens": asked.prompt_tokens, "promptTokensDetails": details})


def model(name: str) -> dict[str, Any]:
    """https://ai.google.dev/api/models"""
    return {
        "name": f"models/{name}",
        "version": "simulated",
        "displayName": f"{name} (simulated)",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def models(names: tuple[str, ...]) -> bytes:
    return encode({"models": [model(name) for name in names]})


__all__ = ["body", "count", "events", "in_array", "model", "models"]
