"""The bytes of an answer as Anthropic sends it: one message, or named events.

In: an `Answer`, the `Asked` and the `Head`. Out: bytes. Fields: https://platform.claude.com/docs/en/api/messages/create;
order of events: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from typing import Any

import msgspec

from trunkline.simulate.answer import Answer, Piece
from trunkline.simulate.asked import Asked
from trunkline.simulate.messages.errors import error_event
from trunkline.simulate.messages.thinking import TOOL_ID, is_omitted
from trunkline.simulate.seals import Seal, seal
from trunkline.simulate.wire import Events, Head

encode = msgspec.json.encode


def named(event: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), encode(event))


def events(answer: Answer, asked: Asked, head: Head, *, with_usage: bool) -> Events:
    """A whole stream. Each piece carries the start of its block if it is the first there, and the stop if the last."""
    blocks = numbered(answer)
    pieces = []
    for n, piece in enumerate(answer.pieces):
        first = n == 0 or blocks[n - 1] != blocks[n]
        last = n + 1 == len(blocks) or blocks[n + 1] != blocks[n]
        told = started(piece, blocks[n], answer, asked, head) if first else b""
        told += b"" if piece.kind == "think" and is_omitted(asked.body, asked.model) else changed(piece, blocks[n])
        pieces.append(told + (stopped(piece, blocks[n], answer, asked, head) if last else b""))
    start = message(answer, asked, head) | {"content": [], "stop_reason": None, "stop_sequence": None}
    start["usage"] = usage(answer, output=1) if with_usage else {"input_tokens": 0, "output_tokens": 0}
    delta = stop_of(answer)
    closing: dict[str, Any] = {"type": "message_delta", "delta": delta, "usage": ended_usage(answer)}
    if not with_usage:
        closing["usage"] = {"output_tokens": 0}
    return Events(
        opening=named({"type": "message_start", "message": start}) + named({"type": "ping"}),
        pieces=tuple(pieces),
        closing=named(closing) + named({"type": "message_stop"}),
        error=error_event,
    )


def numbered(answer: Answer) -> list[int]:
    """For each piece, the index of its block in the message."""
    places: dict[tuple[str, int], int] = {}
    return [places.setdefault(block_of(piece), len(places)) for piece in answer.pieces]


def block_of(piece: Piece) -> tuple[str, int]:
    return ("call" if piece.kind == "args" else piece.kind, piece.index)


def started(piece: Piece, index: int, answer: Answer, asked: Asked, head: Head) -> bytes:
    block: dict[str, Any] = {"type": "text", "text": ""}
    if piece.kind == "think":
        block = {"type": "thinking", "thinking": "", "signature": ""}
    if piece.kind == "redacted":
        block = redacted(answer, asked, head)
    if piece.kind == "call":
        call = answer.calls[piece.index]
        block = {"type": "tool_use", "id": tool_id(answer, piece.index), "name": call.name, "input": {}}
    return named({"type": "content_block_start", "index": index, "content_block": block})


def changed(piece: Piece, index: int) -> bytes:
    deltas = {
        "text": {"type": "text_delta", "text": piece.text},
        "refusal": {"type": "text_delta", "text": piece.text},
        "think": {"type": "thinking_delta", "thinking": piece.text},
        "call": {"type": "input_json_delta", "partial_json": ""},
        "args": {"type": "input_json_delta", "partial_json": piece.text},
    }
    if piece.kind not in deltas:
        return b""
    return named({"type": "content_block_delta", "index": index, "delta": deltas[piece.kind]})


def stopped(piece: Piece, index: int, answer: Answer, asked: Asked, head: Head) -> bytes:
    signed = b""
    if piece.kind == "think":
        delta = {"type": "signature_delta", "signature": signature(piece.index, answer, asked, head)}
        signed = named({"type": "content_block_delta", "index": index, "delta": delta})
    return signed + named({"type": "content_block_stop", "index": index})


def place(ordinal: int, answer: Answer, asked: Asked) -> Seal:
    count = len(answer.thoughts) + any(piece.kind == "redacted" for piece in answer.pieces)
    return Seal(answer.tag, ordinal, count, asked.prefix)


def signature(index: int, answer: Answer, asked: Asked, head: Head) -> str:
    return seal(head.secret, "thinking", place(index, answer, asked), shown(answer.thoughts[index], asked).encode())


def shown(thought: str, asked: Asked) -> str:
    return "" if is_omitted(asked.body, asked.model) else thought


def redacted(answer: Answer, asked: Asked, head: Head) -> dict[str, Any]:
    mark = place(len(answer.thoughts), answer, asked)
    return {"type": "redacted_thinking", "data": seal(head.secret, "redacted", mark, b"")}


def tool_id(answer: Answer, index: int) -> str:
    return f"{TOOL_ID}{answer.tag.hex()}{index}"


def content(answer: Answer, asked: Asked, head: Head) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": shown(text, asked), "signature": signature(n, answer, asked, head)}
        for n, text in enumerate(answer.thoughts)
    ]
    if any(piece.kind == "redacted" for piece in answer.pieces):
        blocks.append(redacted(answer, asked, head))
    said = answer.text or answer.refusal
    if said:
        blocks.append({"type": "text", "text": said})
    for n, call in enumerate(answer.calls):
        blocks.append(
            {"type": "tool_use", "id": tool_id(answer, n), "name": call.name, "input": parsed(call.arguments)}
        )
    return blocks


def parsed(arguments: str) -> Any:
    """Arguments that are no JSON, or were cut off, have no place in a body: the vendor gives an empty object."""
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return {}


def stop_reason(answer: Answer) -> str:
    """https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons"""
    if answer.finish == "length":
        return "max_tokens"
    if answer.refusal is not None:
        return "refusal"
    if answer.calls:
        return "tool_use"
    return "end_turn" if answer.stopped_by is None else "stop_sequence"


def stop_of(answer: Answer) -> dict[str, Any]:
    """A refusal tells more of itself (RefusalStopDetails)."""
    told: dict[str, Any] = {"stop_reason": stop_reason(answer), "stop_sequence": answer.stopped_by}
    if told["stop_reason"] == "refusal":
        told["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return told


def usage(answer: Answer, *, output: int) -> dict[str, Any]:
    """`input_tokens` are those that were neither read from the cache nor written into it."""
    counts = answer.usage
    written = counts.written_5m + counts.written_1h
    return {
        "input_tokens": counts.prompt - counts.cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": counts.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.written_5m,
            "ephemeral_1h_input_tokens": counts.written_1h,
        },
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": min(counts.reasoning, output)},
        "service_tier": "standard",
    }


def ended_usage(answer: Answer) -> dict[str, Any]:
    """In `message_delta`: cumulative, without the parts that do not change."""
    kept = (
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "output_tokens_details",
    )
    whole = usage(answer, output=answer.usage.completion)
    return {name: whole[name] for name in kept}


def message(answer: Answer, asked: Asked, head: Head) -> dict[str, Any]:
    return {
        "model": asked.model,
        "id": head.id,
        "type": "message",
        "role": "assistant",
        "content": content(answer, asked, head),
        **stop_of(answer),
        "usage": usage(answer, output=answer.usage.completion),
    }


def body(answer: Answer, asked: Asked, head: Head, *, with_usage: bool = True) -> bytes:
    fields = message(answer, asked, head)
    if not with_usage:
        del fields["usage"]
    return encode(fields)


def count(_answer: Answer, asked: Asked, _head: Head, **_: bool) -> bytes:
    """https://platform.claude.com/docs/en/api/messages/count_tokens"""
    return encode({"input_tokens": asked.prompt_tokens})


def model(name: str, created: str) -> dict[str, Any]:
    """https://platform.claude.com/docs/en/api/models/list"""
    return {"type": "model", "id": name, "display_name": f"{name} (simulated)", "created_at": created}


def models(names: tuple[str, ...], created: str) -> bytes:
    data = [model(name, created) for name in names]
    return encode({"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]})
