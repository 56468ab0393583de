"""Records as rows and back. In: the structs of `records`. Out: tuples in the order of `columns`. No SQL here.

A record is in its columns and, for the rest, in `detail`: JSON arrays in the order of the structs' fields, since bytes are
what a stored record costs most (with names and repetitions it is three times as long, and takes twice the time to write).
Fields are therefore only ever added at the end of a struct, with a default: an older row is then shorter, and still read.
"""

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
    cost: _Cost
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
_OF_A_PERSON = ("app_url", "app_title", "user_agent", "error_message")


def record_row(record: Record, encoder: msgspec.json.Encoder) -> Row:
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
        bytearray(encoder.encode(_detail(record))),
    )


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
        cost=_read_cost(detail.cost),
        attempts=tuple(_read_attempt(attempt) for attempt in detail.attempts),
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


def _detail(record: Record) -> Row:
    row = (
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
        _cost_array(record.cost),
        [_attempt_array(attempt) for attempt in record.attempts],
        [astuple(candidate) for candidate in record.plan],
        [astuple(loss) for loss in record.losses],
        record.notes,
    )
    # Few are prepaid: the others do without the last two.
    if not record.prepaid_by and not record.charges:
        return row
    return (*row, record.prepaid_by, [astuple(charge) for charge in record.charges])


def _cost_array(cost: Cost) -> Row:
    _, *rest = astuple(cost)
    return ([astuple(line) for line in cost.lines], *rest)


def _attempt_array(attempt: Attempt) -> list[Any]:
    fields = list(astuple(attempt))
    fields[_USAGE_AT] = astuple(attempt.usage)
    fields[_COST_AT] = _cost_array(attempt.cost)
    return fields


_USAGE_AT = Attempt.__struct_fields__.index("usage")
_COST_AT = Attempt.__struct_fields__.index("cost")


def _read_cost(stored: _Cost) -> Cost:
    lines = tuple(CostLine(*astuple(line)) for line in stored.lines)
    return msgspec.structs.replace(Cost(*astuple(stored)), lines=lines)


def _read_attempt(stored: _Attempt) -> Attempt:
    return msgspec.structs.replace(
        Attempt(*astuple(stored)), usage=Usage(*astuple(stored.usage)), cost=_read_cost(stored.cost)
    )
