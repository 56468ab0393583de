"""The bytes of an answer as the Responses API sends it: one response object, or named events.

In: an `Answer`, the `Asked` and the `Head`. Out: bytes. Fields:
https://platform.openai.com/docs/api-reference/responses/object; events and their order:
https://platform.openai.com/docs/api-reference/responses-streaming. Each event has the next `sequence_number`.
"""

from typing import Any

import msgspec

from trunkline.simulate.answer import Answer, Piece
from trunkline.simulate.asked import Asked
from trunkline.simulate.responses.asked import ENCRYPTED
from trunkline.simulate.seals import NO_PREFIX, Seal, seal
from trunkline.simulate.wire import Events, Head

encode = msgspec.json.encode
FAILURE = {"code": "server_error", "message": "The server had an error while processing your request"}


class Script:
    """The events of one answer, numbered as they are told. Lives while a stream is made."""

    def __init__(self) -> None:
        self.number = 0

    def told(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self.number, **fields}
        self.number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), encode(event))


def events(answer: Answer, asked: Asked, head: Head, *, with_usage: bool) -> Events:
    """A whole stream. Each piece carries the start of its item if it is the first there, and the end if the last."""
    script = Script()
    begun = response(answer, asked, head, status="in_progress", output=[])
    opening = script.told("response.created", response=begun) + script.told("response.in_progress", response=begun)
    items = output(answer, asked, head)
    if asked.reasoning and not answer.thoughts:  # Reasoning without a word of summary is over at once.
        opening += added(script, items, 0) + done(script, items, 0)
    pieces, numbers = [], []
    for n, piece in enumerate(answer.pieces):
        before = answer.pieces[n - 1] if n else None
        after = answer.pieces[n + 1] if n + 1 < len(answer.pieces) else None
        pieces.append(told_piece(script, items, piece, before, after))
        numbers.append(script.number)
    whole = response(answer, asked, head, status=status(answer), output=items)
    if not with_usage:
        whole["usage"] = None
    closing = script.told(f"response.{status(answer)}", response=whole)
    first = 2 + 2 * (asked.reasoning and not answer.thoughts)
    failed = response(answer, asked, head, status="failed", output=[]) | {"error": FAILURE}
    return Events(opening, tuple(pieces), closing, lambda sent: failure(numbers[sent - 1] if sent else first, failed))


def failure(number: int, failed: dict[str, Any]) -> bytes:
    """An `error` event, and the response that has failed; the stream ends there."""
    script = Script()
    script.number = number
    return script.told("error", **FAILURE, param=None) + script.told("response.failed", response=failed)


def index_of(items: list[dict[str, Any]], piece: Piece) -> int:
    """Where the item of a piece stands in the output."""
    if piece.kind == "think":
        return 0
    calls = [n for n, item in enumerate(items) if "call_id" in item]
    return calls[piece.index] if piece.kind in ("call", "args") else len(items) - 1


def added(script: Script, items: list[dict[str, Any]], index: int) -> bytes:
    """The item as it is at its start: without content."""
    item = items[index] | {"status": "in_progress"}
    if item["type"] == "reasoning":
        item = {name: value for name, value in item.items() if name != "status"} | {"summary": []}
    if item["type"] == "message":
        item["content"] = []
    for name in ("arguments", "input"):
        if name in item:
            item[name] = ""
    return script.told("response.output_item.added", output_index=index, item=item)


def done(script: Script, items: list[dict[str, Any]], index: int) -> bytes:
    return script.told("response.output_item.done", output_index=index, item=items[index])


def told_piece(
    script: Script, items: list[dict[str, Any]], piece: Piece, before: Piece | None, after: Piece | None
) -> bytes:
    """All that is told with a piece."""
    index = index_of(items, piece)
    item = items[index]
    starts = before is None or index_of(items, before) != index
    ends = after is None or index_of(items, after) != index
    told = added(script, items, index) if starts else b""
    if piece.kind == "think":
        told += think(script, item, index, piece, before, after)
    elif piece.kind in ("text", "refusal"):
        told += say(script, item, index, piece, starts=starts, ends=ends)
    else:
        told += call(script, item, index, piece, ends=ends)
    return told + (done(script, items, index) if ends else b"")


def think(
    script: Script, item: dict[str, Any], index: int, piece: Piece, before: Piece | None, after: Piece | None
) -> bytes:
    """A block of reasoning is a part of the summary."""
    where = {"item_id": item["id"], "output_index": index, "summary_index": piece.index}
    whole = item["summary"][piece.index]
    told = b""
    if not same_block(before, piece):
        part = {"type": "summary_text", "text": ""}
        told += script.told("response.reasoning_summary_part.added", **where, part=part)
    told += script.told("response.reasoning_summary_text.delta", **where, delta=piece.text)
    if not same_block(after, piece):
        told += script.told("response.reasoning_summary_text.done", **where, text=whole["text"])
        told += script.told("response.reasoning_summary_part.done", **where, part=whole)
    return told


def same_block(other: Piece | None, piece: Piece) -> bool:
    return other is not None and (other.kind, other.index) == (piece.kind, piece.index)


