"""`GET /api/v1/management/generation?id=`: what one request was, used and cost. In: our request id or the answer's own.
Out: ZenMux's object
(https://docs.zenmux.ai/api/platform/get-generation.html) and, under `trunkline`, the rest of the record.
"""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from trunkline.api.management.access import AnyCaller, ConsoleOf
from trunkline.api.management.scope import may_read
from trunkline.errors import NotFound
from trunkline.pricing.types import CostLine
from trunkline.records.types import Record
from trunkline.storage.queries import Store

WAIT_S = 0.150
"""Records are stored in batches; a caller who asks at once is let wait for the batch."""
POLL_S = 0.015

APIS = {
    "openai.chat": "chat.completions",
    "openai.responses": "responses",
    "anthropic.messages": "messages",
    "gemini": "generateContent",
}
PICO = 10**12
PER_UNIT = {"perMTokens": Decimal(1_000_000), "perCount": Decimal(1), "perSecond": Decimal(1)}
"""ZenMux's `rate` is USD for one token, count or second: its example has 0.0016 USD for 32 tokens at 0.00005."""


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class RatingDetail(_Camel):
    bill_amount: float
    discount_amount: float
    fee_item_code: str
    origin_amount: float
    rate: float


class RatingResponses(_Camel):
    bill_amount: float
    discount_amount: float
    origin_amount: float
    price_version: str
    rating_details: list[RatingDetail]


class NativeTokens(BaseModel):
    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    completion_tokens_details: dict[str, int]
    prompt_tokens_details: dict[str, int]


class Generation(_Camel):
    """The answer, for the API's description. Times are milliseconds, amounts USD."""

    api: str
    generation_id: str
    model: str
    create_at: str
    generation_time: int
    latency: int
    native_tokens: NativeTokens
    streamed: bool
    finish_reason: str
    usage: float
    rating_responses: RatingResponses
    request_retry_times: int
    final_retry: bool
    trunkline: dict[str, Any]


router = APIRouter()


@router.get("/api/v1/management/generation", responses={200: {"model": Generation}}, response_class=Response)
@router.get("/api/v1/generation", responses={200: {"model": Generation}}, response_class=Response, deprecated=True)
async def generation(
    id: Annotated[str, Query(min_length=1, max_length=200)], who: AnyCaller, console: ConsoleOf
) -> Response:
    """One request, by its `X-Request-Id` or by the `id` in its answer."""
    record = await wait_for_record(console.store, id)
    if record is None or not await may_read(console, who, record):
        raise NotFound(
            f"there is no generation {id}; it is the X-Request-Id of an answer, or the id in its body", param="id"
        )
    return Response(msgspec.json.encode(generation_card(record, id)), media_type="application/json")


async def wait_for_record(store: Store, id_: str) -> Record | None:
    """The record, once it is stored; None where it does not come."""
    for _ in range(round(WAIT_S / POLL_S)):
        record = await store.generation(id_)
        if record is not None:
            return record
        await asyncio.sleep(POLL_S)
    return await store.generation(id_)


def generation_card(record: Record, asked_id: str) -> dict[str, Any]:
    """ZenMux's object. An answer that was not streamed has one time only: it is given as both, latency and generation
    time."""
    total_ms = record.ended_ms - record.received_ms
    latency_ms = total_ms if record.first_token_ms is None else record.first_token_ms
    return {
        "api": APIS.get(record.protocol, record.protocol),
        "generationId": asked_id,
        "model": record.model,
        "createAt": _iso(record.received_ms),
        "generationTime": round(total_ms if record.first_token_ms is None else total_ms - latency_ms),
        "latency": round(latency_ms),
        "nativeTokens": _native_tokens(record),
        "streamed": record.streamed,
        "finishReason": record.finish_reason,
        "usage": record.cost_pico_usd / PICO,
        "ratingResponses": _rating(record),
        "requestRetryTimes": max(0, len(record.attempts) - 1),
        "finalRetry": len(record.attempts) > 1,
        "trunkline": _more(record),
    }


def _native_tokens(record: Record) -> dict[str, Any]:
    usage = record.usage
    written = usage.cache_write_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    return {
        "completion_tokens": usage.total_output_tokens,
        "prompt_tokens": usage.total_input_tokens,
        "total_tokens": usage.total_input_tokens + usage.total_output_tokens,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
            "image_tokens": usage.output_image_tokens,
        },
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_creation_tokens": written,
            "audio_tokens": usage.input_audio_tokens,
            "image_tokens": usage.input_image_tokens,
        },
    }


def _rating(record: Record) -> dict[str, Any]:
    lines = [line for attempt in record.attempts for line in attempt.cost.lines] or list(record.cost.lines)
    return {
        "billAmount": record.cost_pico_usd / PICO,
        "discountAmount": 0,
        "originAmount": record.cost_pico_usd / PICO,
        "priceVersion": record.price_version,
        "ratingDetails": [_rating_detail(line) for line in lines],
    }


def _rating_detail(line: CostLine) -> dict[str, Any]:
    return {
        "billAmount": line.amount_pico_usd / PICO,
        "discountAmount": 0,
        "feeItemCode": line.item,
        "originAmount": line.amount_pico_usd / PICO,
        "rate": float(Decimal(line.value) / PER_UNIT.get(line.unit, Decimal(1))),
    }


def _more(record: Record) -> dict[str, Any]:
    """What a record holds beyond ZenMux's object."""
    unpriced = {item for attempt in record.attempts for item in attempt.cost.unpriced} | set(record.cost.unpriced)
    return {
        "requestId": record.id,
        "outcome": record.outcome,
        "status": record.status,
        "provider": record.provider,
        "offer": record.offer,
        "error": {"type": record.error_type, "message": record.error_message} if record.error_type else None,
        "unpriced": sorted(unpriced),
        "estimated": record.usage.estimated,
        "simulated": record.simulated,
        "prepaidBy": record.prepaid_by or None,
        "charges": record.charges,
        "attempts": record.attempts,
        "plan": record.plan,
        "losses": record.losses,
        "notes": record.notes,
    }


def _iso(unix_ms: float) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
