"""The body of an answer of nothing but texts and calls of functions, as nearly all are. In: the answer, its context and bill. Out: the body.

None where there is anything else: then the body is what a stream of the same answer would end with, and the two are the same.
"""

from typing import Any

import msgspec

from trunkline.ir.events import Finish, UsageSeen
from trunkline.ir.parts import Part, Text, ToolCall
from trunkline.ir.response import FinishReason, Response
from trunkline.protocols.codec import AnswerContext, Bill, own_id
from trunkline.protocols.openai_responses import answer_out, parts_out
from trunkline.protocols.openai_responses.items_in import CONTENT


def usual_body(response: Response, context: AnswerContext, bill: Bill) -> bytes | None:
    """The body, or None."""
    if not response.candidates or response.fault is not None:
        return None
    first = response.candidates[0]
    if first.finish is FinishReason.REFUSAL:
        return None
    finish = None if first.finish is None else Finish(first.finish, first.native_finish, first.stop_sequence)
    status, reason = answer_out.status_of(finish)
    items = _items(first.parts, context.request_id, status)
    if items is None:
        return None
    usage = response.usage
    seen = None if usage is None else UsageSeen(usage, response.raw_usage, response.service_tier)
    return msgspec.json.encode(answer_out.ended(answer_out.head(context), status, reason, items, seen, bill))


def _items(parts: tuple[Part, ...], request_id: str, status: str) -> list[Any] | None:
    items: list[Any] = []
    message: dict[str, Any] | None = None
    for part in parts:
        if isinstance(part, Text) and part.carry is None and not (part.citations or part.logprobs):
            if message is None:
                message = _message(own_id("msg_", request_id, len(items)))
                items.append(message)
            message[CONTENT].append({"type": "output_text", "text": part.text, "annotations": [], "logprobs": []})
        elif isinstance(part, ToolCall) and part.carry is None and part.kind == "function":
            message = None
            items.append(_call(part, own_id("fc_", request_id, len(items))))
        else:
            return None
    if message is not None:
        # Only what is last can be cut short.
        message["status"] = status
    return items


def _message(item_id: str) -> dict[str, Any]:
    return {"type": "message", "id": item_id, "status": "completed", "role": "assistant", CONTENT: []}


def _call(part: ToolCall, item_id: str) -> dict[str, Any]:
    said = parts_out.tool_call(part, {})
    # Callers parse them.
    return {**said, "arguments": part.arguments or "{}", "id": item_id, "status": "completed"}