def say(script: Script, item: dict[str, Any], index: int, piece: Piece, *, starts: bool, ends: bool) -> bytes:
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    whole = item["content"][0]
    if piece.kind == "refusal":
        return decline(script, where, whole, piece, starts=starts, ends=ends)
    told = script.told("response.content_part.added", **where, part=whole | {"text": ""}) if starts else b""
    told += script.told("response.output_text.delta", **where, delta=piece.text, logprobs=[])
    if ends:
        told += script.told("response.output_text.done", **where, text=whole["text"], logprobs=[])
        told += script.told("response.content_part.done", **where, part=whole)
    return told


def decline(
    script: Script, where: dict[str, Any], whole: dict[str, Any], piece: Piece, *, starts: bool, ends: bool
) -> bytes:
    told = script.told("response.content_part.added", **where, part=whole | {"refusal": ""}) if starts else b""
    told += script.told("response.refusal.delta", **where, delta=piece.text)
    if ends:
        told += script.told("response.refusal.done", **where, refusal=whole["refusal"])
        told += script.told("response.content_part.done", **where, part=whole)
    return told


def call(script: Script, item: dict[str, Any], index: int, piece: Piece, *, ends: bool) -> bytes:
    where = {"item_id": item["id"], "output_index": index}
    custom = item["type"] == "custom_tool_call"
    kind = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
    told = b""
    if piece.kind == "args" and not custom:
        told = script.told(f"{kind}.delta", **where, delta=piece.text)
    if ends and custom:
        told = script.told(f"{kind}.delta", **where, delta=item["input"])
        told += script.told(f"{kind}.done", **where, input=item["input"])
    elif ends:
        told += script.told(f"{kind}.done", **where, arguments=item["arguments"], name=item["name"])
    return told


def output(answer: Answer, asked: Asked, head: Head) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [reasoning(answer, asked, head)] if asked.reasoning else []
    ended = "incomplete" if answer.finish == "length" else "completed"
    tag = answer.tag.hex()
    if answer.calls:
        return items + [call_item(answer, asked, n) for n in range(len(answer.calls))]
    if not answer.text and not answer.refusal:  # The limit was used up by reasoning, or the model stopped at once.
        return items
    part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text}
    if answer.refusal:
        part = {"type": "refusal", "refusal": answer.refusal}
    message = {"id": f"msg_sim{tag}", "type": "message", "status": ended, "role": "assistant", "content": [part]}
    return [*items, message]


def reasoning(answer: Answer, asked: Asked, head: Head) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text} for text in answer.thoughts]
    item: dict[str, Any] = {"id": f"rs_sim{answer.tag.hex()}", "type": "reasoning", "summary": summary}
    if ENCRYPTED in (asked.body.get("include") or []):
        mark = Seal(answer.tag, 0, 1, NO_PREFIX)
        item["encrypted_content"] = seal(head.secret, "reasoning", mark, b"")
    return item


def call_item(answer: Answer, asked: Asked, n: int) -> dict[str, Any]:
    made, tag = answer.calls[n], answer.tag.hex()
    custom = [t.get("name") for t in asked.body.get("tools") or [] if t.get("type") == "custom"]
    ended = "incomplete" if answer.finish == "length" and n + 1 == len(answer.calls) else "completed"
    shared = {"status": ended, "call_id": made.id, "name": made.name}
    if made.name in custom:
        return {"id": f"ctc_sim{tag}{n}", "type": "custom_tool_call", **shared, "input": input_of(made.arguments)}
    return {"id": f"fc_sim{tag}{n}", "type": "function_call", **shared, "arguments": made.arguments}


def input_of(arguments: str) -> str:
    """The free text for a custom tool: `input` of the scripted arguments, else the arguments as they are."""
    try:
        told = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments
    return str(told["input"]) if isinstance(told, dict) and "input" in told else arguments


def status(answer: Answer) -> str:
    return "incomplete" if answer.finish == "length" else "completed"


def response(answer: Answer, asked: Asked, head: Head, *, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """The response object, which repeats what was asked for."""
    body = asked.body
    over = status in ("completed", "incomplete")
    return {
        "id": head.id,
        "object": "response",
        "created_at": head.created,
        "status": status,
        "background": False,
        "completed_at": head.created if status == "completed" else None,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": asked.model,
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": effort(asked), "summary": (body.get("reasoning") or {}).get("summary")},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "default" if over else "auto",
        "store": body.get("store") is not False,
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium"} | (body.get("text") or {}),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": usage(answer) if over else None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def effort(asked: Asked) -> str | None:
    wanted = (asked.body.get("reasoning") or {}).get("effort")
    return wanted or ("medium" if asked.reasoning else None)


def usage(answer: Answer) -> dict[str, Any]:
    counts = answer.usage
    return {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached},
        "output_tokens": counts.completion,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.prompt + counts.completion,
    }


def body(answer: Answer, asked: Asked, head: Head, *, with_usage: bool = True) -> bytes:
    fields = response(answer, asked, head, status=status(answer), output=output(answer, asked, head))
    if not with_usage:
        del fields["usage"]
    return encode(fields)
