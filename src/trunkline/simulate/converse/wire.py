"""The bytes of an answer as Converse sends it: one body, or frames.

In: an `Answer`, the `Asked` and the `Head`. Out: bytes. Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
order of events: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-call.html
"""

import base64
from typing import Any

import msgspec

from trunkline.simulate.answer import Answer, Piece
from trunkline.simulate.asked import Asked
from trunkline.simulate.converse.errors import error_frame
from trunkline.simulate.converse.frames import CONTENT_TYPE, event
from trunkline.simulate.seals import NO_PREFIX, Seal, seal
from trunkline.simulate.wire import Events, Head

LATENCY_MS = 1
TOOL_ID = "tooluse_"


def events(answer: Answer, asked: Asked, head: Head, *, with_usage: bool) -> Events:
    """A whole stream: only calls have a beginning of their own, every block has an end."""
    blocks = numbered(answer)
    pieces = []
    for n, piece in enumerate(answer.pieces):
        last = n + 1 == len(blocks) or blocks[n + 1] != blocks[n]
        told = changed(piece, blocks[n], answer)
        pieces.append(told + (stopped(piece, blocks[n], answer, asked, head) if last else b""))
    closing = event("messageStop", stop_of(answer, asked))
    if with_usage:
        closing += event("metadata", {"usage": usage(answer), "metrics": {"latencyMs": LATENCY_MS}})
    return Events(
        opening=event("messageStart", {"role": "assistant"}),
        pieces=tuple(pieces),
        closing=closing,
        error=error_frame,
        content_type=CONTENT_TYPE,
    )


def numbered(answer: Answer) -> list[int]:
    """For each piece, the index of its block in the message."""
    places: dict[tuple[str, int], int] = {}
    return [
        places.setdefault(("call" if piece.kind == "args" else piece.kind, piece.index), len(places))
        for piece in answer.pieces
    ]


def changed(piece: Piece, index: int, answer: Answer) -> bytes:
    if piece.kind == "call":
        use = {"toolUseId": tool_id(answer, piece.index), "name": answer.calls[piece.index].name}
        return event("contentBlockStart", {"start": {"toolUse": use}, "contentBlockIndex": index})
    deltas: dict[str, dict[str, Any]] = {
        "text": {"text": piece.text},
        "refusal": {"text": piece.text},
        "think": {"reasoningContent": {"text": piece.text}},
        "args": {"toolUse": {"input": piece.text}},
        "redacted": {"reasoningContent": {"redactedContent": redacted(answer)}},
    }
    return event("contentBlockDelta", {"delta": deltas[piece.kind], "contentBlockIndex": index})


def stopped(piece: Piece, index: int, answer: Answer, asked: Asked, head: Head) -> bytes:
    signed = b""
    if piece.kind == "think" and asked.body["signs"]:
        delta = {"reasoningContent": {"signature": signature(piece.index, answer, head)}}
        signed = event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index})
    return signed + event("contentBlockStop", {"contentBlockIndex": index})


def signature(index: int, answer: Answer, head: Head) -> str:
    mark = Seal(answer.tag, index, len(answer.thoughts), NO_PREFIX)
    return seal(head.secret, "thinking", mark, answer.thoughts[index].encode())


def redacted(answer: Answer) -> str:
    return base64.b64encode(b"hidden " + answer.tag).decode()


def tool_id(answer: Answer, index: int) -> str:
    return f"{TOOL_ID}{answer.tag.hex()}-{index}"


def content(answer: Answer, asked: Asked, head: Head) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for n, text in enumerate(answer.thoughts):
        signed = {"signature": signature(n, answer, head)} if asked.body["signs"] else {}
        blocks.append({"reasoningContent": {"reasoningText": {"text": text, **signed}}})
    if any(piece.kind == "redacted" for piece in answer.pieces):
        blocks.append({"reasoningContent": {"redactedContent": redacted(answer)}})
    said = answer.text or answer.refusal
    if said:
        blocks.append({"text": said})
    for n, call in enumerate(answer.calls):
        blocks.append(
            {"toolUse": {"toolUseId": tool_id(answer, n), "name": call.name, "input": parsed(call.arguments)}}
        )
    return blocks


def parsed(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return {}


def stop_of(answer: Answer, asked: Asked) -> dict[str, Any]:
    told: dict[str, Any] = {"stopReason": stop_reason(answer)}
    if "/stop_sequence" in asked.body["paths"] and asked.body["signs"]:
        told["additionalModelResponseFields"] = {"stop_sequence": answer.stopped_by}
    return told


def stop_reason(answer: Answer) -> str:
    if answer.finish == "length":
        return "max_tokens"
    if answer.refusal is not None:
        return "content_filtered"
    if answer.calls:
        return "tool_use"
    return "end_turn" if answer.stopped_by is None else "stop_sequence"


def usage(answer: Answer) -> dict[str, Any]:
    """`inputTokens` are those that were neither read from the cache nor written into it."""
    counts = answer.usage
    written = counts.written_5m + counts.written_1h
    return {
        "inputTokens": counts.prompt - counts.cached - written,
        "outputTokens": counts.completion,
        "totalTokens": counts.prompt + counts.completion,
        "cacheReadInputTokens": counts.cached,
        "cacheWriteInputTokens": written,
    }


def body(answer: Answer, asked: Asked, head: Head, *, with_usage: bool = True) -> bytes:
    fields: dict[str, Any] = {
        "metrics": {"latencyMs": LATENCY_MS},
        "output": {"message": {"role": "assistant", "content": content(answer, asked, head)}},
        **stop_of(answer, asked),
    }
    if with_usage:
        fields["usage"] = usage(answer)
    return msgspec.json.encode(fields)
