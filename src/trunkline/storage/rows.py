"""Records as rows and back. In: the structs of `records`. Out: tuples in the order of `columns`. No SQL here.

A record is in its columns and, for the rest, in `detail`: JSON arrays in the order of the structs' fields, since bytes are
what a stored record costs most (with names and repetitions it is three times as long, and takes twice the time to write).
Fields are therefore only ever added at the end of a struct, with a default: an older row is then shorter, and still read.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

from trunkline.errors import StoreError
from trunkline.ir.loss import Loss
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost, CostLine
from trunkline.records.types import Attempt, Candidate, Charge, Intent, Kept, Record
from trunkline.storage.columns import RECORD_COLUMNS, TOKEN_COLUMNS

Row = tuple[Any, ...]


class _Usage(Usage, frozen=True, array_like=True):
    """`Usage` as it is stored. The same for the others here: the fields of the original, read from an array."""


class _CostLine(CostLine, frozen=True, array_like=True):
    pass


class _Cost(Cost, frozen=True, array_like=True):
    lines: tuple[_CostLine, ...] = ()


class _Attempt(Attempt, frozen=True, array_like=True):
    usage: _Usage = _Usage()
    cost: _Cost = _Cost()


class _Candidate(Candidate, frozen=True, array_like=True):
    pass


class _Loss(Loss, frozen=True, array_like=True):
    pass


class _Charge(Charge, frozen=True, array_like=True):
    pass


class _Detail(msgspec.Struct, frozen=True, array_like=True):
    """What of a record is in no column, in the order of `_detail`."""

    asked_model: str
    app_url: str
    app_title: str
    user_agent: str
    error_type: str
    error_message: str
    price_version: str
    request_bytes: int
    answer_bytes: int
    usage_estimated: bool
    cost: _Cost | None
    """None: that of the last attempt."""
    attempts: tuple[_Attempt, ...]
    plan: tuple[_Candidate, ...]
    losses: tuple[_Loss, ...]
    notes: tuple[str, ...]
    prepaid_by: str = ""
    charges: tuple[_Charge, ...] = ()


_detail_decoder = msgspec.json.Decoder(_Detail)
_parts_decoder = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_PAYMENT_AT = _Detail.__struct_fields__.index("prepaid_by")
_ATTEMPTS_AT = _Detail.__struct_fields__.index("attempts")
_MESSAGE_AT = Attempt.__struct_fields__.index("message")
_NULL = math.nan
"""SQLite stores it as NULL (https://www.sqlite.org/floatingpoint.html), and `sqlite3` looks for no adapter of a float, as it does of None."""
_PLANS = 64
_BUFFER_BYTES = 4_096
BRIEF_REST = {
    "session_id": "''", "outcome": "'ok'", "status": "200", "simulated": "0", "estimated": "0",
    **dict.fromkeys(
        (name for name in TOKEN_COLUMNS if name not in ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")),
        "0",
    ),
}  # fmt: skip
"""What most records have in these columns, as SQL."""
BRIEF_COLUMNS = tuple(name for name in RECORD_COLUMNS if name not in BRIEF_REST)
_OF_A_PERSON = ("app_url", "app_title", "user_agent", "error_message")


class RecordEncoder:
    """Records as rows. Lives as long as the connection that they go to; remembers how the plans that many requests share are written."""

    def __init__(self) -> None:
        encoder = msgspec.json.Encoder()
        self._encode, self._encode_into = encoder.encode, encoder.encode_into
        self._buffer = bytearray(_BUFFER_BYTES)
        # By identity, which holds as long as the plan is kept here.
        self._plans: dict[int, tuple[tuple[Candidate, ...], msgspec.Raw]] = {}

    def row(self, record: Record) -> Row:
        """The row of `records`. Written out flat, since it runs for every request.

        Numbers, texts and a bytearray only: `sqlite3` looks for an adapter of any other value, `bytes` and `bool` too, which costs more than binding it.
        """
        usage = record.usage
        return (
            record.id,
            record.received_ms,
            record.ended_ms,
            record.first_token_ms,
            record.model,
            record.provider,
            record.offer,
            record.key_id,
            record.session_id,
            record.protocol,
            record.outcome,
            record.status,
            record.finish_reason,
            record.answer_id,
            1 if record.streamed else 0,
            1 if record.simulated else 0,
            1 if usage.estimated or record.cost.estimated else 0,
            record.cost_pico_usd,
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.cache_write_5m_tokens,
            usage.cache_write_1h_tokens,
            usage.input_audio_tokens,
            usage.input_image_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            usage.output_audio_tokens,
            usage.output_image_tokens,
            usage.web_searches,
            self.detail(record),
        )

    def brief_row(self, record: Record) -> Row | None:
        """The values of `BRIEF_COLUMNS`, where all others are as in `BRIEF_REST`: most records. Half the values take half the time to bind."""
        usage = record.usage
        if (
            record.outcome != "ok" or record.status != 200 or record.session_id or record.simulated or usage.estimated
            or record.cost.estimated or usage.cache_write_tokens or usage.cache_write_5m_tokens or usage.cache_write_1h_tokens
            or usage.input_audio_tokens or usage.input_image_tokens or usage.output_audio_tokens or usage.output_image_tokens
            or usage.web_searches
        ):  # fmt: skip
            return None
        first_ms = record.first_token_ms
        return (
            record.id,
            record.received_ms,
            record.ended_ms,
            _NULL if first_ms is None else first_ms,
            record.model,
            record.provider,
            record.offer,
            record.key_id,
            record.protocol,
            record.finish_reason,
            record.answer_id,
            1 if record.streamed else 0,
            record.cost_pico_usd,
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            self.detail(record),
        )

    def detail(self, record: Record) -> bytearray:
        """What is in no column."""
        attempts, cost = record.attempts, record.cost
        row: Row = (
            record.asked_model,
            record.app_url,
            record.app_title,
            record.user_agent,
            record.error_type,
            record.error_message,
            record.price_version,
            record.request_bytes,
            record.answer_bytes,
            record.usage.estimated,
            # Most often the very same: then it is written once.
            None if attempts and cost is attempts[-1].cost else _cost_array(cost),
            [_attempt_array(attempts[0])] if len(attempts) == 1 else list(map(_attempt_array, attempts)),
            self._plan(record.plan),
            list(map(astuple, record.losses)) if record.losses else (),
            record.notes,
        )
        # Few are prepaid: the others do without the last two.
        if record.prepaid_by or record.charges:
            row = (*row, record.prepaid_by, list(map(astuple, record.charges)))
        # Into the same buffer each time: one of its own would grow twice before it is large enough.
        self._encode_into(row, self._buffer)
        return bytearray(self._buffer)

    def _plan(self, plan: tuple[Candidate, ...]) -> msgspec.Raw:
        known = self._plans.get(id(plan))
        if known is not None:
            return known[1]
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        written = msgspec.Raw(self._encode(list(map(astuple, plan))))
        self._plans[id(plan)] = plan, written
        return written


def intent_row(intent: Intent) -> Row:
    """The row of `intents`."""
    return astuple(intent)


def kept_row(kept: Kept, sealed: bytes) -> Row:
    """The row of `kept`, with its data encrypted."""
    return (kept.key, kept.kind, kept.key_id, kept.created_ms, kept.expires_ms, sealed)


def read_record(row: Sequence[Any]) -> Record:
    """The record of a row that has all of `RECORD_COLUMNS`, equal to the one stored. StoreError when it cannot be read."""
    columns = dict(zip(RECORD_COLUMNS, row, strict=True))
    try:
        detail = _detail_decoder.decode(columns.pop("detail"))
    except msgspec.MsgspecError as error:
        raise StoreError(f"the stored record {columns['id']} cannot be read: {error}") from error
    tokens = {name: columns.pop(name) for name in TOKEN_COLUMNS}
    columns.pop("estimated")
    attempts = tuple(_read_attempt(attempt) for attempt in detail.attempts)
    if detail.cost is None and not attempts:
        raise StoreError(f"the stored record {columns['id']} cannot be read: it has neither a cost nor an attempt")
    return Record(
        **{**columns, "streamed": bool(columns["streamed"]), "simulated": bool(columns["simulated"])},
        asked_model=detail.asked_model,
        app_url=detail.app_url,
        app_title=detail.app_title,
        user_agent=detail.user_agent,
        error_type=detail.error_type,
        error_message=detail.error_message,
        price_version=detail.price_version,
        request_bytes=detail.request_bytes,
        answer_bytes=detail.answer_bytes,
        usage=Usage(**tokens, estimated=detail.usage_estimated),
        cost=attempts[-1].cost if detail.cost is None else _read_cost(detail.cost),
        attempts=attempts,
        plan=tuple(Candidate(*astuple(candidate)) for candidate in detail.plan),
        losses=tuple(Loss(*astuple(loss)) for loss in detail.losses),
        notes=detail.notes,
        prepaid_by=detail.prepaid_by,
        charges=tuple(Charge(*astuple(charge)) for charge in detail.charges),
    )


def read_payment(detail: bytes) -> tuple[str, tuple[Charge, ...]]:
    """Who paid for a record, and from which wallets, out of its `detail` alone. StoreError when it cannot be read."""
    try:
        parts = _parts_decoder.decode(detail)
        if len(parts) <= _PAYMENT_AT:
            return "", ()
        charges = msgspec.json.decode(parts[_PAYMENT_AT + 1], type=tuple[_Charge, ...])
        return msgspec.json.decode(parts[_PAYMENT_AT], type=str), tuple(Charge(*astuple(charge)) for charge in charges)
    except msgspec.MsgspecError as error:
        raise StoreError(f"a stored record cannot be read: {error}") from error


def without_person(detail: bytes) -> bytes:
    """A record's `detail` without what the caller said of itself, and without the words of errors, which may repeat what was said. StoreError when it
    cannot be read."""
    try:
        parts: list[Any] = list(_parts_decoder.decode(detail))
        for name in _OF_A_PERSON:
            parts[_Detail.__struct_fields__.index(name)] = ""
        attempts = msgspec.json.decode(parts[_ATTEMPTS_AT], type=list[list[msgspec.Raw]])
        for attempt in attempts:
            attempt[_MESSAGE_AT : _MESSAGE_AT + 1] = [msgspec.Raw(b'""')] if len(attempt) > _MESSAGE_AT else []
        parts[_ATTEMPTS_AT] = attempts
        return msgspec.json.encode(parts)
    except (msgspec.MsgspecError, IndexError) as error:
        raise StoreError(f"a stored record cannot be read: {error}") from error


def _cost_array(cost: Cost) -> Row:
    return ([astuple(line) for line in cost.lines], cost.total_pico_usd, cost.unpriced, cost.estimated)


def _attempt_array(attempt: Attempt) -> Row:
    return (
        attempt.provider,
        attempt.offer,
        attempt.upstream_model,
        attempt.started_ms,
        attempt.ended_ms,
        attempt.outcome,
        attempt.status,
        attempt.message,
        attempt.first_token_ms,
        attempt.last_token_ms,
        astuple(attempt.usage),
        _cost_array(attempt.cost),
        attempt.raw_usage,
        attempt.upstream_request_id,
        attempt.reused_connection,
        attempt.protocol,
        attempt.kind,
        attempt.key,
        attempt.decision,
        attempt.after_leaving,
        attempt.tool_calls,
        attempt.tool_errors,
        attempt.told_status,
    )


def _read_cost(stored: _Cost) -> Cost:
    lines = tuple(CostLine(*astuple(line)) for line in stored.lines)
    return msgspec.structs.replace(Cost(*astuple(stored)), lines=lines)


def _read_attempt(stored: _Attempt) -> Attempt:
    return msgspec.structs.replace(
        Attempt(*astuple(stored)), usage=Usage(*astuple(stored.usage)), cost=_read_cost(stored.cost)
    )
