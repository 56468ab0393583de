"""The canonical answer -> the body for a Messages client. In: `Response`, `AnswerContext`, `Bill`. Out: bytes.

https://platform.claude.com/docs/en/api/messages/create
"""

from typing import Any

import msgspec

from trunkline.ir.parts import Refusal
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.anthropic_messages.state_out import StateOut, own_fields
from trunkline.protocols.anthropic_messages.usage import billed
from trunkline.protocols.anthropic_messages.wire import STOP_REASON, encode
from trunkline.protocols.codec import AnswerContext, Bill, own_id


def write_response(response: Response, context: AnswerContext, bill: Bill) -> bytes:
    """The message. Of several answers the first: the protocol has one."""
    first = response.candidates[0] if response.candidates else Candidate()
    state = StateOut(context)
    refused = any(isinstance(part, Refusal) for part in first.parts)
    message: dict[str, Any] = {
        "id": own_id("msg_", context.request_id),
        "type": "message",
        "role": "assistant",
        "model": context.model,
        "content": [block for at, part in enumerate(first.parts) for block in state.blocks(part, at)],
        "stop_reason": stop_reason(first.finish, refused=refused),
        "stop_sequence": first.stop_sequence,
        "usage": raw_usage(response.usage, bill, response.service_tier),
    }
    return encode({**message, **own_fields(response.carry)})


def stop_reason(finish: FinishReason | None, *, refused: bool) -> str | None:
    """The word for why it ended; null where it did not, but was cut."""
    if finish is None:
        return None
    return "refusal" if refused and finish is FinishReason.END else STOP_REASON[finish]


def raw_usage(usage: Usage | None, bill: Bill, service_tier: str) -> msgspec.Raw:
    """SDKs want a usage always, so where the provider told none it is zero."""
    return msgspec.Raw(billed(usage or Usage(), bill, service_tier))
